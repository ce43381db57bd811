"""Columns of plain values: what the loop reads, as Arrow arrays."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from arrowstream.io.messages.plain_json import table
from arrowstream.io.messages.wire.byte_ranges import Bytes, Int64s

_INTEGERS: Final = (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64)
_UNITS: Final = {"ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


@dataclass(frozen=True, slots=True)
class PlainColumn(ABC):
    """A column of one type.

    Parameters
    ----------
    dtype
        Its type.
    """

    dtype: pl.DataType
    kind: ClassVar[int]

    @property
    def limits(self) -> tuple[int, int]:
        """What the loop needs to know of the type."""
        return 0, 0

    @abstractmethod
    def array(self, numbers: Int64s, marks: Bytes, text: Bytes) -> pa.Array:
        """Return the values, or something that becomes the type by a strict cast.

        Parameters
        ----------
        numbers
            What the loop has written for each row.
        marks
            `THERE` for each row that has a value.
        text
            Bytes of long texts.
        """


@dataclass(frozen=True, slots=True)
class Texts(PlainColumn):
    """Texts, and categories until they are looked up."""

    kind = table.TEXT

    def array(self, numbers: Int64s, marks: Bytes, text: Bytes) -> pa.Array:
        # The memory of the texts is used again.
        return _array(pa.string_view(), marks, pa.py_buffer(numbers), pa.py_buffer(text.tobytes()))


@dataclass(frozen=True, slots=True)
class Integers(PlainColumn):
    """Integers of any width."""

    kind = table.INTEGER

    @property
    def limits(self) -> tuple[int, int]:
        limits = np.iinfo(str(self.dtype).lower())
        return int(limits.min), min(int(limits.max), 2**63 - 1)

    def array(self, numbers: Int64s, marks: Bytes, text: Bytes) -> pa.Array:
        return _array(pa.int64(), marks, pa.py_buffer(numbers))


@dataclass(frozen=True, slots=True)
class Floats(PlainColumn):
    """Floats; those of 32 bits are rounded twice, as Polars rounds them."""

    kind = table.FLOAT

    def array(self, numbers: Int64s, marks: Bytes, text: Bytes) -> pa.Array:
        return _array(pa.float64(), marks, pa.py_buffer(numbers))


@dataclass(frozen=True, slots=True)
class Booleans(PlainColumn):
    """Truth values."""

    kind = table.BOOLEAN

    def array(self, numbers: Int64s, marks: Bytes, text: Bytes) -> pa.Array:
        return _array(pa.bool_(), marks, _bits(numbers != 0))


@dataclass(frozen=True, slots=True)
class Dates(PlainColumn):
    """Days."""

    kind = table.DATE

    def array(self, numbers: Int64s, marks: Bytes, text: Bytes) -> pa.Array:
        return _array(pa.date32(), marks, pa.py_buffer(numbers.astype(np.int32)))


@dataclass(frozen=True, slots=True)
class Times(PlainColumn):
    """Times without a zone, or in UTC."""

    dtype: pl.Datetime
    kind = table.TIME

    @property
    def limits(self) -> tuple[int, int]:
        return _UNITS[self.dtype.time_unit], int(self.dtype.time_zone is not None)

    def array(self, numbers: Int64s, marks: Bytes, text: Bytes) -> pa.Array:
        kind = pa.timestamp(self.dtype.time_unit, self.dtype.time_zone)
        return _array(kind, marks, pa.py_buffer(numbers))


def plain_columns(schema: pl.Schema) -> dict[str, PlainColumn] | None:
    """Return the columns of a schema; None if one has a type that is not plain."""
    columns = {name: _column(dtype) for name, dtype in schema.items()}
    found = {name: column for name, column in columns.items() if column is not None}
    return found if len(found) == len(columns) else None


def _column(dtype: pl.DataType) -> PlainColumn | None:
    if isinstance(dtype, _INTEGERS):
        return Integers(dtype)
    if isinstance(dtype, pl.Float32 | pl.Float64):
        return Floats(dtype)
    if isinstance(dtype, pl.String | pl.Categorical | pl.Enum):
        return Texts(dtype)
    if isinstance(dtype, pl.Boolean):
        return Booleans(dtype)
    if isinstance(dtype, pl.Date):
        return Dates(dtype)
    if isinstance(dtype, pl.Datetime) and dtype.time_zone in (None, "UTC"):
        return Times(dtype)
    return None


def _array(kind: pa.DataType, marks: Bytes, *buffers: pa.Buffer) -> pa.Array:
    there = marks == table.THERE
    return pa.Array.from_buffers(kind, len(marks), [None if there.all() else _bits(there), *buffers])


def _bits(values: npt.NDArray[np.bool_]) -> pa.Buffer:
    return pa.py_buffer(np.packbits(values, bitorder="little"))
