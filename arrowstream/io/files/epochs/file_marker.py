"""A hidden file next to a text file, which says up to which epoch its rows are there.

::

    .events.csv.5d0c9a4e11f2.epoch    next to events.csv, by sink: the newest epoch whose bytes are, or may be, in it

A checkpoint folder alone cannot tell: if it is a copy, or was brought back from a backup, its own record is old.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

from arrowstream.core.checkpoints.context import CheckpointContext
from arrowstream.core.checkpoints.earlier_output import earlier_output
from arrowstream.core.notes import ReaderNote
from arrowstream.io.files.epochs.earlier_runs import mark_of, other_folder, sink_token

_SUFFIX: Final = ".epoch"


class FileMarker:
    """The hidden file of one sink. Where the folder is read-only there is none, and nothing is noticed.

    Parameters
    ----------
    checkpoint
        The checkpoints of the run.
    target
        The text file.
    """

    def __init__(self, checkpoint: CheckpointContext, target: Path) -> None:
        self._target = target
        self._newest = checkpoint.newest
        self._same_name = f".{target.name}.{mark_of(checkpoint)}"
        self._path = target.with_name(f".{target.name}.{sink_token(checkpoint)}{_SUFFIX}")

    def check(self, epoch: int) -> None:
        """Check that a run with this checkpoint folder has written what the file holds.

        Parameters
        ----------
        epoch
            The epoch that the run continues from.

        Raises
        ------
        CheckpointError
            The file has rows of a later epoch, which this folder has never completed.
        """
        shown = _epoch_in(self._path)
        if shown > (newest := max(epoch, self._newest)) and self._target.exists():
            raise other_folder(str(self._target), shown, newest, f"the file and {self._path.name} next to it")

    def note(self, epoch: int) -> None:
        """Note that the rows of an epoch are about to be appended."""
        staged = self._path.with_name(f"{self._path.name}.tmp")
        # Not flushed: after a crash of the machine an older number is as good as none.
        with suppress(PermissionError):
            staged.write_text(str(epoch))
            staged.replace(self._path)

    def notes(self) -> tuple[ReaderNote, ...]:
        """Return a note if earlier runs of this job, with another checkpoint folder, have written the file."""
        names = (path.name for path in self._target.parent.iterdir()) if self._target.exists() else ()
        digits = len(self._path.name)
        others = [
            name
            for name in names
            if name.startswith(self._same_name) and name.endswith(_SUFFIX) and len(name) == digits
        ]
        epochs = sum(max(1, _epoch_in(self._target.with_name(name))) for name in others)
        return (earlier_output("epochs", epochs, self._target.name),) if others else ()


def _epoch_in(marker: Path) -> int:
    """Return the epoch in a marker; 0 without one, or if a crash has left it empty."""
    try:
        return int(marker.read_text())
    except (FileNotFoundError, ValueError):
        return 0
