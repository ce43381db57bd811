"""A split is a stage: counted, named in errors, and off the loop's thread where a batch is large."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

import polars as pl
import pytest

from arrowstream import Pipeline, Source
from arrowstream.core.batch import Barrier, Batch, Element, Watermark
from arrowstream.core.clock import Clock, MonotonicClock
from arrowstream.errors import StageError
from arrowstream.metrics.prometheus import exposition
from arrowstream.plan.placement.choice import Placement
from arrowstream.runtime.call_times import CallTimes
from arrowstream.runtime.flow.ports import ChannelLimits
from arrowstream.runtime.flow.router import RunningRouter
from arrowstream.runtime.resources import Resources
from arrowstream.runtime.threads import Threads
from arrowstream.testing import ManualClock, TestSink, TestSource

ROWS = pl.DataFrame({"x": range(100), "k": [number % 3 for number in range(100)]})
LARGE = pl.DataFrame({"x": range(100_000)})


class Ways:
    """A route that notes which thread it runs on, and perhaps takes some time."""

    def __init__(self, clock: ManualClock | None = None, takes_ms: float = 0) -> None:
        self.threads: list[bool] = []
        self._clock = clock
        self._takes_ns = round(takes_ms * 1e6)

    def __call__(self, batch: Batch) -> list[tuple[str, Batch]]:
        self.threads.append(threading.current_thread() is threading.main_thread())
        if self._clock is not None:
            self._clock.set_ns(self._clock.now_ns() + self._takes_ns)
        rows = batch.num_rows
        return [("a", batch.slice(0, rows // 2)), ("b", batch.slice(rows // 2, rows - rows // 2))]


def routed(route: Ways, elements: Sequence[Element], clock: Clock) -> tuple[RunningRouter, list[list[str]]]:
    """The router and what each branch gets of these elements."""

    async def main() -> tuple[RunningRouter, list[list[str]]]:
        threads = Threads(1)
        channels = {name: ChannelLimits(100).channel() for name in ("a", "b")}
        outputs = {name: output for name, (output, _) in channels.items()}
        router = RunningRouter("split", route, outputs, Resources(clock, threads))
        for element in elements:
            await router.send(element)
        await router.end()
        threads.close()
        got: list[list[str]] = []
        for _, port in channels.values():
            got.append([])
            while (element_or_end := await port.receive()) is not None:
                got[-1].append(str(element_or_end))
        return router, got

    return asyncio.run(main())


def test_rows_and_marks_are_counted_by_branch() -> None:
    router, got = routed(Ways(), [Batch(ROWS[:5]), Watermark(7), Barrier(1), Batch(ROWS[:2])], ManualClock())
    marks = ["Watermark(time_us=7)", "Barrier(epoch=1, last=False)"]
    assert got == [["Batch(2 rows)", *marks, "Batch(1 row)"], ["Batch(3 rows)", *marks, "Batch(1 row)"]]
    moment = router.counters.snapshot(wall_us=0)
    assert (moment.rows_in, moment.rows_out, moment.watermark_us) == (7, 7, 7)
    assert (dict(moment.batches), dict(moment.rows_by_branch)) == ({"split": 2}, {"a": 3, "b": 4})


def test_a_large_batch_is_divided_on_a_worker_thread_from_the_first_one_on() -> None:
    route = Ways()
    routed(route, [Batch(LARGE), Batch(ROWS)], MonotonicClock())
    assert route.threads[0] is False
    route = Ways()
    routed(route, [Batch(ROWS), Batch(ROWS)], ManualClock())
    assert route.threads == [True, True]


def test_a_small_batch_leaves_the_loop_once_one_has_taken_long() -> None:
    clock = ManualClock()
    route = Ways(clock, takes_ms=2)
    router, _ = routed(route, [Batch(ROWS)] * 3, clock)
    assert route.threads == [True, False, False]
    assert router.counters.snapshot(wall_us=0).busy_seconds == pytest.approx(0.006)


def test_the_hop_to_a_thread_is_latency_and_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, hops = ManualClock(), []
    call = Threads.call

    async def slow(threads: Threads, function: Callable[..., Any], *arguments: object) -> Any:
        clock.set_ns(clock.now_ns() + 1_000_000)
        hops.append(function)
        return await call(threads, function, *arguments)

    monkeypatch.setattr(Threads, "call", slow)
    learnt: list[float] = []
    monkeypatch.setattr(Placement, "observe", lambda self, choice, rows, seconds: learnt.append(seconds))
    many = pl.concat([LARGE] * 10)
    pipeline = (
        Pipeline.builder()
        .source(Source.from_frame(many, batch_rows=len(many)))
        .with_columns(y=pl.col("x") * 2)
        .scan(z=pl.col("x").cum_sum())
        .split(pl.col("x") % 2)
        .branch("0")
        .branch("1")
        .merge()
        .sink(TestSink())
        .build(clock=clock)
    )
    stages = {stage.name: stage for stage in pipeline.run_sync().stages}
    assert len(hops) >= 3
    for name in ("with_columns", "scan", "split"):
        assert (stages[name].busy_seconds, stages[name].latency.p50_ms >= 1) == (0, True)
    assert learnt == [0]


@pytest.mark.parametrize(
    ("rows", "taken_us", "next_rows", "inline"),
    [
        (1_000, 300, 1_000, True),
        (1_000, 300, 3_000, True),
        (1_000, 300, 4_000, False),
        (1_000, 1_100, 1, False),
        (1_000, 300, 0, True),
        (0, 300, 6_999, True),
        (0, 300, 7_000, False),
        (0, 1_000, 0, False),
    ],
)
def test_the_last_call_predicts_the_next_one(rows: int, taken_us: int, next_rows: int, inline: bool) -> None:
    times = CallTimes()
    times.observe(rows, taken_us * 1_000)
    assert times.runs_inline(next_rows) is inline


def test_a_split_shows_in_report_and_metrics() -> None:
    pipeline = (
        Pipeline.builder()
        .source(Source.from_frame(ROWS, batch_rows=50))
        .split(pl.col("k"))
        .branch("0", lambda rows: rows.map(x=pl.col("x") * 2))
        .branch("1")
        .otherwise()
        .merge()
        .sink(TestSink())
        .build()
    )
    report = pipeline.run_sync()
    assert [stage.name for stage in report.stages] == ["source", "split", "split/0/with_columns", "sink"]
    split = pipeline.metrics().stages["split"]
    assert (split.rows_in, split.rows_out, split.batches) == (100, 100, {"split": 2})
    assert dict(split.rows_by_branch) == {"0": 34, "1": 33, "otherwise": 33}
    text = exposition(pipeline.metrics())
    assert 'arrowstream_branch_rows_total{branch="0",pipeline="pipeline",stage="split"} 34.0' in text


def test_a_route_that_fails_is_counted() -> None:
    source = TestSource.from_frames([ROWS])
    pipeline = (
        Pipeline.builder().source(source).split(pl.col("k")).branch("0").merge().sink(TestSink()).build()
    )
    with pytest.raises(StageError, match="for no branch") as caught:
        pipeline.run_sync()
    assert caught.value.stage == "split"
    assert pipeline.metrics().stages["split"].errors == 1


def test_the_loop_goes_on_while_a_large_batch_is_divided() -> None:
    """The route ends only once the loop has run something else meanwhile."""
    asked, answered = threading.Event(), threading.Event()

    class Waiting(Ways):
        def __call__(self, batch: Batch) -> list[tuple[str, Batch]]:
            asked.set()
            assert answered.wait(30)
            return super().__call__(batch)

    async def main() -> None:
        threads = Threads(1)
        outputs = {name: ChannelLimits(100).channel()[0] for name in ("a", "b")}
        router = RunningRouter("split", Waiting(), outputs, Resources(MonotonicClock(), threads))
        sending = asyncio.ensure_future(router.send(Batch(LARGE)))
        assert await asyncio.to_thread(asked.wait, 30)
        answered.set()
        await sending
        threads.close()

    asyncio.run(main())
