"""What a run reports: rows that nobody got, and where its time went."""

import asyncio
import copy
import dataclasses
import pickle
from collections.abc import AsyncIterator
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from arrowstream import ErrorHandler, Pipeline, RunReport, Sink, Source, StageMetrics, channel
from arrowstream.core.notes import ReaderNote
from arrowstream.display.report import report_html
from arrowstream.testing import ManualClock, TestSink

TIMES = pl.DataFrame({"t": [1, 2_000_000_000, 3, 11], "x": [1, 2, 3, 4]})
NUMBERS = pl.DataFrame({"x": range(100)})


def stage(report: RunReport, name: str) -> StageMetrics:
    return next(stage for stage in report.stages if name in stage.name)


@pytest.mark.parametrize("kept", [False, True])
def test_late_rows_are_lost_unless_they_have_a_sink(kept: bool) -> None:
    late = TestSink()
    window = (
        Pipeline.builder().source(Source.from_frame(TIMES, batch_rows=1)).with_event_time("t", lateness="5s")
    )
    window = window.window("10s", on="t", **({"late": late} if kept else {})).agg(n=pl.len())
    report = window.sink(TestSink()).build().run_sync()
    assert stage(report, "window").late_rows == 2
    assert report.lost_rows == (0 if kept else 2)
    assert ("2 rows came late to" in str(report)) != kept
    assert late.frame().height == (2 if kept else 0)


def odd_only(batch: pa.RecordBatch) -> pa.RecordBatch:
    if any(number % 10 == 0 for number in batch["x"].to_pylist()):
        raise ValueError("ten")
    return batch


@pytest.mark.parametrize("kept", [False, True])
def test_failed_rows_are_lost_unless_they_are_dead_letters(kept: bool) -> None:
    letters = TestSink()
    handler = ErrorHandler.dead_letter(letters) if kept else ErrorHandler.skip()
    steps = Pipeline.builder().source(Source.from_frame(NUMBERS)).map(odd_only, schema=NUMBERS.schema)
    report = steps.on_error(handler).sink(TestSink()).build().run_sync()
    assert (report.rows_out, stage(report, "map").failed_rows) == (90, 10)
    assert report.lost_rows == (0 if kept else 10)
    assert ("10 rows failed in" in str(report)) != kept


def test_rows_of_batches_that_took_too_long_are_lost() -> None:
    clock = ManualClock()

    async def slow(batch: pa.RecordBatch) -> pa.RecordBatch:
        await clock.sleep(10 if batch.num_rows and batch["x"][0].as_py() == 50 else 0)
        return batch

    async def main() -> RunReport:
        steps = Pipeline.builder().source(Source.from_frame(NUMBERS, batch_rows=10))
        limited = steps.map(slow, schema=NUMBERS.schema).timeout("5s", on_timeout="skip")
        running = asyncio.create_task(limited.sink(TestSink()).build(clock=clock).run())
        await clock.advance(20)
        return await running

    report = asyncio.run(main())
    assert (report.rows_out, report.lost_rows) == (90, 10)


@pytest.mark.parametrize("fails", [False, True])
def test_rows_that_a_best_effort_sink_misses_are_lost(fails: bool) -> None:
    async def main() -> RunReport:
        release = asyncio.Event()
        got: list[int] = []

        async def slow(batch: pa.RecordBatch) -> None:
            if fails and got:
                raise ValueError("full")
            got.extend(batch["x"].to_pylist())
            if not fails:
                await release.wait()

        sink = Sink.fanout([TestSink(), Sink.to_fn(slow).best_effort(buffer=3)])
        source = Source.from_frame(NUMBERS, batch_rows=10)
        running = asyncio.create_task(Pipeline.builder().source(source).sink(sink).build().run())
        for _ in range(200):
            await asyncio.sleep(0)
        release.set()
        report = await running
        assert report.lost_rows == 100 - len(got)
        return report

    report = asyncio.run(main())
    assert report.losses is not None
    assert "rows dropped before" in report.losses
    assert ("failed and was aborted after 10 rows" in report.losses) == fails


def test_rows_over_the_limit_are_counted_but_not_lost() -> None:
    report = Pipeline.builder().source(Source.from_frame(NUMBERS)).sink(TestSink()).build().run_sync(limit=30)
    assert (report.rows_out, stage(report, "sink").limited_rows, report.losses) == (30, 70, None)
    assert "70 over the limit" in str(report)


WAITS = ["from_fn", "generator", "from_channel"]


@pytest.mark.parametrize("kind", WAITS)
def test_a_source_that_waits_is_waiting_and_not_busy(kind: str) -> None:
    clock = ManualClock()
    frames = [NUMBERS, NUMBERS]

    async def function() -> pl.DataFrame | None:
        await clock.sleep(0.9)
        return frames.pop() if frames else None

    async def generator() -> AsyncIterator[pl.DataFrame]:
        for frame in frames:
            clock.set_ns(clock.now_ns() + 100_000_000)  # works for 0.1 s
            await clock.sleep(0.8)
            yield frame

    async def main() -> RunReport:
        tx, rx = channel()
        if kind == "from_channel":
            source: Any = Source.from_channel(rx, NUMBERS.schema)
        else:
            source = Source.from_fn(function if kind == "from_fn" else generator, NUMBERS.schema)
        running = asyncio.create_task(
            Pipeline.builder().source(source).sink(TestSink()).build(clock=clock).run()
        )
        if kind == "from_channel":
            await clock.advance(0.9)
            await tx.send(NUMBERS)
            await clock.advance(0.9)
            tx.close()
        while not running.done():
            await clock.advance(0.1)
        return await running

    report = asyncio.run(main())
    read = stage(report, "source")
    expected = {"from_fn": (0.0, 2.7), "generator": (0.2, 1.6), "from_channel": (0.0, 1.8)}[kind]
    assert (read.busy_seconds, read.waiting_seconds) == pytest.approx(expected)
    assert f"{read.waiting_seconds:.3f} s waiting" in str(report)


