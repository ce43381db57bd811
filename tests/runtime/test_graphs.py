"""Pipelines that are no straight line: rows part, meet, and leave by several sinks."""

import asyncio
import random
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import LedgerSink, ScriptedOperator, ScriptedProcess

from arrowstream import Builder, Pipeline, Progress, Sink, Source, channel
from arrowstream.core.batch import Barrier, Batch, Element, Watermark
from arrowstream.errors import PlanError, SchemaError, SinkError, StageError, StageTimeout
from arrowstream.io.sink import SinkSpec
from arrowstream.metrics.counters import StageCounters
from arrowstream.policies.handlers import ErrorHandler
from arrowstream.runtime.flow.best_effort import BestEffortQueue
from arrowstream.testing import TestSink, TestSource

ROWS = pl.DataFrame({"x": range(100), "k": [number % 3 for number in range(100)]})


def source(rows: int = 7) -> Builder:
    return Pipeline.builder().source(Source.from_frame(ROWS, batch_rows=rows))


def test_every_row_takes_the_branch_it_names() -> None:
    out = (
        source()
        .split(pl.col("k"))
        .branch("0", lambda rows: rows.map(way=pl.lit("zero")))
        .branch("1", lambda rows: rows.map(way=pl.lit("one")).buffer(3))
        .otherwise(lambda rows: rows.map(way=pl.lit("rest")).batch(10))
        .merge()
        .filter(pl.col("x") >= 10)
        .collect_sync()
    )
    ways = pl.when(k=0).then(pl.lit("zero")).when(k=1).then(pl.lit("one")).otherwise(pl.lit("rest"))
    assert out.sort("x").equals(ROWS.with_columns(way=ways).filter(pl.col("x") >= 10))
    for (_,), part in out.group_by("way"):
        assert part["x"].is_sorted()


def test_branches_may_end_in_sinks_of_their_own() -> None:
    zero, rest, main = TestSink(), TestSink(), TestSink()
    pipeline = (
        source()
        .split(pl.col("k"))
        .branch("0", lambda rows: rows.select("x").sink(zero))
        .branch("1")
        .otherwise(lambda rows: rows.sink(rest))
        .merge()
        .sink(main)
        .build()
    )
    report = pipeline.run_sync()
    assert zero.received() == [number for number in range(100) if number % 3 == 0]
    assert main.frame().equals(ROWS.filter(k=1))
    assert rest.frame().equals(ROWS.filter(k=2))
    assert (report.rows_in, report.rows_out) == (100, 100)


def test_all_branches_may_end_in_sinks_and_nothing_comes_after() -> None:
    zero, rest = TestSink(), TestSink()
    ended = (
        source()
        .split(pl.col("k") == 0)
        .branch("true", lambda rows: rows.sink(zero))
        .branch("false", lambda rows: rows.sink(Sink.fanout([rest, TestSink()])))
        .merge()
    )
    report = ended.build().run_sync()
    assert zero.frame().height + rest.frame().height == 100
    assert report.rows_out == 34 + 66
    with pytest.raises(PlanError, match="after a split whose branches all have sinks"):
        ended.select("x")
    with pytest.raises(PlanError, match="after a split whose branches all have sinks"):
        ended.sink(TestSink())
    assert ended.schema() is None


@pytest.mark.parametrize("last", [True, False])
def test_what_a_branch_ends_with_decides_whatever_comes_before(last: bool) -> None:
    sinks = [TestSink() for _ in range(3)]
    rows = source().filter(pl.col("x") >= 0).split(pl.col("k") == 0).branch("true").otherwise().merge()
    split = rows.split(pl.col("k")).branch("0", lambda part: part.batch(2).drop("k").sink(sinks[0]))
    if last:
        builder = split.otherwise(lambda part: part.sink(sinks[1])).merge()
        with pytest.raises(PlanError, match="after a split whose branches all have sinks"):
            builder.sink(sinks[2])
    else:
        builder = split.otherwise(lambda part: part.batch(9)).merge().sink(sinks[2])
    assert builder.build().run_sync().rows_out == 100
    assert sinks[0].frame().columns == ["x"]


def test_splits_may_be_nested() -> None:
    out = (
        source()
        .split(pl.col("k"))
        .branch("0", lambda rows: rows.split(pl.col("x") < 50).branch("true").otherwise().merge())
        .otherwise()
        .merge()
        .collect_sync()
    )
    assert out.sort("x").equals(ROWS)


