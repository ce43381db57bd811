"""Arrow columns as the arrays that compiled functions read."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from arrowstream.io.kafka.records.buffers import Integers, Octets

_SMALL: Final = (pa.binary(), pa.string())
_LARGE: Final = (pa.large_binary(), pa.large_string())
_NO_BYTES: Octets = np.empty(0, np.uint8)

BYTES: Final = "Array(uint8, 1, 'C', readonly=True)"
INTEGERS: Final = "Array(int64, 1, 'C', readonly=True)"
BINARY: Final = f"{INTEGERS}, {BYTES}, {BYTES}"
"""Types of the fields of `Binary`, in signatures of compiled functions."""


class Binary(NamedTuple):
    """A column of byte strings.

    Parameters
    ----------
    ends
        Begin of the first string in `data`, and end of each.
    nulls
        1 for each that is null; empty if none is.
    data
        The bytes.
    """

    ends: Integers
    nulls: Octets
    data: Octets

    @classmethod
    def of(cls, array: Any) -> Binary:
        """Return the arrays of a column of binary or text, also of a slice of one; other types are cast."""
        if array.type not in (*_SMALL, *_LARGE):
            array = array.cast(pa.large_binary())
        if not len(array):
            return cls(np.zeros(1, np.int64), _NO_BYTES, _NO_BYTES)
        _, ends, data = array.buffers()
        small = array.type in _SMALL
        all_ends: Any = np.frombuffer(ends, np.int32 if small else np.int64)
        own_ends = all_ends[array.offset : array.offset + len(array) + 1]
        return cls(
            own_ends.astype(np.int64) if small else own_ends,
            null_bytes(array),
            _NO_BYTES if data is None else np.frombuffer(data, np.uint8),
        )

    @classmethod
    def nothing(cls) -> Binary:
        """Return a column that is left out: it does not have even the begin of a string."""
        return cls(np.empty(0, np.int64), _NO_BYTES, _NO_BYTES)


def null_bytes(array: Any) -> Octets:
    """Return 1 for each null of an array, or nothing if it has none."""
    if not array.null_count:
        return _NO_BYTES
    nulls: Octets = array.is_null().to_numpy(zero_copy_only=False).view(np.uint8)
    return nulls
