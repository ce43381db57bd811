"""A client of a TCP source: the bytes that it has sent and that are not read yet."""

from __future__ import annotations

import asyncio
import hmac
import socket
import ssl
from abc import ABC, abstractmethod
from typing import Any, Final

import pyarrow as pa

from arrowstream.core.clock import Clock
from arrowstream.core.plural import counted
from arrowstream.core.position import Position
from arrowstream.io.tcp.address import Address
from arrowstream.io.tcp.framing import Framing
from arrowstream.io.tcp.losses import Losses
from arrowstream.io.tcp.options import TcpLimits

TOKEN_ACCEPTED: Final = b"ok\n"
"""The answer to the right token."""

_READY_BYTES: Final = 1024 * 1024
"""Bytes of whole messages from which on a client waits until they are read: enough for a batch."""

_TOKEN_BYTES: Final = 4096
"""Largest number of bytes before the line end of a token."""


class Room(ABC):
    """What a client knows of the source that it belongs to."""

    clock: Clock
    limits: TcpLimits
    losses: Losses
    token: bytes | None

    @abstractmethod
    def opened(self, client: Client) -> None:
        """Take in a client that has just connected, or close it."""

    @abstractmethod
    def accepted(self, client: Client) -> None:
        """Note that the client has ended its handshake."""

    @abstractmethod
    def received(self, client: Client, nbytes: int) -> None:
        """Note that the client has `nbytes` more."""

    @abstractmethod
    def may_receive(self, client: Client) -> bool:
        """Return whether there is room for more bytes of this client."""

    @abstractmethod
    def lost(self, client: Client, nbytes: int) -> None:
        """Note that the client is gone, and has `nbytes` less."""


