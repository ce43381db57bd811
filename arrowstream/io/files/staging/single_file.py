"""One file as a target, replaced in one step."""

from __future__ import annotations

import os
from pathlib import Path

from arrowstream.core.checkpoints.durable import sync
from arrowstream.errors import SinkError
from arrowstream.io.files.sink_errors import sink_errors
from arrowstream.io.files.staging.base import Publication, keep_mode_and_owner, remove
from arrowstream.io.files.staging.claim import claimed
from arrowstream.io.files.staging.contents import Version
from arrowstream.io.files.staging.leftovers import clear_leftovers
from arrowstream.io.files.staging.lock import locked
from arrowstream.io.files.staging.unfinished import hidden_name

_PRIVATE = 0o600
_PUBLIC = 0o666


class StagedFile(Publication):
    """File written next to its target as ``.NAME.TOKEN.inprogress``, which takes its name by one rename.

    The new file gets the mode and the owner of the one that it replaces.

    Parameters
    ----------
    target
        Final path, without symbolic links.

    Raises
    ------
    SinkError
        The target is a folder or a read-only file, or its folder is missing or read-only.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        with sink_errors("cannot write to", target):
            replaces = self._old() is not None
            if replaces and not os.access(target, os.W_OK):
                raise PermissionError(13, "the file is read-only")
            clear_leftovers(target.parent, target.name)
            _, self._staged, self._claim = claimed(
                lambda token: target.with_name(hidden_name(target.name, token)),
                lambda staged: staged.touch(_PRIVATE if replaces else _PUBLIC, exist_ok=False),
            )

    def _old(self) -> os.stat_result | None:
        """Return the status of the target, or None if it does not exist."""
        try:
            old = self._target.lstat()
        except FileNotFoundError:
            return None
        if self._target.is_dir():
            raise SinkError(
                f"{self._target} is a folder",
                expected="the name of a file",
                hint="end the path with '/' to write part files into it",
            )
        if not self._target.is_file() or self._target.is_symlink():
            raise SinkError(
                f"{self._target} is not a regular file any more",
                expected="a file, as when the run began, or none",
                hint="let nobody else change the target while the pipeline runs",
            )
        return old

    @property
    def path(self) -> Path:
        """The path to write."""
        return self._staged

    def prepare(self) -> None:
        with sink_errors("cannot finish", self._target):
            old = self._old()
            if old is not None:
                keep_mode_and_owner(self._staged, old)
                sync(self._staged)

    def publish(self) -> None:
        with sink_errors("cannot finish", self._target), locked(self._target.parent):
            self._replace()
            sync(self._target.parent)
        self._claim.release()

    def discard(self) -> None:
        remove([self._staged])
        self._claim.release()

    def _replace(self) -> None:
        """Give the file its final name."""
        self._staged.replace(self._target)


class NewFile(StagedFile):
    """File that gets its name only if no run has written that meanwhile.

    Parameters
    ----------
    target
        Final path, without symbolic links.
    found
        The file without rows that had this path when it was read; None if none had.
    """

    def __init__(self, target: Path, found: Version | None) -> None:
        super().__init__(target)
        self._found = found

    def _replace(self) -> None:
        if Version.of(self._target) != self._found:
            raise SinkError(
                f"{self._target} was written by another run since this one began",
                expected="a name that is free, as when the run began",
                hint="choose another name, or mode='overwrite' to replace the file",
            )
        super()._replace()
