"""Types from the user for columns that have another type in the file: every value survives, or is an error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial, reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl

from arrowstream.core.failures import FAILURES
from arrowstream.core.hints import shortened
from arrowstream.errors import SourceError, UnreadableData
from arrowstream.io.files.evolution import holds
from arrowstream.io.files.remote.urls import RemotePath

if TYPE_CHECKING:
    from polars._typing import PolarsDataType

_NAMED: Final = (pl.String, pl.Categorical, pl.Enum, pl.Null)
"""Types whose values are parsed or looked up by a strict cast, which fails where it would change one."""

_NUMBER: Final = (
    r"^\s*[+-]?(?P<whole>\d*?)(?P<zeros>0*)(?:\.(?P<fraction>\d*?)0*)?(?:[eE]\+?(?P<exponent>-?\d+))?\s*$"
)
"""A decimal number, without zeros at the end of its fraction."""


class Misfit(Exception):
    """A value that its column's type from the user does not hold."""


def can_lose(stored: PolarsDataType, given: PolarsDataType) -> bool:
    """Return whether a strict cast changes some values instead of failing at them.

    Examples
    --------
    >>> can_lose(pl.Float64(), pl.Int64()), can_lose(pl.Int64(), pl.Int8())
    (True, False)
    """
    if isinstance(stored, pl.List | pl.Array) and isinstance(given, pl.List | pl.Array):
        return can_lose(stored.inner, given.inner)
    if isinstance(stored, pl.Datetime) and isinstance(given, pl.Datetime):
        return stored.time_unit != given.time_unit
    if stored == pl.String:
        return given.is_float() or given.is_decimal()
    if stored.is_nested() or given.is_nested():
        return stored != given
    if holds(given, stored) or stored in _NAMED or (stored.is_integer() and given.is_integer()):
        return False
    return given not in (pl.String, pl.Binary) and not (stored == pl.Boolean and given.is_numeric())


def misfits(values: pl.Series, given: PolarsDataType) -> pl.Series:
    """Return for each value whether a cast to the type fails or changes it: it is not equal when cast back.

    If Polars refuses the column because of some values, such as bytes that are not UTF-8, all values are misfits.
    """
    stored = values.dtype
    if isinstance(stored, pl.Struct) and isinstance(given, pl.Struct):
        types = dict(given)
        if list(types) == [field.name for field in stored.fields]:
            wrong = [misfits(values.struct.field(name), dtype) for name, dtype in types.items()]
            return reduce(or_, wrong, _none(values))
    if isinstance(stored, pl.List | pl.Array) and isinstance(given, pl.List | pl.Array):
        rows = pl.int_range(len(values), eager=True)
        items = pl.DataFrame({"row": rows, "item": values}).explode("item")
        wrong_items = rows.is_in(items["row"].filter(misfits(items["item"], given.inner)).implode())
        if isinstance(stored, pl.List) and isinstance(given, pl.Array):
            return wrong_items | (values.list.len() != given.size).fill_null(value=False)
        return wrong_items
    try:
        cast = values.cast(given, strict=False)
        return cast.is_null() & values.is_not_null() | changed(values, cast)
    except pl.exceptions.PolarsError:  # no value can be cast, there or back, or some bytes are not UTF-8
        return values.is_not_null()


def changed(values: pl.Series, cast: pl.Series) -> pl.Series:
    """Return for each value whether a cast has changed it."""
    stored, given = values.dtype, cast.dtype
    if not can_lose(stored, given):
        return _none(values)
    if stored == pl.String:
        if given.is_float():
            return cast.is_infinite().fill_null(value=False) & ~values.str.contains("(?i)inf")
        assert isinstance(given, pl.Decimal)
        return _rounded(values, given.scale)
    if stored == pl.Float64 and given == pl.Float32:  # who asks for it asks for its digits
        return cast.is_infinite().fill_null(value=False) & values.is_finite()
    if stored == pl.Time:
        unit = pl.Duration("ns")
        return cast.cast(unit).ne_missing(values.cast(unit))
    back = cast.cast(pl.Int8) if given == pl.Boolean else cast
    return back.cast(stored, strict=False).ne_missing(values)


def _rounded(texts: pl.Series, scale: int) -> pl.Series:
    """Return for each decimal number whether it has digits beyond `scale` decimals that are not zeros."""
    length = texts.str.len_bytes() - texts.str.find(".", literal=True)
    may_be = (length > scale + 1).fill_null(value=False) | texts.str.contains("[eE]").fill_null(value=False)
    if not may_be.any():
        return may_be  # the parts of a number take ten times as long to find
    parts = texts.str.extract_groups(_NUMBER).struct
    whole, zeros, fraction = (parts.field(name).fill_null("") for name in ("whole", "zeros", "fraction"))
    exponent = parts.field("exponent").cast(pl.Int64, strict=False).fill_null(0)
    digits = fraction.str.len_bytes().cast(pl.Int64)
    decimals = digits - zeros.str.len_bytes().cast(pl.Int64) * (digits == 0) - exponent
    return ((whole != "") | (digits > 0)) & (decimals > scale)


