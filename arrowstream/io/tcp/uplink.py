"""The way of a TCP sink to its server: a connection, and another one when it breaks."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from arrowstream.core.plural import counted
from arrowstream.core.step_context import StepContext
from arrowstream.errors import SinkError
from arrowstream.io.tcp.address import Address
from arrowstream.io.tcp.connection import Connection, WrongToken, connect
from arrowstream.io.tcp.within import within

_SHORTEST_S, _LONGEST_S = 0.1, 5.0
"""The first and the longest wait before the next attempt to connect, in seconds; each is up to half shorter."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A server, and how long a sink waits for it.

    Parameters
    ----------
    address
        Where it listens.
    tls
        Context of TLS connections; None for plain ones.
    server_name
        The name in its certificate; None for the host.
    token
        The token; None for none.
    connect_s, reconnect_s, end_s
        Seconds for one attempt to connect, for all attempts after a failure, and for the server's end.
    """

    address: Address
    tls: ssl.SSLContext | None
    server_name: str | None
    token: bytes | None
    connect_s: float
    reconnect_s: float
    end_s: float


def waits(random: Random) -> Iterator[float]:
    """Yield the seconds to wait before each attempt to connect after a failure."""
    wait_s = _SHORTEST_S
    while True:
        yield wait_s * (1 - random.random() / 2)
        wait_s = min(wait_s * 2, _LONGEST_S)


def _hint(error: OSError) -> str:
    """Return what to do about the last of the attempts to connect."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            "Tls(ca=...) takes the certificate that signed the server's, Tls(server_name=...) the name in it"
        )
    if isinstance(error, ssl.SSLError):
        return "the server may not speak TLS, or ask for a certificate: Tls(certificate=..., key=...)"
    if isinstance(error, WrongToken):
        return "give both ends the same token"
    if isinstance(error, socket.gaierror):
        return "look at the name of the host"
    return "start the server first, or wait longer for it: to_tcp(reconnect_for='5m')"


class Uplink:
    """Sends bytes to a server, over as many connections as that takes.

    Parameters
    ----------
    to
        The server.
    context
        Clock and log of the run.
    random
        Decides how much shorter each wait is.
    """

    def __init__(self, to: Destination, context: StepContext, random: Random) -> None:
        self._to = to
        self._clock = context.clock
        self._context = context
        self._random = random
        self._connection: Connection | None = None
        self._failed_ns: int | None = None
        """When the first of the attempts failed that have failed since bytes were last sent."""
        self._attempts = 0
        """Number of these attempts."""
        self._waits = waits(self._random)

    async def send(self, data: object) -> None:
        """Send bytes; all of them again over another connection if one breaks.

        Raises
        ------
        SinkError
            The server cannot be reached for too long, or its certificate is not trusted.
        """
        while True:
            try:
                if self._connection is None:
                    self._connection = await self._connect()
                await self._connection.send(data)
            except OSError as error:
                await self._recover(error)
            else:
                self._failed_ns = None
                return

    async def _connect(self) -> Connection:
        to = self._to
        connection = await connect(to.address, to.tls, to.server_name, self._clock, to.connect_s)
        if to.token is not None:
            try:
                await within(to.connect_s, connection.introduce(to.token), self._clock)
            except BaseException:
                connection.abort()
                raise
        return connection

    async def _recover(self, error: OSError) -> None:
        """Wait before the next attempt."""
        if self._connection is not None:
            self._connection.abort()
            self._connection = None
            self._context.logger.warning(
                "%s: the connection to %s broke, and what was sent last may be lost: %s",
                self._context.id,
                self._to.address,
                error,
            )
        if isinstance(error, ssl.SSLCertVerificationError):
            raise self._failed("does not have a certificate that is trusted", error) from error
        now_ns = self._clock.now_ns()
        if self._failed_ns is None:
            self._failed_ns, self._attempts = now_ns, 0
            self._waits = waits(self._random)
        self._attempts += 1
        wait_s = next(self._waits)
        if (now_ns - self._failed_ns) / 1e9 + wait_s > self._to.reconnect_s:
            raise self._failed(f"could not be reached within {self._to.reconnect_s:g} s", error) from error
        await self._clock.sleep(wait_s)

    def _failed(self, what: str, error: OSError) -> SinkError:
        token = " and takes the token" if self._to.token is not None else ""
        tries = f", {counted(self._attempts, 'attempts')}" if self._attempts > 1 else ""
        return SinkError(
            f"{self._to.address} {what}",
            expected=f"a server that listens there{token}",
            found=f"{type(error).__name__}: {error}{tries}",
            hint=_hint(error),
        )

    async def end(self) -> None:
        """Say that nothing more comes, and wait until the server has closed the connection, too.

        Raises
        ------
        SinkError
            The connection broke: the server may not have read everything.
        """
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            if not connection.ended.done():
                connection.end()
            error = await within(self._to.end_s, asyncio.shield(connection.ended), self._clock)
        except TimeoutError:
            self._context.logger.warning(
                "%s: %s has not closed the connection within %g s; it may not have read everything",
                self._context.id,
                self._to.address,
                self._to.end_s,
            )
            connection.abort()
            return
        except BaseException:
            connection.abort()
            raise
        if error is not None:
            raise SinkError(
                f"the connection to {self._to.address} broke at the end",
                expected="a server that reads everything and then closes the connection",
                found=f"{type(error).__name__}: {error}",
                hint="the last rows may be lost: run again",
            ) from error

    def abort(self) -> None:
        """End at once."""
        if self._connection is not None:
            self._connection.abort()
            self._connection = None
