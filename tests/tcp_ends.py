"""Both ends of TCP connections, for tests: sources that listen on a free port, clients, and servers of sinks."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import polars as pl
from contexts import NoThreads
from servers.processes import free_ports

from arrowstream.core.batch import Batch
from arrowstream.core.memory_budget import MemoryBudget
from arrowstream.core.notes import ReaderNote
from arrowstream.core.step_context import StepContext
from arrowstream.io.messages.raw import RawDecoder
from arrowstream.io.source import Reader
from arrowstream.io.tcp.address import Address
from arrowstream.io.tcp.formats import TcpFormat
from arrowstream.io.tcp.options import TcpLimits, Tls
from arrowstream.io.tcp.reader import TcpReader
from arrowstream.io.tcp.source import TcpSource
from arrowstream.testing import ManualClock

LOGGER = logging.getLogger("arrowstream")


async def until(condition: Callable[[], object]) -> None:
    """Let other tasks run until a condition holds, for 60 seconds at most."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        await asyncio.sleep(0)


def frame(body: bytes) -> bytes:
    return len(body).to_bytes(4) + body


@dataclass
class Client:
    """A connection to a source."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def end(self) -> None:
        """Send everything, and wait until the source has closed the connection, too."""
        self.writer.write_eof()
        assert await self.reader.read() == b""
        self.writer.close()

    async def is_closed(self) -> bool:
        """Wait until the source has closed the connection; return False if it sent something before."""
        try:
            return await self.reader.read() == b""
        except ConnectionError:
            return True
        finally:
            self.writer.close()


@dataclass
class Listening:
    """A source of raw messages that is read by hand, with a clock that stands still."""

    format: TcpFormat = "ndjson"
    limits: TcpLimits = field(default_factory=TcpLimits)
    token: str | None = None
    tls: Tls | None = None
    clients: int | None = None

    async def __aenter__(self) -> Self:
        self.clock = ManualClock()
        self.got: list[Batch] = []
        self.made: list[Client] = []
        address: list[str] = []
        source = TcpSource(
            Address.of("test", "0"),
            self.format,
            RawDecoder(),
            self.token,
            self.tls,
            self.limits,
            self.clients,
        ).on_listening(address.append)
        opened: Reader = source.open(StepContext("source", self.clock, MemoryBudget(), LOGGER, NoThreads()))
        assert isinstance(opened, TcpReader)
        self.reader = opened
        self.host, port = address[0].split(":")
        self.port = int(port)
        self.reading = asyncio.ensure_future(self.read())
        for _ in range(3):  # until it listens
            await asyncio.sleep(0)
        return self

    async def read(self) -> None:
        while isinstance(batch := await self.reader.read(), Batch):
            self.got.append(batch)

    async def hold(self) -> None:
        """Read no more, as a slow pipeline does."""
        self.reading.cancel()
        await asyncio.wait((self.reading,))

    def go_on(self) -> None:
        self.reading = asyncio.ensure_future(self.read())

    async def __aexit__(self, *_: object) -> None:
        await self.hold()
        await self.reader.close()
        for client in self.made:
            client.writer.transport.abort()
        await asyncio.sleep(0)

    async def client(self, *data: bytes, **options: Any) -> Client:
        place = {} if "sock" in options else {"host": self.host, "port": self.port}
        client = Client(*await asyncio.open_connection(**place, **options))
        self.made.append(client)
        for each in data:
            client.send(each)
        return client

    @property
    def values(self) -> list[bytes]:
        return [value for batch in self.got for value in batch.arrow().column("value").to_pylist()]

    @property
    def rows(self) -> int:
        return sum(batch.num_rows for batch in self.got)

    @property
    def positions(self) -> list[str]:
        """The positions without the ports of the clients."""
        return [str(batch.position).split(" ", 2)[2] for batch in self.got]

    @property
    def notes(self) -> dict[str, int]:
        return {note.what: note.count for note in self.reader.notes}

    def note(self, what: str) -> ReaderNote:
        return next(note for note in self.reader.notes if note.what == what)


class Server:
    """A server that keeps what each connection sent, and does with it what a test says.

    Parameters
    ----------
    greeting
        Sent to each client at once.
    closes_after
        For each connection, the number of bytes after which the server closes it; None to read to the end.
    closes
        False to leave connections open after their end.
    """

    def __init__(
        self, greeting: bytes = b"", closes_after: Sequence[int | None] = (), *, closes: bool = True
    ) -> None:
        self.greeting = greeting
        self.closes_after = list(closes_after)
        self.closes = closes
        self.seen: list[bytearray] = []
        self.ended = 0
        self.writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Self:
        [port] = free_ports(1)  # nobody else gets it while the server is away
        await self.start(port)
        return self

    async def start(self, port: int, **options: Any) -> None:
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", port, **options)
        self.port = self.server.sockets[0].getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(self.seen)
        self.seen.append(bytearray())
        self.writers.append(writer)
        writer.write(self.greeting)
        limit = self.closes_after[number] if number < len(self.closes_after) else None
        try:
            while (limit is None or len(self.seen[number]) < limit) and (data := await reader.read(65536)):
                self.seen[number] += data
        except ConnectionError:
            pass
        self.ended += 1
        if limit is not None:
            writer.transport.abort()
        elif self.closes:
            writer.close()

    async def __aexit__(self, *_: object) -> None:
        self.server.close()
        for writer in self.writers:
            writer.close()
        await asyncio.sleep(0)


def frame_of(values: Sequence[bytes]) -> pl.DataFrame:
    return pl.DataFrame({"value": values}, schema={"value": pl.Binary})