def test_a_row_without_a_branch_is_an_error_that_names_it() -> None:
    builder = source().split(pl.col("k")).branch("0").branch("1").merge()
    with pytest.raises(StageError, match="rows are for no branch") as caught:
        builder.collect_sync()
    assert caught.value.stage == "split"
    assert "'2'" in str(caught.value.found)


def test_branches_that_meet_have_one_schema() -> None:
    splitting = source().split(pl.col("k")).branch("0").otherwise(lambda rows: rows.drop("k"))
    with pytest.raises(SchemaError, match="the rows of branch 'otherwise' do not fit") as caught:
        splitting.merge().sink(TestSink()).build()
    assert caught.value.stage == "split"
    assert caught.value.found == "x: Int64"


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda rows: rows.split(pl.col("k")).merge().schema(), "has no branch"),
        (lambda rows: rows.split(pl.col("x").sum()).branch("a").merge().schema(), "other rows"),
        (lambda rows: rows.split(pl.col("k")).branch("0").branch("0").merge().schema(), "two branches"),
        (lambda rows: rows.split(pl.col("k")).otherwise().otherwise(), "otherwise.. twice"),
        (lambda rows: rows.split(pl.col("k")).branch("0", "no function"), "needs a function"),
        (lambda rows: rows.split(pl.col("k")).branch("0", lambda _: 1), "needs a function"),
        (lambda rows: rows.split(pl.col("k")).branch("0", lambda _: rows), "needs a function"),
        (lambda rows: rows.split(pl.col("k")).branch("0", lambda b: b.source(None)), "source"),
        (
            lambda rows: rows.split(pl.col("k")).branch("0", lambda b: b.source(Source.from_frame(ROWS))),
            "a branch has the rows of its split",
        ),
        (lambda rows: rows.merge(), "has no other input"),
        (lambda rows: rows.merge(Pipeline.builder("b")), "(?s)'b'.*found: no source"),
        (lambda rows: rows.merge(source().sink(TestSink())), "(?s)without a sink.*found: a sink"),
        (lambda rows: rows.merge(source().select("x")).schema(), "do not fit those they meet"),
        (
            lambda rows: rows.merge(
                Pipeline.builder("later").source(TestSource.from_frames([ROWS]).undeclared())
            ).schema(),
            "'later' are unknown before it runs",
        ),
        (lambda rows: rows.buffer(0), "at least 1"),
        (lambda rows: rows.sink(Sink.fanout([])), "fanout has no sink"),
        (lambda rows: rows.sink(Sink.fanout(["x"])), "fanout takes sinks"),
        (lambda rows: rows.sink(TestSink().best_effort(0)), "too small"),
        (lambda rows: rows.on_error(ErrorHandler.skip()), "no step before it"),
        (lambda rows: rows.merge(ROWS), "merge\\(\\) takes builders"),
        (lambda rows: rows.merge(source()).on_error(ErrorHandler.skip()), "does not apply to merge"),
        (lambda rows: rows.batch(2).on_error(ErrorHandler.skip()), "does not apply to batch"),
        (lambda rows: rows.batch(2).timeout("1s", on_timeout="skip"), "does not apply to batch"),
        (lambda rows: rows.select("x").timeout(0), "too short"),
        (lambda rows: rows.select("x").timeout("1s", on_timeout="x"), "on_timeout='fail'"),
        (lambda rows: rows.select("x").timeout("1s").timeout("1s"), "timeout.. twice"),
        (lambda rows: rows.select("x").on_error(ErrorHandler.dead_letter(1)).schema(), "needs a sink"),
        (
            lambda rows: rows.split(pl.col("k")).otherwise(lambda b: b.select("x").backend("x")).branch("0"),
            None,
        ),
    ],
)
def test_what_does_not_fit_is_refused(build: Any, says: str | None) -> None:
    if says is None:
        build(source())
        return
    with pytest.raises((PlanError, SchemaError), match=says):
        build(source())


def test_an_unknown_backend_is_found_in_branches_and_in_other_inputs() -> None:
    other = source().select("x", "k").backend("nope")
    split = source().split(pl.col("k")).otherwise(lambda rows: rows.select("x").backend("nope")).branch("0")
    for builder in (source().merge(other), split.merge()):
        with pytest.raises(PlanError, match="unknown backend 'nope'"):
            builder.sink(TestSink()).build()


