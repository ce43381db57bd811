"""Rows of many clients come in the order of each, with their places, and nothing is lost without a word."""

import asyncio
import json
import logging
import re
import socket
import struct
from collections.abc import Callable
from typing import Any
from unittest import mock

import polars as pl
import pytest
from contexts import context
from tcp_ends import Listening, frame, until

from arrowstream import ErrorHandler, Pipeline, Source, TcpLimits, Tls
from arrowstream.errors import BadMessage, PlanError, SourceError
from arrowstream.io.tcp.client import Client, Room
from arrowstream.io.tcp.framing import LineFraming
from arrowstream.io.tcp.losses import Losses
from arrowstream.io.tcp.source import TcpSource
from arrowstream.runtime.report import RunReport
from arrowstream.testing import ManualClock, TestSink

pytestmark = pytest.mark.once

SCHEMA = {"client": pl.Int64, "number": pl.Int64}

Send = Callable[[int, asyncio.StreamWriter], None]


async def run(source: TcpSource, clients: int, send: Send, **options: Any) -> tuple[RunReport, pl.DataFrame]:
    """Run a source with some clients, each of which waits for the source to close."""
    address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    sink = TestSink()
    builder = Pipeline.builder().source(source.on_listening(address.set_result))
    if "on_error" in options:
        builder = builder.on_error(options.pop("on_error"))
    running = asyncio.ensure_future(builder.sink(sink).build().run(**options))
    await asyncio.wait((running, address), return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        running.result()
    host, port = (await address).split(":")

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        send(number, writer)
        writer.write_eof()
        try:
            assert await reader.read() == b""
        except ConnectionError:
            assert running.done() or options
        writer.close()

    await asyncio.gather(*map(client, range(clients)))
    return await running, sink.frame()


def lines(client: int, count: int) -> bytes:
    return b"".join(b'{"client":%d,"number":%d}\n' % (client, number) for number in range(count))


def test_rows_of_many_clients_come_in_the_order_of_each() -> None:
    source = Source.from_tcp("127.0.0.1:0", schema=SCHEMA, clients=20)
    report, frame = asyncio.run(run(source, 20, lambda number, writer: writer.write(lines(number, 500))))
    assert frame.height == report.rows_out == 10_000
    assert frame.group_by("client").agg(pl.col("number"))["number"].to_list() == [list(range(500))] * 20
    assert report.notes == () and report.stopped is None


def test_the_first_messages_show_the_columns() -> None:
    source = Source.from_tcp("0", clients=1)
    assert source.schema() is None
    _, frame = asyncio.run(run(source, 1, lambda _, writer: writer.write(b'{"a":1.5,"b":"x"}\n')))
    assert frame.rows(named=True) == [{"a": 1.5, "b": "x"}]


def test_a_bad_message_is_named_and_its_neighbours_are_kept() -> None:
    source = Source.from_tcp("127.0.0.1:0", schema=SCHEMA, clients=1)

    def send(_: int, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\n" + lines(0, 3) + b"\r\n\noops\n" + lines(1, 2))

    _, frame = asyncio.run(run(source, 1, send, on_error=ErrorHandler.skip()))
    assert frame.rows() == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
    with pytest.raises(BadMessage) as caught:
        asyncio.run(run(source, 1, send))
    assert re.fullmatch(r"tcp 127\.0\.0\.1:\d+ messages 3-4", caught.value.position or "")


def test_a_message_without_its_end_is_left_out_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    source = Source.from_tcp("127.0.0.1:0", schema=SCHEMA, clients=2)
    report, frame = asyncio.run(run(source, 2, lambda _, writer: writer.write(lines(0, 2) + b'{"clie')))
    assert frame.height == 4
    (note,) = report.notes
    assert note.count == 2 and note.lost
    assert "2 messages cut short, first in tcp 127.0.0.1:" in str(note)
    assert "the last 6 bytes do not end" in note.first
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_positions_count_the_messages_of_a_client() -> None:
    async def main() -> None:
        async with Listening() as source:
            client = await source.client(b"a\nb\n")
            await until(lambda: len(source.got) == 1)
            await source.hold()
            client.send(b"\n\r\n")  # no messages
            await until(lambda: source.reader.held_bytes == 3)
            source.go_on()
            await until(lambda: source.reader.held_bytes == 0)
            client.send(b"c\nd")
            await until(lambda: len(source.got) == 2)
            client.send(b"e\n")
            await until(lambda: len(source.got) == 3)
            assert source.positions == ["messages 0-2", "messages 2-3", "messages 3-4"]
            assert source.values == [b"a\n", b"b\n", b"c\n", b"de\n"]
            await client.end()
            assert source.notes == {}

    asyncio.run(main())


@pytest.mark.parametrize(
    ("format", "data", "values"),
    [
        ("csv", b'1,"a\nb"\n\n2,c\n', [b'1,"a\nb"\n', b"\n", b"2,c\n"]),
        ("arrow", frame(b"12345678") + frame(b"abcdefghi"), [b"12345678", b"abcdefghi"]),
        ("json", b"1\n2\r\n", [b"1\n", b"2\r\n"]),
    ],
)
def test_each_format_has_its_own_ends_of_messages(format: Any, data: bytes, values: list[bytes]) -> None:
    async def main() -> None:
        async with Listening(format=format, clients=1) as source:
            await (await source.client(data)).end()
            await source.reading
            assert source.values == values

    asyncio.run(main())


def test_after_the_last_client_none_is_let_in() -> None:
    async def main() -> None:
        async with Listening(clients=1) as source:
            client = await source.client(b"a\n")
            await until(lambda: source.got)
            with pytest.raises(ConnectionError):
                await source.client()
            assert not source.reading.done()
            await client.end()
            await source.reading
            assert source.values == [b"a\n"]

    asyncio.run(main())


def test_clients_without_a_token_do_not_count_and_are_closed_with_the_last() -> None:
    async def main() -> None:
        async with Listening(clients=1, token="x") as source:
            stranger = await source.client()
            client = await source.client(b"x\na\n")
            assert await client.reader.readline() == b"ok\n"
            assert await stranger.is_closed()
            await client.end()
            await source.reading
            assert (source.values, source.notes) == ([b"a\n"], {})

    asyncio.run(main())


def test_a_client_that_came_with_the_last_one_is_closed() -> None:
    """The listening socket lets both in before it is closed."""

    async def main() -> None:
        async with Listening(clients=1) as source:
            sockets = [socket.create_connection((source.host, source.port)) for _ in range(2)]
            first, second = [await source.client(sock=each) for each in sockets]
            assert await second.is_closed()
            await first.end()
            await source.reading
            assert source.notes == {}

    asyncio.run(main())


@pytest.mark.parametrize("how", ["stop", "limit", "cancel"])
def test_a_run_that_is_ended_early_closes_its_clients(how: str) -> None:
    async def main() -> None:
        address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        source = Source.from_tcp("127.0.0.1:0", schema=SCHEMA).on_listening(address.set_result)
        sink = TestSink()
        pipeline = Pipeline.builder().source(source).sink(sink).build()
        running = asyncio.ensure_future(pipeline.run(limit=3 if how == "limit" else None))
        host, port = (await address).split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(lines(0, 3))
        await until(lambda: len(sink.received()) == 3)
        if how == "stop":
            pipeline.stop()
        elif how == "cancel":
            running.cancel()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()
        await asyncio.wait((running,))
        assert running.cancelled() == (how == "cancel")
        with pytest.raises(ConnectionError):
            await asyncio.open_connection(host, int(port))

    asyncio.run(main())


def test_what_came_and_was_not_read_is_counted() -> None:
    async def main() -> None:
        async with Listening() as source:
            client = await source.client(b"a\n")
            await until(lambda: source.got)
            await source.hold()
            client.send(b"b\nc\nd")
            await until(lambda: source.reader.notes)
            note = source.note("bytes that came and were not read before the end")
            assert note.count == 5 and note.first.startswith("tcp 127.0.0.1:")
            client.send(b"d\n")
            await client.end()
            assert source.notes == {"bytes that came and were not read before the end": 7}
            source.go_on()
            await until(lambda: len(source.values) == 4)
            assert source.notes == {}

    asyncio.run(main())


def test_a_connection_that_breaks_is_counted() -> None:
    async def main() -> None:
        async with Listening() as source:
            client = await source.client(b"a\nb")
            await until(lambda: source.got)
            client.writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
            client.writer.transport.abort()
            await until(lambda: "connections that broke" in source.notes)
            assert source.notes == {"connections that broke": 1, "messages cut short": 1}

    asyncio.run(main())


def test_a_source_that_is_never_read_leaves_no_socket() -> None:
    async def main() -> None:
        listening = Listening()
        async with listening:
            await listening.hold()
        address: list[str] = []
        source = Source.from_tcp("0", schema=SCHEMA).on_listening(address.append)
        await source.open(context()).close()  # type: ignore[misc]
        with pytest.raises(ConnectionError):
            await asyncio.open_connection("127.0.0.1", int(address[0].split(":")[1]))
        await Source.from_tcp("0", schema=SCHEMA).open(context()).close()  # type: ignore[misc]

    asyncio.run(main())


class Alone(Room):
    """A source with one client, which takes notes."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.limits = TcpLimits(max_message_bytes=10)
        self.losses = Losses(logging.getLogger("arrowstream"))
        self.token = None

    def opened(self, client: Client) -> None:
        client.on_secure()

    def accepted(self, client: Client) -> None: ...

    def received(self, client: Client, nbytes: int) -> None: ...

    def may_receive(self, client: Client) -> bool:
        return True

    def lost(self, client: Client, nbytes: int) -> None: ...


def test_a_client_that_is_being_closed_is_closed_once() -> None:
    """Bytes that were on their way, and a time that is over just then, change nothing."""
    here, there = socket.socketpair()
    transport = mock.Mock(get_extra_info={"socket": here, "peername": ("127.0.0.1", 1)}.get)
    client = Client(room := Alone(), LineFraming(10, skip_blank=True))
    with here, there:
        client.connection_made(transport)
    client.data_received(b"a\n" + b"x" * 11)
    client.data_received(b"\nb\n")
    client.check(10**15, 1.0)
    client.connection_lost(None)
    client.connection_lost(None)
    assert [(note.what, note.count) for note in room.losses.notes] == [
        ("clients closed for what is not a message", 1)
    ]
    assert transport.abort.call_count == 1
    values, position = client.take()
    assert (values.to_pylist(), str(position)) == ([b"a\n"], "tcp 127.0.0.1:1 messages 0-1")


def test_an_address_that_is_in_use_is_an_error_with_its_name() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        pipeline = (
            Pipeline.builder().source(Source.from_tcp(str(port), schema=SCHEMA)).sink(TestSink()).build()
        )
        with pytest.raises(SourceError, match=f"cannot listen on 127.0.0.1:{port}") as caught:
            pipeline.run_sync()
    assert caught.value.stage == "source"
    with pytest.raises(SourceError, match="cannot listen on"):
        Source.from_tcp("host.invalid:0", schema=SCHEMA).open(context())


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="the machine has no IPv6")
def test_ipv6_has_its_brackets() -> None:
    addresses: list[str] = []
    source = Source.from_tcp("[::1]:0", schema=SCHEMA, clients=1).on_listening(addresses.append)
    reader = source.open(context())
    assert re.fullmatch(r"\[::1\]:\d+", addresses[0])
    asyncio.run(reader.close())  # type: ignore[arg-type]


def test_a_function_that_fails_leaves_no_socket() -> None:
    def fail(address: str) -> None:
        raise ValueError(address)

    with pytest.raises(ValueError, match=r"127\.0\.0\.1"):
        Source.from_tcp("0", schema=SCHEMA).on_listening(fail).open(context())
    with pytest.raises(PlanError, match="needs a function"):
        Source.from_tcp("0", schema=SCHEMA).on_listening("x")  # type: ignore[arg-type]


def test_explain_shows_what_it_is_and_no_secret() -> None:
    source = Source.from_tcp("9000", schema=SCHEMA, clients=2, token="hunter2", tls=Tls("c.pem", "k.pem"))
    text = Pipeline.builder().source(source).sink(TestSink()).build().explain()
    assert "tcp 127.0.0.1:9000 (ndjson, TLS, at most once, ends after 2 clients)" in text
    assert "decode(json)" in text
    assert "hunter2" not in text + repr(source)
    assert source.schema() == {"value": pl.Binary}


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"address": "localhost"}, "does not know this address"),
        ({"address": 9000}, "write '127.0.0.1:9000'"),
        ({"address": "127.0.0.1:65536"}, "ports up to 65535"),
        ({"address": "tcp://127.0.0.1:1"}, "leave out what is before the host"),
        ({"address": "::1:9000"}, "IPv6 in brackets"),
        ({"format": "parquet"}, "does not know this format"),
        ({"format": ["csv"]}, "does not know this format"),
        ({"clients": 0}, "too small"),
        ({"token": ""}, "takes a text of one line"),
        ({"token": "a\nhunter2"}, "takes a text of one line"),
        ({"tls": True}, "takes a Tls"),
        ({"tls": Tls(ca="ca.pem")}, "needs the certificate of this end"),
        ({"limits": {"max_clients": 3}}, "takes a TcpLimits"),
    ],
)
def test_options_that_do_not_fit_are_errors(options: dict[str, Any], error: str) -> None:
    with pytest.raises(PlanError) as caught:
        Source.from_tcp(**{"address": "0", "schema": SCHEMA, **options})
    assert error in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"max_message_bytes": 0}, "TcpLimits(max_message_bytes=...) is too small"),
        ({"max_bytes_per_second": 0}, "TcpLimits(max_bytes_per_second=...) is too small"),
        ({"idle_timeout": 0}, "TcpLimits(idle_timeout=...) is too small"),
        (
            {"message_timeout": "soon"},
            "TcpLimits(message_timeout=...) does not fit: 'soon' is not a duration",
        ),
    ],
)
def test_limits_that_do_not_fit_are_errors(options: dict[str, Any], error: str) -> None:
    with pytest.raises(PlanError) as caught:
        TcpLimits(**options)
    assert error in str(caught.value)
    with pytest.raises(PlanError, match="half of a certificate"):
        Tls("c.pem")
    with pytest.raises(PlanError, match="half of a certificate"):
        Tls(key="k.pem")


def test_numbers_and_nulls_come_as_they_were() -> None:
    rows = [{"client": 1, "number": None}, {"client": None, "number": -(2**63)}]
    source = Source.from_tcp("0", schema=SCHEMA, clients=1)
    data = "".join(json.dumps(row) + "\r\n" for row in rows).encode()
    _, frame = asyncio.run(run(source, 1, lambda _, writer: writer.write(data)))
    assert frame.rows(named=True) == rows


def test_losses_know_whether_anything_was_lost() -> None:
    losses = Losses(logging.getLogger("arrowstream"))
    losses.add("clients closed for silence", "a", lost=False)
    assert [note.lost for note in losses.notes] == [False]
    losses.add("clients closed for silence", "b")
    assert [(note.first, note.count, note.lost) for note in losses.notes] == [("a", 2, True)]
