"""A folder whose files become visible one by one, each as soon as it is complete."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from arrowstream.core.checkpoints.durable import sync
from arrowstream.io.files.sink_errors import sink_errors
from arrowstream.io.files.staging.base import missing_folders, remove, remove_tree
from arrowstream.io.files.staging.contents import Version
from arrowstream.io.files.staging.exchange import move_new
from arrowstream.io.files.staging.hidden_folder import HiddenFolder
from arrowstream.io.files.staging.lock import locked


class RollingFolder(HiddenFolder):
    """Folder that complete files are moved to while the run goes on; they stay if it fails.

    Parameters
    ----------
    target
        The folder, without symbolic links; if it is missing, it is made with the first file.
    spare
        Files without rows in it, which go once there are others.

    Raises
    ------
    SinkError
        The folder cannot be written to.
    """

    def __init__(self, target: Path, spare: Iterable[Path] = ()) -> None:
        self._spare = {path: Version.of(path) for path in spare}
        super().__init__(target, missing_folders(target))

    def _begin(self) -> None:
        target = self._target
        target.parent.mkdir(parents=True, exist_ok=True)
        self._clear()
        # Next to the target if that is the same file system: some readers look into hidden folders.
        inside = target.is_mount() or not os.access(target.parent, os.W_OK | os.X_OK)
        self._hide(lambda staged: staged.mkdir(0o700), inside=inside)

    def show(self, names: Iterable[str]) -> None:
        """Make one or more complete files visible and durable, each by one rename.

        Raises
        ------
        SinkError
            The operating system refuses; the call can be repeated.
        """
        with sink_errors("cannot finish", self._target):
            self._target.mkdir(parents=True, exist_ok=True)
            with locked(self._target):
                self._show(names)

    def _show(self, names: Iterable[str]) -> None:
        folders = {self._target, *(path.parent for path in self._made)}
        for name in names:
            source, final = self._staged / name, self._target / name
            folders |= {path.parent for path in missing_folders(final.parent)} | {final.parent}
            if not source.exists():  # an earlier call failed after that
                continue
            final.parent.mkdir(parents=True, exist_ok=True)
            move_new(source, final)
            self._made = []
        for folder in folders:
            sync(folder)
        # Another run may have replaced such a file by one with rows.
        remove(path for path, version in self._spare.items() if Version.of(path) == version)

    def prepare(self) -> None:
        return

    def publish(self) -> None:
        try:
            if complete := self._complete():
                self.show(complete)
            remove_tree(self._staged)
        finally:
            self._claim.release()

    def _complete(self) -> list[str]:
        """Return the names of the files that are not visible yet; at the end of a run all are complete."""
        found = (Path(place, name) for place, _, names in os.walk(self._staged) for name in names)
        return sorted(str(path.relative_to(self._staged)) for path in found)