def test_a_step_and_a_sink_that_wait_are_waiting_and_not_busy() -> None:
    clock = ManualClock()
    got: list[int] = []

    async def lookup(batch: pa.RecordBatch) -> pa.RecordBatch:
        if batch.num_rows:
            clock.set_ns(clock.now_ns() + 100_000_000)
            await clock.sleep(0.5)
        return batch

    async def consume(rx: Any) -> None:
        async for batch in rx:
            await clock.sleep(1.5)
            got.append(batch.num_rows)

    async def main() -> RunReport:
        tx, rx = channel(capacity=1)
        steps = Pipeline.builder().source(Source.from_frame(NUMBERS, batch_rows=20))
        pipeline = steps.map(lookup, schema=NUMBERS.schema).sink(Sink.to_channel(tx)).build(clock=clock)
        running, consuming = asyncio.create_task(pipeline.run()), asyncio.create_task(consume(rx))
        while not consuming.done():
            await clock.advance(0.1)
        return await running

    report = asyncio.run(main())
    step, sink = stage(report, "map"), stage(report, "sink")
    assert (step.busy_seconds, step.waiting_seconds) == pytest.approx((0.5, 2.5))
    assert sink.busy_seconds == 0
    assert sink.waiting_seconds > 0
    assert got == [20] * 5


def test_the_last_progress_has_the_rows_of_the_report() -> None:
    seen: list[Any] = []
    report = (
        Pipeline.builder()
        .source(Source.from_frame(NUMBERS))
        .sink(TestSink())
        .build()
        .run_sync(progress=seen.append)
    )
    assert (seen[-1].rows_in, seen[-1].rows_out, seen[-1].total_rows) == (
        report.rows_in,
        report.rows_out,
        100,
    )


def test_a_sink_that_does_not_wait_is_busy_to_the_nanosecond() -> None:
    clock = ManualClock()
    sink = Sink.to_fn(lambda batch: clock.set_ns(clock.now_ns() + 100_000_001))
    pipeline = (
        Pipeline.builder().source(Source.from_frame(NUMBERS, batch_rows=20)).sink(sink).build(clock=clock)
    )
    found = stage(pipeline.run_sync(), "sink")
    assert (found.busy_seconds, found.waiting_seconds) == (0.500000005, 0)


def test_worker_threads_are_busy_while_they_are_awaited() -> None:
    clock = ManualClock()

    def work(batch: pa.RecordBatch) -> pa.RecordBatch:
        clock.set_ns(clock.now_ns() + 100_000_000)
        return batch

    steps = Pipeline.builder().source(Source.from_frame(NUMBERS, batch_rows=50))
    parallel = steps.parallel_map(work, workers=1, schema=NUMBERS.schema).sink(TestSink())
    report = parallel.build(clock=clock).run_sync()
    step = stage(report, "parallel_map")
    assert (step.busy_seconds, step.waiting_seconds) == pytest.approx((0.2, 0))


def test_time_of_a_step_that_fails_while_it_waits_counts_too() -> None:
    clock = ManualClock()

    async def lookup(batch: pa.RecordBatch) -> pa.RecordBatch:
        if batch.num_rows:
            await clock.sleep(0.5)
            raise ValueError("gone")
        return batch

    async def main() -> RunReport:
        steps = Pipeline.builder().source(Source.from_frame(NUMBERS)).map(lookup, schema=NUMBERS.schema)
        handled = steps.on_error(ErrorHandler.skip(whole_batch=True)).sink(TestSink())
        running = asyncio.create_task(handled.build(clock=clock).run())
        await clock.advance(1)
        return await running

    assert stage(asyncio.run(main()), "map").waiting_seconds == 0.5


def test_a_report_can_be_pickled_copied_and_taken_apart() -> None:
    numbers = pl.DataFrame({"x": [1, 2, 3], "ts": [1, 2, 3]})
    names = Pipeline.builder("names").source(Source.from_frame(numbers)).filter(pl.col("x") > 1)
    rows = Pipeline.builder("rows").source(Source.from_frame(numbers)).join(names.select("x"), on="x")
    pipeline = rows.split("x").branch("2").branch("3").merge().sink(TestSink()).build()
    report = pipeline.run_sync()
    metrics = pipeline.metrics()
    assert report.inner and any(stage.rows_by_branch for stage in report.stages)
    for each in (report, metrics, *report.stages):
        for other in (pickle.loads(pickle.dumps(each)), copy.deepcopy(each)):
            assert type(other) is type(each) and repr(other) == repr(each)
    assert pickle.loads(pickle.dumps(report)).stages[0].batches == {"read": 1}
    assert dataclasses.asdict(report)["stages"][0]["batches"] == {"read": 1}
    with pytest.raises(TypeError):
        report.stages[0].batches["read"] = 2  # type: ignore[index]


@pytest.mark.parametrize(("lost", "label"), [(True, "as-lost"), (False, "as-said")])
def test_a_report_says_as_a_value_whether_rows_were_lost(lost: bool, label: str) -> None:
    note = ReaderNote("lost and found rows", 2, "row 1", lost=lost)
    report = RunReport("p", 9, 9, 0.5, (), notes=(note,))
    assert report.has_losses is lost and report.losses is not None
    assert f'class="{label}"' in report_html(report)
    assert not RunReport("p", 9, 9, 0.5, ()).has_losses
