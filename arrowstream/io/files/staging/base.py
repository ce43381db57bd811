"""The two phases in which files become visible, and functions that all kinds of targets share."""

from __future__ import annotations

import ctypes
import logging
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from arrowstream.core.checkpoints.durable import sync

MANY = 64
"""Number of files or folders above which the whole file system is synced at once instead of each of them."""

_log = logging.getLogger(__name__)


class Publication(ABC):
    """The two phases in which written files become visible, and their removal after a failure."""

    @abstractmethod
    def prepare(self) -> None:
        """Do everything that can fail, and make nothing visible. The files must be closed and synced.

        Raises
        ------
        SinkError
            The target has changed, or the operating system refuses.
        """

    @abstractmethod
    def publish(self) -> None:
        """Make everything visible and durable, by renames; called once, after `prepare`.

        Raises
        ------
        SinkError
            The operating system refuses.
        """

    @abstractmethod
    def discard(self) -> None:
        """Remove the files without a final name; never raises, and does nothing after `publish`."""


class Staging(Publication):
    """Place for files that are not visible yet."""

    @property
    @abstractmethod
    def folder(self) -> Path:
        """Folder on the file system of the staged files."""

    @abstractmethod
    def path(self, name: str) -> str:
        """Return the path to write for the final name `name`, relative to the target; its folder is made."""


def nested(staged: str, name: str) -> str:
    """Return the path of `name` in `staged`, after making its folder."""
    path = f"{staged}/{name}"
    folder = path[: path.rindex("/")]
    # A Path takes three times as long as the folder.
    try:
        os.mkdir(folder)  # noqa: PTH102
    except OSError:  # it is there, its parent is missing, or the system refuses
        Path(folder).mkdir(parents=True, exist_ok=True)
    return path


def missing_folders(folder: Path) -> list[Path]:
    """Return the folder and those of its parents that do not exist, the outermost first."""
    return [path for path in (*reversed(folder.parents), folder) if not path.exists()]


def folders_between(path: Path, top: Path) -> list[Path]:
    """Return the folders that contain `path` and lie below `top`, innermost first."""
    return [parent for parent in path.parents if top in parent.parents]


def sync_tree(folder: Path) -> None:
    """Make the names of all files below a folder durable."""
    # For many folders, the walk would take longer than the sync.
    places = list(islice((place for place, _, _ in os.walk(folder)), MANY + 1))
    if len(places) > MANY:
        with synced(folder):
            return
    for place in places:
        sync(place)


@contextmanager
def synced(folder: Path | None) -> Iterator[None]:
    """Make everything durable that the block writes to the file system of `folder`; do nothing for None.

    One sync of a file system takes as long as that of a few files.
    """
    if folder is None:
        yield
        return
    # Opened before the writes: failures of those since then are reported.
    handle = os.open(folder, os.O_RDONLY)
    try:
        yield
        sync_all = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
        if sync_all is None:
            for path in folder.rglob("*"):
                sync(path)
        elif sync_all(handle):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(folder))
    finally:
        os.close(handle)


def keep_mode_and_owner(path: Path, old: os.stat_result) -> None:
    """Give `path` the mode and the owner of the file or folder that it replaces.

    The owner is kept if the system allows it (for root). Otherwise this process's user becomes the owner, the mode
    loses its set-id bits, and a warning is logged.
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
    """Remove files; log those that cannot be removed."""
    for file in files:
        with _logged(file):
            file.unlink(missing_ok=True)


def remove_tree(folder: Path) -> None:
    """Remove a folder with everything in it; log a failure."""
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
    """Log a failure to remove `path`, which stays, hidden: the failure that led here matters more than this one."""
    try:
        yield
    except OSError as error:
        _log.warning("%s could not be removed: %s", path, error)
