"""Errors of the operating system as `SinkError`, with a hint at what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from arrowstream.errors import SinkError

_FULL = "free some space there, or write somewhere else"
_HINTS = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: "the file grew past `ulimit -f`; raise that, or write part files: end the path with '/'",
    errno.EACCES: "check who may write there",
    errno.EPERM: "check who may write there",
    errno.EROFS: "that file system is read-only: write somewhere else",
    errno.ENOENT: "create the folder first, or end the path with '/' to have a folder created",
    errno.EEXIST: "a part of the path is a file, not a folder",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.ELOOP: "the symbolic link leads back to itself",
    errno.ENXIO: "nobody reads from that pipe: start its reader first",
    errno.EPIPE: "the reader of that pipe has gone",
    errno.ENAMETOOLONG: "shorten the name; a partition column's value becomes a folder's name",
}


@contextmanager
def sink_errors(what: str, path: str | Path) -> Iterator[None]:
    """Raise the `OSError` of the block as ``SinkError(f"{what} {path}")`` with a hint."""
    try:
        yield
    except OSError as error:
        raise SinkError(
            f"{what} {path}",
            found=error.strerror or str(error),
            hint=_HINTS.get(error.errno or 0),
        ) from error
    except RuntimeError as error:  # of pathlib: "~" of a user without a home, a symbolic link in a circle
        raise SinkError(f"{what} {path}", found=str(error), hint="check the path") from error
