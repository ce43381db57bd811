"""Writing rows into files that become visible epoch by epoch."""

from __future__ import annotations

from arrowstream.core.batch import Batch
from arrowstream.core.checkpoints.failpoints import Failpoint, reach
from arrowstream.core.notes import ReaderNote
from arrowstream.io.files.epochs.target import EpochTarget
from arrowstream.io.files.writer import FileWriter
from arrowstream.io.writer import BlockingWriter, Handle


class EpochWriter(BlockingWriter):
    """Writer with one `FileWriter` for each epoch that has rows.

    Parameters
    ----------
    target
        What is written to.
    period_s
        Seconds after which open files end; None for no limit.
    """

    def __init__(self, target: EpochTarget, period_s: float | None) -> None:
        self._target = target
        self._period_s = period_s
        self._files: FileWriter | None = None

    @property
    def period_s(self) -> float | None:
        return self._period_s

    def recover(self, epoch: int, handle: Handle | None) -> None:
        self._target.recover(epoch, handle)

    @property
    def notes(self) -> tuple[ReaderNote, ...]:
        return self._target.notes

    def write(self, batch: Batch) -> None:
        self._current().write(batch)

    def on_period(self) -> None:
        if self._files is not None:
            self._files.on_period()

    def prepare(self, epoch: int) -> Handle:
        if self._target.is_bare:
            self._current()
        if self._files is not None:
            self._files.commit(self._files.prepare(epoch))
        handle = self._target.seal(epoch)
        self._files = None
        reach(Failpoint.FILES_STAGED)
        return handle

    def commit(self, handle: Handle) -> None:
        self._target.commit(handle)

    def abort(self) -> None:
        if self._files is not None:
            self._files.abort()
        self._target.leave()

    def close(self) -> None:
        self._target.leave()

    def _current(self) -> FileWriter:
        if self._files is None:
            self._files = self._target.begin()
        return self._files
