"""What a sink sends, a source reads: all types, in each format, in Python and from jobs."""

import asyncio
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from tcp_ends import Listening, Server, frame

from arrowstream import ErrorHandler, Pipeline, Sink, Source, TcpLimits, Tls
from arrowstream.errors import BadMessage, JobError, PlanError
from arrowstream.io.tcp.address import Address
from arrowstream.io.tcp.formats import TcpFormat
from arrowstream.io.tcp.source import TcpSource
from arrowstream.jobs.job import Job

pytestmark = pytest.mark.once

TEXT = pl.DataFrame(
    {
        "i": [1, None, -(2**63), 2**63 - 1],
        "u": pl.Series([0, 2**64 - 1, None, 1], dtype=pl.UInt64),
        "f": [0.1, None, -1e300, 5e-324],
        "s": ["a,b", None, 'say "x"\r\nor\ny', "häßlich 🐢"],
        "b": [True, False, None, True],
        "d": [date(1970, 1, 1), None, date(9999, 12, 31), date(1, 1, 1)],
        "t": [datetime(2026, 1, 2, 3, 4, 5, 678901), None, datetime(1900, 1, 1), datetime(2000, 1, 1)],
    }
)
NESTED = TEXT.with_columns(
    l=pl.Series([[1, None], [], None, [2]], dtype=pl.List(pl.Int64)),
    z=pl.Series([{"x": "\n", "y": [1.5]}, None, {"x": None, "y": []}, {"x": '"', "y": None}]),
)
ARROW = NESTED.with_columns(
    dec=pl.Series([Decimal("1.10"), None, Decimal("-3"), Decimal("0")], dtype=pl.Decimal(20, 2)),
    bin=pl.Series([b"\n\0", None, b"", b'"'], dtype=pl.Binary),
    tod=[time(1, 2, 3), None, time(0), time(23, 59, 59)],
    dur=[timedelta(days=1), None, timedelta(0), timedelta(microseconds=-1)],
    zone=pl.Series([datetime(2026, 1, 1)] * 4).dt.replace_time_zone("Europe/Berlin"),
    cat=pl.Series(["x", None, "y", "x"], dtype=pl.Enum(["x", "y"])),
    nul=pl.Series([None] * 4, dtype=pl.Null),
)
FRAMES: dict[TcpFormat, pl.DataFrame] = {"ndjson": NESTED, "json": NESTED, "csv": TEXT, "arrow": ARROW}


async def sent(rows: pl.DataFrame, batch_rows: int, format: TcpFormat, **options: Any) -> pl.DataFrame:
    address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    delimiter = options.get("delimiter")
    source = Source.from_tcp("0", format=format, schema=rows.schema, clients=1, delimiter=delimiter)
    collecting = Pipeline.builder().source(source.on_listening(address.set_result)).collect()
    arriving = asyncio.ensure_future(collecting)
    sink = Sink.to_tcp(await address, format=format, **options)
    await Pipeline.builder().source(Source.from_frame(rows, batch_rows=batch_rows)).sink(sink).build().run()
    return await arriving


@pytest.mark.untraced
@pytest.mark.parametrize("format", FRAMES)
@pytest.mark.parametrize("batch_rows", [1, 3, 100_000])
def test_rows_come_back_as_they_were(format: TcpFormat, batch_rows: int) -> None:
    rows = FRAMES[format]
    assert_frame_equal(asyncio.run(sent(rows, batch_rows, format)), rows)


@pytest.mark.untraced
@pytest.mark.parametrize("format", FRAMES)
def test_many_rows_come_back_in_order(format: TcpFormat) -> None:
    rows = pl.select(x=pl.int_range(50_000), y=pl.int_range(50_000).cast(pl.String) + '\n"')
    assert_frame_equal(asyncio.run(sent(rows, 7_000, format)), rows)


def test_csv_may_have_another_delimiter() -> None:
    rows = pl.DataFrame({"a": ["x;y", "1,5"], "b": ["\n", ";"]})
    assert_frame_equal(asyncio.run(sent(rows, 2, "csv", delimiter=";")), rows)

    async def main() -> list[bytearray]:
        async with Server() as server:
            to = Sink.to_tcp(server.address, format="csv", delimiter=";")
            await Pipeline.builder().source(Source.from_frame(rows)).sink(to).build().run()
            return server.seen

    assert asyncio.run(main()) == [b'"x;y";"\n"\n1,5;";"\n']


@pytest.mark.parametrize("make", [Source.from_tcp, Sink.to_tcp])
def test_other_formats_have_no_delimiter(make: Any) -> None:
    with pytest.raises(PlanError, match="is for CSV"):
        make("0", delimiter=";")
    with pytest.raises(PlanError):
        make("0", format="csv", delimiter=";;")


def test_a_batch_that_is_too_long_for_a_frame_comes_in_several() -> None:
    rows = pl.select(x=pl.int_range(50_000))
    assert_frame_equal(asyncio.run(sent(rows, 50_000, "arrow", max_message_bytes=10_000)), rows)


