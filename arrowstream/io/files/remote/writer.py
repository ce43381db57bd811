"""Files that are written on this machine and uploaded once the run has succeeded."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pyarrow as pa

from arrowstream.core.batch import Batch
from arrowstream.errors import SinkError
from arrowstream.io.files.remote.failures import store_error
from arrowstream.io.files.remote.stores import store_of
from arrowstream.io.files.remote.urls import RemotePath
from arrowstream.io.sink import BlockingWriter, Handle

CHUNK_BYTES: Final = 8 << 20
"""Bytes that are passed to an upload together."""


class ObjectWriter(BlockingWriter):
    """Writer into files of a folder of its own, which become objects at `commit`.

    Parameters
    ----------
    inner
        Writer into the folder.
    folder
        Folder on this machine, which is removed at the end.
    target
        Place of the object of each file: for a key that ends with ``/``, the names in the folder follow it.
    """

    def __init__(self, inner: BlockingWriter, folder: Path, target: RemotePath) -> None:
        self._inner = inner
        self._folder = folder
        self._target = target
        self._handle: Handle | None = None
        self._left: list[Path] = []

    def write(self, batch: Batch) -> None:
        self._inner.write(batch)

    def prepare(self, epoch: int) -> Handle:
        handle = self._inner.prepare(epoch)
        self._inner.commit(handle)
        self._handle = handle
        self._left = sorted(path for path in self._folder.rglob("*") if path.is_file())
        return {"objects": [str(place) for _, place in self._objects()]}

    def commit(self, handle: Handle) -> None:
        for path, place in list(self._objects()):
            upload(path, place)
            self._left.remove(path)

    def close(self) -> None:
        self._inner.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def abort(self) -> None:
        if self._handle is None:
            self._inner.abort()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _objects(self) -> Iterator[tuple[Path, RemotePath]]:
        """Yield the files that are not uploaded yet, each with its place in the store."""
        for path in self._left:
            key = self._target.key
            if key.endswith("/") or not key:
                key += path.relative_to(self._folder).as_posix().partition("/")[2]
            yield path, replace(self._target, key=key)


def upload(path: Path, place: RemotePath) -> None:
    """Upload a file; the object appears when the upload completes, and not at all if it fails.

    Raises
    ------
    SinkError
        The store refuses, or cannot be reached.
    """
    try:
        # The content is mapped: only the store can fail in between, after which pyarrow completes nothing.
        with (
            pa.memory_map(str(path)) as file,
            store_of(place).open_output_stream(f"{place.bucket}/{place.key}", compression=None) as stream,
        ):
            while chunk := file.read_buffer(CHUNK_BYTES):
                stream.write(chunk)
    except Exception as error:  # of pyarrow, whose exceptions have no other base in common
        raise store_error(SinkError, "cannot be written", place, error) from error
