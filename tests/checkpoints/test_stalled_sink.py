"""A sink that takes nothing for a minute while its source goes on: what waits is bounded, and nothing is lost."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from epoch_files import EpochFiles, EpochFilesWriter, PacedSource

from arrowstream import Pipeline
from arrowstream.core.batch import Batch
from arrowstream.core.snapshot_store import SourcePosition
from arrowstream.core.step_context import StepContext
from arrowstream.io.source import Query, Reader
from arrowstream.testing import ManualClock

pytestmark = pytest.mark.once

BATCHES, ROWS = 150, 1_000
STALLED = 20
"""Number of batches that the sink takes before it stalls."""


class CountedSource(PacedSource):
    """Counts the batches that were read."""

    read = 0

    def open(
        self, context: StepContext, query: Query | None = None, resume: SourcePosition | None = None
    ) -> Reader:
        reader = super().open(context, query, resume)
        read = reader.read

        async def counted() -> object:
            self.read += 1
            return await read()

        reader.read = counted  # type: ignore[assignment,method-assign]
        return reader


class StallingFiles(EpochFiles):
    """Stalls once, on its thread, until it may go on."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.stalled, self.goes_on = threading.Event(), threading.Event()

    def open(self, schema: pl.Schema, context: StepContext) -> EpochFilesWriter:
        writer = super().open(schema, context)
        assert isinstance(writer, EpochFilesWriter)
        write, batches = writer.write, 0

        def stalling(batch: Batch) -> None:
            nonlocal batches
            batches += 1
            if batches == STALLED:
                self.stalled.set()
                assert self.goes_on.wait(60)
            write(batch)

        writer.write = stalling  # type: ignore[method-assign]
        return writer


def steps(source: CountedSource, sink: StallingFiles, clock: ManualClock) -> Pipeline:
    rows = Pipeline.builder().source(source).batch(rows=ROWS // 2).filter(pl.col("x") >= 0)
    return rows.scan(n=pl.col("x").cum_count()).sink(sink).build(clock=clock)


async def still(count: Callable[[], int]) -> int:
    """Wait until a number seems to have stopped growing, which a busy machine may fake; return it."""
    before, same = -1, 0
    while same < 30:
        await asyncio.sleep(0.001)
        same = same + 1 if count() == before else 0
        before = count()
    return before


@pytest.mark.untraced
def test_a_sink_that_stalls_for_a_minute_under_load(tmp_path: Path) -> None:
    frames = [pl.DataFrame({"x": range(n * ROWS, (n + 1) * ROWS)}) for n in range(BATCHES)]
    source, sink, clock = CountedSource(frames), StallingFiles(tmp_path / "out"), ManualClock()

    async def main() -> list[int]:
        running = asyncio.ensure_future(
            steps(source, sink, clock).run(checkpoint=tmp_path / "state", every="1s")
        )
        assert await asyncio.to_thread(sink.stalled.wait, 60)
        waiting = []
        for _ in range(60):
            waiting.append(source.read if waiting else await still(lambda: source.read))
            await clock.advance(1)  # checkpoints that are due begin, and wait for the sink
        waiting.append(await still(lambda: source.read))
        sink.goes_on.set()
        await running
        return waiting

    waiting = asyncio.run(main())
    # The sink has taken halves of batches; a few batches wait at each of four stages, however often time goes on.
    assert all(STALLED // 2 <= read <= STALLED // 2 + 40 < BATCHES for read in waiting), waiting
    shown = sink.shown()
    assert shown["x"].sort().equals(pl.Series("x", range(BATCHES * ROWS)))
    assert shown["n"].sort().equals(pl.Series("n", range(1, BATCHES * ROWS + 1), dtype=pl.UInt32))
