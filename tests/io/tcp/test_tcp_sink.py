"""Rows reach a server as messages, over another connection if one breaks, and a run that cannot send them fails."""

import asyncio
import json
import logging
import random
import re
import socket
import ssl
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from contexts import NoThreads
from servers.processes import free_ports
from tcp_ends import Server, frame, frame_of, until

from arrowstream import ErrorHandler, Pipeline, Sink, Source
from arrowstream.core.batch import Batch
from arrowstream.core.memory_budget import MemoryBudget
from arrowstream.core.messages import Encoder, Encoding
from arrowstream.core.step_context import StepContext
from arrowstream.errors import PlanError, SinkError
from arrowstream.io.messages.raw import RawEncoder
from arrowstream.io.tcp import uplink
from arrowstream.io.tcp.address import Address
from arrowstream.io.tcp.payload import frames, lines
from arrowstream.io.tcp.sink import TcpSink, TcpWaits
from arrowstream.io.tcp.uplink import waits
from arrowstream.io.writer import Writer
from arrowstream.testing import ManualClock

pytestmark = pytest.mark.once

LOGGER = logging.getLogger("arrowstream")


def opened(address: str, clock: ManualClock, **options: Any) -> Writer:
    sink = TcpSink(Address.of("test", address), "ndjson", RawEncoder(), **options)
    context = StepContext("sink", clock, MemoryBudget(), LOGGER, NoThreads())
    writer = sink.open(pl.Schema({"value": pl.Binary}), context)
    assert isinstance(writer, Writer)
    return writer


def batch(*values: bytes) -> Batch:
    return Batch(frame_of(values))


async def advanced(work: Any, clock: ManualClock, step: float = 1.0) -> Any:
    """The result of work for which the clock goes on until it is done."""
    task = asyncio.ensure_future(work)
    while not task.done():
        await clock.advance(step)
    return task.result()


async def ended(writer: Writer) -> None:
    await writer.prepare(0)
    await writer.commit({})
    await writer.close()


def test_rows_reach_the_server_in_order() -> None:
    rows = pl.DataFrame({"x": range(3000), "y": [f"\n{number}" for number in range(3000)]})

    async def main() -> bytes:
        async with Server() as server:
            sink = Sink.to_tcp(server.address)
            pipeline = Pipeline.builder().source(Source.from_frame(rows, batch_rows=700)).sink(sink).build()
            assert "at least once for the batch" in pipeline.explain()
            report = await pipeline.run()
            assert report.rows_out == 3000
            assert server.ended == 1
            return bytes(server.seen[0])

    seen = asyncio.run(main())
    assert [json.loads(line) for line in seen.splitlines()] == rows.rows(named=True)


def test_many_rows_or_bytes_are_encoded_on_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    on_threads: list[int] = []

    async def call(self: NoThreads, function: Callable[[pl.DataFrame], Any], rows: pl.DataFrame) -> Any:
        on_threads.append(rows.height)
        return function(rows)

    async def main() -> None:
        async with Server() as server:
            writer = opened(server.address, ManualClock())
            for sent in (batch(b"x"), batch(*[b"x"] * 300), batch(b"x" * 100_000)):
                await writer.write(sent)
            await ended(writer)

    monkeypatch.setattr(NoThreads, "call", call)
    asyncio.run(main())
    assert on_threads == [300, 1]


def test_a_stream_without_rows_makes_no_connection() -> None:
    empty = Source.from_frame(pl.DataFrame(schema={"x": pl.Int64}))
    Pipeline.builder().source(empty).sink(Sink.to_tcp("127.0.0.1:1")).build().run_sync()


def test_a_batch_whose_connection_breaks_is_sent_again_as_a_whole(caplog: pytest.LogCaptureFixture) -> None:
    line = b"x" * 999

    async def main() -> list[bytearray]:
        async with Server(closes_after=[100_000, 100_000]) as server:
            writer = opened(server.address, clock := ManualClock())
            for _ in range(2):
                await advanced(writer.write(batch(*[line] * 9000)), clock)
            await ended(writer)
            await until(lambda: server.ended == 3)
            return server.seen

    first, second, third = asyncio.run(main())
    assert len(first) < 9_000_000 > len(second)
    assert third == (line + b"\n") * 18_000
    assert "broke, and what was sent last may be lost" in caplog.text


def test_a_server_that_is_started_again_is_found() -> None:
    async def main() -> None:
        async with Server() as server:
            writer = opened(server.address, clock := ManualClock())
            await writer.write(batch(b"a"))
            await until(lambda: server.seen == [b"a\n"])
            server.server.close()
            server.writers[0].write_eof()
            await until(lambda: server.ended)
            writing = asyncio.ensure_future(writer.write(batch(b"b")))
            for _ in range(20):
                await clock.advance(1)
            assert not writing.done()
            await server.start(server.port)
            await advanced(writing, clock)
            await ended(writer)
            assert server.seen == [b"a\n", b"b\n"]

    asyncio.run(main())


