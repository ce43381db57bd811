"""Columns out of JSON objects."""

from __future__ import annotations

import mmap
import re
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from arrowstream.core.batch import to_frame
from arrowstream.io.compiled import Compiled
from arrowstream.io.messages.plain_json import scan
from arrowstream.io.messages.plain_json import table as layout
from arrowstream.io.messages.plain_json.columns import PlainColumn, plain_columns
from arrowstream.io.messages.plain_json.lines import find_lines
from arrowstream.io.messages.wire.byte_ranges import (
    ByteRanges,
    Int64s,
    binary,
    copy_ranges,
    gathered,
    places_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_POWERS: Final = np.array([float(f"1e{power}") for power in range(23)])

_MOST_BYTES: Final = 2**31 - 1
"""Bytes of messages whose texts Arrow's views can reach."""

_ESCAPED: Final = re.compile(r'[\x00-\x1f"\\]')
"""What a key has as an escape."""

_UNREAD_SHARE: Final = 8
"""Part of the messages, one in so many, up to which others read those that this reader leaves to them."""


_LARGE: Final = 1 << 17
"""Numbers, one mebibyte of them, whose memory is the kernel's own."""


class PlainReader:
    """Reader of JSON objects whose columns are numbers, booleans, texts, dates and times.

    Parameters
    ----------
    columns
        The columns.
    """

    def __init__(self, columns: Mapping[str, PlainColumn]) -> None:
        self._columns = columns
        keys = [name.encode() for name in columns]
        self._names = np.frombuffer(b"".join(keys) + bytes(8), np.uint8)
        table = np.zeros((len(keys) + 1, layout.FIELDS), np.int64)
        for row, column in zip(table, columns.values(), strict=False):
            row[[layout.KIND, layout.FIRST, layout.SECOND]] = column.kind, *column.limits
        table[:-1, layout.NAME_END] = np.cumsum([len(key) for key in keys])
        table[1:-1, layout.NAME] = table[:-2, layout.NAME_END]
        self._table = table
        self._is_text = np.append(table[:-1, layout.KIND] == layout.TEXT, True)
        """Which rows of the table write to the scratch memory."""
        self._short = [name for name, column in columns.items() if column.dtype == pl.Float32]
        self._scratch: npt.NDArray[np.uint8] = np.empty(0, np.uint8)

    @property
    def is_ready(self) -> bool:
        """True if the loop was compiled or loaded in this process, which takes up to some seconds."""
        return scan.read_objects.is_ready

    def read(self, values: pa.LargeBinaryArray) -> tuple[pl.DataFrame, Int64s] | None:
        """Return the rows of messages, and the indexes of those whose rows are still to be read, now nulls.

        None if all are to be read in another way: they are not UTF-8, or most are too unusual.
        """
        if values.nbytes > _MOST_BYTES or not _is_utf8(values):
            return None
        places, given = places_of(values)
        rows = np.arange(len(values)) if given is None else given
        return self._read(places, rows, len(values), 1 + len(values) // _UNREAD_SHARE)

    def read_lines(self, text: bytes, newlines: int) -> pl.DataFrame | None:
        """Return the rows of a text of one object a line; None if a line is something else, or has other keys.

        Parameters
        ----------
        text
            Any bytes, at least one.
        newlines
            Number of newlines in them.
        """
        if len(text) * int(self._is_text.sum()) > _MOST_BYTES:
            return None
        data = np.frombuffer(text, np.uint8)
        bounds = np.empty(newlines + 2, np.int64)
        bounds[0], bounds[-1] = 0, len(text)
        if not find_lines(data, bounds[1:-1]) and not _is_utf8(binary(bounds[[0, -1]], data)):
            return None
        count = newlines + (bounds[newlines] < len(text))
        places = ByteRanges(data, bounds[:count], bounds[1 : count + 1])
        found = self._read(places, np.arange(count), count, 0, columns_only=True)
        return None if found is None else found[0]

    def _read(
        self, places: ByteRanges, rows: Int64s, count: int, most_unread: int, *, columns_only: bool = False
    ) -> tuple[pl.DataFrame, Int64s] | None:
        size = int(places.ends[-1] - places.starts[0]) if len(places.starts) else 0
        table, numbers, marks = self._room(count, size)
        long = np.empty(1 + 3 * count * int((table[:-1, layout.KIND] == layout.FLOAT).sum()), np.int64)
        long[0] = 0
        table[-1, layout.FIRST] = columns_only
        unread = np.empty(most_unread, np.int64)
        floats = numbers.view(np.float64)
        left = scan.read_objects(
            places.data,
            np.ascontiguousarray(places.starts),
            np.ascontiguousarray(places.ends),
            rows,
            self._names,
            table,
            marks,
            numbers,
            floats,
            _POWERS,
            long,
            self._scratch,
            unread,
        )
        if left < 0:
            return None
        if long[0]:
            _read_long(places.data, long[1 : long[0] + 1].reshape(-1, 3), floats)
        arrays = {}
        for (name, column), fields, mark in zip(self._columns.items(), table[:-1], marks, strict=True):
            text = self._scratch[fields[layout.SCRATCH] : fields[layout.SCRATCH_END]]
            size = count * (2 if column.kind == layout.TEXT else 1)
            values_of = numbers[fields[layout.SLOT] : fields[layout.SLOT] + size]
            arrays[name] = column.array(values_of, mark, text)
        frame = to_frame(pa.table(arrays))
        frame = frame.with_columns(
            pl.col(name).cast(column.dtype)
            for name, column in self._columns.items()
            if frame.schema[name] != column.dtype
        )
        if any(frame[name].is_infinite().any() for name in self._short):
            return None
        return frame, rows[unread[:left]]

    def _room(self, count: int, size: int) -> tuple[npt.NDArray[np.int64], Int64s, npt.NDArray[np.uint8]]:
        """Return the table of columns, their numbers and their marks, for messages of some bytes."""
        table = self._table.copy()
        words = np.where(self._is_text[:-1], 2 * count, count)
        table[:-1, layout.SLOT] = np.cumsum(words) - words
        table[:, layout.SCRATCH] = (np.cumsum(self._is_text) - 1) * size
        table[:, layout.SCRATCH_END] = table[:, layout.SCRATCH]
        if len(self._scratch) < (scratch := int(self._is_text.sum()) * size):
            self._scratch = np.empty(scratch, np.uint8)
        return table, _zeros(int(words.sum())), np.zeros((len(words), count), np.uint8)


def loops() -> tuple[Compiled, ...]:
    """Return the compiled functions that `PlainReader.read_lines` needs."""
    return find_lines, scan.read_objects, copy_ranges


def plain_reader(schema: pl.Schema) -> PlainReader | None:
    """Return the reader for some columns; None if it does not read one of them, or numba is not installed."""
    columns = plain_columns(schema)
    if columns is None or _ESCAPED.search("".join(columns)) or find_spec("numba") is None:
        return None
    return PlainReader(columns)


def _zeros(count: int) -> Int64s:
    """Return zeros in new memory; that of many goes back to the kernel with the last column that has a part of it.

    What one thread allocates and another one frees, as these two do, stays with the process in pieces.
    """
    if count < _LARGE:
        return np.zeros(count, np.int64)
    return np.frombuffer(mmap.mmap(-1, 8 * count), np.int64)


def _is_utf8(values: pa.LargeBinaryArray) -> bool:
    try:
        values.view(pa.large_string()).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _read_long(data: npt.NDArray[np.uint8], found: Int64s, floats: npt.NDArray[np.float64]) -> None:
    """Read floats of many digits: Arrow rounds each as if it knew all of them."""
    offsets, text = gathered(data, found[:, 1], found[:, 2] - found[:, 1])
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(text)]
    floats[found[:, 0]] = pc.cast(pa.Array.from_buffers(pa.large_string(), len(found), buffers), pa.float64())