def _none(values: pl.Series) -> pl.Series:
    return pl.repeat(value=False, n=len(values), eager=True)


def without_misfits(values: pl.Series, given: PolarsDataType) -> pl.Series:
    """Return the values as another type, with nulls for those that it does not hold."""
    kept = pl.lit(~misfits(values, given))
    cast = pl.lit(values.cast(given, strict=False))
    return pl.select(pl.when(kept).then(cast).alias(values.name)).to_series()


def cast_to(name: str, stored: PolarsDataType, given: PolarsDataType, *, lenient: bool = False) -> pl.Expr:
    """Return a cast of a column that fails where a value does not survive, or if `lenient` makes it null.

    It costs more only if a value can be lost.
    """
    if not can_lose(stored, given):
        return pl.col(name).cast(given, strict=not lenient)
    cast = without_misfits if lenient else checked_cast
    return pl.col(name).map_batches(partial(cast, given=given), given, is_elementwise=True)


def checked_cast(values: pl.Series, given: PolarsDataType) -> pl.Series:
    """Return the values as a type that holds all of them.

    Raises
    ------
    Misfit, polars.exceptions.PolarsError
        A value does not survive.
    """
    cast = values.cast(given)
    # What the cast refuses it has raised; only values inside of others are cast once more, to compare them.
    if (misfits(values, given) if values.dtype.is_nested() else changed(values, cast)).any():
        raise Misfit(values.name)
    return cast


@dataclass(frozen=True, slots=True)
class Adapt:
    """Query on the rows of one file, after the types from the user.

    Parameters
    ----------
    path
        Path of the file.
    query
        The rows after the query; its input has all columns.
    stored
        Columns of the file.
    given
        Columns before the query, with the types from the user.
    choice
        Names of the columns after the query, if it only chooses among those of the file; else None.
    """

    path: Path | RemotePath
    query: Callable[[pl.LazyFrame], pl.LazyFrame]
    stored: Mapping[str, PolarsDataType]
    given: Mapping[str, PolarsDataType]
    choice: tuple[str, ...] | None = None

    def __call__(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        return self.query(rows)

    def collected(self, rows: pl.DataFrame | pl.LazyFrame) -> pl.DataFrame:
        """Return the rows after the query; a choice among columns in memory is not planned, which takes 0.5 ms."""
        if self.choice is None or isinstance(rows, pl.LazyFrame):
            return self(rows.lazy()).collect(engine="in-memory")
        return rows if tuple(rows.columns) == self.choice else rows.select(self.choice)

    def misfit(self, rows: pl.DataFrame, first_row: int) -> SourceError | None:
        """Return the error for the first value that does not fit its type from the user and that the query reads.

        Parameters
        ----------
        rows
            Rows as stored, with the columns that are needed.
        first_row
            Number of the first of them in the file, counted from 0.
        """
        masks = {
            column.name: misfits(column, self.given[column.name])
            for column in rows
            if column.dtype != self.given.get(column.name, column.dtype)
        }
        wrong = reduce(or_, masks.values(), pl.repeat(value=False, n=rows.height, eager=True)).arg_true()
        unread = [pl.lit(None, dtype).alias(n) for n, dtype in self.stored.items() if n not in rows.columns]
        full = rows.with_columns(unread)
        if wrong.is_empty() or not self._fails(full[wrong]):
            return None
        # The filter of the query may leave out some of these rows: find the first with which it fails.
        good, bad = 0, len(wrong)
        while bad - good > 1:
            middle = (good + bad) // 2
            good, bad = (good, middle) if self._fails(full[wrong[:middle]]) else (middle, bad)
        row = wrong[bad - 1]
        name = next(name for name, mask in masks.items() if mask[row])
        return self._error(name, rows[name].dtype, rows[name][row], first_row + row + 1)

    def _fails(self, rows: pl.DataFrame) -> bool:
        try:
            self.query(rows.lazy()).collect()
        except FAILURES:
            return True
        return False

    def _error(self, name: str, stored: PolarsDataType, value: object, row: int) -> SourceError:
        given = self.given[name]
        return UnreadableData(
            f"row {row} of {self.path} does not fit the type that schema= gives column {name!r}",
            position=f"{self.path} row {row}",
            expected=f"{name}: {given}, with every value unchanged",
            found=f"{shortened(value)} ({stored})",
            hint=f"leave {name!r} out of schema=, and round or cast it in a step of the pipeline, where you choose "
            "what becomes of such a value",
        )
