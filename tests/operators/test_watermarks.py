"""Watermarks from rows: how far event time has come."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from contexts import context

from arrowstream import Builder, Pipeline, Sink, Source, channel
from arrowstream.core.batch import Batch, Element, Idle, Watermark
from arrowstream.errors import PlanError, SchemaError
from arrowstream.io.source import SourceSpec
from arrowstream.operators.base import Process, TimedProcess
from arrowstream.operators.buffer import Buffer
from arrowstream.operators.event_time.latest_time import latest_us
from arrowstream.operators.reduce import Reduce
from arrowstream.operators.with_event_time import Watermarks
from arrowstream.testing import ManualClock, Pause, TestSink, TestSource

SECOND = 1_000_000


def marks(operator: Watermarks, *batches: list[int | None]) -> list[Element]:
    schema = pl.Schema({"ts": pl.Int64})
    process = operator.start(schema, context())
    out: list[Element] = []
    for values in batches:
        out += process.process(Batch(pl.DataFrame({"ts": values}, schema=schema)))  # type: ignore[arg-type]
    out += process.finish()  # type: ignore[arg-type]
    return [element for element in out if not isinstance(element, Batch)]


def test_the_mark_is_the_latest_time_so_far_less_the_lateness() -> None:
    found = marks(Watermarks("ts", lateness_us=5), [10, 30, 20], [15], [None], [], [31])
    assert found == [Watermark(25), Watermark(26)]


def test_nothing_is_late_unless_it_is_said() -> None:
    assert marks(Watermarks.of("ts"), [10]) == [Watermark(10)]
    assert marks(Watermarks.of("ts", lateness="1ms"), [10]) == [Watermark(-990)]
    assert Watermarks.of("ts").idle_ns is None
    assert Watermarks.of("ts", idle="2s").idle_ns == 2_000_000_000


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
    with pytest.raises(SchemaError, match="did you mean 'time'"):
        Watermarks("tim").output_schema(pl.Schema({"time": pl.String}))
    with pytest.raises(SchemaError, match="'a' is not a time"):
        Watermarks("a").output_schema(schema)
    source = Source.from_frame(pl.DataFrame({"a": ["x"]}))
    with pytest.raises(PlanError):
        source.with_event_time("a", lateness="soon")


def test_a_snapshot_continues_where_it_was() -> None:
    schema = pl.Schema({"ts": pl.Int64})
    first, second = Watermarks("ts").start(schema, context()), Watermarks("ts").start(schema, context())
    list(first.process(Batch(pl.DataFrame({"ts": [10]}))))
    second.restore(first.snapshot())
    assert len(list(second.process(Batch(pl.DataFrame({"ts": [9]}))))) == 1
    second.restore(Watermarks("ts").start(schema, context()).snapshot())
    assert len(list(second.process(Batch(pl.DataFrame({"ts": [9]}))))) == 2


def test_silence_makes_it_idle_once() -> None:
    process = Watermarks("ts", idle_ns=10).start(pl.Schema({"ts": pl.Int64}), context())
    assert isinstance(process, TimedProcess)
    process.set_time(5)
    assert process.deadline_ns is None
    process.on_waiting(5)  # a source that never says anything is silent, too
    assert process.deadline_ns == 15
    process.set_time(12)
    list(process.process(Batch(pl.DataFrame({"ts": [1]}))))
    process.on_waiting(12)
    assert process.deadline_ns == 22
    process.set_time(22)
    assert list(process.on_timer(22)) == [Idle()]
    assert process.deadline_ns is None
    process.set_time(30)
    process.on_waiting(30)  # behind a mark of the source itself: it is idle as before
    assert process.deadline_ns is None


def test_only_time_spent_waiting_for_the_source_is_silence() -> None:
    process = Watermarks("ts", idle_ns=10).start(pl.Schema({"ts": pl.Int64}), context())
    assert isinstance(process, TimedProcess)
    process.on_waiting(0)
    process.set_time(4)
    list(process.on_watermark(1))
    process.on_waiting(104)  # the stages behind took so long
    assert process.deadline_ns == 110


def test_batches_without_rows_end_no_silence() -> None:
    process = Watermarks("ts", idle_ns=10).start(pl.Schema({"ts": pl.Int64}), context())
    assert isinstance(process, TimedProcess)
    nothing = Batch(pl.DataFrame(schema={"ts": pl.Int64}))
    process.on_waiting(0)
    for now in (4, 8):
        process.set_time(now)
        assert list(process.process(nothing)) == [nothing]
        process.on_waiting(now)
        assert process.deadline_ns == 10
    process.set_time(10)
    assert list(process.on_timer(10)) == [Idle()]
    process.set_time(12)
    list(process.process(nothing))
    process.on_waiting(12)  # idle as before: the mark is not repeated
    assert process.deadline_ns is None


def test_text() -> None:
    assert Watermarks("ts", 5 * SECOND).describe() == "event_time(ts, lateness=5 s)"
    assert Watermarks("ts", 0, 30 * 10**9).describe() == "event_time(ts, lateness=0 s, idle=30 s)"


def test_in_a_pipeline_marks_come_first_and_only_needed_columns_are_read(tmp_path: Any) -> None:
    frame = pl.DataFrame({"ts": [1, 2], "a": [1, 2], "b": [1, 2]})
    frame.write_parquet(tmp_path / "x.parquet")
    source = Source.from_file(tmp_path / "x.parquet").with_event_time("ts", lateness="2s")
    sink = TestSink()
    pipeline = Pipeline.builder().source(source).select("a").sink(sink).build()
    text = pipeline.explain()
    assert "stage event_time\n      event_time(ts, lateness=2 s)" in text
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


def polled_function(clock: ManualClock, frames: list[pl.DataFrame]) -> SourceSpec:
    async def poll() -> pl.DataFrame | None:
        await clock.sleep(1)
        return frames.pop(0) if frames else None

    return Source.from_fn(poll, schema=TIMES)


def polled_generator(clock: ManualClock, frames: list[pl.DataFrame]) -> SourceSpec:
    async def poll() -> AsyncIterator[pl.DataFrame]:
        for frame in frames:
            await clock.sleep(1)
            yield frame

    return Source.from_fn(poll, schema=TIMES)


def polled_stream(clock: ManualClock, frames: list[pl.DataFrame]) -> SourceSpec:
    async def poll() -> AsyncIterator[pl.DataFrame]:
        for frame in frames:
            await clock.sleep(1)
            yield frame

    return Source.from_channel(poll(), schema=TIMES)


def polled_iterable(clock: ManualClock, frames: list[pl.DataFrame]) -> SourceSpec:
    def poll() -> Iterator[pl.DataFrame]:
        for frame in frames:
            clock.set_ns(clock.now_ns() + SECOND * 1000)  # as if it had slept, with the loop
            yield frame

    return Source.from_frame(poll(), schema=TIMES)


TIMES = {"ts": pl.Int64}


@pytest.mark.untraced
@pytest.mark.parametrize("polled", [polled_function, polled_generator, polled_stream, polled_iterable])
def test_a_source_that_polls_without_success_holds_nobody_back(
    polled: Callable[[ManualClock, list[pl.DataFrame]], SourceSpec],
) -> None:
    """Over empty batches as over none: 10 s without a row."""
    clock = ManualClock()
    closed: list[int] = []

    async def busy() -> AsyncIterator[pl.DataFrame]:
        for number in range(30):
            await clock.sleep(1)
            yield pl.DataFrame({"ts": [10 * number * SECOND]})

    def note(batch: pa.RecordBatch) -> None:
        closed.append(clock.now_ns() // 10**9)

    quiet = polled(clock, [pl.DataFrame({"ts": [0]}), *[pl.DataFrame(schema=TIMES)] * 40])

    async def main() -> None:
        merged = (
            Pipeline.builder()
            .source(Source.from_fn(busy, schema=TIMES).with_event_time("ts"))
            .merge(Pipeline.builder("quiet").source(quiet.with_event_time("ts", idle="10s")))
        )
        counted = merged.window(size="10s", on="ts").agg(pl.len())
        running = asyncio.create_task(counted.sink(Sink.to_fn(note)).build(clock=clock).run())
        while not running.done():
            await clock.advance(1)
        await running

    asyncio.run(main())
    assert len(closed) > 15
    assert closed[0] <= 15


TWO = pl.Schema({"ts": pl.Int64, "s": pl.String})


def numbered(name: str, step: int) -> Builder:
    async def rows() -> Any:
        for number in range(8):
            yield pl.DataFrame({"ts": [number * step], "s": [name]})

    return Pipeline.builder(name).source(Source.from_fn(rows, schema=TWO).with_event_time("ts", idle="5s"))


def test_a_source_that_is_held_up_is_not_silent() -> None:
    clock, sink = ManualClock(), TestSink()

    async def slow(frame: Any) -> Any:
        await clock.sleep(10)
        return frame

    async def main() -> None:
        both = numbered("near", 10).merge(numbered("far", 1000)).map(slow, schema=TWO)
        counted = both.window(size=1e-5, on="ts").agg(pl.len()).sink(sink).build(clock=clock)
        running = asyncio.create_task(counted.run())
        while not running.done():
            await clock.advance(10)
        await running

    asyncio.run(main())
    assert sink.frame()["len"].sum() == 16


HOLDING: list[Callable[[Builder], Builder]] = [
    lambda rows: rows.batch(rows=10),
    lambda rows: rows.batch(max_delay="5s"),
    lambda rows: rows.debounce("5s"),
    lambda rows: rows.throttle(rows=1, per="5s"),
    lambda rows: rows.window(rows=10).agg(pl.all().last()),
    lambda rows: rows.reduce(pl.all().last()),
    lambda rows: rows,
]


@pytest.mark.parametrize("step", HOLDING)
def test_that_an_input_is_idle_does_not_overtake_rows_that_are_held(
    step: Callable[[Builder], Builder],
) -> None:
    clock, sink = ManualClock(), TestSink()

    def scripted(name: str, *script: Any) -> Builder:
        source = TestSource.from_frames([*script, Pause(20)], schema=TWO, clock=clock)
        return Pipeline.builder(name).source(source)

    async def main() -> None:
        rows = [pl.DataFrame({"ts": [time], "s": ["x"]}) for time in (5, 500)]
        quiet = step(scripted("quiet", rows[0], Watermark(0), Idle()))
        both = quiet.merge(scripted("other", rows[1], Watermark(500)))
        counted = both.window(size=1e-5, on="ts").agg(pl.len()).sink(sink).build(clock=clock)
        running = asyncio.create_task(counted.run())
        await clock.advance(30)
        await running

    asyncio.run(main())
    assert sink.frame()["len"].to_list() == [1, 1]


def test_updates_of_a_running_aggregate_hold_no_mark_back() -> None:
    process = Reduce.of(n=pl.len(), emit="updates").start(TWO, context())
    assert isinstance(process, Process)
    assert list(process.on_idle()) == [Idle()]


def test_a_buffer_changes_nothing() -> None:
    process = Buffer(3).start(pl.Schema({"x": pl.Int64}), context())
    batch = Batch(pl.DataFrame({"x": [1]}))
    assert list(process.process(batch)) == [batch]
    assert list(process.on_watermark(5)) == [Watermark(5)]
    process.restore(process.snapshot())
    assert list(process.finish()) == []
