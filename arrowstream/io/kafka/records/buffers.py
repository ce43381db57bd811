"""Arrow columns that compiled functions fill, in buffers of Arrow's memory pool."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Integers = npt.NDArray[np.int64]
Octets = npt.NDArray[np.uint8]


def octets(buffer: pa.Buffer) -> Octets:
    """Return the bytes of a buffer. A memoryview of one that was resized has the size that it had before."""
    return np.frombuffer(buffer, np.uint8)


class IntegerColumn:
    """A column of int64 that is filled from its front.

    Parameters
    ----------
    rows
        Room, in rows.

    Attributes
    ----------
    array
        The numbers.
    """

    def __init__(self, rows: int) -> None:
        self._buffer = pa.allocate_buffer(8 * rows, resizable=True)
        self.array: Integers = np.frombuffer(self._buffer, np.int64)

    def finish(self, rows: int) -> pa.Buffer:
        """Return the first `rows` numbers; the column cannot be filled any more."""
        self.array = self.array[:0]
        self._buffer.resize(8 * rows)
        return self._buffer


class BinaryColumn:
    """A column of byte strings that is filled from its front.

    Parameters
    ----------
    rows, size
        Room, in rows and in bytes.

    Attributes
    ----------
    ends
        Ends of the strings, one more than rows and 0 at first.
    nulls
        1 for each that is null, and 0 at first.
    data
        The bytes of all.
    """

    def __init__(self, rows: int, size: int) -> None:
        self._ends = IntegerColumn(rows + 1)
        self.ends = self._ends.array
        self.ends[0] = 0
        self.nulls: Octets = np.zeros(rows, np.uint8)
        self._buffer = pa.allocate_buffer(size, resizable=True)
        self.data: Octets = octets(self._buffer)

    def finish(self, rows: int) -> pa.LargeBinaryArray:
        """Return the first `rows` strings; the column cannot be filled any more."""
        used = int(self.ends[rows])
        nulls = self.nulls[:rows]
        count = int(np.count_nonzero(nulls))
        validity = pa.py_buffer(np.packbits(nulls == 0, bitorder="little")) if count else None
        self.ends, self.data = self.ends[:0], self.data[:0]
        self._buffer.resize(used)
        return pa.LargeBinaryArray.from_buffers(
            pa.large_binary(), rows, [validity, self._ends.finish(rows + 1), self._buffer], count
        )


class UnwantedColumn:
    """A column that compiled functions leave out: all its arrays are empty."""

    ends: Integers = np.empty(0, np.int64)
    nulls: Octets = np.empty(0, np.uint8)
    data: Octets = np.empty(0, np.uint8)
    places: Integers = np.empty(0, np.int64)
