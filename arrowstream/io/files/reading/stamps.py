"""Stamps: what shows that a file is still the one that an earlier run has read."""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from stat import S_ISREG
from typing import Final, NamedTuple

from arrowstream.core.plural import counted
from arrowstream.errors import SourceError
from arrowstream.io.files.remote.object import RemoteObject
from arrowstream.io.files.remote.urls import RemotePath

_END_BYTES: Final = 4096
"""Bytes at the beginning and at the end of a file that its fingerprint covers."""


class Stamp(NamedTuple):
    """State of a file when it was opened: other content has another stamp.

    Parameters
    ----------
    path
        Path of the file as it was listed, or URL of an object.
    size
        Size in bytes.
    mark
        Time of the last change in nanoseconds since 1970; the entity tag of an object.
    """

    path: str
    size: int
    mark: int | str


def stamp_of(path: Path | RemotePath) -> Stamp | None:
    """Return the stamp of a file as it is now.

    Returns
    -------
    Stamp or None
        None for a pipe, a file that is gone, a file of a web server, and an object of a store that says no entity
        tag: nothing tells whether they have changed.
    """
    if isinstance(path, RemotePath):
        status = None if path.is_web else RemoteObject(path).status
        return Stamp(str(path), status.size, status.tag) if status is not None and status.exact else None
    found = status_of(path)
    return None if found is None else local_stamp(str(path), found)


def status_of(path: Path) -> os.stat_result | None:
    """Return the status of a file; None if there is none: opening it raises the error."""
    try:
        return path.stat()
    except OSError:
        return None


def fingerprint(stamp: Stamp) -> int | None:
    """Return the CRC-32 of the first and last 4 KiB of a file; None for an object, and if the file has changed."""
    if isinstance(stamp.mark, str):
        return None
    try:
        with Path(stamp.path).open("rb", buffering=0) as file:
            if local_stamp(stamp.path, os.fstat(file.fileno())) != stamp:
                return None
            begin = file.read(_END_BYTES)
            file.seek(max(0, stamp.size - _END_BYTES))
            return zlib.crc32(file.read(_END_BYTES), zlib.crc32(begin))
    except OSError:
        return None


def local_stamp(path: str, status: os.stat_result) -> Stamp | None:
    """Return the stamp of a file with this status; None for a pipe or a device."""
    return Stamp(path, status.st_size, status.st_mtime_ns) if S_ISREG(status.st_mode) else None


def check_unchanged(before: Stamp, now: Stamp | None, crc: int | None, what: str, hint: str) -> None:
    """Raise SourceError unless a file is the one that an earlier run has read.

    Parameters
    ----------
    before
        Its stamp in the earlier run.
    now
        Its stamp now; None if it is gone.
    crc
        Its fingerprint in the earlier run; None if it is not compared.
    what
        What the earlier run did, for the error: ``read it``.
    hint
        What the user can do.
    """
    if now is None:
        found = "no such file"
    elif now.size != before.size:
        found = counted(now.size, "bytes")
    elif now != before and isinstance(now.mark, int):
        found = "another time of change"
    elif now != before or (crc is not None and fingerprint(now) != crc):
        found = "other content of the same size"
    else:
        return
    raise SourceError(
        f"{before.path} has changed since an earlier run {what}",
        position=before.path,
        expected=f"{counted(before.size, 'bytes')}, as when it was read",
        found=found,
        hint=hint,
    )
