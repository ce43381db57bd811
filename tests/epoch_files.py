"""Ends for runs with checkpoints: a source that waits for epochs, and a sink of files by epoch."""

import asyncio
from pathlib import Path

import polars as pl
import pyarrow as pa

from arrowstream.core.batch import Batch
from arrowstream.core.checkpoints.durable import sync
from arrowstream.core.checkpoints.failpoints import Failpoint, on_reach
from arrowstream.core.snapshot_store import SourcePosition, position_number
from arrowstream.core.step_context import StepContext
from arrowstream.io.sink import SinkSpec
from arrowstream.io.source import Query, Reader, SourceSpec
from arrowstream.io.writer import BlockingWriter, Handle


class PacedSource(SourceSpec):
    """Batches with a position after each, a few of them for every epoch: the stream waits until one is complete."""

    label = "paced"
    resumable = True

    def __init__(self, frames: list[pl.DataFrame], an_epoch: int | None = None) -> None:
        self.frames = frames
        self.an_epoch = an_epoch
        """Number of batches that may be read before the next epoch must be complete; None for no waits."""

    def schema(self) -> pl.Schema:
        return self.frames[0].schema

    def open(
        self, context: StepContext, query: Query | None = None, resume: SourcePosition | None = None
    ) -> Reader:
        return PacedReader(self, 0 if resume is None else position_number(resume, "batch"))


class PacedReader(Reader):
    def __init__(self, source: PacedSource, start: int) -> None:
        self._source = source
        self._next = self._start = start
        self._epochs = 0
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._counting = on_reach(self._count)
        self._counting.__enter__()

    def _count(self, point: Failpoint) -> None:
        if point is Failpoint.EPOCH_MARKED:
            self._loop.call_soon_threadsafe(self._complete)

    def _complete(self) -> None:
        self._epochs += 1
        self._changed.set()

    async def read(self) -> Batch | None:
        source = self._source
        if self._next == len(source.frames):
            return None
        while source.an_epoch and self._next - self._start >= source.an_epoch * (self._epochs + 1):
            self._changed.clear()
            await self._changed.wait()
        self._next += 1
        return Batch(source.frames[self._next - 1])

    def position(self) -> SourcePosition:
        return {"version": 1, "batch": self._next}

    async def close(self) -> None:
        self._counting.__exit__(None, None, None)


class EpochFiles(SinkSpec):
    """A folder with one file an epoch."""

    exactly_once = True
    guarantee = "exactly once with checkpoints"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def label(self) -> str:
        return f"epochs in {self.folder.name}"

    def check(self, schema: pl.Schema) -> None:
        return

    def open(self, schema: pl.Schema, context: StepContext) -> BlockingWriter:
        self.folder.mkdir(exist_ok=True)
        return EpochFilesWriter(self.folder)

    def shown(self) -> pl.DataFrame:
        files = sorted(self.folder.glob("*.arrow"))
        return (
            pl.concat([pl.DataFrame(pa.ipc.open_file(file).read_all()) for file in files])
            if files
            else pl.DataFrame()
        )


class EpochFilesWriter(BlockingWriter):
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rows: list[pl.DataFrame] = []

    def write(self, batch: Batch) -> None:
        self._rows.append(batch.polars())

    def prepare(self, epoch: int) -> Handle:
        rows, self._rows = self._rows, []
        if not rows:
            return {"file": None}
        path = self._folder / f"{epoch:08}.prepared"
        pl.concat(rows).write_ipc(path)
        sync(path)
        return {"file": path.name}

    def commit(self, handle: Handle) -> None:
        if handle["file"] is not None and (path := self._folder / str(handle["file"])).exists():
            path.rename(path.with_suffix(".arrow"))
        sync(self._folder)

    def recover(self, epoch: int, handle: Handle | None) -> None:
        super().recover(epoch, handle)
        for path in self._folder.iterdir():
            if path.suffix == ".prepared" or int(path.stem) > epoch:
                path.unlink()

    def abort(self) -> None:
        return