def test_a_server_that_cannot_be_reached_ends_the_run() -> None:
    async def main() -> None:
        address = f"127.0.0.1:{free_ports(1)[0]}"
        writer = opened(address, clock := ManualClock(), waits=TcpWaits(reconnect_s=30.0))
        with pytest.raises(SinkError, match=f"{address} could not be reached within 30 s") as caught:
            await advanced(writer.write(batch(b"a")), clock)
        assert 20 <= clock.now_ns() / 1e9 <= 31
        assert re.search(r"ConnectionRefusedError: .*, \d+ attempts\n", str(caught.value))
        assert "start the server first, or wait longer" in (caught.value.hint or "")
        await writer.abort()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (ssl.SSLCertVerificationError(1, "unable to get local issuer"), "Tls(ca=...) takes"),
        (ssl.SSLError(1, "WRONG_VERSION_NUMBER"), "may not speak TLS"),
        (socket.gaierror(-2, "Name or service not known"), "name of the host"),
        (ConnectionRefusedError(111, "refused"), "reconnect_for='5m'"),
    ],
)
def test_the_error_says_what_to_do(error: OSError, hint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object) -> None:
        raise error

    async def main() -> None:
        monkeypatch.setattr(uplink, "connect", refuse)
        writer = opened("127.0.0.1:1", clock := ManualClock(), waits=TcpWaits(reconnect_s=0.01))
        with pytest.raises(SinkError) as caught:
            await advanced(writer.write(batch(b"a")), clock)
        assert hint in (caught.value.hint or "")
        await writer.abort()

    asyncio.run(main())


def test_handlers_of_the_sink_are_asked_after_that() -> None:
    async def main() -> None:
        address = f"127.0.0.1:{free_ports(1)[0]}"
        rows = Source.from_frame(pl.DataFrame({"x": [1]}))
        sink = Sink.to_tcp(address, reconnect_for=0.001).on_error(ErrorHandler.skip())
        report = await Pipeline.builder().source(rows).sink(sink).build().run()
        assert report.rows_out == 0

    asyncio.run(main())


def test_waits_double_up_to_five_seconds() -> None:
    found = waits(random.Random(1))
    for longest in (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0):
        assert longest / 2 <= next(found) <= longest


