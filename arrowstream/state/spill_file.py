"""Spill files: arrays and frames in files, mapped into the address space and used like memory.

The operating system keeps the pages in use in memory, and writes the rest out. A file has no name: it is deleted once
its array or frame is released, however the process ends.
"""

from __future__ import annotations

import mmap
import os
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import polars as pl
import pyarrow as pa

from arrowstream.core.rows.frame_of import with_names
from arrowstream.errors import StageError
from arrowstream.state.arrays import Array

_UNNAMED: int | None = getattr(os, "O_TMPFILE", None)

_ROWS = 1 << 18
"""Rows that are read at a time when a file is saved or restored."""

_DESCRIPTORS = "/proc/self/fd"
"""The folder of the open files of this process, of Linux."""

_ALIGNED = 64
"""Alignment in bytes at which values are used in place."""


def folder() -> Path:
    """Return the folder of spill files: `TMPDIR`, else /var/tmp, since /tmp may be in memory, else the default.

    Raises
    ------
    StageError
        `TMPDIR` is not a folder.
    """
    named = os.environ.get("TMPDIR")
    if named is not None and not Path(named).is_dir():
        raise StageError(
            "state cannot be spilled", expected="a folder in the environment variable TMPDIR", found=named
        )
    lasting = Path("/var/tmp")
    return Path(named or (lasting if os.access(lasting, os.W_OK) else tempfile.gettempdir()))


def array_in_file(shape: tuple[int, ...], dtype: Any) -> Array:
    """Return an array of zeros in a file.

    Raises
    ------
    StageError
        The disk has no room for it.
    """
    kind = np.dtype(dtype)
    nbytes = int(np.prod(shape)) * kind.itemsize
    with _file() as file:
        try:
            # Allocate now: if the disk is full when a page is written out, the process is killed.
            _take_room(file, nbytes)
        except OSError as error:
            raise _no_room(nbytes, error) from error
        return np.ndarray(shape, kind, buffer=mmap.mmap(file.fileno(), nbytes))


class SpillFile:
    """Frames in a file that never changes.

    Parameters
    ----------
    file
        The file, which has no name.
    spans
        The first byte of each frame in the file, and the one after its last.

    Attributes
    ----------
    content : pyarrow.Buffer
        The bytes of the file, mapped.
    frame : polars.DataFrame
        The frames as one, with a chunk for each.
    """

    __slots__ = ("__weakref__", "_descriptor", "_hash", "content", "frame", "spans")

    def __init__(self, file: IO[bytes], spans: Sequence[tuple[int, int]]) -> None:
        self.spans = tuple(spans)
        self.content = pa.py_buffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        self.frame = joined_frames(self.content, spans)
        self._descriptor = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._descriptor)
        self._hash: str | None = None

    def hash(self, function: Callable[[pa.Buffer], str]) -> str:
        """Return the hash of the bytes by this function, which is called once."""
        if self._hash is None:
            self._hash = function(self.content)
        return self._hash

    def put(self, path: Path) -> int:
        """Give the file a name, or copy it to there, as into another file system; return the bytes written."""
        try:
            descriptors = os.open(_DESCRIPTORS, os.O_RDONLY)
        except FileNotFoundError:  # not Linux
            return path.write_bytes(self.content)
        try:
            os.link(str(self._descriptor), path, src_dir_fd=descriptors, follow_symlinks=True)
            return 0
        except OSError:
            return path.write_bytes(self.content)
        finally:
            os.close(descriptors)


@dataclass(frozen=True, slots=True)
class RowsInFile:
    """Rows of a `SpillFile`, from one on.

    Parameters
    ----------
    file
        The file.
    start
        The number of its rows before the first.
    """

    file: SpillFile
    start: int

    def frames(self) -> Iterator[pl.DataFrame]:
        """Yield the rows, a limited number at a time."""
        return self.file.frame[self.start :].iter_slices(_ROWS)


def rows_in_file(content: pa.Buffer, spans: Sequence[tuple[int, int]], start: int) -> Iterator[pl.DataFrame]:
    """Yield the rows of a file from `start` on, as `RowsInFile.frames` does."""
    return joined_frames(content, spans)[start:].iter_slices(_ROWS)


def frame_in_file(pieces: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Write pieces to a file and return them as one frame; see `spill_file`."""
    return spill_file(pieces).frame


def spill_file(pieces: Iterable[pl.DataFrame]) -> SpillFile:
    """Write pieces to a file.

    Parameters
    ----------
    pieces
        At least one frame; each has at least one row.

    Raises
    ------
    StageError
        The disk has no room for it.
    """
    spans = []
    end = 0
    with _file() as file:
        for piece in pieces:
            start = file.seek(end + -end % _ALIGNED)
            try:
                # Each piece is an IPC file within the file, because batches of one IPC file share categories.
                piece.rechunk().write_ipc(
                    file, compression="uncompressed", compat_level=pl.CompatLevel.newest()
                )
                file.flush()
            except OSError as error:
                raise _no_room(int(piece.estimated_size()), error) from error
            end = file.seek(0, os.SEEK_END)
            spans.append((start, end))
        return SpillFile(file, spans)


def joined_frames(content: pa.Buffer, spans: Sequence[tuple[int, int]]) -> pl.DataFrame:
    """Return the frames at these places in the bytes of a file as one frame over its memory."""
    frames = [_mapped(content.slice(start, stop - start)) for start, stop in spans]
    return pl.concat(frames, rechunk=False)


def _mapped(file: pa.Buffer) -> pl.DataFrame:
    table = pa.ipc.open_file(pa.BufferReader(file)).read_all()
    return with_names(cast(pl.DataFrame, pl.from_arrow(table, rechunk=False)), table.schema.names)


def _file() -> IO[bytes]:
    place = folder()
    if _UNNAMED is not None:
        try:
            # Not by `tempfile`, whose files can never get a name.
            return os.fdopen(os.open(place, os.O_RDWR | os.O_CLOEXEC | _UNNAMED, 0o600), "r+b")
        except OSError:
            pass  # the file system cannot
    try:
        return tempfile.TemporaryFile(prefix="arrowstream-", dir=place)
    except OSError as error:
        raise StageError(
            "state cannot be spilled",
            expected=f"a new file in {place}",
            found=str(error),
            hint="allow more open files (ulimit -n), or raise max_bytes",
        ) from error


def _take_room(file: IO[bytes], nbytes: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, nbytes)
        return
    for start in range(0, nbytes, _ZEROS):
        file.write(bytes(min(_ZEROS, nbytes - start)))
    file.flush()


_ZEROS = 1 << 20
"""Bytes that are written at a time to allocate a file."""


def _no_room(nbytes: int, error: Exception) -> StageError:
    return StageError(
        "state cannot be spilled",
        expected=f"room for {nbytes:,} bytes in {folder()}",
        found=str(error),
        hint="free some space, or name a folder on another disk in the environment variable TMPDIR",
    )
