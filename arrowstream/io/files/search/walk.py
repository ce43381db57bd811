"""Walk through the files below a folder: through symbolic links, without hidden ones, in the order of their names."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from arrowstream.errors import SourceError
from arrowstream.io.files.staging.journal import is_journal
from arrowstream.io.files.staging.unfinished import is_partition


class UnfinishedFolder(SourceError):
    """A run publishes files into a folder, or was killed while it did."""


Identity = tuple[int, int]
"""Device and inode number of a folder, the same under each of its names."""


def is_visible(name: str) -> bool:
    """Return True for a folder name that does not begin with ``.`` or ``_`` (``_temporary``), or is a partition's."""
    return name[0] not in "._" or is_partition(name)


def files_in(folder: Path, *, enter: Callable[[str], bool] = is_visible) -> Iterator[Path]:
    """Return the files below a folder whose names do not begin with ``.`` or ``_`` (``_SUCCESS``).

    Symbolic links are followed, except to a folder that contains the link: its files are listed anyway.

    Parameters
    ----------
    folder
        Folder to begin with.
    enter
        Returns whether to enter a folder of this name.

    Raises
    ------
    OSError
        A folder cannot be listed.
    SourceError
        A run has not finished publishing into a folder.
    """
    return _files(str(folder), enter, frozenset())


def folders_in(folder: Path) -> Iterator[Path]:
    """Return a folder and the visible ones below it, without links back to a folder above."""
    return _folders(str(folder), frozenset())


def entries(folder: str) -> list[os.DirEntry[str]]:
    """Return the entries of a folder, sorted by name.

    Raises
    ------
    OSError
        The folder cannot be listed.
    SourceError
        A run has not finished publishing into it.
    """
    with os.scandir(folder) as found:
        listed = sorted(found, key=lambda entry: entry.name)
    journal = next((entry.name for entry in listed if is_journal(entry.name)), None)
    if journal is not None:
        raise UnfinishedFolder(
            f"{folder} is not complete: a run publishes files into it, or was killed while it did",
            found=journal,
            hint="wait until that run has ended; if none is running, run it again, which finishes the work",
        )
    return listed


def _files(folder: str, enter: Callable[[str], bool], above: frozenset[Identity]) -> Iterator[Path]:
    here = _identity(folder)
    if here in above:
        return
    place = Path(folder)
    for entry in entries(folder):
        name = entry.name
        if entry.is_dir():
            if enter(name):
                yield from _files(entry.path, enter, above | {here})
        elif is_partition(name) and entry.is_symlink() and not entry.is_file():
            raise FileNotFoundError(errno.ENOENT, "a symbolic link leads nowhere", entry.path)
        elif name[0] not in "._":
            yield place / name


def _folders(folder: str, above: frozenset[Identity]) -> Iterator[Path]:
    here = _identity(folder)
    if here in above:
        return
    yield Path(folder)
    for entry in entries(folder):
        if entry.is_dir() and is_visible(entry.name):
            yield from _folders(entry.path, above | {here})


def _identity(folder: str) -> Identity:
    status = Path(folder).stat()
    return status.st_dev, status.st_ino