class Silent(Server):
    """Takes connections, and neither reads nor answers."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.seen.append(bytearray())
        self.writers.append(writer)


def test_a_server_that_does_not_read_holds_up_the_pipeline() -> None:
    async def main() -> None:
        async with Silent() as server:
            writer = opened(server.address, ManualClock())
            writing = asyncio.ensure_future(writer.write(batch(*[b"x" * 1000] * 20_000)))
            for _ in range(300):
                await asyncio.sleep(0)
            assert not writing.done()
            writing.cancel()
            await asyncio.wait((writing,))
            assert writing.cancelled()
            await writer.abort()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("greeting", "error"),
    [
        (b"", "took more than 10 s"),
        (b"no\n", "the answer to the token is b'no\\n'"),
        (b"HTTP/1.1 400 Bad Request\r\n", "b'HTT'"),
    ],
)
def test_a_server_that_does_not_take_the_token_is_an_error(greeting: bytes, error: str) -> None:
    async def main() -> None:
        async with Server(greeting) as server:
            writer = opened(server.address, clock := ManualClock(), token="hunter2")
            with pytest.raises(SinkError, match="could not be reached") as caught:
                await advanced(writer.write(batch(b"a")), clock)
            assert error in str(caught.value) and "takes the token" in str(caught.value)
            assert "hunter2" not in str(caught.value)
            assert ("the same token" in (caught.value.hint or "")) == bool(greeting)
            assert server.seen[0] == b"hunter2\n"
            await writer.abort()

    asyncio.run(main())


def test_a_token_is_sent_first_on_every_connection() -> None:
    async def main() -> None:
        async with Server(b"ok\nand more") as server:
            writer = opened(server.address, clock := ManualClock(), token="hunter2")
            await writer.write(batch(b"a"))
            await writer.write(batch(b"b"))
            await until(lambda: server.seen == [b"hunter2\na\nb\n"])
            server.writers[0].write_eof()
            await until(lambda: server.ended)
            await advanced(writer.write(batch(b"c")), clock)
            await ended(writer)
            assert server.seen == [b"hunter2\na\nb\n", b"hunter2\nc\n"]

    asyncio.run(main())


def test_a_server_that_does_not_close_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with Server(closes=False) as server:
            writer = opened(server.address, clock := ManualClock())
            await writer.write(batch(b"a"))
            # A server that answers each line is not listened to.
            server.writers[0].write(b"thanks")
            await advanced(ended(writer), clock, 10.0)
            assert server.seen == [b"a\n"]

    asyncio.run(main())
    assert "has not closed the connection within 60 s" in caplog.text


def test_a_server_that_breaks_off_at_the_end_is_an_error() -> None:
    async def main() -> None:
        async with Silent() as server:
            writer = opened(server.address, ManualClock())
            await writer.write(batch(b"a"))
            ending = asyncio.ensure_future(writer.prepare(0))
            await asyncio.sleep(0)
            server.writers[0].transport.abort()  # with bytes that were not read
            with pytest.raises(SinkError, match="broke at the end"):
                await ending
            await writer.abort()

    asyncio.run(main())


def test_a_server_that_closed_before_the_end_has_read_everything() -> None:
    async def main() -> None:
        async with Server() as server:
            writer = opened(server.address, ManualClock())
            await writer.write(batch(b"a"))
            await until(lambda: server.seen == [b"a\n"])
            server.writers[0].write_eof()
            await until(lambda: server.ended)
            await ended(writer)

    asyncio.run(main())


def test_an_end_that_is_cancelled_leaves_nothing() -> None:
    async def main() -> None:
        async with Server(closes=False) as server:
            writer = opened(server.address, ManualClock())
            await writer.write(batch(b"a"))
            ending = asyncio.ensure_future(writer.prepare(0))
            for _ in range(5):
                await asyncio.sleep(0)
            ending.cancel()
            await asyncio.wait((ending,))
            assert ending.cancelled()
            await writer.abort()

    asyncio.run(main())


# ---- payloads --------------------------------------------------------------------------------------


class Given(Encoding):
    """An encoding whose messages a test gives by the first row of the frame."""

    def __init__(self, made: Callable[[pl.DataFrame], list[bytes]]) -> None:
        self.made = made

    def encode(self, frame: pl.DataFrame) -> pa.LargeBinaryArray:
        # One that begins within its buffers, as slices do.
        return pa.array([b"before", *self.made(frame)], pa.large_binary())[1:]


def values(frame: pl.DataFrame) -> list[bytes]:
    return frame["value"].to_list()


def test_lines_end_once() -> None:
    encoding = Given(values)
    for given, expected in (
        ([b"a", b"b\n", b""], b"a\nb\n\n\n"),
        ([b"a\n", b"b\n"], b"a\nb\n"),
        ([b"a", b"b"], b"a\nb\n"),
        ([b"", b""], b"\n\n"),
    ):
        assert bytes(lines(encoding, frame_of(given), 100)) == expected
    with pytest.raises(SinkError, match="too long"):
        lines(encoding, frame_of([b"a", b"b" * 101]), 100)


def test_frames_that_would_be_too_long_are_several() -> None:
    joined = Given(lambda frame: [b"".join(values(frame))])
    rows = [bytes([65 + number]) * 10 for number in range(7)]
    assert frames(joined, frame_of(rows), 100) == frame(b"".join(rows))
    parts = frames(joined, frame_of(rows), 20)
    found = []
    while parts:
        size = int.from_bytes(parts[:4])
        assert size <= 20
        found.append(parts[4 : 4 + size])
        parts = parts[4 + size :]
    assert b"".join(found) == b"".join(rows)
    with pytest.raises(SinkError, match="at most 9 bytes"):
        frames(joined, frame_of(rows), 9)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"address": "a b:1"}, "does not know this address"),
        ({"format": "raw"}, "does not know this format"),
        ({"token": 7}, "takes a text of one line"),
        ({"tls": "cert.pem"}, "takes a Tls"),
        ({"reconnect_for": 0}, "to_tcp(reconnect_for=...) is too small"),
        ({"connect_timeout": "x"}, "to_tcp(connect_timeout=...) does not fit"),
        ({"max_message_bytes": 0}, "to_tcp(max_message_bytes=...) is too small"),
    ],
)
def test_options_that_do_not_fit_are_errors(options: dict[str, Any], error: str) -> None:
    with pytest.raises(PlanError) as caught:
        Sink.to_tcp(**{"address": "127.0.0.1:1", **options})
    assert error in str(caught.value)


def test_the_encoder_says_which_rows_it_takes() -> None:
    sink = TcpSink(Address.of("test", "1"), "ndjson", RawEncoder())
    assert isinstance(sink.messages, Encoder)
    two = Source.from_frame(pl.DataFrame({"x": np.arange(2), "y": np.arange(2)}))
    with pytest.raises(Exception, match="one column"):
        Pipeline.builder().source(two).sink(sink).build()
