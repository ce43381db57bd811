"""Exchange of two folders in a single step, and renames that replace nothing, where the system can do that."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_RENAME_EXCHANGE = 2
_NOT_SUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP)


def exchange(one: Path, other: Path) -> bool:
    """Exchange the names of two folders atomically; return False if the system or the file system cannot."""
    return _rename(one, other, _RENAME_EXCHANGE) == 0


def move_new(source: Path, place: Path) -> None:
    """Give a file or folder a name that nothing has; raise FileExistsError, and change nothing, if it is taken.

    Where the system cannot do both in one step, the name is looked up first.
    """
    failed = _rename(source, place, _RENAME_NOREPLACE)
    if failed in _NOT_SUPPORTED:
        failed = errno.EEXIST if os.path.lexists(place) else 0
        if not failed:
            source.replace(place)
    if failed:
        raise OSError(failed, os.strerror(failed), str(place))


def _rename(one: Path, other: Path, how: int) -> int:
    """Call `renameat2`; return 0 or the number of the error."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return errno.ENOSYS
    done = rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), how)
    return 0 if done == 0 else ctypes.get_errno()
