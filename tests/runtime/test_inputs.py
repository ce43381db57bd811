"""A stage with several inputs: what comes from which port, aligned barriers, ends, state and failures."""

import asyncio
import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_store import MemoryStore, run_with

from arrowstream import Builder, Pipeline
from arrowstream.core.batch import Barrier, Batch, Element, Idle, Watermark
from arrowstream.core.step_context import StepContext
from arrowstream.errors import StageError
from arrowstream.operators.base import MultiInputOperator, MultiInputProcess
from arrowstream.plan.composites.multi_input import MultiInput
from arrowstream.runtime.flow.port_queue import FromPort, PortQueue
from arrowstream.runtime.flow.ports import ChannelLimits
from arrowstream.state.snapshot import SnapshotFormat
from arrowstream.testing import TestSink, TestSource

pytestmark = pytest.mark.once

LEFT = pl.DataFrame({"x": [1, 2]})
RIGHT = pl.DataFrame({"x": [10, 20, 30]})
FORMAT = SnapshotFormat("noting", 1)


class Noting(MultiInputProcess):
    """Passes rows on with their port, and notes every call."""

    def __init__(self, notes: list[str]) -> None:
        self._notes = notes
        self._rows = [0, 0]

    def process(self, batch: Batch, port: int = 0) -> Iterable[Element]:
        if 13 in batch.polars()["x"]:
            raise ValueError("thirteen")
        self._notes.append(f"{port}: {batch.num_rows} rows")
        self._rows[port] += batch.num_rows
        seen = pl.lit(self._rows[port])
        return [batch.with_rows(batch.polars().with_columns(port=pl.lit(port), seen=seen))]

    def on_watermark(self, time_us: int, port: int = 0) -> Iterable[Element]:
        self._notes.append(f"{port}: watermark {time_us}")
        return [Watermark(time_us)] if port == 0 else []

    def on_idle(self, port: int = 0) -> Iterable[Element]:
        self._notes.append(f"{port}: idle")
        return []

    def on_end(self, port: int) -> Iterable[Element]:
        self._notes.append(f"{port}: end")
        return []

    def snapshot(self) -> Iterator[pa.RecordBatch]:
        self._notes.append(f"snapshot {self._rows}")
        return FORMAT.write(rows_by_port=self._rows)

    def restore(self, batches: Iterator[pa.RecordBatch]) -> None:
        self._rows = FORMAT.read(batches)[0]["rows_by_port"]

    def finish(self) -> Iterable[Element]:
        self._notes.append("finish")
        return []


class NotingStep(MultiInputOperator):
    name = "noting"

    def __init__(self) -> None:
        self.notes: list[str] = []

    def output_schema(self, *schemas: pl.Schema) -> pl.Schema:
        return pl.Schema({"x": pl.Int64, "port": pl.Int32, "seen": pl.Int32})

    def start(self, schemas: Sequence[pl.Schema], context: StepContext) -> MultiInputProcess:
        assert context.id == "noting"
        assert [dict(schema) for schema in schemas] == [{"x": pl.Int64}] * 2
        return Noting(self.notes)

    def describe(self) -> str:
        return "noting()"


def joined(step: NotingStep, left: list[Any], right: list[Any]) -> Builder:
    streams = [Pipeline.builder().source(TestSource.from_frames(script)) for script in (left, right)]
    return Builder(streams[0].graph.with_step(MultiInput.of(step, [streams[1].graph])))


def of_port(notes: list[str], port: int) -> list[str]:
    return [note.removeprefix(f"{port}: ") for note in notes if note.startswith(f"{port}: ")]


def test_a_process_learns_what_comes_from_which_port() -> None:
    step, sink = NotingStep(), TestSink()
    builder = joined(step, [LEFT, Watermark(5), Idle(), LEFT], [RIGHT, Watermark(3)])
    pipeline = builder.sink(sink).build()
    report = pipeline.run_sync()
    assert of_port(step.notes, 0) == ["2 rows", "watermark 5", "idle", "2 rows", "end"]
    assert of_port(step.notes, 1) == ["3 rows", "watermark 3", "end"]
    assert step.notes[-1] == "finish"
    assert "1: end" in step.notes and "0: end" in step.notes
    out = sink.frame()
    assert out.filter(port=0)["x"].to_list() == [1, 2, 1, 2]
    assert out.filter(port=1)["x"].to_list() == [10, 20, 30]
    stage = next(stage for stage in report.stages if stage.name == "noting")
    assert (stage.rows_in, stage.rows_out, stage.batches) == (7, 7, {"noting": 3})
    assert pipeline.metrics().stages["sink"].watermark_us == 5