def test_other_sources_are_added() -> None:
    other = Pipeline.builder("other").source(Source.from_frame(ROWS, batch_rows=9)).filter(pl.col("k") == 0)
    third = Pipeline.builder("third").source(TestSource.from_frames([ROWS]))
    seen: list[Any] = []
    sink = TestSink()
    pipeline = source().filter(pl.col("x") < 5).merge(other, third).sink(sink).build()
    report = pipeline.run_sync(progress=seen.append)
    expected = pl.concat([ROWS.filter(pl.col("x") < 5), ROWS.filter(k=0), ROWS])
    assert sink.frame().sort("x", "k").equals(expected.sort("x", "k"))
    assert report.rows_in == 300
    assert [stage.name for stage in report.stages][:3] == [
        "source",
        "merge/other/source",
        "merge/third/source",
    ]
    assert seen[-1].total_rows is None


def test_every_part_of_a_fan_out_gets_every_batch() -> None:
    first, second, third = TestSink(), TestSink(), LedgerSink(blocking=True)
    fan = Sink.fanout([first, Sink.fanout([second, third])])
    source().select("x").sink(fan).build().run_sync()
    assert first.received() == second.received() == third.ledger.rows == list(range(100))


def test_a_limit_holds_for_every_part_of_a_fan_out() -> None:
    first, second = TestSink(), TestSink()
    report = source().sink(Sink.fanout([first, second])).build().run_sync(limit=10)
    assert (first.frame().height, second.frame().height, report.stopped) == (10, 10, "limit")


def test_a_row_that_several_sinks_get_leaves_the_pipeline_once() -> None:
    fan = Sink.fanout([TestSink(), TestSink(), LedgerSink(blocking=True)])
    moments: list[Progress] = []
    pipeline = source().sink(fan).build()
    report = pipeline.run_sync(progress=moments.append)
    assert (report.rows_out, pipeline.metrics().rows_out, moments[-1].rows_out) == (100, 100, 100)
    assert [stage.rows_out for stage in report.stages[-3:]] == [100, 100, 100]


def test_of_sinks_that_write_different_numbers_of_rows_the_largest_counts() -> None:
    def sevens(batch: Any) -> None:
        if any(x % 10 == 7 for x in batch["x"].to_pylist()):
            raise ValueError("sevens are refused")

    fan = Sink.fanout([Sink.to_fn(sevens).on_error(ErrorHandler.skip()), TestSink()])
    report = source().sink(fan).build().run_sync()
    assert report.rows_out == 100
    assert [stage.rows_out for stage in report.stages[-2:]] == [90, 100]


@pytest.mark.parametrize("limit", [1, 10, 37, 99])
def test_the_sinks_of_a_split_share_a_limit(limit: int) -> None:
    zero, rest, again = TestSink(), TestSink(), TestSink()
    pipeline = (
        source()
        .split(pl.col("k") == 0)
        .branch("true", lambda rows: rows.sink(zero))
        .branch("false", lambda rows: rows.sink(Sink.fanout([rest, again])))
        .merge()
        .build()
    )
    report = pipeline.run_sync(limit=limit)
    numbers = [len(sink.received()) for sink in (zero, rest, again)]
    assert numbers[0] + numbers[1] == report.rows_out == limit
    assert numbers[1] == numbers[2]
    assert report.stopped == "limit"


def test_rows_that_a_handler_skips_do_not_use_up_a_limit() -> None:
    got: list[int] = []

    def odd(batch: Any) -> None:
        values = batch["x"].to_pylist()
        if any(x % 2 == 0 for x in values):
            raise ValueError("no even numbers")
        got.extend(values)

    pipeline = source().sink(Sink.to_fn(odd)).on_error(ErrorHandler.skip()).build()
    assert pipeline.run_sync(limit=10).rows_out == 10
    assert got == list(range(1, 20, 2))


def test_rows_that_one_sink_skips_leave_by_another_that_waited_for_them() -> None:
    rest = TestSink()

    async def refuse(batch: Any) -> None:
        for _ in range(20):  # the other sink gets its rows meanwhile
            await asyncio.sleep(0)
        raise ValueError("no rows")

    pipeline = (
        source()
        .split(pl.col("x") % 2 == 0)
        .branch("true", lambda rows: rows.sink(Sink.to_fn(refuse)).on_error(ErrorHandler.skip()))
        .branch("false", lambda rows: rows.sink(rest))
        .merge()
        .build()
    )
    report = pipeline.run_sync(limit=50)
    assert len(rest.received()) == report.rows_out == 50


