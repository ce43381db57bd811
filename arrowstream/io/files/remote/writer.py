"""Files that are written on this machine and uploaded once the run has succeeded."""

from __future__ import annotations

import logging
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pyarrow as pa

from arrowstream.core.batch import Batch
from arrowstream.errors import SinkError
from arrowstream.io.files.remote.failures import store_error
from arrowstream.io.files.remote.held import Held, data_objects
from arrowstream.io.files.remote.stores import delete, store_of
from arrowstream.io.files.remote.urls import RemotePath
from arrowstream.io.writer import BlockingWriter, Handle

_log = logging.getLogger(__name__)

CHUNK_BYTES: Final = 8 << 20
"""Bytes that are passed to an upload together."""

UPLOADS: Final = 8
"""Objects that are uploaded at the same time."""


class ObjectWriter(BlockingWriter):
    """Writer into files of a folder of its own, which become objects at `commit`.

    Old objects are deleted once all new ones are in place. Until then, a failure deletes the new ones.

    Parameters
    ----------
    inner
        Writer into the folder.
    folder
        Folder on this machine, which is removed at the end.
    target
        Place of the object of each file: for a key that ends with ``/``, the names in the folder follow it.
    held
        What the target holds.
    """

    def __init__(self, inner: BlockingWriter, folder: Path, target: RemotePath, held: Held) -> None:
        self._inner = inner
        self._folder = folder
        self._target = target
        self._held = held
        self._has_rows = False
        self._prepared = False
        self._new: list[tuple[Path, RemotePath]] = []
        self._uploaded: list[RemotePath] = []
        self._old: list[RemotePath] = []

    def write(self, batch: Batch) -> None:
        self._has_rows = self._has_rows or batch.num_rows > 0
        self._inner.write(batch)

    def prepare(self, epoch: int) -> Handle:
        handle = self._inner.prepare(epoch)
        self._inner.commit(handle)
        self._prepared = True
        if self._has_rows or not self._held.may_stay:
            paths = sorted(path for path in self._folder.rglob("*") if path.is_file())
            self._new = [(path, self._object(self._name(path))) for path in paths]
            written = {self._name(path).rpartition("/")[0] for path in paths}
            old = [name for name in self._held.old if self._is_replaced(name, written)]
            self._old = [self._object(name) for name in old]
            if self._held.alone:
                self._check_alone(written)
        return {
            "objects": [str(place) for _, place in self._new],
            "replaced": [str(place) for place in self._old],
        }

    def commit(self, handle: Handle) -> None:
        with ThreadPoolExecutor(UPLOADS) as uploads:
            for _ in uploads.map(self._upload, self._new):
                pass
        self._new, self._uploaded = [], []
        while self._old:
            try:
                delete(self._old[-1])
            except Exception as error:  # of pyarrow
                what = "cannot be deleted, though all new objects are in place"
                raise store_error(SinkError, what, self._old[-1], error) from error
            self._old.pop()

    def close(self) -> None:
        self._inner.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def abort(self) -> None:
        if self._prepared:
            self._inner.close()
        else:
            self._inner.abort()
        shutil.rmtree(self._folder, ignore_errors=True)
        for place in self._uploaded:
            try:
                delete(place)
            except Exception as error:  # of pyarrow; the failure that ended the run is the one to raise
                _log.warning("%s is left of a run that failed: %s", place, error)

    def _upload(self, new: tuple[Path, RemotePath]) -> None:
        upload(*new)
        self._uploaded.append(new[1])

    def _check_alone(self, written: set[str]) -> None:
        """Raise SinkError if others have written data objects since the run began."""
        held = set(self._held.data)
        for name in data_objects(self._target):
            if name not in held and self._is_replaced(name, written):
                raise SinkError(
                    f"{self._object(name)} was written since this run began",
                    expected="nobody else writing to the same folder",
                    hint="run again once the other writer has finished",
                )

    def _is_replaced(self, name: str, written: set[str]) -> bool:
        folder = name.rpartition("/")[0]
        return not self._held.only_written or not folder or folder in written

    def _name(self, path: Path) -> str:
        """Return the name of a file in the folder that becomes the target's."""
        return path.relative_to(self._folder).as_posix().partition("/")[2]

    def _object(self, name: str) -> RemotePath:
        return self._target.below(name) if self._target.is_folder else self._target


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
