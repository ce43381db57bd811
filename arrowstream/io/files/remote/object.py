"""An object that is read: its size, and any range of its bytes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, Final

import pyarrow as pa

from arrowstream.core.plural import counted
from arrowstream.errors import SourceError, UnreadableData
from arrowstream.io.files.remote.status import ObjectReplaced, Status
from arrowstream.io.files.remote.stores import opened, reading, status_in, status_of
from arrowstream.io.files.remote.urls import RemotePath
from arrowstream.io.files.remote.web import WebStream, read_range

AHEAD_BYTES = 8 << 20
"""Bytes of text that are fetched by one request."""

SMALL_BYTES = 1 << 20
"""Size up to which an object of a store is fetched whole, by one request."""

_KEPT: Final = 8
"""Small objects whose content is kept: a run reads what the pipeline was built from."""

_kept: dict[tuple[RemotePath, Status], bytes] = {}
_lock = Lock()


class RemoteObject:
    """Object of a store, or file of a web server.

    Parameters
    ----------
    path
        Its place.

    Attributes
    ----------
    status : Status
        Its size and the tag of its content when it was opened.

    Raises
    ------
    SourceError
        It does not exist, or cannot be read.
    """

    __slots__ = ("_content", "_native", "path", "status")

    def __init__(self, path: RemotePath) -> None:
        self.path = path
        self._native: Any = None
        self._content: bytes | None = None
        with reading(path):
            if path.is_web:
                self.status = status_of(path)
            else:
                self._native = opened(path)
                self.status = status_in(self._native)

    @property
    def size(self) -> int:
        """Size in bytes when it was opened; -1 if a web server does not say it."""
        return self.status.size

    def now(self) -> Status:
        """Return the size and the tag of its content as the store says them now."""
        with reading(self.path):
            return status_of(self.path)

    def check(self) -> None:
        """Raise SourceError if it has been replaced since it was opened, and was not read whole before that."""
        if self._content is None and self.now() != self.status:
            raise changed(self)

    @property
    def content(self) -> bytes | None:
        """The whole content if it is small, and of a store; None otherwise.

        Raises
        ------
        SourceError
            The store cannot be reached, or no longer has the object.
        """
        if self._content is None and self._native is not None and self.size <= SMALL_BYTES:
            self._content = _kept.get((self.path, self.status))
            if self._content is None:
                with self.reading():
                    content: bytes = self._native.read_at(self.size, 0)
                self.check()
                with _lock:
                    while len(_kept) >= _KEPT:
                        del _kept[next(iter(_kept))]
                    if self.status.exact:
                        _kept[self.path, self.status] = content
                self._content = content
        return self._content

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Raise failures of reading in the block as SourceErrors."""
        with reading(self.path):
            try:
                yield
            except ObjectReplaced as error:
                raise changed(self) from error

    def read(self, start: int, nbytes: int) -> bytes:
        """Return `nbytes` bytes from `start` on, fewer only at the end.

        Raises
        ------
        SourceError
            The store cannot be reached, or no longer has the object.
        """
        nbytes = min(nbytes, self.size - start)
        if nbytes <= 0:
            return b""
        if (content := self.content) is not None:
            return content[start : start + nbytes]
        with self.reading():
            if self._native is None:
                return read_range(self.path, start, nbytes, self.status)
            found: bytes = self._native.read_at(nbytes, start)
            return found


class _Seekable(io.RawIOBase):
    """Object as a file with a position."""

    def __init__(self, object: RemoteObject) -> None:
        super().__init__()
        self._object = object
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._object.size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer with the next bytes, and return their number; 0 at the end."""
        view = memoryview(buffer).cast("B")
        data = self._part(view.nbytes)
        view[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _part(self, most: int) -> bytes:
        """Return up to `most` bytes from the position on."""
        return self._object.read(self._at, most)


class RemoteBytes(_Seekable):
    """Bytes of an object from its beginning on; those of a store, and of archives, can be read from any place.

    Parameters
    ----------
    path
        Place of the object.

    Raises
    ------
    SourceError
        It does not exist, or cannot be read.
    """

    def __init__(self, path: RemotePath) -> None:
        super().__init__(RemoteObject(path))
        self._ahead = b""
        self._ahead_from = 0
        self._answer: WebStream | None = None
        # The directory of a zip archive is at its end: it is read in ranges.
        if path.is_web and not path.name.lower().endswith(".zip"):
            with reading(path):
                self._answer = WebStream(path)

    @property
    def size(self) -> int:
        """Size in bytes."""
        return self._object.size

    def seekable(self) -> bool:
        return self._answer is None

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if self._answer is not None:
            raise io.UnsupportedOperation("seek")
        return super().seek(offset, whence)

    def _part(self, most: int) -> bytes:
        if self._answer is not None:
            with self._object.reading():
                return self._answer.read(most)
        before = self._at - self._ahead_from
        if not 0 <= before < len(self._ahead):
            self._ahead_from, before = self._at, 0
            self._ahead = self._object.read(self._at, max(most, AHEAD_BYTES))
            if len(self._ahead) < most:
                self._object.check()
        return self._ahead[before : before + most]

    def close(self) -> None:
        if self._answer is not None:
            self._answer.close()
        super().close()


def changed(object: RemoteObject) -> SourceError:
    """Make the error for an object that was replaced while it was read."""
    size = object.now().size
    return UnreadableData(
        f"{object.path} changed while it was read",
        position=str(object.path),
        expected=f"{counted(object.size, 'bytes')}, as when it was opened, that nothing replaces",
        found=counted(size, "bytes") if size != object.size else "other content of the same size",
        hint="write new data under another key: an object may be read only while nothing replaces it",
    )


def native(object: RemoteObject) -> pa.NativeFile:
    """Return an object as a file of pyarrow."""
    return pa.PythonFile(io.BufferedReader(_Seekable(object)), mode="r")
