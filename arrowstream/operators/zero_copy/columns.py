"""A record's columns as writable NumPy views over memory that only one step holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from arrowstream.core.batch import to_frame
from arrowstream.core.hints import did_you_mean
from arrowstream.core.rows.arrow_types import no_rows
from arrowstream.errors import NoArray
from arrowstream.operators.zero_copy.buffer import ALIGNMENT, ZeroCopyBuffer


def numpy_type(dtype: pa.DataType) -> np.dtype[Any] | None:
    """Return the NumPy type with the same bytes; None for bits, text and nested values."""
    if pa.types.is_integer(dtype) or pa.types.is_floating(dtype):
        same: np.dtype[Any] = np.dtype(dtype.to_pandas_dtype())
        return same
    if pa.types.is_timestamp(dtype):
        return np.dtype(f"datetime64[{dtype.unit}]")
    if pa.types.is_duration(dtype):
        return np.dtype(f"timedelta64[{dtype.unit}]")
    if pa.types.is_date32(dtype):
        return np.dtype(np.int32)
    return np.dtype(np.int64) if pa.types.is_time64(dtype) else None


class BufferLayout:
    """The places of a schema's columns in a buffer, for any number of rows."""

    __slots__ = ("dtypes", "row_bytes")

    def __init__(self, schema: pa.Schema) -> None:
        found = {field.name: numpy_type(field.type) for field in schema}
        self.dtypes = {name: dtype for name, dtype in found.items() if dtype is not None}
        self.row_bytes = sum(dtype.itemsize for dtype in self.dtypes.values())

    def nbytes(self, rows: int) -> int:
        """Return the bytes for `rows` rows of all columns, each from a multiple of 64 bytes on."""
        return self.row_bytes * rows + ALIGNMENT * len(self.dtypes)

    def offsets(self, rows: int) -> dict[str, int]:
        """Return the byte at which each column begins, for `rows` rows."""
        offsets, end = {}, 0
        for name, dtype in self.dtypes.items():
            offsets[name] = end
            end += -(-dtype.itemsize * rows // ALIGNMENT) * ALIGNMENT
        return offsets


class ZeroCopyColumns(Mapping[str, npt.NDArray[Any]]):
    """Columns by name, as writable arrays; a column is copied into the step's memory when first asked for.

    ``columns[name] = values`` writes into the array, too. Whole numbers, floats, datetimes and durations
    have the same type in NumPy; dates are days since 1970 (int32) and times of day nanoseconds (int64).
    Every array has the shape (rows,). Booleans, strings, decimals, lists and structs have no array and pass through
    unchanged. Nulls stay null, whatever is written over them; they read as 0. No written value becomes null: a NaT
    becomes a time far out of range.
    """

    __slots__ = ("_arrays", "_buffer", "_hold", "_layout", "_offsets", "_record")

    def __init__(self, record: pa.RecordBatch, layout: BufferLayout, buffer: ZeroCopyBuffer) -> None:
        self._record = record
        self._layout = layout
        self._buffer = buffer
        self._hold = buffer.array(np.uint8, 0)  # as long as this lives, no other batch gets the memory
        self._offsets = layout.offsets(record.num_rows)
        self._arrays: dict[str, npt.NDArray[Any]] = {}

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        if name not in self._arrays:
            if name not in self._offsets:
                raise self._no_array(name, did_you_mean(name, self))
            self._arrays[name] = self._copy(name)
        return self._arrays[name]

    def __setitem__(self, name: str, values: npt.ArrayLike) -> None:
        """Write `values` into the column's array; TypeError if that would lose the fraction of a number."""
        if name not in self._record.schema.names:
            hint = did_you_mean(name, self)
            raise self._no_array(
                name, hint or "columns cannot be added here: with_columns(...) before it adds one"
            )
        array = self[name]
        if values is not array:  # as it is after ``columns[name] *= 2``
            np.copyto(array, values, casting="same_kind")

    def __iter__(self) -> Iterator[str]:
        return iter(self._offsets)

    def __len__(self) -> int:
        return len(self._offsets)

    @property
    def num_rows(self) -> int:
        """Rows of the batch."""
        return int(self._record.num_rows)

    def valid(self, name: str) -> npt.NDArray[np.bool_]:
        """Return a mask (rows,), bool: True where a column is not null; for columns of every type.

        Raises
        ------
        NoArray
            The column is missing; also a KeyError.
        """
        if name not in self._record.schema.names:
            raise self._no_array(name, did_you_mean(name, self._record.schema.names))
        present: npt.NDArray[np.bool_] = self._record.column(name).is_valid().to_numpy(zero_copy_only=False)
        return present

    def written(self) -> tuple[npt.NDArray[Any], ...]:
        """Return the arrays that functions asked for."""
        return tuple(self._arrays.values())

    def record(self) -> pa.RecordBatch:
        """Return the rows with the written values; the record takes over the memory of the arrays."""
        record = self._record
        for name, array in self._arrays.items():
            array.flags.writeable = False  # a function that keeps it could change rows that were passed on
            place = record.schema.get_field_index(name)
            record = record.set_column(place, record.schema.field(place), self._column(name))
        return record

    def _no_array(self, name: str, hint: str | None) -> NoArray:
        dtype = to_frame(no_rows(self._record.schema)).schema.get(name)
        if dtype is None:
            return NoArray(
                f"map_zero_copy has no column {name!r}", expected=f"one of {', '.join(self)}", hint=hint
            )
        return NoArray(
            f"{name!r} is {dtype}: it has no array",
            expected="a column of numbers, dates or times",
            hint="map(fn) gets columns of every type",
        )

    def _copy(self, name: str) -> npt.NDArray[Any]:
        dtype, offset, rows = self._layout.dtypes[name], self._offsets[name], self.num_rows
        array = self._buffer.array(dtype, rows, offset)
        if rows:
            column = self._record.column(name)
            array[:] = np.frombuffer(column.buffers()[1], dtype, rows, column.offset * dtype.itemsize)
            if column.null_count:
                array[~self.valid(name)] = 0
        return array

    def _column(self, name: str) -> pa.Array:
        column, rows = self._record.column(name), self.num_rows
        data = self._buffer.arrow(self._offsets[name], rows * self._layout.dtypes[name].itemsize)
        valid = None
        if column.null_count:
            # Not the old bitmap: that of a slice may begin in the middle of a byte.
            valid = pa.py_buffer(np.packbits(self.valid(name), bitorder="little"))
        return pa.Array.from_buffers(column.type, rows, [valid, data], column.null_count)
