"""Locks on files and folders that are being written, by which other runs see that their writer is alive."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

from arrowstream.io.files.staging.unfinished import new_token


class Claim:
    """Lock on a file or folder, held until `release` or the end of the process.

    On a file system without locks, none is held.

    Parameters
    ----------
    path
        The file or folder.

    Raises
    ------
    FileNotFoundError
        It has been removed, by a run that took it for a leftover before it was locked.
    """

    __slots__ = ("_handle",)

    def __init__(self, path: Path) -> None:
        handle = os.open(path, os.O_RDONLY)
        try:
            lock(handle, wait=True)
            if not os.path.lexists(path):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        except BaseException:
            os.close(handle)
            raise
        self._handle: int | None = handle

    def release(self) -> None:
        """Release the lock; do nothing if it is released."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def claimed(place: Callable[[str], Path], make: Callable[[Path], None]) -> tuple[str, Path, Claim]:
    """Make a file or folder that only this run writes; return its token, its path and the lock on it.

    Parameters
    ----------
    place
        Returns the path for a token.
    make
        Makes the file or folder at a path.
    """
    while True:
        token = new_token()
        path = place(token)
        make(path)
        try:
            return token, path, Claim(path)
        except FileNotFoundError:
            continue


def lock(handle: int, *, wait: bool = False) -> bool | None:
    """Lock an open file or folder; return False if another holds the lock, and None if there cannot be locks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        return False if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN) else None
    return True
