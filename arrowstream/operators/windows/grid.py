"""Where windows of event time begin: at equal distances, or at calendar days, weeks, months and years.

A grid numbers panes, the shortest stretches of time that windows share. Every pane begins where the one before ends.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl

from arrowstream.core.rows.grouping import Panes
from arrowstream.operators.windows.event_time import EventTimeColumn

DAY_US = 86_400_000_000
"""Microseconds of a day without a change of the clocks."""

_LEAST_US = -62_000_000_000_000_000
_MOST_US = 253_000_000_000_000_000
"""Times in the years 5 and 9987: the dates of Python reach from the year 1 to 9999."""

_EPOCH = date(1970, 1, 1).toordinal()


@dataclass(frozen=True, slots=True)
class Grid(ABC):
    """Panes over a column of event times, and windows of `per_size` panes that begin every `per_every` panes."""

    time: EventTimeColumn
    per_size: int
    per_every: int

    @abstractmethod
    def panes(self) -> pl.Expr:
        """Return the expression of a row's pane, Int64."""

    @abstractmethod
    def pane_at(self, time_us: int) -> int:
        """Return the pane of a time in microseconds since 1970 UTC."""

    @abstractmethod
    def start_us(self, pane: int) -> int:
        """Return the time in microseconds at or before which no row of `pane` lies."""

    @abstractmethod
    def starts(self, pane: pl.Expr) -> pl.Expr:
        """Return the starts of panes in the unit of the column, Int64."""

    @abstractmethod
    def span(self, rows: pl.DataFrame) -> tuple[int, int]:
        """Return the first and the last pane of at least one row; no time may be null.

        Raises
        ------
        StageError
            A window of a row has a bound that the column cannot hold.
        """

    def even(self, name: str, first_pane: int | None) -> Panes | None:
        """Return the panes from `first_pane` (None: any) on that have windows within the column's range.

        None if panes differ in length.
        """
        return None

    def closed_before(self, time_us: int) -> int:
        """Return the first window, counted by starts, whose end is after `time_us`."""
        return (self.pane_at(time_us) - self.per_size) // self.per_every + 1


def _between(time_us: int) -> int:
    """Return the time, moved into the years that Python's dates have."""
    return min(max(time_us, _LEAST_US), _MOST_US)


@dataclass(frozen=True, slots=True)
class EvenGrid(Grid):
    """Panes of equal length, in UTC."""

    pane_us: int
    shift_us: int

    def __post_init__(self) -> None:
        self.time.ticks(self.pane_us), self.time.ticks(self.shift_us)

    def panes(self) -> pl.Expr:
        ticks = self.time.expression()
        shift = self.time.ticks(self.shift_us)
        return (ticks - shift if shift else ticks) // self.time.ticks(self.pane_us)

    def pane_at(self, time_us: int) -> int:
        return (time_us - self.shift_us) // self.pane_us

    def start_us(self, pane: int) -> int:
        return pane * self.pane_us + self.shift_us

    def starts(self, pane: pl.Expr) -> pl.Expr:
        return pane * self.time.ticks(self.pane_us) + self.time.ticks(self.shift_us)

    def span(self, rows: pl.DataFrame) -> tuple[int, int]:
        first, last = self.time.span(rows)
        pane, shift = self.time.ticks(self.pane_us), self.time.ticks(self.shift_us)
        self.time.check_room(first, last, pane * self.per_size + abs(shift), "window")
        return (first - shift) // pane, (last - shift) // pane

    def even(self, name: str, first_pane: int | None) -> Panes | None:
        pane, shift = self.time.ticks(self.pane_us), self.time.ticks(self.shift_us)
        first, last = self.time.room(pane * self.per_size + abs(shift))
        if first_pane is not None:
            first = max(first, first_pane * pane + shift)
        return Panes(name, self.time.column, shift, pane, first, last)


