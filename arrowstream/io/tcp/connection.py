"""One connection of a TCP sink."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

from arrowstream.core.clock import Clock
from arrowstream.io.tcp.address import Address
from arrowstream.io.tcp.client import TOKEN_ACCEPTED
from arrowstream.io.tcp.within import within


class WrongToken(ConnectionError):
    """A server's answer to the token is not that it takes it."""


class Connection(asyncio.Protocol):
    """A connection that knows when everything that was written has left the process.

    Attributes
    ----------
    ended : asyncio.Future[BaseException | None]
        Done once the connection has ended; its result is what broke it, or None if the server closed it.
    """

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._transport: Any = None
        self._answer = bytearray()
        self._changed = asyncio.Event()
        self._is_paused = False
        self.ended: asyncio.Future[BaseException | None] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for a call as soon as nothing is left to send."""
        self._transport = transport
        self._transport.set_write_buffer_limits(high=1)

    def data_received(self, data: bytes) -> None:
        """Keep the answer to the token; leave out what else a server sends."""
        self._answer += data[: len(TOKEN_ACCEPTED) - len(self._answer)]
        self._changed.set()

    def pause_writing(self) -> None:
        """Note that something is left to send."""
        self._is_paused = True

    def resume_writing(self) -> None:
        """Note that nothing is left to send."""
        self._is_paused = False
        self._changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end."""
        self.ended.set_result(exc)
        self._changed.set()

    async def send(self, data: Any) -> None:
        """Send bytes; return once they have left the process.

        Raises
        ------
        OSError
            The connection is broken. The server may have part of the bytes.
        """
        self._check()
        self._transport.write(data)
        while self._is_paused:
            await self._change()
        self._check()

    async def introduce(self, token: bytes) -> None:
        """Send the token and wait for the answer.

        Raises
        ------
        OSError
            The server closed the connection, or answered something else.
        """
        await self.send(token + b"\n")
        while len(self._answer) < len(TOKEN_ACCEPTED):
            await self._change()
        if self._answer != TOKEN_ACCEPTED:
            raise WrongToken(f"the answer to the token is {bytes(self._answer)!r}, not {TOKEN_ACCEPTED!r}")

    async def _change(self) -> None:
        self._check()
        self._changed.clear()
        await self._changed.wait()

    def _check(self) -> None:
        if self.ended.done():
            raise self.ended.result() or ConnectionResetError("the server closed the connection")

    def end(self) -> None:
        """Say that nothing more comes."""
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def abort(self) -> None:
        """End at once."""
        if self._transport is not None:
            self._transport.abort()


async def connect(
    address: Address, tls: ssl.SSLContext | None, server_name: str | None, clock: Clock, seconds: float
) -> Connection:
    """Connect within a time.

    Raises
    ------
    OSError
        The address cannot be reached, or its certificate is not trusted.
    """
    connection = Connection()
    name = None if tls is None else server_name or address.host
    work = asyncio.get_running_loop().create_connection(
        lambda: connection, address.host, address.port, ssl=tls, server_hostname=name
    )
    try:
        await within(seconds, work, clock)
    except BaseException:
        connection.abort()
        raise
    return connection
