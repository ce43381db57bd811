"""Watermarks from rows: how far event time has come."""

import asyncio
import datetime as dt
from typing import Any

import polars as pl
import pytest

from arrowstream import Pipeline, Source, channel
from arrowstream.batch import Batch, Element, Idle, Watermark
from arrowstream.errors import PlanError, SchemaError
from arrowstream.io.base import BlockingReader
from arrowstream.operators.base import TimedProcess
from arrowstream.operators.buffer import Buffer
from arrowstream.operators.watermarks import Watermarks, latest_us
from arrowstream.testing import ManualClock, TestSink

SECOND = 1_000_000


def marks(operator: Watermarks, *batches: list[int | None]) -> list[Element]:
    schema = pl.Schema({"ts": pl.Int64})
    process = operator.start(schema)
    out: list[Element] = []
    for values in batches:
        out += process.process(Batch(pl.DataFrame({"ts": values}, schema=schema)))  # type: ignore[arg-type]
    out += process.finish()  # type: ignore[arg-type]
    return [element for element in out if not isinstance(element, Batch)]


def test_the_mark_is_the_latest_time_so_far_less_the_lateness() -> None:
    found = marks(Watermarks("ts", lateness_us=5), [10, 30, 20], [15], [None], [], [31])
    assert found == [Watermark(25), Watermark(26)]


@pytest.mark.parametrize(
    ("dtype", "value", "expected"),
    [
        (pl.Int64, 7, 7),
        (pl.UInt32, 7, 7),
        (pl.Date, dt.date(1970, 1, 2), 86_400 * SECOND),
        (pl.Datetime("ms"), dt.datetime(1970, 1, 1, 0, 0, 1), SECOND),
        (pl.Datetime("ns"), dt.datetime(1970, 1, 1, 0, 0, 1), SECOND),
        (
            pl.Datetime("us", "Europe/Berlin"),
            dt.datetime(1970, 1, 1, 0, 0, 1, tzinfo=dt.UTC),
            SECOND,
        ),
    ],
)
def test_times_of_every_type_are_instants(dtype: Any, value: Any, expected: int) -> None:
    frame = pl.DataFrame({"ts": [None, value]}, schema={"ts": dtype})
    assert latest_us(frame["ts"]) == expected
    assert latest_us(frame["ts"].head(1)) is None
    assert Watermarks("ts").output_schema(frame.schema) == frame.schema


def test_the_column_must_be_a_time() -> None:
    schema = pl.Schema({"a": pl.String})
    with pytest.raises(SchemaError, match="names a column that is not there"):
        Watermarks("ts").output_schema(schema)
    with pytest.raises(SchemaError, match="'a' is no time"):
        Watermarks("a").output_schema(schema)
    source = Source.from_frame(pl.DataFrame({"a": ["x"]}))
    with pytest.raises(PlanError):
        source.with_event_time("a", lateness="soon")


def test_a_snapshot_continues_where_it_was() -> None:
    schema = pl.Schema({"ts": pl.Int64})
    first, second = Watermarks("ts").start(schema), Watermarks("ts").start(schema)
    list(first.process(Batch(pl.DataFrame({"ts": [10]}))))
    second.restore(first.snapshot())
    assert len(list(second.process(Batch(pl.DataFrame({"ts": [9]}))))) == 1
    second.restore(Watermarks("ts").start(schema).snapshot())
    assert len(list(second.process(Batch(pl.DataFrame({"ts": [9]}))))) == 2


def test_silence_makes_it_idle_once() -> None:
    process = Watermarks("ts", idle_ns=10).start(pl.Schema({"ts": pl.Int64}))
    assert isinstance(process, TimedProcess)
    process.set_time(5)
    assert process.deadline_ns == 15
    process.set_time(12)
    list(process.process(Batch(pl.DataFrame({"ts": [1]}))))
    assert process.deadline_ns == 22
    assert list(process.on_time(22)) == [Idle()]
    assert process.deadline_ns is None


def test_text() -> None:
    assert Watermarks("ts", 5 * SECOND).describe() == "event_time(ts, lateness=5 s)"
    assert Watermarks("ts", 0, 30 * 10**9).describe() == "event_time(ts, lateness=0 s, idle=30 s)"


def test_in_a_pipeline_marks_come_first_and_only_needed_columns_are_read(tmp_path: Any) -> None:
    frame = pl.DataFrame({"ts": [1, 2], "a": [1, 2], "b": [1, 2]})
    frame.write_parquet(tmp_path / "x.parquet")
    source = Source.from_file(tmp_path / "x.parquet").with_event_time("ts", lateness="2s")
    assert source.schema() == frame.schema
    assert source.label.startswith("file")
    assert isinstance(source.open(), BlockingReader)
    sink = TestSink()
    pipeline = Pipeline.builder().source(source).select("a").sink(sink).build()
    text = pipeline.explain()
    assert "stage 1 event_time\n      event_time(ts, lateness=2 s)" in text
    assert "columns: 2 of 3 (ts, a)" in text
    pipeline.run_sync()
    assert sink.received() == [1, 2]
    assert Pipeline.builder().source(source).batch(1).collect_sync().equals(frame)


def test_a_step_may_tell_the_time_and_then_nobody_before_it_does() -> None:
    frame = pl.DataFrame({"ts": [50 * SECOND, 1, 2], "text": ["1970-01-01", "1970-01-02", "1970-01-02"]})
    late = TestSink()
    rows = (
        Pipeline.builder()
        .source(Source.from_frame(frame, batch_rows=1).with_event_time("ts"))
        .with_columns(at=pl.col("text").str.to_datetime("%Y-%m-%d"))
        .with_event_time("at", lateness="2d", idle="1h")
        .window(size="1d", on="at", late=late)
        .agg(pl.len())
        .collect_sync()
    )
    assert rows["len"].to_list() == [1, 2]
    assert late.frame().height == 0


def test_a_source_that_is_silent_holds_nobody_back() -> None:
    clock = ManualClock()

    async def main() -> list[pl.DataFrame]:
        (tx, rx), (quiet_tx, quiet_rx) = channel(), channel()
        schema = {"ts": pl.Int64}
        quiet = Pipeline.builder("quiet").source(
            Source.from_channel(quiet_rx, schema=schema).with_event_time("ts", idle="10s")
        )
        source = Source.from_channel(rx, schema=schema).with_event_time("ts")
        sink = TestSink()
        pipeline = (
            Pipeline.builder()
            .source(source)
            .merge(quiet)
            .window(size="10s", on="ts")
            .agg(pl.len())
            .sink(sink)
            .build(clock=clock)
        )
        running = asyncio.create_task(pipeline.run())
        await tx.send(pl.DataFrame({"ts": [5 * SECOND, 25 * SECOND]}))
        await clock.advance(5)
        before = sink.frame()
        await clock.advance(6)
        after = sink.frame()
        tx.close()
        quiet_tx.close()
        await running
        return [before, after]

    before, after = asyncio.run(main())
    assert before.height == 0
    assert after.height == 1


def test_a_buffer_changes_nothing() -> None:
    process = Buffer(3).start(pl.Schema({"x": pl.Int64}))
    batch = Batch(pl.DataFrame({"x": [1]}))
    assert list(process.process(batch)) == [batch]
    assert list(process.on_watermark(5)) == [Watermark(5)]
    process.restore(process.snapshot())
    assert list(process.finish()) == []
