"""Marks at steps that wait: rows that a processor holds are never late for the steps after it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from scripted import ScriptedOperator, ScriptedProcess

from arrowstream import Builder, Pipeline, Processor, Source
from arrowstream.core.batch import Barrier, Batch, Element, Idle, Watermark
from arrowstream.errors import StageError
from arrowstream.operators.process import ProcessorStep
from arrowstream.testing import TestSink, TestSource

SECOND = 1_000_000
FRAMES = [pl.DataFrame({"ts": [second * SECOND]}) for second in (1, 2, 12, 25)]


class Keeping(Processor):
    """Keeps two batches back, and gives them at the end."""

    def __init__(self) -> None:
        self.kept: list[pl.DataFrame] = []

    async def process(self, batch: pa.RecordBatch) -> Any:
        self.kept.append(pl.DataFrame(batch))
        return self.kept.pop(0) if len(self.kept) > 2 else None

    async def finish(self) -> Any:
        return self.kept


class Releasing(Keeping):
    """Gives the rows before a watermark when it comes."""

    async def on_watermark(self, time_us: int) -> Any:
        rows = pl.concat(self.kept) if self.kept else pl.DataFrame(schema={"ts": pl.Int64})
        self.kept = [rows.filter(pl.col("ts") >= time_us)]
        return rows.filter(pl.col("ts") < time_us)


class Passing(Processor):
    """Holds nothing."""

    async def process(self, batch: pa.RecordBatch) -> Any:
        return batch


class Failing(Passing):
    async def on_watermark(self, time_us: int) -> Any:
        raise ValueError("no mark for me")


class Noting(ScriptedProcess):
    """Notes what comes: the seconds of rows, and marks."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def process(self, batch: Batch) -> list[Batch]:
        self.seen += [time // SECOND for time in batch.polars()["ts"]]
        return [batch]

    def on_watermark(self, time_us: int) -> Iterable[Element]:
        self.seen.append(Watermark(time_us // SECOND))
        return [Watermark(time_us)]

    def on_idle(self) -> Iterable[Element]:
        self.seen.append(Idle())
        return [Idle()]


def windows_after(processor: Any) -> tuple[list[int], pl.DataFrame]:
    """The sizes of windows after a processor, and the rows that were late for them."""
    late, out = TestSink(), TestSink()
    steps = Pipeline.builder().source(Source.from_frame(FRAMES)).with_event_time("ts").process(processor)
    steps.window(size="10s", on="ts", late=late).agg(pl.len()).sink(out).build().run_sync()
    return out.received() if out.frame().width == 1 else out.frame()["len"].to_list(), late.frame()


@pytest.mark.parametrize("kind", [Keeping, Releasing, Passing])
def test_rows_that_a_processor_holds_are_not_late_for_windows_after_it(kind: type[Processor]) -> None:
    sizes, late = windows_after(kind)
    assert sizes == [2, 1, 1]
    assert late.is_empty()


def elements_after(processor: Any, script: list[Any]) -> list[Any]:
    """What comes after a processor: seconds of rows, and marks, in their order."""
    noting, sink = Noting(), TestSink()
    graph = Pipeline.builder().source(TestSource.from_frames(script)).process(processor).graph
    Builder(graph.with_step(ScriptedOperator("noting", lambda: noting))).sink(sink).build().run_sync()
    return noting.seen


def test_marks_wait_for_the_end_where_only_finish_gives_the_rows() -> None:
    script = [FRAMES[0], Watermark(5 * SECOND), Idle(), FRAMES[1], Watermark(6 * SECOND)]
    assert elements_after(Keeping, script) == [1, 2]


def test_a_watermark_comes_after_the_rows_that_the_processor_gives_for_it() -> None:
    script = [FRAMES[0], FRAMES[2], Watermark(5 * SECOND), Idle(), FRAMES[1], Watermark(30 * SECOND)]
    assert elements_after(Releasing, script) == [1, Watermark(5), 12, 2, Watermark(30)]


def test_a_processor_that_holds_nothing_passes_marks_at_once() -> None:
    script = [FRAMES[0], Watermark(1 * SECOND), Idle(), FRAMES[1], Watermark(2 * SECOND)]
    assert elements_after(Passing, script) == [1, Watermark(1), Idle(), 2, Watermark(2)]


def test_marks_keep_their_place_among_batches_of_many_at_a_time() -> None:
    frames = [pl.DataFrame({"ts": [second * SECOND]}) for second in range(20)]
    script: list[Any] = []
    for second, frame in enumerate(frames):
        script += [frame, Watermark(second * SECOND)]
    script.append(Idle())

    async def slowly(batch: pa.RecordBatch) -> Any:
        # The first batches take the longest.
        for _ in range(40 - 2 * (batch["ts"][0].as_py() // SECOND)):
            await asyncio.sleep(0)
        return batch

    noting = Noting()
    graph = (
        Pipeline.builder()
        .source(TestSource.from_frames(script))
        .parallel_map(slowly, workers=4, schema={"ts": pl.Int64})
        .graph
    )
    Builder(graph.with_step(ScriptedOperator("noting", lambda: noting))).sink(TestSink()).build().run_sync()
    expected: list[Any] = []
    for second in range(20):
        expected += [second, Watermark(second)]
    assert noting.seen == [*expected, Idle()]


@pytest.mark.parametrize("kind", [Keeping, Releasing, Passing])
def test_barriers_pass_without_the_rows_that_are_held(kind: type[Processor]) -> None:
    script = [FRAMES[0], Barrier(1), FRAMES[1], FRAMES[2], FRAMES[3], Barrier(2)]
    assert elements_after(kind, script) == [1, 2, 12, 25]


def test_a_failure_at_a_watermark_names_the_step() -> None:
    with pytest.raises(StageError, match="no mark for me") as caught:
        elements_after(Failing, [FRAMES[0], Watermark(0)])
    assert caught.value.stage is not None and "process" in caught.value.stage


@pytest.mark.parametrize(("kind", "holds"), [(Keeping, True), (Releasing, False), (Passing, False)])
def test_explain_says_that_watermarks_are_held(kind: type[Processor], holds: bool) -> None:
    for processor in (kind, kind()):
        described = ProcessorStep(processor).describe()
        assert described == f"process({kind.__name__}{', holds watermarks until the end' if holds else ''})"
