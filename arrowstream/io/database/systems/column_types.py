"""How Polars' types are stored in the columns of a database, whichever system it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import polars as pl

TEXTS = (pl.String, pl.Categorical, pl.Enum)
MICROSECONDS = pl.Datetime("us")
MICROSECONDS_UTC = pl.Datetime("us", "UTC")
_DAY_S = 86_400
_PER_SECOND = {"ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_LARGEST = 2**63 - 1
_WHOLE_BITS: dict[type[pl.DataType], int] = {pl.Float32: 24, pl.Float64: 53}
"""The power of 2 up to which a float holds every whole number."""


@dataclass(frozen=True, slots=True)
class Stored:
    """How a column is stored.

    Parameters
    ----------
    sql
        Type of the column in the database.
    dtype
        Type of the values that it holds.
    cast
        Type to which the database itself converts the values, which are texts; None if they are stored as they are.
    """

    sql: str
    dtype: pl.DataType
    cast: str | None = None


class UnfitColumn(Exception):
    """A column cannot be stored.

    Parameters
    ----------
    expected
        What could be.
    hint
        How the column becomes that.
    """

    def __init__(self, expected: str, hint: str) -> None:
        self.expected = expected
        self.hint = hint
        super().__init__(expected)


class ColumnTypes(ABC):
    """The types of one database system."""

    name: ClassVar[str]
    """The system, for errors."""
    days: ClassVar[tuple[int, int]]
    """First and last Date that it can store, in days since 1970."""
    folds: ClassVar[bool] = True
    """True if names that differ in upper and lower case only are the same."""

    @abstractmethod
    def created(self, dtype: pl.DataType) -> Stored:
        """Return how a column of this type is stored in a new table.

        Raises
        ------
        Unfit
            The system has no such values.
        """

    @abstractmethod
    def found(self, sql: str, dtype: pl.DataType) -> Stored | None:
        """Return how values of this type are stored in a column that exists; None if they cannot be.

        Parameters
        ----------
        sql
            Type of the column, as the system writes it.
        dtype
            Type of the values.
        """

    def encoded(self, column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
        """Return the values of a column, which have the type `dtype`, in the form that the driver takes."""
        return column

    def refused(
        self, column: pl.Expr, dtype: pl.DataType, stored: pl.DataType
    ) -> Iterator[tuple[str, pl.Expr]]:
        """Yield what values must be to be stored without a change, with an expression that finds the others."""
        first, last = self.days
        if dtype.is_integer() and stored.is_float():
            reason = f"whole numbers that {stored} holds exactly, as it does all up to 2^{_WHOLE_BITS[type(stored)]}"
            yield reason, column.cast(stored).cast(dtype, strict=False).ne_missing(column)
        if isinstance(dtype, pl.Date):
            yield f"dates that {self.name} can store", ~column.to_physical().is_between(first, last)
        if not isinstance(dtype, pl.Datetime) or not isinstance(stored, pl.Datetime):
            return
        unit, other = _PER_SECOND[dtype.time_unit], _PER_SECOND[stored.time_unit]
        finer = max(1, other // unit)
        # The ends of the range are infinite times to some systems.
        least = max(first * _DAY_S * unit, -(_LARGEST - 1) // finer)
        greatest = min((last + 1) * _DAY_S * unit - 1, (_LARGEST - 1) // finer)
        number = column.to_physical()
        yield f"times that {self.name} can store", ~number.is_between(least, greatest)
        if unit > other:
            yield f"times of whole {stored.time_unit}", number % (unit // other) != 0


def unsupported(name: str, dtype: pl.DataType) -> UnfitColumn:
    """Return the error for a type that a system has no values of."""
    if isinstance(dtype, pl.Duration):
        return UnfitColumn("a number in place of a Duration", 'write pl.col("x").dt.total_microseconds()')
    if isinstance(dtype, pl.Struct):
        return UnfitColumn(
            f"text in place of a Struct, which {name} lacks", 'write pl.col("x").struct.json_encode()'
        )
    if isinstance(dtype, pl.List | pl.Array):
        return UnfitColumn(
            f"text in place of a list, which is not written to {name}",
            'write pl.struct("x").struct.json_encode(), or explode the column',
        )
    if isinstance(dtype, pl.Null):
        return UnfitColumn("a column with a type", 'write pl.col("x").cast(pl.String)')
    return UnfitColumn("a type that databases have", 'cast the column, such as pl.col("x").cast(pl.String)')


def fits(dtype: pl.DataType, stored: pl.DataType) -> bool:
    """Return whether values of one type are stored as another without a change; those out of range are refused."""
    if dtype == stored:
        return True
    if dtype.is_integer():
        return stored.is_numeric()
    if isinstance(dtype, TEXTS):
        return isinstance(stored, pl.String)
    if isinstance(dtype, pl.Datetime) and isinstance(stored, pl.Datetime):
        return (dtype.time_zone is None) == (stored.time_zone is None)
    if isinstance(dtype, pl.Decimal) and isinstance(stored, pl.Decimal):
        return dtype.scale <= stored.scale
    return isinstance(dtype, pl.Float32) and isinstance(stored, pl.Float64)


def is_plain(dtype: pl.DataType) -> bool:
    """Return whether a type has neither parts nor a form of its own in Arrow."""
    return (dtype.is_integer() and str(dtype) not in ("Int128", "UInt128")) or isinstance(
        dtype, pl.Float32 | pl.Float64 | pl.Boolean | pl.String | pl.Binary | pl.Date
    )
