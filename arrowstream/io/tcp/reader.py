"""A TCP source while it runs: it listens, and hands out what clients have sent, one client after the other."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Awaitable, Callable

import pyarrow as pa

from arrowstream.core.batch import Batch, Element
from arrowstream.core.messages import VALUE
from arrowstream.core.notes import ReaderNote
from arrowstream.core.step_context import StepContext
from arrowstream.io.source import Reader
from arrowstream.io.tcp.client import Client, Room
from arrowstream.io.tcp.framing import Framing
from arrowstream.io.tcp.losses import Losses
from arrowstream.io.tcp.options import TcpLimits

_LONGEST_PERIOD_S = 5.0
_RATE_PERIOD_S = 0.05
"""Seconds between two looks at clients whose rate is limited."""


class TcpReader(Reader, Room):
    """Reader of the messages of all clients of a listening socket.

    Parameters
    ----------
    listener
        The socket, which the reader closes.
    framing
        Makes what finds the messages of one client.
    limits
        What clients may do.
    clients
        Number of clients after which the stream ends; None for no end.
    token
        First line of every client; None for none.
    tls
        Context of TLS connections; None for plain ones.
    context
        Clock and log of the run.
    """

    def __init__(
        self,
        listener: socket.socket,
        framing: Callable[[], Framing],
        limits: TcpLimits,
        *,
        clients: int | None,
        token: bytes | None,
        tls: ssl.SSLContext | None,
        context: StepContext,
    ) -> None:
        self.clock = context.clock
        self.limits = limits
        self.losses = Losses(context.logger)
        self.token = token
        self._tls = tls
        self._listener = listener
        self._framing = framing
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._clients: set[Client] = set()
        self._ready: deque[Client] = deque()
        self.held_bytes = 0
        """Bytes that came and were not read, of all clients."""
        self._share = limits.max_buffer_bytes // limits.max_clients
        """Bytes that each client may have in its buffer even if the buffers are full."""
        self._is_full = False
        self._favoured: Client | None = None
        """The client that may complete its message although the buffers are full."""
        self._left_to_accept = clients
        self._wake = asyncio.Event()

    async def read(self) -> Element | None:
        if self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(
                lambda: Client(self, self._framing()), sock=self._listener, start_serving=True
            )
            self._spawn(self._watch())
        while not self._is_over:
            batch = self._next()
            if batch is not None:
                return batch
            self._wake.clear()
            await self._wake.wait()
        return None

    def begin_read(self) -> Element | Awaitable[Element | None] | None:
        return self._next() or self.read()

    @property
    def connected(self) -> int:
        """Number of clients."""
        return len(self._clients)

    @property
    def is_closed_to_clients(self) -> bool:
        """True once as many clients have come as the stream has."""
        return self._left_to_accept == 0

    @property
    def _is_over(self) -> bool:
        return self.is_closed_to_clients and not self._ready and not any(c.is_accepted for c in self._clients)

    def _next(self) -> Batch | None:
        """Return the whole messages of the client that waits longest; None if there are none."""
        while self._ready:
            client = self._ready.popleft()
            self.held_bytes -= client.ready_bytes
            values, position = client.take()
            self._flow(client)
            if len(values):
                return Batch(pa.record_batch([values], [VALUE]), position)
        return None

    def opened(self, client: Client) -> None:
        self._clients.add(client)
        if self.is_closed_to_clients:
            client.abort()
        elif len(self._clients) > self.limits.max_clients:
            why = f"{self.limits.max_clients:,} clients are connected, which is max_clients"
            client.close("clients refused", why)
        elif self._tls is not None:
            self._spawn(client.start_tls(self._tls))
        else:
            client.on_secure()

    def accepted(self, client: Client) -> None:
        if self._left_to_accept is not None:
            self._left_to_accept -= 1
            if self._left_to_accept == 0:
                self._end_listening()

    def _end_listening(self) -> None:
        """Take no more clients, and close those whose handshake is not done."""
        assert self._server is not None
        self._server.close()
        for client in self._clients:
            if not client.is_accepted:
                client.abort()

    def received(self, client: Client, nbytes: int) -> None:
        self.held_bytes += nbytes
        if client.ready_bytes and not client.is_ready:
            client.is_ready = True
            self._ready.append(client)
            self._wake.set()
        self._flow(client)

    def lost(self, client: Client, nbytes: int) -> None:
        self.held_bytes -= nbytes
        self._clients.discard(client)
        self._wake.set()
        self._flow(client)

    def may_receive(self, client: Client) -> bool:
        return not self._is_full or client is self._favoured or len(client.buffer) < self._share

    def _flow(self, client: Client) -> None:
        """Pause or resume reading: from `client`, or from all if the buffers are full or no longer are."""
        is_full = self.held_bytes >= self.limits.max_buffer_bytes
        # Without a whole message nothing would ever leave the buffers: the longest part is completed first.
        favoured = max(self._clients, key=_held, default=None) if is_full and not self._ready else None
        changed = is_full != self._is_full or favoured is not self._favoured
        self._is_full, self._favoured = is_full, favoured
        for each in tuple(self._clients) if changed else (client,):
            each.flow()

    async def _watch(self) -> None:
        """Look at the times of all clients again and again."""
        times = [time for time in self.limits.seconds if time is not None]
        period_s = min(*times, 4 * _LONGEST_PERIOD_S) / 4
        if self.limits.max_bytes_per_second is not None:
            period_s = min(period_s, _RATE_PERIOD_S)
        before_ns = self.clock.now_ns()
        while True:
            await self.clock.sleep(period_s)
            now_ns = self.clock.now_ns()
            for client in tuple(self._clients):
                client.check(now_ns, (now_ns - before_ns) / 1e9)
            before_ns = now_ns

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._wake.set()

    async def close(self) -> None:
        if self._server is None:
            self._listener.close()
            return
        self._server.close()
        for task in self._tasks:
            task.cancel()
        for client in self._clients:
            client.abort()
        while self._clients or self._tasks:
            self._wake.clear()
            await self._wake.wait()

    @property
    def notes(self) -> tuple[ReaderNote, ...]:
        notes = self.losses.notes
        if self.held_bytes:
            clients = [client for client in (*self._ready, *self._clients) if client.buffer]
            left = ReaderNote(
                "bytes that came and were not read before the end", self.held_bytes, clients[0].origin
            )
            notes = (*notes, left)
        return notes


def _held(client: Client) -> int:
    return len(client.buffer)