@dataclass(frozen=True, slots=True)
class LocalGrid(Grid):
    """Panes that begin at midnights of a zone, or of UTC, a number of days later than the calendar says."""

    shift_us: int
    zone: str | None

    def local(self) -> pl.Expr:
        """Return the rows' local time, less the shift, as a Datetime without a zone."""
        times = pl.col(self.time.column)
        if isinstance(self.time.dtype, pl.Datetime):
            utc = times.dt.replace_time_zone("UTC") if self.time.dtype.time_zone is None else times
        else:
            utc = times.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
        return utc.dt.convert_time_zone(self.zone or "UTC").dt.replace_time_zone(None) - timedelta(
            microseconds=self.shift_us
        )

    def instants(self, days: pl.Expr) -> pl.Expr:
        """Return local midnights, given in days since 1970, in the unit of the column, Int64.

        A midnight that the clocks jump over is the moment of the jump; of one that comes twice it is the first.
        """
        naive = days.cast(pl.Int32).cast(pl.Date).cast(pl.Datetime("us"))
        if self.zone is not None:
            day = timedelta(days=1)  # in microseconds: a sum with other units has other units in Polars
            naive = _localized(naive, self.zone).fill_null(_localized(naive - day, self.zone) + day)
        naive = naive.dt.replace_time_zone(None)
        if self.time.dtype == pl.Date:
            return naive.cast(pl.Date).to_physical().cast(pl.Int64)
        unit = self.time.dtype.time_unit if isinstance(self.time.dtype, pl.Datetime) else "us"
        return naive.dt.cast_time_unit(unit).to_physical().cast(pl.Int64)

    def span(self, rows: pl.DataFrame) -> tuple[int, int]:
        length = self.time.ticks((self.per_size + 1) * self.longest_days * DAY_US + abs(self.shift_us))
        self.time.check_room(*self.time.span(rows), length, "window")
        panes = rows.select(self.panes()).to_series()
        low, high = panes.min(), panes.max()
        assert isinstance(low, int) and isinstance(high, int)
        return low, high

    @property
    @abstractmethod
    def longest_days(self) -> int:
        """Days that a pane has at the most."""


def _localized(naive: pl.Expr, zone: str) -> pl.Expr:
    local = naive.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    return local.dt.convert_time_zone("UTC")


def local_day(time_us: int, zone: str | None) -> date:
    """Return the earliest local date of a time in microseconds since 1970 UTC and of all times after it.

    Where clocks went back shortly after midnight, as in St. John's until 2011, it was yesterday again for an hour.
    """
    utc = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=_between(time_us))
    if zone is None:
        return utc.date()
    local = ZoneInfo(zone)
    return min(utc.astimezone(local).date(), (utc + timedelta(minutes=30)).astimezone(local).date())


def midnight_us(days: int, zone: str | None) -> int:
    """Return a time in microseconds that is not after the local midnight of a day since 1970."""
    return days * DAY_US - (0 if zone is None else DAY_US)


@dataclass(frozen=True, slots=True)
class DayGrid(LocalGrid):
    """Panes of a number of days."""

    days: int

    @property
    def longest_days(self) -> int:
        return self.days

    def panes(self) -> pl.Expr:
        day = self.local().dt.date().to_physical().cast(pl.Int64)
        return day // self.days

    def pane_at(self, time_us: int) -> int:
        day = local_day(time_us, self.zone).toordinal() - _EPOCH - self.shift_us // DAY_US
        return day // self.days

    def start_us(self, pane: int) -> int:
        return midnight_us(pane * self.days + self.shift_us // DAY_US, self.zone)

    def starts(self, pane: pl.Expr) -> pl.Expr:
        return self.instants(pane * self.days + self.shift_us // DAY_US)


@dataclass(frozen=True, slots=True)
class MonthGrid(LocalGrid):
    """Panes of a number of months, counted from the year 0 as Polars counts them."""

    months: int

    @property
    def longest_days(self) -> int:
        return 31 * self.months

    def panes(self) -> pl.Expr:
        local = self.local().dt
        return (local.year().cast(pl.Int64) * 12 + local.month() - 1) // self.months

    def pane_at(self, time_us: int) -> int:
        day = local_day(time_us, self.zone) - timedelta(days=self.shift_us // DAY_US)
        return (day.year * 12 + day.month - 1) // self.months

    def start_us(self, pane: int) -> int:
        month = pane * self.months
        first = date(month // 12, month % 12 + 1, 1).toordinal() - _EPOCH
        return midnight_us(first + self.shift_us // DAY_US, self.zone)

    def starts(self, pane: pl.Expr) -> pl.Expr:
        month = pane * self.months
        first = pl.date(month // 12, month % 12 + 1, 1).to_physical().cast(pl.Int64)
        return self.instants(first + self.shift_us // DAY_US)
