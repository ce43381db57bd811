"""A step goes on while its state is being written, and an epoch waits for it."""

import asyncio
import threading
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from epoch_files import EpochFiles, PacedSource
from memory_store import MemoryStore, run_with

from arrowstream import Pipeline, Sink
from arrowstream.checkpoints.folder import CheckpointFolder
from arrowstream.checkpoints.layout import complete_epochs
from arrowstream.core.batch import Barrier
from arrowstream.core.checkpoints.failpoints import Failpoint, on_reach
from arrowstream.errors import StageError
from arrowstream.io.sink import SinkSpec
from arrowstream.state.snapshots import snapshot_batches
from arrowstream.testing import TestSink, TestSource

FRAMES = [pl.DataFrame({"k": [1, 2], "x": [number, 1]}) for number in range(4)]


def totals(sink: SinkSpec) -> Pipeline:
    """Running totals by key, with a barrier after the second batch."""
    source = TestSource.from_frames([*FRAMES[:2], Barrier(1), *FRAMES[2:]])
    return (
        Pipeline.builder().source(source).reduce(pl.col("x").sum(), by="k", emit="updates").sink(sink).build()
    )


class Slow(MemoryStore):
    """A disk on which the states of steps are written when `go_on` is set."""

    def __init__(self, reads: bool = True, failure: Exception | None = None) -> None:
        super().__init__()
        self.begun, self.go_on, self.ended = (threading.Event() for _ in range(3))
        self.went_on: bool | None = None
        self._reads, self._failure = reads, failure

    def save(self, step_id: str, epoch: int, batches: Iterator[pa.RecordBatch]) -> None:
        if step_id == "source":
            return super().save(step_id, epoch, batches)
        first = [next(batches)] if self._reads else []
        self.begun.set()
        self.went_on = self.go_on.wait(20)
        if self._failure is not None:
            raise self._failure
        super().save(step_id, epoch, iter([*first, *batches]))
        self.ended.set()


def test_rows_after_the_barrier_pass_while_the_state_of_the_barrier_is_written() -> None:
    store, seen = Slow(), 0

    def look(frame: pl.DataFrame) -> None:
        nonlocal seen
        seen += 1
        if seen == len(FRAMES):
            store.go_on.set()

    asyncio.run(run_with(totals(Sink.to_fn(look)), snapshots=store))
    assert store.went_on and store.ended.is_set()
    [(id, epoch)] = [key for key in store.saved if key[0] != "source"]
    values = pl.DataFrame(pa.Table.from_batches(store.saved[id, epoch]))
    assert epoch == 1 and sorted(values.select(pl.exclude("__order__")).rows()) == [(1, 1), (2, 2)]


def test_state_that_is_not_read_yet_holds_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would change otherwise."""
    monkeypatch.setattr(snapshot_batches, "HELD_BYTES", -1)
    store, sink = Slow(), TestSink()

    async def main() -> None:
        running = asyncio.ensure_future(run_with(totals(sink), snapshots=store))
        await asyncio.to_thread(store.begun.wait, 20)
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(sink.batches) <= 2
        store.go_on.set()
        await running

    asyncio.run(main())
    assert store.ended.is_set() and len(sink.batches) == len(FRAMES)


def test_a_write_that_fails_fails_the_run_and_names_the_step() -> None:
    store = Slow(failure=OSError("the disk is gone"))
    store.go_on.set()
    with pytest.raises(StageError, match="the disk is gone") as raised:
        asyncio.run(run_with(totals(TestSink()), snapshots=store))
    assert raised.value.stage == "reduce"


@pytest.mark.parametrize("reads", [False, True], ids=["that reads the state", "that has read it"])
def test_a_cancelled_run_waits_for_the_write(reads: bool) -> None:
    store = Slow(reads)

    async def main() -> None:
        running = asyncio.ensure_future(run_with(totals(TestSink()), snapshots=store))
        await asyncio.to_thread(store.begun.wait, 20)
        threading.Timer(0.05, store.go_on.set).start()  # whether the loop waits for the write, or goes on
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert store.ended.is_set()

    asyncio.run(main())


@pytest.mark.parametrize("fails", [False, True])
def test_an_epoch_is_complete_once_its_states_are_written(
    fails: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its sinks may have prepared before; the folder is locked until nothing is written."""
    save, close = CheckpointFolder.save, CheckpointFolder.close
    prepared, order = threading.Event(), list[str]()

    def slow(self: CheckpointFolder, id: str, epoch: int, batches: Iterator[pa.RecordBatch]) -> None:
        if id.startswith("reduce"):
            batches = chain([next(batches)], batches)
            assert prepared.wait(20)
            order.append(f"write {epoch} after {complete_epochs(self.path)}")
            if fails:
                raise OSError("the disk is gone")
        save(self, id, epoch, batches)

    def closed(self: CheckpointFolder) -> None:
        order.append("closed")
        close(self)

    def look(point: Failpoint) -> None:
        if point is Failpoint.SINK_PREPARED:
            prepared.set()

    monkeypatch.setattr(CheckpointFolder, "save", slow)
    monkeypatch.setattr(CheckpointFolder, "close", closed)
    sums = Pipeline.builder().source(PacedSource(FRAMES, 1)).reduce(pl.col("x").sum(), by="k", emit="updates")
    pipeline = sums.sink(EpochFiles(tmp_path / "out")).build()
    with on_reach(look):
        if fails:
            with pytest.raises(StageError, match="the disk is gone") as raised:
                pipeline.run_sync(checkpoint=tmp_path / "state", every="1ms")
            assert raised.value.stage == "reduce" and complete_epochs(tmp_path / "state") == []
        else:
            pipeline.run_sync(checkpoint=tmp_path / "state", every="1ms")
    *writes, last = order
    assert last == "closed" and writes[0] == "write 1 after []"
    assert len(writes) == 1 if fails else "closed" not in writes and len(writes) >= len(FRAMES) - 1
