"""A barrier in a running stage: the state is saved before it is passed on, and restored when a run begins."""

import asyncio
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from memory_store import MemoryStore, run_with
from scripted import LedgerSink, ScriptedOperator, ScriptedProcess

from arrowstream import Builder, Pipeline, Processor, Sink
from arrowstream.core.batch import Barrier, Batch, Idle, Watermark
from arrowstream.core.step_context import StepContext
from arrowstream.errors import SnapshotError, StageError
from arrowstream.operators.base import AsyncProcess, Process
from arrowstream.plan.step_ids import state_ids
from arrowstream.testing import Abort, Aborted, TestSink, TestSource

pytestmark = pytest.mark.once

FRAMES = [pl.DataFrame({"x": [start, start + 1]}) for start in range(0, 10, 2)]
SCRIPT: list[Any] = [*FRAMES[:2], Barrier(1), *FRAMES[2:4], Barrier(2), FRAMES[4]]


def rows(script: list[Any] = SCRIPT) -> Builder:
    return Pipeline.builder().source(TestSource.from_frames(script))


def with_operator(name: str, process: type[Process], script: list[Any] = SCRIPT) -> Builder:
    builder = rows(script)
    return Builder(builder.graph.with_step(ScriptedOperator(name, process)))


def test_the_state_is_saved_before_the_barrier_goes_on_and_on_a_worker_thread() -> None:
    order: list[str] = []

    class First(ScriptedProcess):
        def snapshot(self) -> Any:
            assert threading.current_thread() is not threading.main_thread()
            order.append("first")
            return super().snapshot()

    class Second(ScriptedProcess):
        def snapshot(self) -> Any:
            order.append("second")
            return super().snapshot()

    graph = (
        rows().graph.with_step(ScriptedOperator("first", First)).with_step(ScriptedOperator("second", Second))
    )
    pipeline = Builder(graph).sink(TestSink()).build()
    store = MemoryStore()
    reached: list[tuple[str, int]] = []

    def note(name: str, epoch: int) -> None:
        reached.append((name, epoch))
        order.append(f"sink {epoch}")

    asyncio.run(run_with(pipeline, snapshots=store, on_sink_barrier=note))
    # Here nobody waits for one epoch before the next barrier comes: the first step may be ahead of the sink by one.
    assert sorted(order) == ["first", "first", "second", "second", "sink 1", "sink 2"]
    first, second = (
        [place for place, each in enumerate(order) if each == name] for name in ("first", "second")
    )
    for epoch in (1, 2):
        assert first[epoch - 1] < second[epoch - 1] < order.index(f"sink {epoch}")
    assert reached == [("sink", 1), ("sink", 2)]
    assert {(id.partition("-")[0], epoch) for id, epoch in store.saved} == {
        (step, epoch) for step in ("source", "first", "second") for epoch in (1, 2)
    }


def test_without_a_store_a_barrier_takes_no_snapshot() -> None:
    class Never(ScriptedProcess):
        def snapshot(self) -> Any:
            raise AssertionError("nobody asked for it")

    report = with_operator("never", Never).sink(TestSink()).build().run_sync()
    assert report.rows_out == 10


def test_a_store_that_fails_ends_the_run_and_names_the_step() -> None:
    class Full(MemoryStore):
        def save(self, step_id: str, epoch: int, batches: Iterator[pa.RecordBatch]) -> None:
            if step_id != "source":
                raise OSError("no space left")

    pipeline = with_operator("held", ScriptedProcess).sink(TestSink()).build()
    with pytest.raises(StageError, match=r"no space left \(stage held\)"):
        asyncio.run(run_with(pipeline, snapshots=Full()))


STEPS: dict[str, Any] = {
    "reduce": lambda builder: builder.reduce(total=pl.col("x").sum()),
    "batch": lambda builder: builder.batch(rows=3),
    "scan": lambda builder: builder.scan(total=pl.col("x").cum_sum()),
    "window": lambda builder: builder.window(rows=3).agg(total=pl.col("x").sum()),
    "throttle": lambda builder: builder.throttle(rows=1_000, per="1s"),
    "processor": lambda builder: builder.process(Totals),
    "parallel map": lambda builder: builder.parallel_map(lambda batch: batch, workers=3),
}


