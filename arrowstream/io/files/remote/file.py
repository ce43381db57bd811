"""Columnar file in an object store, or on a web server that sends ranges of it."""

from __future__ import annotations

import zlib

import pyarrow as pa

from arrowstream.errors import SourceError, UnreadableData
from arrowstream.io.files.columnar.open_file import FileStat, OpenFile
from arrowstream.io.files.remote.failures import hide_query, store_error
from arrowstream.io.files.remote.object import RemoteObject, changed, native
from arrowstream.io.files.remote.status import Status
from arrowstream.io.files.remote.urls import RemotePath


class RemoteFile(OpenFile):
    """Object that is read as a columnar file. If it is replaced meanwhile, the next read is an error.

    Parameters
    ----------
    path
        Place of the object.

    Raises
    ------
    SourceError
        It does not exist, or cannot be read.
    """

    __slots__ = ("_object", "path", "stamp")

    def __init__(self, path: RemotePath) -> None:
        self.path = path
        self._object = RemoteObject(path)
        self.stamp = self._stamp(self._object.status)

    @property
    def is_regular(self) -> bool:
        return True

    @property
    def place(self) -> str:
        return self._object.path.url

    @property
    def source(self) -> str | pa.NativeFile:
        return native(self._object)

    @property
    def storage_options(self) -> dict[str, str] | None:
        return self._object.path.options.for_polars()

    @property
    def content(self) -> bytes | None:
        return self._object.content

    def check(self) -> None:
        self._object.check()

    def read(self, start: int, nbytes: int) -> bytes:
        return self._object.read(start, nbytes)

    def read_into(self, start: int, buffer: memoryview) -> None:
        data = self.read(start, buffer.nbytes)
        if len(data) < buffer.nbytes:
            raise self._changed()
        buffer[:] = data

    def unreachable(self, error: BaseException) -> SourceError | None:
        # pyarrow and Polars raise OSErrors for what a store refuses, and others for damaged content.
        if isinstance(error, OSError):
            return store_error(UnreadableData, "cannot be read", self._object.path, error)
        return None

    def text(self, error: BaseException) -> str:
        hide_query(error, self._object.path)
        return super().text(error)

    def _stamp(self, status: Status) -> FileStat:
        tag = int.from_bytes(status.tag.encode())
        return zlib.crc32(repr(self._object.path.options.given).encode()), tag, status.size, 0

    def _changed(self) -> SourceError:
        return changed(self._object)
