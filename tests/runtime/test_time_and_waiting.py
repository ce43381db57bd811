"""Operators that need the time, and operators that wait: what the runtime does for them."""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from scripted import ScriptedOperator

from arrowstream import Builder, Pipeline, Sink, Source, channel
from arrowstream.core.batch import Batch, Element, Watermark
from arrowstream.core.step_context import StepContext
from arrowstream.errors import StageError
from arrowstream.io.source import SourceSpec
from arrowstream.operators.base import AsyncProcess, Operator, Process, TimedProcess
from arrowstream.testing import ManualClock, TestSink, TestSource

pytestmark = pytest.mark.once

ROWS = [pl.DataFrame({"value": [number]}) for number in range(5)]


def built(source: SourceSpec, process: Any, sink: Any, clock: ManualClock | None = None) -> Any:
    graph = Pipeline.builder().source(source).graph.with_step(ScriptedOperator("step", process))
    return Builder(graph).sink(sink).build(clock=clock)


class Slowly(TimedProcess):
    """Lets a batch a second through and takes nothing meanwhile."""

    def __init__(self) -> None:
        self._now_ns = 0
        self._held: Batch | None = None
        self._until_ns = 0

    def set_time(self, now_ns: int) -> None:
        self._now_ns = now_ns

    @property
    def deadline_ns(self) -> int | None:
        return None if self._held is None else self._until_ns

    @property
    def accepts_input(self) -> bool:
        return self._held is None

    def process(self, batch: Batch) -> list[Element]:
        self._held, self._until_ns = batch, self._now_ns + 1_000_000_000
        return []

    def on_timer(self, now_ns: int) -> list[Element]:
        assert self._held is not None
        held, self._held = self._held, None
        return [held, held.slice(0, 0)]

    def snapshot(self) -> Iterator[pa.RecordBatch]:
        return iter(())

    def restore(self, batches: Iterator[pa.RecordBatch]) -> None: ...

    def finish(self) -> list[Element]:
        return []


def test_a_process_is_woken_at_its_deadline_and_slows_the_source_down() -> None:
    clock, sink = ManualClock(), TestSink()

    async def main() -> None:
        running = asyncio.create_task(built(TestSource.from_frames(ROWS), Slowly, sink, clock).run())
        for seconds in range(5):
            await clock.advance(0.5)
            assert sink.received() == list(range(seconds))
            await clock.advance(0.5)
            assert sink.received() == list(range(seconds + 1))
        await running

    asyncio.run(main())


class Quietly(Slowly):
    """Takes whatever comes and keeps the last of it until nothing has come for a second."""

    @property
    def accepts_input(self) -> bool:
        return True

    def on_watermark(self, time_us: int) -> list[Element]:
        return [Watermark(time_us + 1)]

    def finish(self) -> list[Element]:
        return [] if self._held is None else [self._held]


def test_input_goes_on_while_a_process_waits_for_its_time() -> None:
    clock, sink = ManualClock(), TestSink()

    async def main() -> None:
        tx, rx = channel()
        graph = Pipeline.builder().source(Source.from_channel(rx, schema={"value": pl.Int64})).graph
        pipeline = Builder(graph.with_step(ScriptedOperator("step", Quietly))).sink(sink).build(clock=clock)
        running = asyncio.create_task(pipeline.run())
        await tx.send(ROWS[0])
        await clock.advance(0.6)
        await tx.send(ROWS[1])
        await clock.advance(0.6)
        assert sink.received() == []
        await clock.advance(0.6)
        assert sink.received() == [1]
        await tx.send(ROWS[2])
        await clock.advance(0.1)
        pipeline.stop()
        await running

    asyncio.run(main())
    assert sink.received() == [1, 2]


def test_marks_reach_a_timed_process_and_a_failing_source_ends_it() -> None:
    script = [ROWS[0], Watermark(5), OSError("gone")]
    with pytest.raises(Exception, match="gone"):
        built(TestSource.from_frames(script), Quietly, TestSink()).run_sync()


def test_a_failure_elsewhere_ends_the_waiting() -> None:
    def broken(batch: Any) -> None:
        raise OSError("no sink today")

    with pytest.raises(Exception, match="no sink today"):
        built(TestSource.from_frames(ROWS), lambda: Instantly(), Sink.to_fn(broken)).run_sync()


