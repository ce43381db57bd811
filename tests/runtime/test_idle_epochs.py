"""A run that waits for rows writes no checkpoints; whatever comes out meanwhile is committed all the same."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from contexts import NoThreads
from epoch_files import EpochFiles, PacedReader, PacedSource

from arrowstream import Pipeline
from arrowstream.core.batch import Barrier, Batch
from arrowstream.core.checkpoints.failpoints import Failpoint, on_reach
from arrowstream.core.snapshot_store import SourcePosition
from arrowstream.core.step_context import StepContext
from arrowstream.io.source import Query, Reader
from arrowstream.runtime.checkpoints.coordinator import Coordinator
from arrowstream.runtime.checkpoints.state_writes import StateWrites
from arrowstream.testing import ManualClock


class Part:
    """The folder, the source and the sinks of a run, as far as a coordinator knows them."""

    path = Path("state")
    counters = SimpleNamespace(name="source")
    written_bytes = 0

    def __init__(self) -> None:
        self.position: dict[str, int] | None = {"row": 0}
        self.barrier_position: dict[str, int] | None = None
        self.saved_epoch = self.epoch = 0
        self.have_rows = self.commit_begun = False
        self.answer: bool | Exception = True
        self.last: list[bool] = []

    def begin(self) -> int:
        self.epoch += 1
        return self.epoch

    def complete(self, epoch: int, handles: Any, *, ended: bool) -> Any:
        return SimpleNamespace(nbytes=0)

    def mark_committed(self, epoch: int) -> None:
        return

    def inject(self, barrier: Barrier) -> bool:
        self.last.append(barrier.last)
        self.barrier_position, self.saved_epoch = self.position, barrier.epoch
        return True

    def halt(self) -> None:
        return

    async def prepared(self, epoch: int) -> dict[str, Any]:
        self.have_rows = False
        return {}

    async def commit_epoch(self) -> None:
        return

    async def acknowledge(self, position: Any) -> bool:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def epochs(change: Callable[[Part], None]) -> list[int]:
    """The number of epochs after 1, 5 and 9 periods; there is a change after the first, and a stop at the end."""
    part, clock = Part(), ManualClock()
    anything: Any = part
    coordinator = Coordinator(
        anything,
        10,
        clock,
        NoThreads(),  # type: ignore[arg-type]
        lambda: [anything],
        anything,
        StateWrites(),
    )
    found = []
    async with coordinator.regularly():
        for periods in (1, 4, 4):
            for _ in range(periods):
                await clock.advance(10)
            found.append(part.epoch)
            if periods == 1:
                change(part)
        coordinator.stop()
        await clock.advance(0)
    assert part.last == [False] * found[-1] + [True] and coordinator.metrics.epochs == found[-1] + 1
    return found


def moves(part: Part) -> None:
    part.position = {"row": 5}


def gets_rows(part: Part) -> None:
    part.have_rows = True


@pytest.mark.parametrize(
    ("change", "found"),
    [(lambda part: None, [1, 1, 1]), (moves, [1, 2, 2]), (gets_rows, [1, 2, 2])],
    ids=["nothing", "a source moves", "a sink gets rows"],
)
def test_an_epoch_with_nothing_to_commit_is_left_out(
    change: Callable[[Part], None], found: list[int]
) -> None:
    assert asyncio.run(epochs(change)) == found


@pytest.mark.parametrize("answer", [False, OSError("no answer")])
def test_a_source_that_has_not_acknowledged_is_asked_again(answer: bool | Exception) -> None:
    def refuses(part: Part) -> None:
        moves(part)
        part.answer = answer

    assert asyncio.run(epochs(refuses)) == [1, 5, 9]


class Silent(PacedSource):
    """Some rows, then nothing."""

    def open(
        self, context: StepContext, query: Query | None = None, resume: SourcePosition | None = None
    ) -> Reader:
        return SilentReader(self, 0)


class SilentReader(PacedReader):
    async def read(self) -> Batch | None:
        if self._next:
            await asyncio.Event().wait()
        return await super().read()


def test_rows_that_a_step_gives_out_later_are_shown_while_the_source_is_silent(tmp_path: Path) -> None:
    sink = EpochFiles(tmp_path / "out")
    rows = (
        Pipeline.builder()
        .source(Silent([pl.DataFrame({"x": [1, 2, 3]})] * 2))
        .batch(rows=2, max_delay="50ms")
    )
    job = rows.sink(sink).build()

    async def main() -> None:
        loop, marked = asyncio.get_running_loop(), asyncio.Event()

        def reached(point: Failpoint) -> None:
            if point is Failpoint.EPOCH_MARKED:
                loop.call_soon_threadsafe(marked.set)

        with on_reach(reached):
            running = asyncio.ensure_future(job.run(checkpoint=tmp_path / "state", every="5ms"))
            while sink.shown().height < 3:
                await marked.wait()
                marked.clear()
            job.stop()
            await running

    asyncio.run(asyncio.wait_for(main(), 60))
    assert sink.shown()["x"].to_list() == [1, 2, 3]