def test_one_sink_that_fails_leaves_nothing_in_the_others() -> None:
    good, bad = LedgerSink(blocking=False), LedgerSink(blocking=False, fail_in="prepare")
    with pytest.raises(SinkError, match="no prepare today"):
        source().sink(Sink.fanout([bad, good])).build().run_sync()
    assert good.ledger.calls[-1] == "abort"
    assert "commit" not in good.ledger.calls
    good, bad = LedgerSink(blocking=False), LedgerSink(blocking=False, fail_in="write abort")
    other = LedgerSink(blocking=False, fail_in="abort")
    with pytest.raises(SinkError, match="no write today") as caught:
        source().sink(Sink.fanout([bad, other, good])).build().run_sync()
    assert good.ledger.calls[-1] == "abort"
    assert any("no abort today" in note for note in caught.value.__notes__)


def in_a_branch(broken: SinkSpec, sink: SinkSpec) -> Builder:
    split = source().split(pl.col("k")).branch("0", lambda rows: rows.sink(broken))
    return split.otherwise(lambda rows: rows.sink(sink)).merge()


PLACES: dict[str, Callable[[SinkSpec, SinkSpec], Builder]] = {
    "fanout": lambda broken, sink: source().sink(Sink.fanout([broken, sink])),
    "dead letters": lambda broken, sink: (
        source().map(lambda rows: rows).on_error(ErrorHandler.dead_letter(sink)).sink(broken)
    ),
    "late rows": lambda broken, sink: source().window(size=1, on="x", late=sink).agg(pl.len()).sink(broken),
    "branch": in_a_branch,
    "dead letters of a sink": lambda broken, sink: source().sink(
        broken.on_error(ErrorHandler.dead_letter(sink))
    ),
}


@pytest.mark.parametrize("place", PLACES)
def test_sinks_that_never_opened_are_told(place: str) -> None:
    tx, rx = channel()
    broken = LedgerSink(blocking=False, fail_in="open")

    async def main() -> None:
        with pytest.raises(SinkError):
            await PLACES[place](broken, Sink.to_channel(tx)).build().run()
        with pytest.raises(Exception, match="no open today"):
            await anext(rx)

    asyncio.run(main())


@pytest.mark.parametrize("late", [False, True])
def test_marks_too_are_dropped_where_the_queue_is_full_but_no_barrier(late: bool) -> None:
    async def main() -> tuple[list[str], int]:
        queue = BestEffortQueue(StageCounters("sink"), 1)
        for element in (Batch(ROWS), Watermark(5), Batch(ROWS), Barrier(1), Batch(ROWS), Barrier(2)):
            await queue.send(element)
        seen = [str(await queue.receive())]
        if late:
            # There is room, but what came now would overtake the barriers.
            await queue.send(Batch(ROWS[:1]))
            seen += [str(await queue.receive()), str(await queue.receive())]
            await queue.send(Batch(ROWS[:2]))
        await queue.end()
        while (element := await queue.receive()) is not None:
            seen.append(str(element))
        return seen, queue.counters.dropped_rows

    barriers = ["Barrier(epoch=1, last=False)", "Barrier(epoch=2, last=False)"]
    rows, dropped = asyncio.run(main())
    if late:
        assert (rows, dropped) == (["Batch(100 rows)", *barriers, "Batch(2 rows)"], 201)
    else:
        assert (rows, dropped) == (["Batch(100 rows)", *barriers], 200)


def test_a_best_effort_sink_never_holds_the_others_back() -> None:
    waits, full = asyncio.Event(), asyncio.Event()
    got: list[int] = []
    main: list[int] = []

    def quick(batch: Any) -> None:
        main.extend(batch["x"].to_pylist())
        if len(main) == 100:
            full.set()

    async def slow(batch: Any) -> None:
        got.append(batch.num_rows)
        await waits.wait()

    async def run() -> None:
        fan = Sink.fanout([Sink.to_fn(quick), Sink.to_fn(slow).best_effort(buffer=2)])
        running = asyncio.create_task(source(10).sink(fan).build().run())
        await full.wait()
        waits.set()
        await running

    asyncio.run(run())
    assert len(got) < 10
    assert main == list(range(100))


@pytest.mark.parametrize("fails_in", ["write", "prepare", "commit"])
def test_a_best_effort_sink_that_fails_is_lost_and_the_run_goes_on(
    fails_in: str, caplog: pytest.LogCaptureFixture
) -> None:
    main, bad = TestSink(), LedgerSink(blocking=False, fail_in=fails_in)
    source().select("x").sink(Sink.fanout([main, bad.best_effort()])).build().run_sync()
    assert main.frame().height == 100
    assert bad.ledger.calls[-1] == "abort"
    assert bad.ledger.calls.count("write") == (1 if fails_in == "write" else 15)
    assert "gets nothing more" in caplog.text


