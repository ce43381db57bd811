"""Columnar file being read: opened once, so that all its rows come from one version."""

from __future__ import annotations

import os
import weakref
from pathlib import Path
from stat import S_ISREG

import pyarrow as pa

from arrowstream.core.plural import counted
from arrowstream.errors import SourceError, UnreadableData
from arrowstream.io.files.remote.urls import RemotePath
from arrowstream.io.files.text.byte_stream import unreadable

FileStat = tuple[int, int, int, int]
"""Device, inode, size (bytes) and time of the last change (ns): other content has another stamp."""


class OpenFile:
    """File that stays open until the last reference to it is gone.

    If another file takes its name meanwhile, reading goes on with this one. A change in place is an error, as rows
    read before it would be of another version than those after it. Polars 1 maps a Parquet file while it decodes a
    piece, so that truncating the file just then still ends the process (SIGBUS); Polars 2 reads it.

    Parameters
    ----------
    path
        Path of the file, also used in errors.

    Raises
    ------
    SourceError
        The file cannot be opened.
    """

    __slots__ = ("__weakref__", "_handle", "path", "stamp")

    path: Path | RemotePath
    stamp: FileStat

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise unreadable(path, error) from error
        # Several threads read pieces of the file; it is closed with the last of them.
        weakref.finalize(self, os.close, self._handle)
        self.stamp = self._now()

    @property
    def is_regular(self) -> bool:
        """False for a pipe or a device."""
        return S_ISREG(os.fstat(self._handle).st_mode)

    @property
    def place(self) -> str:
        """Path of the open file itself, in ASCII whatever its name is."""
        return f"/dev/fd/{self._handle}"

    @property
    def source(self) -> str | pa.NativeFile:
        """The file as pyarrow takes it: `place`, or an open file of its own."""
        return self.place

    @property
    def storage_options(self) -> dict[str, str] | None:
        """Options with which Polars opens `place`, if it is a URL."""
        return None

    @property
    def content(self) -> bytes | None:
        """The whole content, if it is in memory already; None to read it from `place`."""
        return None

    @property
    def size(self) -> int:
        """Size when it was opened, in bytes."""
        return self.stamp[2]

    def read(self, start: int, nbytes: int) -> bytes:
        """Return `nbytes` bytes from `start` on, fewer only at the end of the file."""
        return os.pread(self._handle, nbytes, start)

    def read_into(self, start: int, buffer: memoryview) -> None:
        """Fill a buffer with the bytes from `start` on.

        Raises
        ------
        SourceError
            The file ends before the buffer is full.
        """
        while buffer.nbytes:
            found = os.preadv(self._handle, [buffer], start)
            if not found:
                raise self._changed()
            start, buffer = start + found, buffer[found:]

    def check(self) -> None:
        """Raise SourceError if the file has changed since it was opened."""
        if self._now() != self.stamp:
            raise self._changed()

    def unreachable(self, error: BaseException) -> SourceError | None:
        """Return the error for a store that refused a read or could not be reached; None for any other `error`."""
        return None

    def text(self, error: BaseException) -> str:
        """Return the first line of an error, with the file's name in place of `place`."""
        return (str(error).splitlines() or [type(error).__name__])[0].replace(self.place, str(self.path))

    def _now(self) -> FileStat:
        status = os.fstat(self._handle)
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns

    def _changed(self) -> SourceError:
        size = self._now()[2]
        return UnreadableData(
            f"{self.path} changed while it was read",
            position=str(self.path),
            expected=f"{counted(self.size, 'bytes')}, as when it was opened, that nothing writes to",
            found=counted(size, "bytes") if size != self.size else "a later time of change",
            hint="write the file under another name, then rename it: a run that reads it goes on with the old one",
        )
