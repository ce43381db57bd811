"""The two phases in which files become visible, and what all kinds of targets need for them."""

from __future__ import annotations

import logging
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

_log = logging.getLogger(__name__)


class Publication(ABC):
    """The two phases in which what was written becomes visible, and the way back."""

    @abstractmethod
    def prepare(self) -> None:
        """Do everything that can fail; nothing is visible yet. The files must be closed and synced.

        Raises
        ------
        SinkError
            The target has changed, or the operating system refuses.
        """

    @abstractmethod
    def publish(self) -> None:
        """Make everything visible and durable, by renames; called once, after `prepare`."""

    @abstractmethod
    def discard(self) -> None:
        """Remove what has no final name yet; never raises, and does nothing after `publish`."""


class Staging(Publication):
    """A place for files that are not visible yet."""

    @abstractmethod
    def path(self, name: str) -> Path:
        """Where to write what will be `name`, a relative path, under the target; its folder is made."""


def nested(staged: Path, name: str) -> Path:
    """The path of `name` in `staged`, with its folder made."""
    path = staged / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def missing_folders(folder: Path) -> list[Path]:
    """A folder and those of its parents that do not exist, the outermost first."""
    return [path for path in (*reversed(folder.parents), folder) if not path.exists()]


def folders_between(path: Path, top: Path) -> list[Path]:
    """The folders that hold `path` and lie below `top`, innermost first."""
    return [parent for parent in path.parents if top in parent.parents]


def sync(path: Path) -> None:
    """Make a file, or the renames in a folder, durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """Make the names of all files below a folder durable."""
    for place, _, _ in os.walk(folder):
        sync(Path(place))


def keep_mode_and_owner(path: Path, old: os.stat_result) -> None:
    """Give `path` the mode and the owner of what it replaces.

    Another user's file stays that user's only where the system allows it (for root); elsewhere it becomes this
    user's, with the old mode less its set-id bits.
    """
    new = path.stat()
    mode = old.st_mode & 0o7777
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        try:
            os.chown(path, old.st_uid, old.st_gid)
        except PermissionError:
            mode &= 0o777
            _log.warning("%s: the owner of the replaced file cannot be kept", path)
    path.chmod(mode)


def remove(files: Iterable[Path]) -> None:
    """Remove files; what cannot be removed is logged."""
    for file in files:
        with _logged(file):
            file.unlink(missing_ok=True)


def remove_tree(folder: Path) -> None:
    """Remove a folder with all it holds; what cannot be removed is logged."""
    if folder.exists():
        with _logged(folder):
            shutil.rmtree(folder)


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove those of `folders` that are empty."""
    for folder in folders:
        if folder.is_dir() and not any(folder.iterdir()):
            with _logged(folder):
                folder.rmdir()


@contextmanager
def _logged(path: Path) -> Iterator[None]:
    """What cannot be removed stays, hidden; the failure that led here matters more than this one."""
    try:
        yield
    except OSError as error:
        _log.warning("%s could not be removed: %s", path, error)