class Instantly(Quietly):
    """Passes on at once, and always has a deadline far away."""

    def process(self, batch: Batch) -> list[Element]:
        super().process(batch)
        self._until_ns += 10**15
        return [batch]

    def finish(self) -> list[Element]:
        return []


class Coroutines(AsyncProcess):
    """Notes its calls; each batch takes the longer the earlier it came."""

    def __init__(self, concurrency: int, fail_in: str = "") -> None:
        self.concurrency = concurrency
        self.calls: list[str] = []
        self.at_once = self.most = 0
        self._fail_in = fail_in

    def note(self, call: str) -> None:
        self.calls.append(call)
        if call == self._fail_in:
            raise OSError(f"no {call} today")

    async def open(self) -> None:
        self.note("open")

    async def process(self, batch: Batch) -> list[Batch]:
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        for _ in range(20 - 3 * batch.polars()["value"][0]):
            await asyncio.sleep(0)
        self.at_once -= 1
        self.note("process")
        return [batch]

    async def finish(self) -> list[Batch]:
        self.note("finish")
        return [Batch(pl.DataFrame({"value": [99]}))]

    async def close(self) -> None:
        self.note("close")


@pytest.mark.parametrize(("concurrency", "most"), [(1, 1), (2, 2), (3, 3), (10, 5)])
def test_results_keep_their_order_however_many_are_in_the_making(concurrency: int, most: int) -> None:
    process, sink = Coroutines(concurrency), TestSink()
    script = [*ROWS[:2], Watermark(1), *ROWS[2:]]
    report = built(TestSource.from_frames(script), lambda: process, sink).run_sync()
    assert sink.received() == [0, 1, 2, 3, 4, 99]
    assert process.calls == ["open", *["process"] * 5, "finish", "close"]
    assert process.most == most
    stage = report.stages[1]
    assert (stage.rows_in, stage.rows_out, stage.batches) == (5, 6, {"step": 5})


@pytest.mark.parametrize("fail_in", ["open", "process", "finish", "close"])
@pytest.mark.parametrize("concurrency", [1, 3])
def test_what_was_opened_is_closed_and_a_failure_names_its_stage(fail_in: str, concurrency: int) -> None:
    process = Coroutines(concurrency, fail_in)
    with pytest.raises(StageError, match=rf"no {fail_in} today \(stage step\)") as caught:
        built(TestSource.from_frames(ROWS), lambda: process, TestSink()).run_sync()
    assert process.calls[-1] == "close"
    assert not hasattr(caught.value, "__notes__")


def test_a_process_of_coroutines_has_no_state_unless_it_says_so() -> None:
    class Plain(AsyncProcess):
        async def process(self, batch: Batch) -> Iterable[Batch]:
            return [batch]

    process, sink = Plain(), TestSink()
    built(TestSource.from_frames(ROWS), lambda: process, sink).run_sync()
    assert sink.received() == [0, 1, 2, 3, 4]
    process.restore(process.snapshot())
    assert list(process.snapshot()) == []


class Late(Process):
    """Takes every second batch for late."""

    def __init__(self) -> None:
        self._late: list[Batch] = []
        self._count = 0

    def process(self, batch: Batch) -> list[Batch]:
        self._count += 1
        if self._count % 2:
            return [batch]
        self._late.append(batch)
        return []

    def take_late(self) -> Batch | None:
        return self._late.pop() if self._late else None

    def snapshot(self) -> Iterator[pa.RecordBatch]:
        return iter(())

    def restore(self, batches: Iterator[pa.RecordBatch]) -> None: ...

    def finish(self) -> list[Batch]:
        return []


class LateOperator(Operator):
    name = "step"

    def output_schema(self, schema: pl.Schema) -> pl.Schema:
        return schema

    def start(self, schema: pl.Schema, context: StepContext) -> Process:
        return Late()

    def describe(self) -> str:
        return "step()"


def test_late_rows_leave_by_a_sink_of_their_own() -> None:
    sink, late = TestSink(), TestSink()
    graph = Pipeline.builder().source(TestSource.from_frames(ROWS)).graph.with_step(LateOperator(), late=late)
    pipeline = Builder(graph).sink(sink).build()
    report = pipeline.run_sync()
    assert (sink.received(), late.received()) == ([0, 2, 4], [1, 3])
    assert report.rows_out == 3
    assert "late rows: test" in pipeline.explain()
    built(TestSource.from_frames(ROWS), Late, sink).run_sync()
