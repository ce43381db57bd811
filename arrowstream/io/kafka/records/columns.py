"""All columns of the records that a call returns, while they are filled."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa

from arrowstream.io.kafka.records.buffers import BinaryColumn, IntegerColumn, Integers, Octets, UnwantedColumn
from arrowstream.io.kafka.records.headers import HeaderPlaces
from arrowstream.io.kafka.records.scan import BATCH, FAULTS, RECORD, ROWS, STATE, scan

TIMESTAMP: Final = pa.timestamp("ms", "UTC")
"""Type of the times of records."""


class DecodedColumns:
    """Columns with room for records of batches.

    Parameters
    ----------
    rows
        Most records.
    size
        Most bytes of their keys and values.
    keys, headers
        Whether they are wanted.
    """

    def __init__(self, rows: int, size: int, *, keys: bool, headers: bool) -> None:
        self._offsets = IntegerColumn(rows)
        self._times = IntegerColumn(rows)
        self._values = BinaryColumn(rows, size)
        self._keys = BinaryColumn(rows, size) if keys else None
        self._headers = HeaderPlaces(rows) if headers else None
        self._state: Integers = np.zeros(STATE, np.int64)

    def fill(self, data: Octets, batches: Integers, fetch_offset: int) -> tuple[int, int, str] | None:
        """Append the records from an offset on; return the batch, record and kind of a fault, or None."""
        values, keys, headers = self._values, self._keys or UnwantedColumn, self._headers or UnwantedColumn
        first = int(self._state[ROWS])
        fault = scan(
            data,
            batches,
            fetch_offset,
            self._offsets.array,
            self._times.array,
            *(values.ends, values.nulls, values.data),
            *(keys.ends, keys.nulls, keys.data),
            *(headers.ends, headers.places),
            self._state,
        )
        if fault:
            return int(self._state[BATCH]), int(self._state[RECORD]), FAULTS[fault]
        if self._headers is not None:
            self._headers.parts.append((data, first, int(self._state[ROWS])))
        return None

    def finish(
        self,
    ) -> tuple[
        pa.LargeBinaryArray,
        pa.LargeBinaryArray | None,
        pa.TimestampArray,
        pa.Int64Array,
        pa.LargeListArray | None,
    ]:
        """Return values, keys, times, offsets and headers; nothing can be filled in any more."""
        rows = int(self._state[ROWS])
        return (
            self._values.finish(rows),
            None if self._keys is None else self._keys.finish(rows),
            pa.TimestampArray.from_buffers(TIMESTAMP, rows, [None, self._times.finish(rows)], 0),
            pa.Int64Array.from_buffers(pa.int64(), rows, [None, self._offsets.finish(rows)], 0),
            None if self._headers is None else self._headers.finish(rows, self._state),
        )
