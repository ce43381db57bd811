"""Headers of records as a column of lists, from the places that `scan` found."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa

from arrowstream.io.compiled import compiled
from arrowstream.io.kafka.records.buffers import BinaryColumn, IntegerColumn, Integers, Octets
from arrowstream.io.kafka.records.instructions import Array, Integer, copy
from arrowstream.io.kafka.records.scan import HEADER_KEY_BYTES, HEADER_VALUE_BYTES, HEADERS
from arrowstream.io.kafka.records.varint import read_varint

HEADER_TYPE: Final = pa.struct([("key", pa.large_string()), ("value", pa.large_binary())])
"""Type of a header."""

HEADERS_TYPE: Final = pa.large_list(HEADER_TYPE)
"""Type of the column of headers: a record without headers has an empty list."""


@compiled(
    "void(Array(uint8, 1, 'C', readonly=True), int64[::1], int64[::1], int64, int64, "
    "int64[::1], uint8[::1], int64[::1], uint8[::1], uint8[::1])",
    read_varint,
    copy,
)
def gather(
    data: Array,
    ends: Array,
    places: Array,
    first: int,
    last: int,
    key_ends: Array,
    keys: Array,
    value_ends: Array,
    value_nulls: Array,
    values: Array,
) -> None:
    """Copy the headers of the rows from `first` to `last`, which lie in `data` and were checked by `scan`.

    Parameters
    ----------
    data, ends, places
        As of `scan`, which filled them.
    first, last
        The rows, without the last.
    key_ends, keys, value_ends, value_nulls, values
        The columns to fill, with room for all headers of all rows.
    """
    for row in range(first, last):
        at: Integer = places[row]
        for header in range(ends[row], ends[row + 1]):
            key, at = read_varint(data, at, len(data))
            copy(data, at, keys, key_ends[header], key)
            key_ends[header + 1] = key_ends[header] + key
            value: Integer
            value, at = read_varint(data, at + key, len(data))
            if value < 0:
                value_nulls[header] = 1
                value = np.int64(0)
            copy(data, at, values, value_ends[header], value)
            value_ends[header + 1] = value_ends[header] + value
            at += value


class HeaderPlaces:
    """Where the headers of records lie, as `scan` finds them.

    Parameters
    ----------
    rows
        Room, in records.

    Attributes
    ----------
    ends
        Number of headers up to the end of each record, one more than records and 0 at first.
    places
        Where those of each record begin in its bytes.
    parts
        Bytes, and the first and last row of the records in them.
    """

    def __init__(self, rows: int) -> None:
        self._ends = IntegerColumn(rows + 1)
        self.ends = self._ends.array
        self.ends[0] = 0
        self.places: Integers = np.empty(rows, np.int64)
        self.parts: list[tuple[Octets, int, int]] = []

    def finish(self, rows: int, state: Integers) -> pa.LargeListArray:
        """Return the headers of the first `rows` records; `state` is that of `scan`."""
        count = int(state[HEADERS])
        keys = BinaryColumn(count, int(state[HEADER_KEY_BYTES]))
        values = BinaryColumn(count, int(state[HEADER_VALUE_BYTES]))
        for data, first, last in self.parts:
            gather(
                data,
                *(self.ends, self.places, first, last),
                *(keys.ends, keys.data, values.ends, values.nulls, values.data),
            )
        columns = [_text(keys.finish(count)), values.finish(count)]
        entries = pa.StructArray.from_arrays(columns, fields=list(HEADER_TYPE))
        self.ends = self.ends[:0]
        lists = [None, self._ends.finish(rows + 1)]
        return pa.LargeListArray.from_buffers(HEADERS_TYPE, rows, lists, 0, children=[entries])


def _text(keys: pa.LargeBinaryArray) -> pa.LargeStringArray:
    """Return the names as text; bytes that are not UTF-8 are U+FFFD, as Java reads them."""
    try:
        return keys.cast(pa.large_string())
    except pa.ArrowInvalid:
        encoded = keys.dictionary_encode()
        names = [name.decode(errors="replace") for name in encoded.dictionary.to_pylist()]
        return pa.array(names, pa.large_string()).take(encoded.indices)