class Totals(Processor):
    """Adds up, and gives each total."""

    def __init__(self) -> None:
        self.total = 0

    async def process(self, batch: pa.RecordBatch) -> Any:
        self.total += sum(batch["x"].to_pylist())
        return pl.DataFrame({"x": [self.total]})

    def snapshot(self) -> Any:
        assert threading.current_thread() is threading.main_thread()
        return pl.DataFrame({"total": [self.total]})

    def restore(self, state: pa.Table) -> None:
        self.total = state["total"][0].as_py()


@pytest.mark.parametrize("step", STEPS)
def test_a_run_continues_from_a_barrier_as_if_it_had_never_ended(step: str) -> None:
    whole = TestSink()
    STEPS[step](rows()).sink(whole).build().run_sync()
    store, first, second = MemoryStore(), TestSink(), TestSink()
    until: list[int] = []
    script = [*SCRIPT[:5], Barrier(2), Abort(), SCRIPT[-1]]

    def note(name: str, epoch: int) -> None:
        until.append(first.frame().height)

    builder = STEPS[step](rows(script))
    with pytest.raises(Aborted):
        asyncio.run(run_with(builder.sink(first).build(), snapshots=store, on_sink_barrier=note))
    store.complete = 2
    asyncio.run(run_with(builder.sink(second).build(), snapshots=store))
    before = first.frame().head(until[-1])
    assert pl.concat([before, second.frame()]).equals(whole.frame())


TOTAL = {"total": pl.col("x").cum_sum()}


def saved_by(steps: Callable[[Builder], Builder]) -> MemoryStore:
    """The store of a run of `steps` whose last complete epoch is 2."""
    store = MemoryStore()
    builder = steps(rows([*SCRIPT[:6], SCRIPT[-1]]))
    asyncio.run(run_with(builder.sink(TestSink()).build(), snapshots=store))
    store.complete = 2
    return store


def restored(store: MemoryStore, steps: Callable[[Builder], Builder]) -> pl.DataFrame:
    sink = TestSink()
    builder = steps(rows([*SCRIPT[:6], SCRIPT[-1]]))
    asyncio.run(run_with(builder.sink(sink).build(), snapshots=store))
    return sink.frame()


OTHER_STEPS: dict[str, Callable[[Builder], Builder]] = {
    "one before": lambda b: b.scan(n=pl.col("x").cum_count()).scan(**TOTAL).select("x", "total"),
    "one after": lambda b: b.scan(**TOTAL).scan(n=pl.col("x").cum_count()).select("x", "total"),
    "steps without state": lambda b: b.filter(pl.col("x") >= 0).scan(**TOTAL).map(lambda batch: batch),
}


@pytest.mark.untraced
@pytest.mark.parametrize("change", OTHER_STEPS)
def test_a_step_finds_its_state_whatever_steps_are_added(change: str) -> None:
    found = restored(saved_by(lambda b: b.scan(**TOTAL)), OTHER_STEPS[change])
    assert found.rows() == [(8, 36), (9, 45)]


def test_saved_state_that_belongs_to_no_step_is_refused() -> None:
    store = saved_by(lambda b: b.scan(**TOTAL).map(lambda batch: batch))
    (lost,) = set(store.state_ids()) - {"source"}

    def changed(b: Builder) -> Builder:
        return b.scan(total=pl.col("x").cum_sum() + 0)

    with pytest.raises(SnapshotError) as caught:
        restored(store, changed)
    (fresh,) = state_ids(changed(rows()).graph.steps)
    assert lost.startswith("scan-") and fresh.startswith("scan-") and fresh != lost
    assert str(caught.value).splitlines() == [
        "saved state belongs to no step of the pipeline, so it would be lost",
        f"  expected: steps {lost}",
        f"  found: steps without saved state: {fresh}",
        f"  hint: a changed step has another id: name it as it was, .named({lost!r}), or run without the snapshots",
    ]
    found = restored(store, lambda b: changed(b).named(lost))
    assert found.rows() == [(8, 36), (9, 45)]


def test_state_of_a_step_that_is_gone_is_refused_too() -> None:
    store = saved_by(lambda b: b.scan(**TOTAL).named("totals").reduce(n=pl.len()))
    with pytest.raises(SnapshotError, match=r"expected: steps totals\n  found: only steps with saved state"):
        restored(store, lambda b: b.reduce(n=pl.len()))


