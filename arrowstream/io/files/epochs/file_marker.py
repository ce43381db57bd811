"""A hidden file next to a text file or a folder of part files, which says up to which epoch its rows are there.

::

    .events.csv.5d0c9a4e11f2.epoch    next to events.csv, by sink: the newest epoch whose rows are, or may be, in it

A checkpoint folder alone cannot tell: if it is a copy, or was brought back from a backup, its own record is old. A
run shows an epoch only if the file still says what this run has read or written last. So of two runs with copies of
one folder, the one that comes second fails, whatever the two write: the file is compared and written under a lock.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from arrowstream.core.checkpoints.context import CheckpointContext
from arrowstream.core.checkpoints.earlier_output import earlier_output
from arrowstream.core.checkpoints.other_run import other_run
from arrowstream.core.notes import ReaderNote
from arrowstream.errors import SinkError
from arrowstream.io.files.epochs.earlier_runs import mark_of, other_folder, sink_token
from arrowstream.io.files.staging.claim import lock
from arrowstream.io.writer import Handle

_SUFFIX: Final = ".epoch"
_READ_ONLY: Final = (errno.EACCES, errno.EPERM, errno.EROFS)


class FileMarker:
    """The hidden file of one sink. Where the folder around it is read-only there is none, and nothing is noticed.

    Parameters
    ----------
    checkpoint
        The checkpoints of the run.
    target
        The text file or folder.
    """

    def __init__(self, checkpoint: CheckpointContext, target: Path) -> None:
        self._target = target
        self._newest = checkpoint.newest
        self._same_name = f".{target.name}.{mark_of(checkpoint)}"
        self._path = target.with_name(f".{target.name}.{sink_token(checkpoint)}{_SUFFIX}")
        self._epoch = 0
        """The epoch that this run has read or written last."""

    def take(self, epoch: int, shown: int = 0, prepared: int = 0) -> None:
        """Check that a run with this checkpoint folder has written what the target holds, and go on from there.

        Parameters
        ----------
        epoch
            The epoch that the run continues from.
        shown, prepared
            The newest epoch with rows that this folder notes as shown, and the one that may have been shown since.

        Raises
        ------
        CheckpointError
            The target has rows of a later epoch, which this folder has never completed.
        SinkError
            It has rows of an epoch between the two.
        """
        with self._locked(make=False) as handle:
            found = _number(handle)
            if found > (newest := max(epoch, self._newest)) and self._target.exists():
                what = f"the rows of later epochs, and the file {self._path.name} next to it"
                raise other_folder(str(self._target), found, newest, what)
            if shown < found < prepared:
                raise self._other_run(f"{shown} or {prepared}", found)
            # Always an epoch with rows: one without is never shown, and would look like that of another run.
            self._epoch = found if 0 < found <= epoch else min(shown, epoch)
            if handle is not None and found != self._epoch:
                _write(handle, self._epoch)

    @contextmanager
    def showing(self, epoch: int) -> Iterator[None]:
        """Show the rows of an epoch in the block, which no other run with this sink does at the same time.

        Raises
        ------
        SinkError
            Another run has shown an epoch since this run has begun, or since its last one.
        """
        with self._locked(make=True) as handle:
            found = _number(handle)
            # A file that was removed, or emptied by a crash of the machine, says nothing.
            if found not in (0, self._epoch):
                raise self._other_run(str(self._epoch), found)
            # Not flushed: after a crash of the machine no other run goes on, and the next one writes it again.
            if handle is not None:
                _write(handle, epoch)
            self._epoch = epoch
            yield

    def notes(self) -> tuple[ReaderNote, ...]:
        """Return a note if earlier runs of this job, with another checkpoint folder, have written the file."""
        names = (path.name for path in self._target.parent.iterdir()) if self._target.exists() else ()
        digits = len(self._path.name)
        others = [
            name
            for name in names
            if name.startswith(self._same_name) and name.endswith(_SUFFIX) and len(name) == digits
        ]
        epochs = sum(max(1, _number_in(self._target.with_name(name))) for name in others)
        return (earlier_output("epochs", epochs, self._target.name),) if others else ()

    def _other_run(self, epoch: str, found: int) -> SinkError:
        expected = f"epoch {epoch} in {self._path.name}, as this job has left it"
        return other_run(f"into {self._target}", expected, f"epoch {found}")

    @contextmanager
    def _locked(self, *, make: bool) -> Iterator[int | None]:
        """Open the file and hold its lock, where there are locks; None without a file."""
        handle = None
        try:
            handle = os.open(self._path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if make else 0), 0o644)
            lock(handle, wait=True)
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno not in _READ_ONLY:
                raise
        try:
            yield handle
        finally:
            if handle is not None:
                os.close(handle)


def epoch_in(handle: Handle | None) -> int:
    """Return the epoch that a handle of a file sink is of; 0 without one."""
    return 0 if handle is None else int(str(handle["epoch"]))


def _write(handle: int, epoch: int) -> None:
    # In place: a lock is on the file, not on its name.
    os.ftruncate(handle, 0)
    os.pwrite(handle, str(epoch).encode(), 0)


def _number(handle: int | None) -> int:
    """Return the epoch in an open marker; 0 without one, or if a crash has left it empty."""
    content = b"" if handle is None else os.pread(handle, 32, 0)
    return int(content) if content.isdigit() else 0


def _number_in(marker: Path) -> int:
    handle = os.open(marker, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _number(handle)
    finally:
        os.close(handle)
