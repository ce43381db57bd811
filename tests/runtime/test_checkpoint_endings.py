"""Ends of inputs and of runs with checkpoints: nothing leaves after the last barrier, and nothing is left behind."""

import asyncio
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from epoch_files import EpochFiles, PacedReader, PacedSource
from kills import stopped_at
from memory_store import MemoryStore

from arrowstream import Builder, ErrorHandler, Pipeline, Processor, Sink
from arrowstream.checkpoints.inspection import epochs
from arrowstream.core.batch import Barrier, Batch, Element, Watermark
from arrowstream.core.checkpoints.failpoints import Failpoint
from arrowstream.core.clock import MonotonicClock
from arrowstream.core.snapshot_store import SourcePosition
from arrowstream.core.step_context import StepContext
from arrowstream.errors import CheckpointError, PlanError
from arrowstream.io.sink import SinkSpec
from arrowstream.io.source import BlockingReader, Query, Reader, SourceSpec
from arrowstream.io.writer import Handle, Writer
from arrowstream.runtime.endpoints.source import RunningSource
from arrowstream.runtime.flow.merge import RunningMerge
from arrowstream.runtime.flow.ports import WaitingOutput
from arrowstream.runtime.resources import Resources
from arrowstream.runtime.threads import Threads

pytestmark = pytest.mark.once

FRAMES = [pl.DataFrame({"x": [number * 3 + row for row in range(3)]}) for number in range(8)]
N = 24


class Collected(WaitingOutput):
    """A port that keeps what it gets, after an event if it has one."""

    blocking = False
    counters = None

    def __init__(self, after: asyncio.Event | None = None) -> None:
        self.elements: list[Element | None] = []
        self.begun = asyncio.Event()
        self._after = after

    async def send(self, element: Element) -> None:
        self.begun.set()
        if self._after is not None:
            await self._after.wait()
        self.elements.append(element)

    async def end(self) -> None:
        self.elements.append(None)


def stopped_after(pipeline: Pipeline, epochs: int, state: Path) -> None:
    """A run that is stopped gently once so many checkpoints are complete."""
    assert stopped_at(pipeline, Failpoint.EPOCH_MARKED, epochs, state).stopped == "stop"


@pytest.mark.parametrize("last", [False, True])
def test_the_end_of_an_input_comes_after_its_barrier(last: bool) -> None:
    """The input with the lowest watermark has passed its barrier and ended: that must not close windows before it."""

    async def main() -> list[Element | None]:
        output = Collected()
        merge = RunningMerge(2, output)
        low, high = merge.port(0), merge.port(1)
        await low.send(Watermark(5))
        await low.send(Barrier(1, last))
        ending = asyncio.ensure_future(low.end())
        await asyncio.sleep(0)
        await high.send(Watermark(50))
        await high.send(Barrier(1, last))
        await ending
        await high.end()
        return output.elements

    barrier = Barrier(1, last)
    after = [] if last else [Watermark(50)]
    assert asyncio.run(main()) == [Watermark(5), barrier, *after, None]


class Summary(Processor):
    """One row at the end: how many rows there were."""

    def __init__(self) -> None:
        self.seen = 0

    async def process(self, batch: Any) -> Any:
        self.seen += batch.num_rows

    async def on_watermark(self, time_us: int) -> Any:
        return None

    async def finish(self) -> Any:
        return pl.DataFrame({"x": [1_000 + self.seen]})

    def snapshot(self) -> Any:
        return pl.DataFrame({"seen": [self.seen]})

    def restore(self, state: Any) -> None:
        self.seen = state["seen"][0].as_py()


class LateEnd(PacedSource):
    """One that ends once an epoch is complete."""

    def open(
        self, context: StepContext, query: Query | None = None, resume: SourcePosition | None = None
    ) -> Reader:
        assert resume is not None
        return LateEndReader(self, int(str(resume["batch"])))


class LateEndReader(PacedReader):
    async def read(self) -> Batch | None:
        while self._epochs < 2:  # the first one is that of the earlier run
            self._changed.clear()
            await self._changed.wait()
        return await super().read()


