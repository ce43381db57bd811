"""One folder in place of another in a single step, where the file system can do that."""

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
    """Exchange the names of two folders atomically; False where the system or the file system cannot."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    if rename is None:
        return False
    done = rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    return bool(done == 0)


def carry_over(folder: Path, new: Path, left_behind: Collection[Path]) -> bool:
    """Link the files of `folder` into `new`, which will take its name; False, and nothing done, if one cannot be.

    Only what partitions hold can be linked: other folders may belong to somebody who works in them at the moment.

    Parameters
    ----------
    folder
        The folder to be replaced.
    new
        The folder that replaces it; it gets the mode and the owner of `folder`, as its partitions do.
    left_behind
        Files of `folder` that go with it.
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
    """The other files of a folder and its partitions; None for what cannot be linked."""
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
    except OSError:  # no links on this file system, too many, or none to files of other users
        return False
    return True
