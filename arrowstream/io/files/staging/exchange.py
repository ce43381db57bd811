"""Exchange of two folders in a single step, where the file system can do that."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Collection, Iterator
from pathlib import Path

from arrowstream.io.files.staging.base import keep_mode_and_owner, remove
from arrowstream.io.files.staging.unfinished import is_partition

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def exchange(one: Path, other: Path) -> bool:
    """Exchange the names of two folders atomically; return False if the system or the file system cannot."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    if rename is None:
        return False
    done = rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    return bool(done == 0)


def carry_over(folder: Path, new: Path, left_behind: Collection[Path]) -> bool:
    """Link the files of `folder` into `new`, which will take its name; return False, with no links, if one fails.

    Only files in the folder itself and in its partitions can be linked: another program may be working in any other
    folder.

    Parameters
    ----------
    folder
        The folder to be replaced.
    new
        The folder that replaces it; it and its partitions get the mode and the owner of the old ones.
    left_behind
        Files of `folder` that are not linked.
    """
    made: list[Path] = []
    for path in _others(folder, left_behind):
        there = new / path.relative_to(folder) if path is not None else new
        if path is None or not _linked(path, there):
            remove(made)
            return False
        made.append(there)
    for place, _, _ in os.walk(new):
        same = folder / Path(place).relative_to(new)
        if same.is_dir():
            keep_mode_and_owner(Path(place), same.stat())
    return True


def _others(folder: Path, left_behind: Collection[Path]) -> Iterator[Path | None]:
    """Yield the other files of a folder and its partitions; None for an entry that cannot be linked."""
    for place, folders, files in os.walk(folder):
        for name in folders:
            if not is_partition(name) or Path(place, name).is_symlink():
                yield None
        for name in files:
            path = Path(place, name)
            if path not in left_behind:
                yield path if path.is_symlink() or path.is_file() else None


def _linked(path: Path, there: Path) -> bool:
    there.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, there, follow_symlinks=False)
    except OSError:  # the file system has no links, the file too many, or it belongs to another user
        return False
    return True
