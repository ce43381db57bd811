"""`DurableFiles`: files of tables on this machine that survive its crash once they are closed."""

from __future__ import annotations

import io
import os
from pathlib import Path

from pyiceberg.io import OutputStream
from pyiceberg.io.pyarrow import PyArrowFile, PyArrowFileIO

from arrowstream.core.checkpoints.durable import make_folder, sync


class DurableFiles(PyArrowFileIO):
    """The files of a table: a catalog of this machine may only name what a crash leaves on its disk."""

    def new_output(self, location: str) -> PyArrowFile:
        scheme, netloc, path = self.parse_location(location, self.properties)
        kind = DurableFile if scheme == "file" else PyArrowFile
        return kind(location, path, self.fs_by_scheme(scheme, netloc))


class DurableFile(PyArrowFile):
    """A file on this machine."""

    def create(self, overwrite: bool = False) -> OutputStream:
        path = Path(self._path)
        make_folder(path.parent)
        return _Stream(path, "wb" if overwrite else "xb")


class _Stream(io.FileIO):
    """An open file that is flushed to the disk, with its name, when it is closed."""

    def __init__(self, path: Path, mode: str) -> None:
        super().__init__(path, mode)
        self._place = path

    def close(self) -> None:
        if self.closed:
            return
        try:
            os.fsync(self.fileno())
        finally:
            super().close()
        sync(self._place.parent)
