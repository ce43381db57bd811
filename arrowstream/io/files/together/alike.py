"""Contract of small files that are alike, many of which one scan reads.

A scan costs about 1 ms whatever it reads, so that thousands of files of a few rows are read 10 to 40 times as fast
together. Files are alike if their bytes show that one scan gives the rows that each gives alone: CSV files with
the same header, JSON and NDJSON files of one schema, Parquet and IPC files with the same schema in the footer.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Final, Protocol

import numpy as np
import polars as pl

from arrowstream.core.failures import FAILURES
from arrowstream.io.files.formats import Compression, FileKind
from arrowstream.io.files.remote.object import RemoteBytes, RemoteObject
from arrowstream.io.files.remote.urls import RemotePath
from arrowstream.io.files.text.byte_stream import unpacked
from arrowstream.io.files.text.records import Positions
from arrowstream.io.files.text.signatures import BOM

SMALL_BYTES: Final = 1 << 20
"""Largest size of a file that is read together with others, unpacked, in bytes."""

TOGETHER_BYTES: Final = 8 << 20
"""Bytes of files, and about that of their rows in memory, after which no further file is read with them."""

TOGETHER_FILES: Final = 1000

_BLANK_BYTES: Final = 64
"""Largest size of a file, in bytes, that is opened to see whether it holds nothing but blank space."""


@dataclass(frozen=True, slots=True)
class SmallFile:
    """Content of one of the files that are read together.

    Parameters
    ----------
    number
        Index of the file among those of the source.
    content
        Bytes of the file that are read: for CSV those after the header, for a JSON array those inside the brackets.
    nbytes
        Bytes in memory, about, of the content or the rows, whichever are more.
    rows
        Number of rows, if the file tells it before it is read.
    """

    number: int
    content: bytes
    nbytes: int
    rows: int | None = None


class Alike(Protocol):
    """Common traits of files that can be read together."""

    def take(self, number: int, content: bytes) -> SmallFile | None:
        """Return the file with this content if it has the traits, else None."""
        ...

    def read(
        self, files: Sequence[SmallFile], schema: pl.Schema, columns: Sequence[str]
    ) -> tuple[pl.DataFrame, Sequence[int]]:
        """Return these columns of all files, one file after the other, and the number of rows of each file.

        Raises
        ------
        ValueError, FlawedRecord, polars.exceptions.PolarsError
            The files cannot be read together, or one of them cannot be read.
        """
        ...


def rows_of_each(ends: Positions, files: Sequence[bytes]) -> Sequence[int]:
    """Return the number of records in each of several texts that were joined.

    Parameters
    ----------
    ends
        Ends of the records of the joined text, ascending. Shape (n,), int64.
    files
        The texts, each of which ends with a record.

    Raises
    ------
    ValueError
        The end of a text is not the end of a record.
    """
    bounds = np.cumsum([len(content) for content in files])
    upto = np.searchsorted(ends, bounds, side="right")
    texts = bounds[bounds > 0]
    if not np.array_equal(ends[upto[bounds > 0] - 1], texts):
        raise ValueError("a file ends within a record")
    rows: list[int] = np.diff(upto, prepend=0).tolist()
    return rows


def small_content(
    path: Path | RemotePath, compression: Compression | None = None, status: os.stat_result | None = None
) -> tuple[bytes, int] | None:
    """Return the bytes of a regular file, unpacked, and its size in bytes.

    Parameters
    ----------
    path
        The file.
    compression
        Its compression.
    status
        Its status if that is known.

    Returns
    -------
    (bytes, int) or None
        None if there are more than `SMALL_BYTES`, or they cannot be read: reading the file alone raises the error.
    """
    if isinstance(path, RemotePath):
        return None
    try:
        # Before it is opened: a pipe that is opened and closed again would end its writer.
        status = path.stat() if status is None else status
        if not S_ISREG(status.st_mode) or status.st_size > SMALL_BYTES:
            return None
        with io.FileIO(path) as file:
            packed = file.read(SMALL_BYTES + 1) or b""
    except OSError:
        return None
    content = packed if compression is None else _unpacked(packed, compression)
    return None if content is None or len(content) > SMALL_BYTES else (content, len(packed))


def has_content(path: Path | RemotePath, kind: FileKind) -> bool:
    """Return False for a regular file without bytes, or with nothing but blank space in its text once unpacked.

    Blank lines are content of a file that is read line by line.
    """
    if isinstance(path, RemotePath):
        return _object_has_content(path, kind)
    try:
        status = path.stat()
    except OSError:
        return True  # reading it raises the error
    if status.st_size > _BLANK_BYTES:
        return True
    found = small_content(path, kind.compression)
    return found is None or _holds_more_than_blanks(found[0], kind)


def _object_has_content(path: RemotePath, kind: FileKind) -> bool:
    size = RemoteObject(path).size  # -1 if a web server does not say
    if not 0 < size <= _BLANK_BYTES:
        return size != 0
    with closing(RemoteBytes(path)) as object:
        packed = object.read(size)
    content = packed if kind.compression is None else _unpacked(packed, kind.compression)
    return content is None or _holds_more_than_blanks(content, kind)


def _holds_more_than_blanks(content: bytes, kind: FileKind) -> bool:
    return bool(content.removeprefix(BOM).strip(b"" if kind.format == "lines" else None))


def _unpacked(packed: bytes, compression: Compression) -> bytes | None:
    try:
        return unpacked(io.BytesIO(packed), compression).read(SMALL_BYTES + 1)
    except FAILURES:
        return None
