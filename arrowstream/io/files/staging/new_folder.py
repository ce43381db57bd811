"""A folder that does not exist yet as a target."""

from __future__ import annotations

import errno
from pathlib import Path

from arrowstream.errors import SinkError
from arrowstream.io.files.sink_errors import sink_errors
from arrowstream.io.files.staging.base import (
    Staging,
    missing_folders,
    nested,
    remove_empty,
    remove_tree,
    sync,
    sync_tree,
)
from arrowstream.io.files.staging.claim import claimed
from arrowstream.io.files.staging.leftovers import clear_leftovers
from arrowstream.io.files.staging.unfinished import hidden_name


class NewFolder(Staging):
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
        self._target = target
        self._made = missing_folders(target.parent)
        try:
            with sink_errors("cannot write to", target):
                clear_leftovers(target.parent, target.name)
                _, self._staged, self._claim = claimed(
                    lambda token: target.with_name(hidden_name(target.name, token)),
                    lambda staged: staged.mkdir(parents=True),
                )
        except SinkError:
            remove_empty(reversed(self._made))
            raise

    @property
    def folder(self) -> Path:
        return self._staged

    def path(self, name: str) -> Path:
        with sink_errors("cannot write to", self._target / name):
            return nested(self._staged, name)

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

    def discard(self) -> None:
        remove_tree(self._staged)
        remove_empty(reversed(self._made))
        self._claim.release()

    def _taken(self) -> SinkError:
        return SinkError(
            f"cannot finish {self._target}",
            expected="a name that is free, as when the run began",
            found="a file or folder that was made meanwhile",
            hint="run again: with overwrite=True, or into another folder",
        )
