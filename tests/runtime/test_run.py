"""Runs: endings, stops, limits, failures, order of marks. Time is manual; nothing sleeps."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from scripted import COMMITTED, BlockingSource, Ledger, LedgerSink, ScriptedOperator, ScriptedProcess

from arrowstream import Builder, Pipeline, Progress, Sink, Source, channel
from arrowstream.core.batch import Barrier, Batch, Element, Watermark
from arrowstream.errors import PeerGone, PlanError, SchemaError, SinkError, SourceError, StageError
from arrowstream.io.memory.function_sink import CollectSink
from arrowstream.io.source import SourceSpec
from arrowstream.operators.filter import Filter
from arrowstream.operators.with_columns import WithColumns
from arrowstream.plan.physical import OperatorStage, SegmentStage
from arrowstream.plan.placement.choice import Placement
from arrowstream.plan.segment import Segment
from arrowstream.policies.handlers import ErrorHandler
from arrowstream.runtime.flow.ports import ChannelLimits
from arrowstream.runtime.operator_stage import start_operator
from arrowstream.runtime.resources import Resources
from arrowstream.runtime.stage import RunningSegment
from arrowstream.runtime.task_loop import run_task
from arrowstream.runtime.threads import Threads
from arrowstream.testing import ManualClock, TestSink, TestSource

NUMBERS = [pl.DataFrame({"value": [start, start + 1]}) for start in range(0, 10, 2)]


def run(main: Callable[[], Awaitable[Any]]) -> Any:
    return asyncio.run(main())


def sources() -> dict[str, Callable[[], SourceSpec]]:
    return {
        "plain": lambda: TestSource.from_frames(NUMBERS),
        "undeclared": lambda: TestSource.from_frames(NUMBERS).undeclared(),
        "blocking": lambda: BlockingSource(NUMBERS[0].schema, [Batch(frame) for frame in NUMBERS]),
        "counting": lambda: BlockingSource(
            NUMBERS[0].schema, [Batch(frame) for frame in NUMBERS], counts=True
        ),
    }


@pytest.mark.untraced
@pytest.mark.parametrize("source", sources())
@pytest.mark.parametrize("blocking", [False, True])
@pytest.mark.parametrize("steps", [0, 1, 2])
def test_every_shape_of_pipeline_delivers_all_rows_and_commits_once(
    source: str, blocking: bool, steps: int
) -> None:
    sink = LedgerSink(blocking)
    builder = Pipeline.builder().source(sources()[source]())
    if steps:
        builder = builder.with_columns(value=pl.col("value") + 1)
    if steps == 2:
        builder = builder.batch(rows=3)
    report = builder.sink(sink).build().run_sync()
    assert sink.ledger.rows == [value + bool(steps) for value in range(10)]
    assert sink.ledger.calls == ["open", *["write"] * (4 if steps == 2 else 5), *COMMITTED]
    assert (report.rows_out, report.stopped) == (10, None)
    assert [stage.rows_out for stage in report.stages] == [10] * (steps + 2)
    assert report.rows_in == (60 if source == "counting" else 10)
    assert report.rows_per_second > 0


def test_a_pipeline_runs_again_from_the_start() -> None:
    sink = LedgerSink(blocking=False)
    pipeline = Pipeline.builder().source(TestSource.from_list([1, 2])).sink(sink).build()
    pipeline.run_sync()
    pipeline.run_sync()
    assert sink.ledger.rows == [1, 2, 1, 2]


def test_the_plan_of_an_undeclared_source_follows_each_runs_first_batch() -> None:
    frames = [pl.DataFrame({"x": [1]}), pl.DataFrame({"x": ["a"]})]

    async def give() -> Any:
        yield frames.pop(0)

    got: list[Any] = []
    pipeline = (
        Pipeline.builder()
        .source(Source.from_fn(give))
        .with_columns(y=pl.col("x"))
        .sink(Sink.to_fn(lambda batch: got.extend(batch["y"].to_pylist())))
        .build()
    )
    assert "learnt from the first batch" in pipeline.explain()
    pipeline.run_sync()
    assert "y: Int64" in pipeline.explain()
    pipeline.run_sync()
    assert got == [1, "a"]


def test_an_undeclared_source_of_the_same_schema_keeps_the_plan_and_its_costs() -> None:
    source = TestSource.from_frames(NUMBERS).undeclared()
    pipeline = Pipeline.builder().source(source).filter(pl.col("value") > 1).sink(TestSink()).build()
    pipeline.run_sync()
    pipeline.run_sync()
    assert "(10 batches)" in pipeline.explain()


def test_an_undeclared_stream_that_does_not_fit_fails_with_the_build_error() -> None:
    source = TestSource.from_list(["a"]).undeclared()
    pipeline = Pipeline.builder().source(source).filter(pl.col("nope") > 1).sink(TestSink()).build()
    with pytest.raises(SchemaError, match="nope"):
        pipeline.run_sync()


def test_an_undeclared_stream_without_batches_leaves_no_old_file_as_its_result(tmp_path: Path) -> None:
    target = tmp_path / "x.csv"
    target.write_text("old")
    pipeline = Pipeline.builder().source(TestSource(())).sink(Sink.to_file(target)).build()
    with pytest.raises(SchemaError, match="ended before its first batch"):
        pipeline.run_sync()
    assert pipeline.run_sync(limit=0).stopped == "limit"
    declared = TestSource((), NUMBERS[0].schema)
    Pipeline.builder().source(declared).sink(Sink.to_file(target)).build().run_sync()
    assert target.read_text() == "value\n"


def test_an_undeclared_stream_without_batches_gives_an_empty_report() -> None:
    report = Pipeline.builder().source(TestSource(())).sink(TestSink()).build().run_sync()
    assert (report.rows_in, report.rows_out, len(report.stages)) == (0, 0, 1)
    assert Pipeline.builder().source(TestSource(())).collect_sync().is_empty()


@pytest.mark.untraced
@pytest.mark.parametrize("limit", [0, 1, 2, 3, 9, 10, 11])
@pytest.mark.parametrize("source", sources())
def test_limit_delivers_exactly_so_many_rows_and_stops_the_source(limit: int, source: str) -> None:
    frame = Pipeline.builder().source(sources()[source]()).collect_sync(limit=limit)
    assert [row[0] for row in frame.rows()] == list(range(min(limit, 10)))


def test_limit_stops_an_endless_source() -> None:
    async def forever() -> Any:
        while True:
            yield NUMBERS[0]

    sink = TestSink()
    source = Source.from_fn(forever, schema={"value": pl.Int64})
    report = Pipeline.builder().source(source).sink(sink).build().run_sync(limit=5)
    assert sink.received() == [0, 1, 0, 1, 0]
    assert report.stopped == "limit"
    assert report.rows_in <= 8


@pytest.mark.parametrize("aside", [False, True])
def test_nobody_waits_for_rows_beyond_the_limit_unless_some_may_be_put_aside(aside: bool) -> None:
    clock, sink, dead = ManualClock(), TestSink(), TestSink()

    async def main() -> bool:
        steps = Pipeline.builder().source(TestSource.from_list(list(range(40))))
        if aside:
            steps = steps.map(value=pl.col("value") * 1).on_error(ErrorHandler.dead_letter(dead))
        pipeline = steps.throttle(rows=10, per="1s").sink(sink).build(clock=clock)
        running = asyncio.create_task(pipeline.run(limit=3))
        await clock.advance(0.1)
        ended = running.done()
        await clock.advance(5)
        report = await running
        assert (report.stopped, report.rows_out) == ("limit", 3)
        return ended

    assert run(main) is not aside
    assert sink.received() == [0, 1, 2]


def test_a_negative_limit_is_refused() -> None:
    with pytest.raises(PlanError, match="limit is too small"):
        Pipeline.builder().source(TestSource.from_list([1])).sink(TestSink()).build().run_sync(limit=-1)


def test_duration_stops_gently_on_the_injected_clock() -> None:
    async def main() -> tuple[Any, list[int]]:
        clock, sink = ManualClock(), TestSink()
        tx, rx = channel()
        source = Source.from_channel(rx, schema={"value": pl.Int64})
        running = asyncio.create_task(
            Pipeline.builder().source(source).sink(sink).build(clock=clock).run(duration="1h")
        )
        await tx.send(NUMBERS[0])
        await clock.advance(3599)
        assert not running.done()
        await tx.send(NUMBERS[1])
        await clock.advance(1)
        return await running, sink.received()

    report, rows = run(main)
    assert (report.stopped, report.seconds, rows) == ("duration", 3600.0, [0, 1, 2, 3])


def test_stop_delivers_what_is_in_flight_and_commits() -> None:
    async def main() -> tuple[Any, Ledger]:
        sink = LedgerSink(blocking=True)
        tx, rx = channel()
        source = Source.from_channel(rx, schema={"value": pl.Int64})
        clock = ManualClock()  # no call is long enough for a worker thread
        pipeline = Pipeline.builder().source(source).batch(rows=100).sink(sink).build(clock=clock)
        running = asyncio.create_task(pipeline.run())
        for frame in NUMBERS:
            await tx.send(frame)
        await clock.advance(0)  # lets every task go as far as it can
        assert tx.statistics().length == 0
        pipeline.stop()
        pipeline.stop()
        return await running, sink.ledger

    report, ledger = run(main)
    assert report.stopped == "stop"
    assert ledger.rows == list(range(10))
    assert ledger.calls == ["open", "write", *COMMITTED]


@pytest.mark.parametrize("blocking", [False, True])
@pytest.mark.parametrize("limit", [None, 5])
def test_a_batch_without_rows_is_not_written(blocking: bool, limit: int | None) -> None:
    sink = LedgerSink(blocking)
    batches = [Batch(NUMBERS[0].clear()), Batch(NUMBERS[0]), Batch(NUMBERS[0].clear())]
    source = BlockingSource(NUMBERS[0].schema, batches)
    pipeline = Pipeline.builder().source(source).sink(sink).on_error(ErrorHandler.skip()).build()
    assert pipeline.run_sync(limit=limit).rows_out == 2
    assert sink.ledger.calls == ["open", "write", *COMMITTED]


def test_stop_before_anything_was_read_ends_at_once() -> None:
    async def main() -> Any:
        pipeline = Pipeline.builder().source(TestSource.from_frames(NUMBERS)).sink(TestSink()).build()
        running = asyncio.create_task(pipeline.run())
        await asyncio.sleep(0)
        pipeline.stop()
        return await running

    assert run(main).stopped in (None, "stop")


def test_cancelling_a_run_aborts_the_sink_and_closes_the_source() -> None:
    async def main() -> Ledger:
        sink = LedgerSink(blocking=False)
        tx, rx = channel()
        source = Source.from_channel(rx, schema={"value": pl.Int64})
        running = asyncio.create_task(Pipeline.builder().source(source).sink(sink).build().run())
        await tx.send(NUMBERS[0])
        for _ in range(20):
            await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        return sink.ledger

    assert run(main).calls == ["open", "write", "abort"]


def test_cancelling_waits_for_a_thread_that_still_reads() -> None:
    started, go_on = threading.Event(), threading.Event()

    def slow() -> Batch:
        started.set()
        assert go_on.wait(30)
        return Batch(NUMBERS[0])

    source, sink = BlockingSource(NUMBERS[0].schema, [slow]), LedgerSink(blocking=False)

    async def main() -> None:
        running = asyncio.create_task(Pipeline.builder().source(source).sink(sink).build().run())
        await asyncio.to_thread(started.wait, 30)
        running.cancel()
        for _ in range(10):
            await asyncio.sleep(0)
        running.cancel()  # impatience changes nothing
        for _ in range(10):
            await asyncio.sleep(0)
        assert "close" not in source.ledger.calls
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await running

    run(main)
    assert source.ledger.calls == ["open", "close"]
    assert sink.ledger.calls == ["open", "abort"]


@pytest.mark.parametrize("blocking", [False, True])
@pytest.mark.parametrize("step", ["write", "prepare", "commit"])
def test_a_failing_sink_is_aborted_and_named(blocking: bool, step: str) -> None:
    sink = LedgerSink(blocking, fail_in=step)
    pipeline = Pipeline.builder().source(TestSource.from_frames(NUMBERS)).sink(sink).build()
    with pytest.raises(SinkError, match=rf"OSError: no {step} today \(stage sink\)") as caught:
        pipeline.run_sync()
    assert isinstance(caught.value.__cause__, OSError)
    assert sink.ledger.calls[-1] == "abort"


@pytest.mark.parametrize("blocking", [False, True])
def test_a_failure_stays_the_first_thing_told_when_cleaning_up_fails_too(blocking: bool) -> None:
    source = BlockingSource(NUMBERS[0].schema, [Batch(NUMBERS[0])], fail_in="close")
    sink = LedgerSink(blocking, fail_in="write abort")
    with pytest.raises(SinkError, match="no write today") as caught:
        Pipeline.builder().source(source).sink(sink).build().run_sync()
    assert caught.value.__notes__ == [
        "and: OSError: no abort today (stage sink)",
        "and: OSError: no close today (stage source)",
    ]


def test_a_source_that_does_not_close_is_named() -> None:
    source = BlockingSource(NUMBERS[0].schema, [], fail_in="close")
    with pytest.raises(SourceError, match=r"no close today \(stage source\)"):
        Pipeline.builder().source(source).sink(LedgerSink(False)).build().run_sync()


def test_a_panic_names_its_stage() -> None:
    sink = LedgerSink(False, fail_in="write", error=pl.exceptions.PanicException)
    with pytest.raises(SinkError, match=r"PanicException: no write today \(stage sink\)"):
        Pipeline.builder().source(TestSource.from_frames(NUMBERS)).sink(sink).build().run_sync()
    assert sink.ledger.calls[-1] == "abort"


def test_ends_in_memory_leave_the_loop_to_others() -> None:
    stopped = False

    def endless() -> Iterator[pl.DataFrame]:
        for _ in range(10_000_000):
            assert not stopped
            yield NUMBERS[0]

    async def main() -> Any:
        nonlocal stopped
        source = Source.from_frame(endless(), schema=NUMBERS[0].schema)
        pipeline = Pipeline.builder().source(source).sink(Sink.to_fn(lambda batch: None)).build()
        running = asyncio.create_task(pipeline.run())
        for _ in range(5):
            await asyncio.sleep(0)
        pipeline.stop()
        report = await running
        stopped = True
        return report

    assert run(main).stopped == "stop"


def test_a_channel_ends_also_where_its_sink_was_never_opened() -> None:
    async def received(source: SourceSpec) -> list[Any]:
        tx, rx = channel()
        builder = Pipeline.builder().source(source).with_columns(x=pl.col("value") + 1)
        running = asyncio.create_task(builder.sink(Sink.to_channel(tx)).build().run())
        try:
            return [batch async for batch in rx]
        finally:
            await asyncio.wait([running])
            running.exception()

    async def main() -> None:
        assert await received(TestSource((), None)) == []
        with pytest.raises(PeerGone, match="not there"):
            await received(TestSource((pl.DataFrame({"other": [1]}),), None))
        with pytest.raises(PeerGone, match="no open today"):
            await received(BlockingSource(NUMBERS[0].schema, [], fail_in="open"))

    run(main)


def test_all_sources_are_closed_whichever_of_them_fails_to() -> None:
    schema = NUMBERS[0].schema
    sources = [BlockingSource(schema, [Batch(NUMBERS[0])], fail_in=fail) for fail in ("close", "", "close")]
    first, *others = (Pipeline.builder().source(source) for source in sources)
    sink = CollectSink()
    with pytest.raises(SourceError, match=r"no close today \(stage source\)") as caught:
        first.merge(*others).sink(sink).build().run_sync()
    assert [source.ledger.calls for source in sources] == [["open", "close"]] * 3
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__notes__ == ["and: OSError: no close today (stage merge/pipeline.2/source)"]
    # What the sources gave had been written by then.
    assert sink.frame().height == 3 * NUMBERS[0].height


def test_a_sink_that_does_not_open_is_named_and_the_source_closed() -> None:
    source = BlockingSource(NUMBERS[0].schema, [])
    with pytest.raises(SinkError, match="no open today"):
        Pipeline.builder().source(source).sink(LedgerSink(False, fail_in="open")).build().run_sync()
    assert source.ledger.calls == ["open", "close"]


@pytest.mark.parametrize("blocking", [False, True])
def test_a_failing_source_aborts_the_sink(blocking: bool) -> None:
    script = [Batch(NUMBERS[0]), ValueError("cable cut")]
    source = (
        BlockingSource(NUMBERS[0].schema, script)
        if blocking
        else TestSource.from_frames([NUMBERS[0], script[1]])
    )
    sink = LedgerSink(blocking=False)
    with pytest.raises(SourceError, match=r"ValueError: cable cut \(stage source\)"):
        Pipeline.builder().source(source).sink(sink).build().run_sync()
    assert sink.ledger.calls[-1] == "abort"


def test_a_batch_of_another_schema_names_the_source() -> None:
    frames = [NUMBERS[0], pl.DataFrame({"other": [1]})]
    with pytest.raises(SchemaError, match="stage source"):
        Pipeline.builder().source(TestSource.from_frames(frames)).sink(TestSink()).build().run_sync()


def test_a_failing_expression_names_its_step_and_position() -> None:
    frame = pl.DataFrame({"s": ["1", "2", "x"]})
    builder = (
        Pipeline.builder()
        .source(Source.from_frame(frame, batch_rows=1))
        .with_columns(n=pl.col("s").cast(pl.Int64))
        .filter(pl.col("n") > 0)
    )
    with pytest.raises(StageError, match="conversion from") as caught:
        builder.collect_sync()
    assert caught.value.position == "frame rows 2-3"
    assert str(caught.value.stage).startswith("with_columns+filter, in with_columns(")
    assert "strict=False" in str(caught.value.hint)
    with pytest.raises(StageError, match=r"stage with_columns\)"):
        Pipeline.builder().source(Source.from_frame(frame)).with_columns(
            n=pl.col("s").cast(pl.Int64)
        ).collect_sync()


def test_the_failing_step_of_a_large_batch_is_sought_on_a_worker_thread() -> None:
    threads_used: list[bool] = []

    class Noting(WithColumns):
        def apply(self, frame: Any) -> Any:
            threads_used.append(threading.current_thread() is threading.main_thread())
            return super().apply(frame)

    def broken(batch: Batch) -> Batch:
        raise ValueError("not a number")

    def named(rows: int) -> StageError:
        threads_used.clear()
        frame = pl.DataFrame({"s": ["x"] * rows})
        steps = (WithColumns.of(t=pl.col("s")), noting)
        segment = Segment(steps, frame.schema, frame.with_columns(t="s", n=1).schema)
        planned = SegmentStage("both", segment, {"polars": broken}, Placement({"polars": (170.0, 0.002)}, {}))

        async def main() -> None:
            threads = Threads(1)
            try:
                await RunningSegment(planned, ManualClock(), threads).process(Batch(frame))
            finally:
                threads.close()

        with pytest.raises(StageError) as caught:
            asyncio.run(main())
        return caught.value

    noting = Noting.of(n=pl.col("s").cast(pl.Int64))
    for rows, inline in ((10, True), (50_000, False)):
        assert str(named(rows).stage).startswith("both, in with_columns(n = ")
        assert threads_used == [inline]


def test_a_failure_that_no_single_step_shows_names_the_whole_stage() -> None:
    def broken(batch: Batch) -> Batch:
        raise MemoryError("too much at once")

    steps = (WithColumns.of(a=pl.col("value") + 1), Filter.of(pl.col("a") > 0))
    segment = Segment(steps, NUMBERS[0].schema, NUMBERS[0].with_columns(a=1).schema)
    planned = SegmentStage("1-2 both", segment, {"polars": broken}, Placement({"polars": (170.0, 0.002)}, {}))

    async def main() -> None:
        threads = Threads(1)
        try:
            await RunningSegment(planned, ManualClock(), threads).process(Batch(NUMBERS[0]))
        finally:
            threads.close()

    with pytest.raises(StageError, match=r"MemoryError: too much at once \(stage 1-2 both\)"):
        run(main)


def test_an_operators_own_typed_error_is_kept_and_named() -> None:
    class Strict(ScriptedProcess):
        def process(self, batch: Batch) -> list[Batch]:
            raise SchemaError("not this batch")

    graph = (
        Pipeline.builder()
        .source(TestSource.from_frames(NUMBERS))
        .graph.with_step(ScriptedOperator("strict", Strict))
    )
    with pytest.raises(SchemaError, match=r"not this batch \(stage strict\)"):
        Builder(graph).sink(TestSink()).build().run_sync()


def test_a_thread_is_waited_for_however_often_its_caller_is_cancelled() -> None:
    started, go_on = threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        assert go_on.wait(30)
        raise OSError("nobody hears this")

    async def main() -> None:
        threads = Threads(1)
        calling = asyncio.create_task(threads.call(work))
        await asyncio.to_thread(started.wait, 30)
        for _ in range(3):
            calling.cancel()
            await ManualClock().advance(0)
            assert not calling.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await calling
        threads.close()

    run(main)


def test_only_one_of_several_failures_is_raised_the_others_are_noted() -> None:
    async def broken(batch: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("second")

    async def main() -> None:
        async def feed() -> Any:
            yield NUMBERS[0]
            await asyncio.sleep(0)
            raise RuntimeError("first")

        pipeline = (
            Pipeline.builder()
            .source(Source.from_fn(feed, schema={"value": pl.Int64}))
            .batch(rows=1)
            .batch(rows=1)
            .sink(Sink.to_fn(broken))
            .build()
        )
        await pipeline.run()

    with pytest.raises(SourceError, match="first") as caught:
        run(main)
    assert any("second" in note for note in caught.value.__notes__)


def test_a_failed_pipeline_fails_the_channel_it_feeds() -> None:
    async def main() -> None:
        tx, rx = channel()
        source = TestSource.from_frames([NUMBERS[0], ValueError("broken")])
        running = asyncio.create_task(
            Pipeline.builder().source(source).sink(Sink.to_channel(tx)).build().run()
        )
        assert (await anext(rx))["value"].to_pylist() == [0, 1]
        with pytest.raises(PeerGone):
            await anext(rx)
        with pytest.raises(SourceError):
            await running

    run(main)


class Holding(ScriptedProcess):
    """Keeps batches until a watermark comes; gives an empty batch meanwhile."""

    def __init__(self) -> None:
        self._held: list[Batch] = []

    def process(self, batch: Batch) -> list[Batch]:
        self._held.append(batch)
        return [batch.slice(0, 0)]

    def on_watermark(self, time_us: int) -> list[Element]:
        held, self._held = self._held, []
        return [*held, Watermark(time_us)]

    def finish(self) -> list[Batch]:
        return self._held


def test_marks_keep_their_place_among_batches_and_reach_operators_first() -> None:
    """What an operator owes for a watermark goes out before the watermark."""
    first, second = Batch(NUMBERS[0]), Batch(NUMBERS[1])
    out: list[Element | None] = []

    async def main() -> None:
        threads = Threads(1)
        schema = NUMBERS[0].schema
        planned = OperatorStage("holding", "holding", ScriptedOperator("holding", Holding), schema, schema)
        clock = ManualClock()
        stage = start_operator(planned, Resources(clock, threads), None)
        limits = ChannelLimits(10)
        (entry, source), (output, exit) = limits.channel(), limits.channel()
        for element in (first, Barrier(1), Watermark(5), second, Watermark(6)):
            await entry.send(element)
        await entry.end()
        await run_task(source, stage, output, clock)
        while not out or out[-1] is not None:
            out.append(await exit.receive())
        threads.close()

    asyncio.run(main())
    assert out == [Barrier(1), first, Watermark(5), second, Watermark(6), None]


def test_marks_pass_through_segments_and_are_not_given_to_writers() -> None:
    script = [NUMBERS[0], Watermark(1), Barrier(1), NUMBERS[1]]
    sink = TestSink()
    builder = (
        Pipeline.builder().source(TestSource.from_frames(script)).with_columns(value=pl.col("value") + 1)
    )
    builder.batch(rows=1).sink(sink).build().run_sync()
    assert sink.received() == [1, 2, 3, 4]
    undeclared = TestSource.from_frames([Watermark(0), *script]).undeclared()
    assert Pipeline.builder().source(undeclared).collect_sync()["value"].to_list() == [0, 1, 2, 3]


def test_slow_work_goes_to_a_thread_and_quick_work_stays() -> None:
    clock, on_loop = ManualClock(), []

    class Slow(ScriptedProcess):
        def process(self, batch: Batch) -> list[Batch]:
            on_loop.append(threading.current_thread() is threading.main_thread())
            clock.set_ns(clock.now_ns() + (5_000_000 if len(on_loop) == 2 else 0))
            return [batch]

    graph = (
        Pipeline.builder()
        .source(TestSource.from_frames(NUMBERS))
        .graph.with_step(ScriptedOperator("slow", Slow))
    )
    asyncio.run(Builder(graph).sink(TestSink()).build(clock=clock).run())
    assert on_loop == [True, True, False, True, True]


def test_an_operator_that_fails_names_its_stage() -> None:
    class Broken(ScriptedProcess):
        def finish(self) -> list[Batch]:
            raise RuntimeError

    graph = (
        Pipeline.builder()
        .source(TestSource.from_frames(NUMBERS))
        .graph.with_step(ScriptedOperator("broken", Broken))
    )
    with pytest.raises(StageError, match=r"RuntimeError: no message \(stage broken\)"):
        Builder(graph).sink(TestSink()).build().run_sync()


def test_progress_is_told_now_and_then_and_at_the_end() -> None:
    clock, seen = ManualClock(), []

    async def tick(batch: Any) -> None:
        clock.set_ns(clock.now_ns() + 60_000_000)

    source = Source.from_frame(NUMBERS)
    pipeline = Pipeline.builder().source(source).sink(Sink.to_fn(tick)).build(clock=clock)
    pipeline.run_sync(progress=seen.append)
    assert [(p.rows_in, p.rows_out, p.total_rows) for p in seen] == [(4, 4, 10), (8, 8, 10), (10, 10, 10)]


@pytest.mark.parametrize(("counts", "total"), [(False, None), (True, 60)])
def test_progress_of_a_blocking_source(counts: bool, total: int | None) -> None:
    seen: list[Progress] = []
    source = BlockingSource(NUMBERS[0].schema, [Batch(NUMBERS[0])], counts)
    Pipeline.builder().source(source).sink(TestSink()).build().run_sync(progress=seen.append)
    assert seen[-1].total_rows == total
    assert seen[-1].rows_in == (20 if counts else 2)
