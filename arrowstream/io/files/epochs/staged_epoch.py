"""A hidden folder with the part files of one epoch."""

from __future__ import annotations

import os
from pathlib import Path

from arrowstream.core.checkpoints.durable import sync
from arrowstream.io.files.sink_errors import sink_errors
from arrowstream.io.files.staging.base import Staging, nested, remove_tree, sync_tree


class StagedEpoch(Staging):
    """Place for the part files of one epoch.

    Parameters
    ----------
    folder
        The folder, in a hidden one that exists.
    target
        The final folder, for errors.
    """

    def __init__(self, folder: Path, target: Path) -> None:
        self._folder = folder
        self._target = target

    @property
    def folder(self) -> Path:
        return self._folder

    def make(self) -> None:
        """Make the folder."""
        self._folder.mkdir(exist_ok=True)

    def path(self, name: str) -> str:
        with sink_errors("cannot write to", f"{self._target}/{name}"):
            return nested(str(self.folder), name)

    def prepare(self) -> None:
        """Make the names of the files durable; the files are."""
        with sink_errors("cannot finish", self._target):
            sync_tree(self._folder)
            sync(self._folder.parent)

    def publish(self) -> None:
        """Leave the files where they are: the checkpoint decides about their names."""
        return

    def discard(self) -> None:
        remove_tree(self._folder)

    @property
    def names(self) -> list[str]:
        """The names of the files, sorted."""
        found = (Path(place, name) for place, _, names in os.walk(self._folder) for name in names)
        return sorted(path.relative_to(self._folder).as_posix() for path in found)
