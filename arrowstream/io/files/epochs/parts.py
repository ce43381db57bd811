"""The part files or objects of one sink with checkpoints: their names, and which epoch was committed last."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Final

from arrowstream.core.checkpoints.context import CheckpointContext
from arrowstream.core.checkpoints.durable import write_durably
from arrowstream.core.checkpoints.earlier_output import earlier_output
from arrowstream.core.checkpoints.missing_output import missing_output
from arrowstream.core.notes import ReaderNote
from arrowstream.core.plural import counted
from arrowstream.errors import SinkError
from arrowstream.io.files.epochs.earlier_runs import mark_of, other_folder, sink_token

STEM: Final = "part"
"""Beginning of the names of parts, also before they get their final ones."""


class EpochParts:
    """Parts named ``part-EPOCH-TOKEN-NUMBER``, and two files in the sink's folder of the checkpoints.

    Parameters
    ----------
    checkpoint
        The checkpoints of the run.
    place
        Where the parts are shown, for errors.

    Attributes
    ----------
    token : str
        What tells the parts of this sink from those of others.
    committed : int
        The newest epoch with parts that was committed.
    """

    def __init__(self, checkpoint: CheckpointContext, place: str) -> None:
        self._place = place
        self._newest = checkpoint.newest
        self._note = checkpoint.folder / "committed"
        known = json.loads(self._note.read_text()) if self._note.exists() else {"epoch": 0, "parts": 0}
        self.committed: int = known["epoch"]
        self._count: int = known["parts"]
        """Number of the parts with rows of that epoch, or 0."""
        self.token = sink_token(checkpoint)
        self._own = re.compile(rf"{STEM}-(\d{{8,}})-{self.token}-\d{{5,}}\..+")
        self._same_name = re.compile(rf"{STEM}-\d{{8,}}-{mark_of(checkpoint)}[0-9a-f]{{8}}-\d{{5,}}\..+")

    def final(self, name: str, epoch: int) -> str:
        """Return the final name of a part, which may be in a folder of partitions."""
        folder, slash, part = name.rpartition("/")
        return f"{folder}{slash}{STEM}-{epoch:08}-{self.token}{part.removeprefix(STEM)}"

    def epoch_of(self, name: str) -> int:
        """Return the epoch of a part of this sink; 0 for others."""
        found = self._own.fullmatch(name.rpartition("/")[2])
        return 0 if found is None else int(found[1])

    def continue_from(self, epoch: int, *, begins: bool) -> None:
        """Take note of the epoch that a run continues from; `begins` is True for a run from the beginning."""
        if self.committed > epoch:
            self.commit(epoch, 0)
        elif begins and self._count:
            self.commit(self.committed, 0)  # what was shown may be gone

    def commit(self, epoch: int, parts: int) -> None:
        """Note that an epoch is committed, with this number of parts with rows."""
        write_durably(self._note, json.dumps({"epoch": epoch, "parts": parts}).encode())
        self.committed, self._count = epoch, parts

    def check_shown(self, names: Iterable[str]) -> None:
        """Check that the parts of the newest epoch are among these names; older ones are their readers'.

        Raises
        ------
        CheckpointError
            Some are missing.
        """
        there = sum(self.epoch_of(name) == self.committed for name in names) if self._count else 0
        if there < self._count:
            raise missing_output(
                f"{self._place} lacks files that earlier runs of this job have written",
                f"{counted(self._count, 'files')} of epoch {self.committed}, the newest with rows: "
                f"{STEM}-{self.committed:08}-{self.token}-*",
                f"{there or 'none'} of them",
            )

    def later(self, names: Iterable[str], epoch: int) -> set[str]:
        """Return the names of the parts of epochs after `epoch`, which come again.

        Raises
        ------
        CheckpointError
            No run with this checkpoint folder has written them.
        """
        found = {name: self.epoch_of(name) for name in names}
        last = max(found.values(), default=0)
        if last > max(epoch, self._newest):
            raise other_folder(
                self._place,
                last,
                max(epoch, self._newest),
                f"the files {STEM}-*-{self.token}-* of later epochs",
            )
        return {name for name, number in found.items() if number > epoch}

    def notes(self, names: Iterable[str], *, begins: bool) -> tuple[ReaderNote, ...]:
        """Return a note on parts of earlier runs of this job with other checkpoint folders, if this one begins."""
        others = sorted(name for name in names if begins and self._is_of_same_name(name))
        return (earlier_output("files", len(others), others[0]),) if others else ()

    def _is_of_same_name(self, name: str) -> bool:
        part = name.rpartition("/")[2]
        return self._same_name.fullmatch(part) is not None and self._own.fullmatch(part) is None

    def check_alone(self, names: Iterable[str], *, begins: bool) -> None:
        """Raise SinkError for names of other files, or for any in a run from the beginning."""
        others = [name for name in names if begins or not self.epoch_of(name)]
        if others:
            raise SinkError(
                f"{self._place} already holds data files",
                expected="files of this job's checkpoints only, as mode='error' says",
                found=f"{counted(len(others), 'files')}, such as {others[0]}",
                hint="choose another folder, or mode='append' to keep them",
            )


def lost(staged: str, place: str) -> SinkError:
    """Return the error for a part of a complete epoch that is neither staged nor shown."""
    return SinkError(
        "rows of the last checkpoint are lost",
        expected=f"the file {staged}, or already {place}",
        found="neither of them",
        hint="bring the file back; or start from the beginning, from_checkpoint='ignore', after removing what this "
        "sink has written",
    )
