"""The types of columns that a kernel can read and write, and what they are called in CUDA C++ and in numba."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True, slots=True)
class Element:
    """What one value of a column is for a kernel.

    Parameters
    ----------
    in_cuda
        Its types in CUDA C++, of which a parameter may have any; the first is the one that messages name.
    in_numpy
        Its type in NumPy, which is also that of numba but for booleans.
    """

    in_cuda: tuple[str, ...]
    in_numpy: str


COUNT = Element(("long long", "long"), "int64")
"""The number of rows."""

VALID = Element(("bool",), "bool")
"""Whether a value is there."""

_DAYS = Element(("int",), "int32")
_TICKS = COUNT

_ELEMENTS: dict[type[pl.DataType], Element] = {
    pl.Boolean: VALID,
    pl.Int8: Element(("signed char", "char"), "int8"),
    pl.Int16: Element(("short",), "int16"),
    pl.Int32: Element(("int",), "int32"),
    pl.Int64: Element(("long long", "long"), "int64"),
    pl.UInt8: Element(("unsigned char",), "uint8"),
    pl.UInt16: Element(("unsigned short",), "uint16"),
    pl.UInt32: Element(("unsigned int",), "uint32"),
    pl.UInt64: Element(("unsigned long long", "unsigned long"), "uint64"),
    pl.Float32: Element(("float",), "float32"),
    pl.Float64: Element(("double",), "float64"),
    pl.Date: _DAYS,
    pl.Datetime: _TICKS,
    pl.Duration: _TICKS,
}

EXPECTED = "numbers, booleans, dates, datetimes and durations"
"""The types that have an element, for messages."""


def element(dtype: pl.DataType) -> Element | None:
    """Return what a value of a type is for a kernel; None for types whose values have no fixed width there.

    Examples
    --------
    >>> element(pl.Float64()).in_cuda[0], element(pl.Datetime("us")).in_cuda[0], element(pl.String())
    ('double', 'long long', None)
    """
    return _ELEMENTS.get(dtype.base_type())


def why_not(dtype: pl.DataType) -> str:
    """Return what to do about a column without an element."""
    if dtype in (pl.String, pl.Binary):
        return "text has no fixed width: give the kernel a number of it, such as its length or a hash"
    if dtype.base_type() in (pl.Categorical, pl.Enum):
        return "cast it to UInt32 before this step"
    if dtype.is_decimal() or dtype == pl.Time:
        return "cast it to Int64 or Float64 before this step"
    return "take the numbers out of it before this step"