@pytest.mark.parametrize("format", ["ndjson", "csv", "arrow"])
def test_bad_messages_are_left_out_by_their_own(format: TcpFormat) -> None:
    """Whole messages that are no rows are the decoder's; the client stays."""
    rows = pl.DataFrame({"x": [1, 2]})
    good = {
        "ndjson": b'{"x":1}\n{"x":2}\n',
        "csv": b"1\n2\n",
        "arrow": frame(rows.write_ipc_stream(None).getvalue()),
    }
    bad = {"ndjson": b"{]\n", "csv": b"1,2,3\n", "arrow": frame(b"\xff\xff\xff\xff\x10\0\0\0" + b"x" * 16)}

    async def main(handler: ErrorHandler) -> pl.DataFrame:
        address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        source = Source.from_tcp("0", format=format, schema=rows.schema, clients=1)
        builder = Pipeline.builder().source(source.on_listening(address.set_result)).on_error(handler)
        arriving = asyncio.ensure_future(builder.collect())
        host, port = (await address).split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(good[format] + bad[format] + good[format])
        writer.close()
        return await arriving

    assert_frame_equal(asyncio.run(main(ErrorHandler.skip())), pl.concat([rows, rows]))
    with pytest.raises(BadMessage) as caught:
        asyncio.run(main(ErrorHandler.fail()))
    number = 1 if format == "arrow" else 2
    assert f"messages {number}-{number + 1}" in (caught.value.position or "")


JOB = """
[source]
kind = "tcp"
address = "127.0.0.1:9000"
format = "csv"
schema = { x = "Int64" }
clients = 2
token = "env:TCP_TOKEN"
[source.limits]
max_message_bytes = 1000
idle_timeout = "5m"
message_timeout = 7
[source.tls]
certificate = "cert.pem"
key = "key.pem"
[sink]
kind = "tcp"
address = "127.0.0.1:9001"
format = "arrow"
reconnect_for = "1m"
connect_timeout = 3
tls = { ca = "/etc/ca.pem", server_name = "example.org" }
"""


def test_jobs_have_the_same_options(tmp_path: Path) -> None:
    file = tmp_path / "job.toml"
    file.write_text(JOB)
    pipeline = Job.load(file).pipeline()
    text = pipeline.explain()
    assert "tcp 127.0.0.1:9000 (csv, TLS, at most once, ends after 2 clients)" in text
    assert "tcp 127.0.0.1:9001 (arrow, TLS)" in text
    source = Source.from_tcp(
        "127.0.0.1:9000",
        format="csv",
        schema={"x": pl.Int64},
        clients=2,
        token="env:TCP_TOKEN",
        limits=TcpLimits(max_message_bytes=1000, idle_timeout="5m", message_timeout=7),
        tls=Tls(str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")),
    )
    made = pipeline._graph.source
    assert isinstance(made, TcpSource)
    assert (made.limits, made.tls, made.token) == (source.limits, source.tls, source.token)


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("max_message_bytes = 1000", "max_mesage_bytes = 1000", "max_message_bytes"),
        ("max_message_bytes = 1000", "max_message_bytes = 0", "max_message_bytes"),
        ('idle_timeout = "5m"', "idle_timeout = 0", "idle_timeout=...) is too small"),
        ('key = "key.pem"', "", "half of a certificate"),
        ("connect_timeout = 3", 'connect_timeout = "soon"', "not a duration"),
        ('address = "127.0.0.1:9000"', "", "address"),
    ],
)
def test_mistakes_in_a_job_name_their_line(tmp_path: Path, old: str, new: str, error: str) -> None:
    file = tmp_path / "job.toml"
    file.write_text(JOB.replace(old, new))
    with pytest.raises(JobError) as caught:
        Job.load(file).pipeline()
    assert error in str(caught.value) and f"{file}:" in str(caught.value)


def test_a_source_may_feed_a_sink_that_feeds_a_source() -> None:
    """Backpressure goes through both connections, and nothing is lost on the way."""
    rows = pl.select(x=pl.int_range(20_000))

    async def main() -> list[bytes]:
        async with Listening(clients=1) as last:
            address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            first = Source.from_tcp("0", schema=rows.schema, clients=1).on_listening(address.set_result)
            relay = Pipeline.builder().source(first).sink(Sink.to_tcp(f"{last.host}:{last.port}")).build()
            running = asyncio.ensure_future(relay.run())
            to = Sink.to_tcp(await address)
            await Pipeline.builder().source(Source.from_frame(rows, batch_rows=500)).sink(to).build().run()
            await running
            await last.reading
            return last.values

    assert asyncio.run(main()) == [b'{"x":%d}\n' % number for number in range(20_000)]


def test_a_sink_that_fails_ends_the_source() -> None:
    async def main() -> None:
        async with Server() as server:
            closed = server.address
        address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        source = Source.from_tcp("0", schema={"x": int}).on_listening(address.set_result)
        to = Sink.to_tcp(closed, reconnect_for=0.001)
        running = asyncio.ensure_future(Pipeline.builder().source(source).sink(to).build().run())
        host, port = (await address).split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(b'{"x":1}\n')
        await asyncio.wait((running,))
        assert "could not be reached" in str(running.exception())
        writer.transport.abort()

    asyncio.run(main())


def test_addresses_of_both_kinds() -> None:
    assert str(Address.of_socket(("::1", 9, 0, 0))) == "[::1]:9"
    with pytest.raises(PlanError):
        Address.of("to_tcp", None)