def test_a_barrier_comes_once_when_every_open_port_has_delivered_it() -> None:
    async def main() -> list[FromPort]:
        queue = PortQueue(3, ChannelLimits(100))
        first, second, third = (queue.port(number) for number in range(3))
        await first.send(Batch(LEFT))
        await first.send(Barrier(1))
        waiting = asyncio.ensure_future(first.send(Watermark(9)))
        await second.send(Watermark(4))
        await second.send(Barrier(1))
        await asyncio.sleep(0)
        assert not waiting.done()
        await third.end()
        await waiting
        await first.end()
        await second.end()
        found = []
        while (item := await queue.receive()) is not None:
            found.append(item)
        return found

    found = asyncio.run(main())
    assert [(item.port, item.element) for item in found[1:]] == [
        (1, Watermark(4)),
        (2, None),
        (0, Barrier(1)),
        (0, Watermark(9)),
        (0, None),
        (1, None),
    ]
    assert [item.nbytes for item in found[:2]] == [LEFT.estimated_size(), 0]


@settings(max_examples=examples(60))
@given(
    scripts=st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=4), min_size=2, max_size=3),
    capacity=st.integers(1, 4),
    turns=st.randoms(use_true_random=False),
)
def test_no_row_passes_a_barrier_whatever_the_schedule(
    scripts: list[list[int]], capacity: int, turns: random.Random
) -> None:
    """Each script is the number of marks between two barriers; a shorter one ends before the last barriers."""

    async def send(queue: PortQueue, port: int) -> None:
        end = queue.port(port)
        for epoch, marks in enumerate(scripts[port]):
            for mark in range(marks):
                for _ in range(turns.randrange(3)):
                    await asyncio.sleep(0)
                await end.send(Watermark(10 * epoch + mark))
            if epoch + 1 < len(scripts[port]):
                await end.send(Barrier(epoch))
        await end.end()

    async def main() -> list[FromPort]:
        queue, found = PortQueue(len(scripts), ChannelLimits(capacity)), []
        async with asyncio.TaskGroup() as group:
            for port in range(len(scripts)):
                group.create_task(send(queue, port))
            while (item := await queue.receive()) is not None:
                found.append(item)
        return found

    found, epoch = asyncio.run(main()), 0
    seen: list[list[int]] = [[] for _ in scripts]
    for item in found:
        if isinstance(item.element, Barrier):
            assert item.element.epoch == epoch
            epoch += 1
        elif isinstance(item.element, Watermark):
            assert item.element.time_us // 10 == epoch
            seen[item.port].append(item.element.time_us)
    assert epoch == max(map(len, scripts)) - 1
    for port, script in enumerate(scripts):
        assert seen[port] == [10 * at + mark for at, marks in enumerate(script) for mark in range(marks)]


def test_the_state_of_both_ports_is_saved_at_a_barrier_and_restored() -> None:
    store, step, again = MemoryStore(), NotingStep(), NotingStep()
    scripts = [LEFT, Barrier(1), LEFT], [RIGHT, RIGHT, Barrier(1), RIGHT]
    asyncio.run(run_with(joined(step, *scripts).sink(TestSink()).build(), snapshots=store))
    assert "snapshot [2, 6]" in step.notes
    store.complete, sink = 1, TestSink()
    asyncio.run(run_with(joined(again, *scripts).sink(sink).build(), snapshots=store))
    assert sorted(sink.frame().rows()) == [(1, 0, 4), (2, 0, 4), *((x, 1, 9) for x in (10, 20, 30))]


def test_a_failure_names_the_stage_and_is_counted() -> None:
    pipeline = joined(NotingStep(), [LEFT], [pl.DataFrame({"x": [13]})]).sink(TestSink()).build()
    with pytest.raises(StageError, match=r"thirteen \(stage noting\)"):
        pipeline.run_sync()
    assert pipeline.metrics().stages["noting"].errors == 1