def test_state_inside_branches_is_checked() -> None:
    def steps(b: Builder, name: str) -> Builder:
        split = b.split(pl.col("x") % 2 == 0).branch("true", lambda way: way.scan(**TOTAL).named(name))
        return split.otherwise(lambda way: way.with_columns(total=pl.col("x"))).merge()

    store = saved_by(lambda b: steps(b, "even"))
    split = next(id for id in store.state_ids() if id.endswith("/even")).split("/")[0]
    assert re.fullmatch("split-[0-9a-f]{4}", split)
    assert restored(store, lambda b: steps(b, "even")).height == 2
    with pytest.raises(
        SnapshotError, match=rf"steps {split}/true/even(?s:.*){split}/true/odd(?s:.*)named\('even'\)"
    ):
        restored(store, lambda b: steps(b, "odd"))


def split_totals(b: Builder) -> Builder:
    split = b.split(pl.col("x") % 2 == 0).branch("true", lambda way: way.scan(**TOTAL))
    return split.otherwise(lambda way: way.with_columns(total=pl.lit(0, pl.Int64))).merge()


def other_split(b: Builder) -> Builder:
    split = b.split(pl.col("x") < 3).branch("true", lambda way: way.scan(n=pl.col("x").cum_count()).drop("n"))
    return split.otherwise(lambda way: way.filter(pl.col("x") >= 0)).merge()


@pytest.mark.untraced
@pytest.mark.parametrize(
    "add", [lambda b: split_totals(other_split(b)), lambda b: other_split(split_totals(b))]
)
def test_steps_inside_a_split_find_their_state_whatever_splits_are_added(
    add: Callable[[Builder], Builder],
) -> None:
    found = restored(saved_by(split_totals), add)
    alone = restored(saved_by(split_totals), split_totals)
    assert found.sort("x").rows() == alone.sort("x").rows() == [(8, 20), (9, 0)]


@pytest.mark.parametrize("step", STEPS)
def test_marks_of_silence_change_no_rows(step: str) -> None:
    silent = [Idle(), FRAMES[0], Idle(), *FRAMES[1:], Idle()]
    assert STEPS[step](rows(silent)).collect_sync().equals(STEPS[step](rows(FRAMES)).collect_sync())


class Slow(AsyncProcess):
    """Works on three batches at a time, and notes what begins and ends."""

    concurrency = 3

    def __init__(self, notes: list[str]) -> None:
        self._notes = notes

    async def process(self, batch: Batch) -> Iterable[Batch]:
        first = batch.polars()["x"][0]
        self._notes.append(f"begin {first}")
        for _ in range(20):
            await asyncio.sleep(0)
        self._notes.append(f"end {first}")
        return [batch]

    def snapshot(self) -> Any:
        self._notes.append("snapshot")
        return super().snapshot()


@pytest.mark.parametrize("stored", [False, True])
def test_no_batch_is_begun_after_a_barrier_before_those_in_front_are_done(stored: bool) -> None:
    notes: list[str] = []

    class SlowOperator(ScriptedOperator):
        def start(self, schema: pl.Schema, context: StepContext) -> Any:
            return Slow(notes)

    graph = rows([*FRAMES[:3], Barrier(1), Watermark(1), *FRAMES[3:]]).graph
    operator = SlowOperator("slow", ScriptedProcess)
    sink = TestSink()
    pipeline = Builder(graph.with_step(operator)).sink(sink).build()
    asyncio.run(run_with(pipeline, snapshots=MemoryStore() if stored else None))
    assert sink.received() == list(range(10))
    assert notes[:3] == ["begin 0", "begin 2", "begin 4"]
    assert notes[3:6] == ["end 0", "end 2", "end 4"]
    assert notes[6:] == [*["snapshot"] * stored, "begin 6", "begin 8", "end 6", "end 8"]


@pytest.mark.parametrize("fails", [False, True])
def test_a_barrier_reaches_every_sink_best_effort_and_lost_ones_too(fails: bool) -> None:
    reached: list[tuple[str, int]] = []
    spare = LedgerSink(blocking=True, fail_in="write" if fails else "")
    fan = Sink.fanout([TestSink(), spare.best_effort(1)])
    pipeline = rows([*FRAMES, Barrier(1), *FRAMES, Barrier(2), Barrier(3)]).sink(fan).build()
    asyncio.run(run_with(pipeline, on_sink_barrier=lambda name, epoch: reached.append((name, epoch))))
    for sink in ("sink 1", "sink 2"):
        assert [epoch for name, epoch in reached if name == sink] == [1, 2, 3]