STEPS = {
    "batch": (lambda rows: rows.batch(rows=100), [0, 1, 2], [3, 4, 5]),
    "reduce": (lambda rows: rows.reduce(x=pl.col("x").sum()), [3], [12]),
    "process": (lambda rows: rows.process(Summary), [1_003], [1_003]),
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("grows", [False, True])
def test_a_step_whose_input_had_ended_gives_out_new_rows_and_nothing_twice(
    tmp_path: Path, step: str, grows: bool
) -> None:
    kept, (work, first, second) = EpochFiles(tmp_path / "out"), STEPS[step]

    def job(short: SourceSpec, an_epoch: int | None = 1) -> Pipeline:
        long = Pipeline.builder("long").source(PacedSource(FRAMES, an_epoch))
        other: Builder = work(Pipeline.builder("short").source(short))
        return long.with_columns(x=pl.lit(-1, pl.Int64)).merge(other).sink(kept).build()

    # No barrier comes before the short input has ended; then some pass the finished step; then none come again.
    job(PacedSource(FRAMES[:1])).run_sync(checkpoint=tmp_path / "state", every="1h", duration="200ms")
    stopped_after(job(LateEnd(FRAMES[:1])), 3, tmp_path / "state")
    last = PacedSource(FRAMES[: 1 + grows])
    job(last, None).run_sync(checkpoint=tmp_path / "state", every="1h")
    shown = sorted(kept.shown()["x"].to_list())
    assert shown == [-1] * N + sorted([*first, *(second if grows else [])])


def test_no_barrier_is_lost_between_the_last_bad_rows_and_the_end() -> None:
    bad = [FRAMES[0]]

    class Bad(BlockingReader):
        def read(self) -> Batch | None:
            return None

        def take_bad_rows(self) -> pl.DataFrame | None:
            return bad.pop() if bad else None

        def position(self) -> dict[str, int]:
            return {"version": 1, "row": 3}

        def close(self) -> None:
            return

    async def main() -> None:
        clock = MonotonicClock()
        store = MemoryStore()
        source = RunningSource("source", Bad(), Resources(clock, Threads(1), snapshots=store))
        go_on = asyncio.Event()
        port = Collected(go_on)
        source.bad_rows.port = port
        receiving = asyncio.ensure_future(source.receive())
        await port.begun.wait()
        assert not source.inject(Barrier(1))
        source.save_position(1)
        go_on.set()
        assert await receiving is None and await source.receive() is None
        assert [element is None for element in port.elements] == [False, True]
        assert ("source", 1) in store.saved and source.saved_epoch == 1
        await source.close()

    asyncio.run(main())


class LoopSink(SinkSpec):
    """Rows that are shown at once, in a sink that takes a while to prepare."""

    label = guarantee = "loop"

    def __init__(self) -> None:
        self.rows: list[int] = []

    def check(self, schema: pl.Schema) -> None:
        return

    def open(self, schema: pl.Schema, context: StepContext) -> Writer:
        return LoopWriter(self.rows)


class LoopWriter(Writer):
    def __init__(self, rows: list[int]) -> None:
        self._rows = rows

    async def write(self, batch: Batch) -> None:
        self._rows += batch.polars()["x"].to_list()

    async def prepare(self, epoch: int) -> Handle:
        await asyncio.sleep(0.05)
        return {}

    async def abort(self) -> None:
        return


def test_no_deadline_comes_after_the_last_barrier(tmp_path: Path) -> None:
    sink = LoopSink()
    for _ in range(2):
        rows = Pipeline.builder().source(PacedSource(FRAMES, 2)).batch(rows=1_000, max_delay="20ms")
        stopped_after(rows.sink(sink).build(), 1, tmp_path)
    rows = Pipeline.builder().source(PacedSource(FRAMES, 2)).batch(rows=1_000, max_delay="20ms")
    rows.sink(sink).build().run_sync(checkpoint=tmp_path, every="1ms")
    assert sorted(sink.rows) == list(range(N))


@pytest.mark.untraced
@pytest.mark.parametrize("turns", range(8))
def test_a_run_that_is_cancelled_while_it_begins_leaves_the_folder_to_others(
    tmp_path: Path, turns: int
) -> None:
    sink = EpochFiles(tmp_path / "out")
    job = Pipeline.builder().source(PacedSource(FRAMES)).sink(sink).build()

    async def main() -> None:
        running = asyncio.ensure_future(job.run(checkpoint=tmp_path / "state"))
        for _ in range(turns):
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait([running])

    asyncio.run(main())
    job.run_sync(checkpoint=tmp_path / "state")
    assert sink.shown()["x"].to_list() == list(range(N))


class Held(LoopSink):
    """A sink that takes no row before its commit, which fails."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def open(self, schema: pl.Schema, context: StepContext) -> Writer:
        return HeldWriter(self)


class HeldWriter(LoopWriter):
    holds_until_commit = True

    def __init__(self, sink: Held) -> None:
        super().__init__(sink.rows)
        self._sink = sink

    async def write(self, batch: Batch) -> None:
        assert "abort" not in self._sink.calls
        await super().write(batch)

    async def commit(self, handle: Handle) -> None:
        raise OSError("no commit")

    async def abort(self) -> None:
        self._sink.calls.append("abort")


def test_rows_that_wait_for_the_commit_of_a_lost_sink_are_dropped(tmp_path: Path) -> None:
    kept, held = EpochFiles(tmp_path / "out"), Held()
    both = Sink.fanout([kept, held.best_effort()])
    job = Pipeline.builder().source(PacedSource(FRAMES, 3)).sink(both).build()
    report = job.run_sync(checkpoint=tmp_path / "state", every="1ms")
    assert kept.shown()["x"].to_list() == list(range(N)) and held.calls == ["abort"]
    lost = report.stages[-1]
    assert lost.rows_out + lost.dropped_rows == N and lost.dropped_rows


class Holding(Processor):
    """A processor that holds all rows to the end, and has no snapshot."""

    async def process(self, batch: Any) -> Any:
        return None

    async def finish(self) -> Any:
        return None


def test_a_processor_that_holds_rows_needs_a_snapshot(tmp_path: Path) -> None:
    rows = Pipeline.builder().source(PacedSource(FRAMES)).process(Holding)
    with pytest.raises(PlanError, match="Holding may hold rows, and a restart would lose them"):
        rows.sink(EpochFiles(tmp_path / "out")).build().run_sync(checkpoint=tmp_path / "state")
    rows.sink(EpochFiles(tmp_path / "out")).build().run_sync()


def test_sinks_of_late_rows_and_dead_letters_are_part_of_the_pipeline(tmp_path: Path) -> None:
    def job(late: str, dead: str) -> Pipeline:
        rows = Pipeline.builder().source(PacedSource(FRAMES)).map(lambda frame: frame, frame="polars")
        rows = rows.on_error(ErrorHandler.dead_letter(EpochFiles(tmp_path / dead)))
        windows = rows.window("1s", on="x", late=EpochFiles(tmp_path / late)).agg(n=pl.len())
        return windows.sink(EpochFiles(tmp_path / "out")).build()

    job("late", "dead").run_sync(checkpoint=tmp_path / "state")
    for late, dead in (("other", "dead"), ("late", "other")):
        with pytest.raises(CheckpointError, match="another pipeline") as error:
            job(late, dead).run_sync(checkpoint=tmp_path / "state")
        assert "epochs in other" in str(error.value)
    assert [epoch.number for epoch in epochs(tmp_path / "state")] == [1]


def test_an_epoch_without_a_position_is_never_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forgotten(source: RunningSource, epoch: int) -> None:
        return

    monkeypatch.setattr(RunningSource, "save_position", forgotten)
    job = Pipeline.builder().source(PacedSource(FRAMES)).sink(EpochFiles(tmp_path / "out")).build()
    with pytest.raises(CheckpointError, match="epoch 1 lacks the position of source"):
        job.run_sync(checkpoint=tmp_path / "state")
    assert epochs(tmp_path / "state") == []


def test_work_of_several_threads_is_done_before_a_barrier(tmp_path: Path) -> None:
    sink = EpochFiles(tmp_path / "out")

    def job() -> Pipeline:
        rows = Pipeline.builder().source(PacedSource(FRAMES, 1)).parallel_map(lambda batch: batch, workers=3)
        return rows.sink(sink).build()

    stopped_after(job(), 3, tmp_path / "state")
    job().run_sync(checkpoint=tmp_path / "state", every="1ms")
    assert sink.shown()["x"].to_list() == list(range(N))
