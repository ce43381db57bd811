"""A folder that does not exist yet as a target."""

from __future__ import annotations

import errno
from pathlib import Path

from arrowstream.core.checkpoints.durable import sync
from arrowstream.errors import SinkError
from arrowstream.io.files.sink_errors import sink_errors
from arrowstream.io.files.staging.base import missing_folders, sync_tree
from arrowstream.io.files.staging.hidden_folder import HiddenFolder
from arrowstream.io.files.staging.leftovers import clear_leftovers


class NewFolder(HiddenFolder):
    """Folder written as ``.NAME.TOKEN.inprogress``, which takes its name by one rename.

    Parameters
    ----------
    target
        Final path, without symbolic links; its parents are made.

    Raises
    ------
    SinkError
        The folder cannot be made.
    """

    def __init__(self, target: Path) -> None:
        super().__init__(target, missing_folders(target.parent))

    def _begin(self) -> None:
        clear_leftovers(self._target.parent, self._target.name)
        self._hide(lambda staged: staged.mkdir(parents=True))

    def prepare(self) -> None:
        with sink_errors("cannot finish", self._target):
            sync_tree(self._staged)
            if self._target.exists() and (not self._target.is_dir() or any(self._target.iterdir())):
                raise self._taken()

    def publish(self) -> None:
        try:
            with sink_errors("cannot finish", self._target):
                try:
                    self._staged.rename(self._target)
                except OSError as error:
                    if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                        raise self._taken() from error
                    raise
                self._made = []
                sync(self._target.parent)
        finally:
            self._claim.release()

    def _taken(self) -> SinkError:
        return SinkError(
            f"cannot finish {self._target}",
            expected="a name that is free, as when the run began",
            found="a file or folder that was made meanwhile",
            hint="run again: with overwrite=True, or into another folder",
        )
