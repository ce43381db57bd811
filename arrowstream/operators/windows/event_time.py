"""Event-time columns as ticks since 1970 UTC: Datetime of any unit and zone, Date, or integers of microseconds."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

import polars as pl

from arrowstream.core.batch import Batch
from arrowstream.core.duration import Duration, microseconds
from arrowstream.core.hints import did_you_mean, shortened
from arrowstream.errors import PlanError, SchemaError, StageError

_PER_US = {"ns": Fraction(1_000), "us": Fraction(1), "ms": Fraction(1, 1_000)}
"""Ticks per microsecond of a Datetime, by its unit."""

_DAY = Fraction(1, 86_400_000_000)
"""Ticks per microsecond of a Date."""


def window_duration(name: str, duration: Duration, at_least: int = 1) -> int:
    """Return a duration argument of `window` in whole microseconds.

    Parameters
    ----------
    name
        The argument's name, for errors.
    duration
        Its value.
    at_least
        The least duration allowed, in microseconds.

    Raises
    ------
    PlanError
        The value is not a duration, or shorter than `at_least` microseconds.
    """
    length = microseconds(duration)
    if length < at_least:
        raise PlanError(
            f"window({name}=...) is too short", expected="at least one microsecond", found=repr(duration)
        )
    return length


def how_to_convert(column: str, dtype: pl.DataType) -> str | None:
    """Return a hint that shows how a column of another type becomes a time; None if it cannot.

    Examples
    --------
    >>> how_to_convert("at", pl.Float64())
    'seconds since 1970 become microseconds by (pl.col("at") * 1_000_000).cast(pl.Int64)'
    """
    if dtype == pl.String:
        return (
            f'convert text first, as pl.col("{column}").str.to_datetime("%Y-%m-%d %H:%M:%S") does; such as '
            f'2026-01-31T12:00:00 is read with from_file(..., schema={{"{column}": pl.Datetime("us")}})'
        )
    if dtype.is_numeric():
        return f'seconds since 1970 become microseconds by (pl.col("{column}") * 1_000_000).cast(pl.Int64)'
    return None


@dataclass(frozen=True, slots=True)
class EventTimeColumn:
    """An event-time column and the unit it counts in.

    Parameters
    ----------
    column
        The column's name.
    dtype
        The type of window bounds: the column's type, or Int64 for any type of integers.
    """

    column: str
    dtype: pl.DataType
    _per_us: Fraction

    @classmethod
    def of(cls, step: str, column: str, schema: pl.Schema) -> EventTimeColumn:
        """Return the event times in `column`.

        Parameters
        ----------
        step
            Name of the operator, for errors.
        column
            The column's name.
        schema
            The schema of the rows.

        Raises
        ------
        SchemaError
            The column is missing, or its type is not a time.
        """
        dtype = schema.get(column)
        if dtype is None:
            raise SchemaError(
                f"{step} takes its event times from a column that is not there",
                expected=f"one of the columns {', '.join(schema)}",
                found=column,
                hint=did_you_mean(column, schema),
            )
        if isinstance(dtype, pl.Datetime):
            return cls(column, dtype, _PER_US[dtype.time_unit])
        if dtype == pl.Date:
            return cls(column, dtype, _DAY)
        if dtype.is_integer():
            return cls(column, pl.Int64(), Fraction(1))
        raise SchemaError(
            f"{step} cannot read event times from this column",
            expected="a Datetime, a Date, or integers of microseconds since 1970 UTC",
            found=f"{column}: {dtype}",
            hint=how_to_convert(column, dtype),
        )

    def ticks(self, time_us: int) -> int:
        """Return a duration or time, given in microseconds, in the column's unit.

        Raises
        ------
        SchemaError
            The unit is too coarse: the result is not a whole number.
        """
        ticks = time_us * self._per_us
        if ticks.denominator != 1:
            raise SchemaError(
                "a window does not begin or end at times its column can hold",
                expected=f"a length of whole multiples of {1 / self._per_us} us",
                found=f"{time_us} us, over {self.column}: {self.dtype}",
                hint='cast the column to a finer type first, such as pl.Datetime("us")',
            )
        return int(ticks)

    def whole_ticks(self, duration_us: int) -> int:
        """Return the number of whole ticks in a duration in microseconds."""
        return floor(duration_us * self._per_us)

    def first_tick(self, time_us: int) -> int:
        """Return the first tick at or after a time in microseconds."""
        return ceil(time_us * self._per_us)

    def to_us(self, ticks: int) -> int:
        """Return the last whole microsecond at or before a tick."""
        return floor(ticks / self._per_us)

    def expression(self) -> pl.Expr:
        """Return the expression of the column's ticks, as Int64."""
        return pl.col(self.column).to_physical().cast(pl.Int64)

    def span(self, rows: pl.DataFrame) -> tuple[int, int]:
        """Return the first and the last tick of at least one row; no time may be null."""
        ticks = rows[self.column].cast(pl.Int64)
        first, last = ticks.min(), ticks.max()
        assert isinstance(first, int) and isinstance(last, int)
        return first, last

    def from_ticks(self, ticks: pl.Expr) -> pl.Expr:
        """Return the expression that casts ticks (Int64) to `dtype`."""
        return ticks.cast(pl.Int32).cast(self.dtype) if self.dtype == pl.Date else ticks.cast(self.dtype)

    def check(self, batch: Batch, step: str, hint: str | None = None) -> None:
        """Raise unless every row has a time.

        Raises
        ------
        StageError
            A time is null; its position is that of the first such row.
        """
        frame = batch.polars()
        nulls = frame[self.column].null_count()
        if nulls:
            first = frame[self.column].is_null().arg_max()
            assert first is not None, "there is a null"
            place = None if batch.position is None else batch.position.part(first, 1, frame.height)
            row = shortened(frame.row(first, named=True))
            raise StageError(
                f"{step} met rows without an event time",
                position=None if place is None else str(place),
                expected=f"a time in every row of {self.column}",
                found=f"{nulls} of {frame.height} rows with null, the first of them {row}",
                hint=hint
                or f'filter them out, or give them a time, before: .filter(pl.col("{self.column}").is_not_null())',
            )

    def room(self, length: int) -> tuple[int, int]:
        """Return the first and the last tick that are `length` ticks or more from the ends of the column's range."""
        most = 1 << (31 if self.dtype == pl.Date else 63)
        return length - most, most - length - 1

    def check_room(self, first: int, last: int, length: int, step: str) -> None:
        """Raise if times are so close to the ends of the column's range that window bounds would wrap around.

        Parameters
        ----------
        first, last
            The first and the last tick.
        length
            The length of a window, in ticks.
        step
            Name of the operator, for errors.

        Raises
        ------
        StageError
            The first or the last tick is less than `length` ticks from the end of the range.
        """
        least, most = self.room(length)
        if first < least or last > most:
            raise StageError(
                f"{step} would begin or end at a time that its column cannot hold",
                expected=f"{self.column} {length:,} or more from the ends of {self.dtype}",
                found=f"{last if last > most else first}",
                hint=f'filter out times that stand for "never": .filter(pl.col("{self.column}") < ...)',
            )