def test_a_best_effort_sink_alone_and_what_it_says() -> None:
    sink = TestSink()
    builder = source().sink(Sink.fanout([sink.best_effort(8)]))
    text = builder.build().explain()
    assert "sink 1: test, best effort" in text
    assert "misses batches when more than 8 wait" in text
    builder.build().run_sync()
    assert sink.frame().equals(ROWS)


def test_a_sink_may_be_tried_again() -> None:
    calls: list[int] = []

    def flaky(batch: Any) -> None:
        calls.append(batch.num_rows)
        if len(calls) % 2:
            raise OSError("try again")

    builder = source(50).sink(Sink.to_fn(flaky)).on_error(ErrorHandler.retry(1, delay=0))
    report = builder.build().run_sync()
    assert calls == [50] * 4
    assert report.rows_out == 100


def test_rows_that_fail_are_put_aside_by_the_step_that_they_fail_in() -> None:
    texts = pl.DataFrame({"s": ["1", "a", "3", "b", "5"]})
    dead, good = TestSink(), TestSink()
    pipeline = (
        Pipeline.builder()
        .source(Source.from_frame(texts, batch_rows=3))
        .with_columns(s=pl.col("s").str.strip_chars())
        .cast({"s": pl.Int64})
        .on_error(ErrorHandler.dead_letter(dead))
        .sink(good)
        .build()
    )
    pipeline.run_sync()
    assert good.received() == [1, 3, 5]
    assert dead.frame().select("s", "stage", "position").rows() == [
        ("a", "cast", "frame rows 1-2"),
        ("b", "cast", "frame rows 3-4"),
    ]
    assert "on error: dead_letter(test)" in pipeline.explain()


def test_a_step_that_takes_too_long_fails_or_is_left_out() -> None:
    async def stuck(batch: Any) -> None:
        await asyncio.Event().wait()

    with pytest.raises(StageTimeout):
        source().sink(Sink.to_fn(stuck)).timeout("1ms").build().run_sync()
    quick = source().select("x").timeout("1h").sink(TestSink()).build()
    assert quick.run_sync().rows_out == 100
    pipeline = source().sink(Sink.to_fn(stuck)).timeout(0.001, on_timeout="skip").build()
    assert pipeline.run_sync().rows_out == 0
    assert "timeout: 0.001 s, then leave the batch out" in pipeline.explain()
    assert "then fail" in source().sink(Sink.to_fn(stuck)).timeout("1ms").build().explain()
    # One that fails the run may also be over a step whose state would be half changed.
    assert source().batch(7).timeout("1h").sink(TestSink()).build().run_sync().rows_out == 100


GOLDEN = """\
pipeline pipeline
  source: test
    schema: learnt from the first batch, then checked
  step split: split(k)
    branch 0
      step select: select(x, k)  [backend polars]
      sink: test
        guarantee: in memory: complete when the run has ended well
    branch otherwise
  step merge: merge(other)
    input other
      source: frame
      step filter: filter(k == 0)
        on error: skip()
  sink: test
    guarantee: in memory: complete when the run has ended well"""


def test_explain_before_the_schema_is_known() -> None:
    other = Pipeline.builder("other").source(Source.from_frame(ROWS)).filter(pl.col("k") == 0)
    builder = (
        Pipeline.builder()
        .source(TestSource.from_frames([ROWS]).undeclared())
        .split(pl.col("k"))
        .branch("0", lambda rows: rows.select("x", "k").backend("polars").sink(TestSink()))
        .otherwise()
        .merge()
        .merge(other.on_error(ErrorHandler.skip()))
        .sink(TestSink())
    )
    assert builder.build().explain() == GOLDEN


SPLIT = """\
  stage split
      split(k)
    branch 0
      stage split/0/with_columns
          with_columns(x = x * 2)
        backend: auto: arrow below ~45,000 rows, polars above
        -> x: Int64, k: Int64
    branch otherwise
      sink: test
        guarantee: in memory: complete when the run has ended well
    -> x: Int64, k: Int64
"""


def test_explain_shows_every_branch() -> None:
    split = source().split(pl.col("k")).branch("0", lambda rows: rows.map(x=pl.col("x") * 2))
    assert (
        SPLIT
        in split.otherwise(lambda rows: rows.sink(TestSink())).merge().sink(TestSink()).build().explain()
    )