class Client(asyncio.Protocol):
    """One connection to a source.

    Parameters
    ----------
    room
        The source.
    framing
        Finds the messages.

    Attributes
    ----------
    origin : str
        The client in positions and notes, such as ``tcp 127.0.0.1:54321``.
    buffer : bytearray
        What came and was not taken.
    is_accepted : bool
        True once TLS and token are done.
    is_ready : bool
        True if the source knows of whole messages in the buffer.
    is_gone : bool
        True once the connection has ended; whole messages may still be in the buffer.
    """

    def __init__(self, room: Room, framing: Framing) -> None:
        self._room = room
        self._framing = framing
        self._transport: Any = None
        self._messages = 0
        self._closed = False
        self._is_secure = False
        self._paused = False
        self._started_ns: int | None = None
        """When the handshake or the message began that is not complete; None if there is none."""
        self._last_ns = 0
        self._allowance = float(room.limits.max_bytes_per_second or 0)
        self.origin = "tcp"
        self.buffer = bytearray()
        self.is_accepted = False
        self.is_ready = False
        self.is_gone = False

    @property
    def ready_bytes(self) -> int:
        """Bytes of whole messages in the buffer."""
        return self._framing.complete if self.is_accepted else 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        self._transport = transport
        self.origin = f"tcp {Address.of_socket(transport.get_extra_info('peername'))}"
        self._started_ns = self._last_ns = self._room.clock.now_ns()
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._room.opened(self)

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Encrypt the connection."""
        transport: asyncio.Transport | None = None
        try:
            transport = await asyncio.get_running_loop().start_tls(
                self._transport,
                self,
                context,
                server_side=True,
                ssl_handshake_timeout=self._room.limits.seconds[0],
            )
        except OSError as error:
            self.close("clients closed for a failed TLS handshake", str(error))
        finally:
            if transport is None:
                # asyncio does not call it for a connection that ends during its handshake.
                self.connection_lost(None)
        if transport is not None and not self.is_gone:
            self._transport = transport
            self.on_secure()

    def on_secure(self) -> None:
        """Go on with the token, now that the connection is encrypted if it has to be."""
        self._is_secure = True
        if self._room.token is None:
            self._accept()
        if self.buffer:  # came together with the end of the TLS handshake
            before = len(self.buffer)
            self._look(0)
            self._room.received(self, len(self.buffer) - before)

    def _accept(self) -> None:
        self._started_ns = None
        self.is_accepted = True
        self._room.accepted(self)

    def data_received(self, data: bytes) -> None:
        """Keep bytes, and look for the ends of messages in them."""
        if self._closed:
            return
        start = len(self.buffer)
        self.buffer += data
        self._last_ns = self._room.clock.now_ns()
        self._allowance -= len(data)
        if self._is_secure:
            self._look(start)
        self._room.received(self, len(self.buffer) - start)

    def _look(self, start: int) -> None:
        """Look at the bytes from `start` on: for the token first, then for messages."""
        if not self.is_accepted:
            if not self._check_token():
                return
            start = 0
        before = self._framing.complete
        wrong = self._framing.scan(self.buffer, start) if self.buffer else None
        if self._framing.complete == len(self.buffer):
            self._started_ns = None
        elif self._started_ns is None or self._framing.complete > before:
            self._started_ns = self._last_ns
        if wrong is not None:
            self.close("clients closed for what is not a message", wrong)

    def _check_token(self) -> bool:
        """Return True if the buffer began with the token, which is then taken out of it."""
        end = self.buffer.find(b"\n", 0, _TOKEN_BYTES + 1)
        if end < 0 and len(self.buffer) <= _TOKEN_BYTES:
            return False
        token = bytes(self.buffer[: max(end, 0)]).removesuffix(b"\r")
        if not hmac.compare_digest(token, self._room.token or b""):
            self.close("clients closed for a wrong token", "the first line is not the token")
            return False
        del self.buffer[: end + 1]
        self._transport.write(TOKEN_ACCEPTED)
        self._accept()
        return True

    def take(self) -> tuple[pa.LargeBinaryArray, Position]:
        """Return the whole messages and where they are in the stream of this client."""
        whole, complete = self.buffer, self._framing.complete
        self.buffer = whole[complete:]
        self.is_ready = False
        values = self._framing.take(whole)
        first = self._messages
        self._messages += len(values)
        return values, Position(self.origin, first, self._messages, unit="messages")

    def flow(self) -> None:
        """Pause or resume reading from the socket."""
        if self.is_gone or self._closed or not self.is_accepted:
            return
        limits = self._room.limits
        is_slowed = limits.max_bytes_per_second is not None and self._allowance < 0
        paused = is_slowed or self._framing.complete >= _READY_BYTES or not self._room.may_receive(self)
        if paused and not self._paused:
            self._transport.pause_reading()
        elif self._paused and not paused:
            self._transport.resume_reading()
            # The time without reading is not the client's.
            self._last_ns = self._room.clock.now_ns()
            if self._started_ns is not None:
                self._started_ns = self._last_ns
        self._paused = paused

    def check(self, now_ns: int, elapsed_s: float) -> None:
        """Close the client if it takes too long; let it send more bytes if it was slowed down."""
        handshake_s, message_s, idle_s = self._room.limits.seconds
        taken_s = 0.0 if self._started_ns is None else (now_ns - self._started_ns) / 1e9
        if not self.is_accepted:
            if taken_s >= handshake_s:
                self.close("clients closed for a slow handshake", f"no token or TLS within {handshake_s:g} s")
            return
        rate = self._room.limits.max_bytes_per_second
        if rate is not None:
            self._allowance = min(self._allowance + rate * elapsed_s, rate)
            self.flow()
        if self._paused:
            return
        if taken_s >= message_s:
            self.close("clients closed for a slow message", f"a message took {message_s:g} s")
        elif idle_s is not None and (now_ns - self._last_ns) / 1e9 >= idle_s:
            self.close("clients closed for silence", f"no byte for {idle_s:g} s", lost=False)

    def close(self, what: str, why: str, *, lost: bool = True) -> None:
        """End the connection for a reason that the report counts, unless it has ended already."""
        if self._closed:
            return
        self._room.losses.add(what, f"{self._place}: {why}", lost=lost)
        self.abort()

    @property
    def _place(self) -> str:
        return f"{self.origin} after {counted(self._messages, 'messages')}"

    def abort(self) -> None:
        """End the connection at once."""
        self._closed = True
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Keep whole messages only."""
        if self.is_gone:
            return
        self.is_gone = True
        complete = self.ready_bytes
        left = len(self.buffer) - complete
        if self.is_accepted and not self._closed:
            if exc is not None:
                self._room.losses.add("connections that broke", f"{self._place}: {exc}")
            if left:
                self._room.losses.add(
                    "messages cut short", f"{self._place}: the last {left:,} bytes do not end"
                )
        del self.buffer[complete:]
        self._room.lost(self, left)