def test_explain_shows_other_inputs() -> None:
    text = source().merge(source().filter(pl.col("k") == 0)).sink(TestSink()).build().explain()
    assert "  stage merge\n      merge(pipeline)\n    input pipeline\n      source: frame\n" in text
    assert "      stage merge/pipeline/filter\n" in text


def test_marks_go_down_every_branch_and_meet_again() -> None:
    script = [ROWS, Watermark(3), Barrier(1), ROWS]
    seen: list[str] = []

    class Noting(ScriptedProcess):
        def on_watermark(self, time_us: int) -> list[Element]:
            seen.append(f"watermark {time_us}")
            return [Watermark(time_us)]

    split = (
        Pipeline.builder().source(TestSource.from_frames(script)).split(pl.col("k")).branch("0").otherwise()
    )
    graph = split.merge().graph.with_step(ScriptedOperator("noting", Noting))
    assert Builder(graph).collect_sync().height == 200
    assert seen == ["watermark 3"]


def test_a_fan_out_before_the_schema_is_known(tmp_path: Path) -> None:
    fan = Sink.fanout([TestSink(), Sink.to_file(tmp_path / "x.parquet").best_effort()])
    pipeline = Pipeline.builder().source(TestSource.from_frames([]).undeclared()).sink(fan).build()
    assert "  sink 2: file" in pipeline.explain()
    assert "guarantee: in memory: complete when the run has ended well\n" in pipeline.explain()
    assert pipeline.explain().endswith("guarantee: best effort: misses batches when more than 64 wait")
    with pytest.raises(SchemaError, match="its columns are unknown"):
        pipeline.run_sync()
    tx, rx = channel()
    sink = Sink.to_channel(tx).best_effort()
    Pipeline.builder().source(TestSource.from_frames([]).undeclared()).sink(
        Sink.fanout([sink])
    ).build().run_sync()
    with pytest.raises(StopAsyncIteration):
        rx.receive_nowait()


class ShuffledLoop(asyncio.SelectorEventLoop):
    """Runs what is ready in an order of chance: whatever holds here holds under any schedule."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._random = random.Random(seed)

    def _run_once(self) -> None:
        ready = list(self._ready)  # type: ignore[attr-defined]
        self._random.shuffle(ready)
        self._ready = deque(ready)
        super()._run_once()  # type: ignore[misc]


@pytest.mark.hypothesis
def test_many_schedules_give_the_same_rows() -> None:
    """A diamond with retry, split, merge and a slow sink."""
    expected = ROWS.with_columns(way=pl.when(k=0).then(pl.lit("a")).otherwise(pl.lit("b")))
    chance, got, tries = random.Random(), [], []

    async def slow(batch: Any) -> None:
        for _ in range(chance.randrange(3)):
            await asyncio.sleep(0)
        got.append(pl.from_arrow(batch))

    async def flaky(batch: Any) -> None:
        await asyncio.sleep(0)
        if chance.random() < 0.3:
            raise OSError("once more")
        tries.append(pl.from_arrow(batch))

    pipeline = (
        source(25)
        .split(pl.col("k") == 0)
        .branch("true", lambda rows: rows.map(way=pl.lit("a")).buffer(2))
        .branch("false", lambda rows: rows.map(way=pl.lit("b")).batch(17))
        .merge()
        .sink(Sink.fanout([Sink.to_fn(slow), Sink.to_fn(flaky)]))
        .on_error(ErrorHandler.retry(50, delay=0))
        .build()
    )
    for seed in range(examples(100)):
        chance.seed(seed)
        got.clear()
        tries.clear()
        with asyncio.Runner(loop_factory=lambda seed=seed: ShuffledLoop(seed)) as runner:
            report = runner.run(pipeline.run())
        assert pl.concat(got).sort("x").equals(expected), seed
        assert pl.concat(tries).sort("x").equals(expected), seed
        assert report.rows_in == 100


@settings(max_examples=examples(30))
@given(cut=st.integers(1, 50), size=st.integers(1, 40), capacity=st.integers(1, 3))
def test_a_diamond_keeps_its_rows_whatever_the_cut(cut: int, size: int, capacity: int) -> None:
    out = (
        source(cut)
        .split(pl.col("k"))
        .branch("1", lambda rows: rows.buffer(capacity))
        .otherwise(lambda rows: rows.batch(size))
        .merge()
        .collect_sync()
    )
    assert out.sort("x").equals(ROWS)
