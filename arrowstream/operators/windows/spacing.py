"""The length of windows of event time and the distance between them, as users write them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import gcd
from typing import Literal
from zoneinfo import ZoneInfo, available_timezones

import polars as pl

from arrowstream.core.duration import Duration, is_duration, microseconds, not_a_duration, seconds_text
from arrowstream.core.hints import did_you_mean
from arrowstream.errors import PlanError, SchemaError
from arrowstream.operators.windows.event_time import EventTimeColumn, window_duration
from arrowstream.operators.windows.grid import DAY_US, DayGrid, EvenGrid, Grid, MonthGrid

Unit = Literal["microseconds", "days", "months"]

_CALENDAR = re.compile(r"(\d+)(d|w|mo|q|y)")
_UNITS: dict[str, tuple[Unit, int]] = {
    "d": ("days", 1),
    "w": ("days", 7),
    "mo": ("months", 1),
    "q": ("months", 3),
    "y": ("months", 12),
}
_FIRST_MONDAY = 4
"""Days from 1970-01-01 to the first Monday, from which weeks count, as in Polars."""


@dataclass(frozen=True, slots=True)
class Spacing:
    """The length of windows and the distance between their starts, as users wrote them.

    Parameters
    ----------
    unit
        What `size` and `every` count.
    size, every
        The length of a window, and the distance between the starts of two, in this unit.
    offset_us
        By how much windows begin later than at multiples of `every`, in microseconds.
    zone
        The time zone of days, weeks and months; None for UTC.
    mondays
        Whether windows begin on Mondays, as `every` was given in weeks.
    """

    unit: Unit
    size: int
    every: int
    offset_us: int
    zone: str | None
    mondays: bool

    @classmethod
    def of(cls, size: Duration, every: Duration | None, offset: Duration | None, zone: str | None) -> Spacing:
        """Read the arguments of `window`.

        Raises
        ------
        PlanError
            One is not a duration, they do not go together, or the zone is unknown.
        """
        unit, length = _length("size", size)
        step_unit, step = (unit, length) if every is None else _length("every", every)
        if unit != step_unit and "months" in (unit, step_unit):
            raise PlanError(
                "window(size=..., every=...) mixes months with shorter times, so windows would differ in number",
                expected="both in months, quarters or years, or neither",
                found=f"size={size!r}, every={every!r}",
            )
        if unit != step_unit:
            length, step = _in_us(unit, length), _in_us(step_unit, step)
            unit = "microseconds"
        shift = 0 if offset is None else microseconds(offset)
        steps = size if every is None else every
        spacing = cls(unit, length, step, shift, zone, isinstance(steps, str) and steps.endswith("w"))
        spacing._check(offset)
        return spacing

    def _check(self, offset: Duration | None) -> None:
        if self.every > self.size:
            raise PlanError(
                "window(every=...) is longer than its size, so rows between windows would be lost",
                expected=f"at most the size, {self.text(self.size)}",
                found=self.text(self.every),
                hint="filter those rows out first, and leave every out",
            )
        if self.zone is not None and self.unit == "microseconds":
            raise PlanError(
                "window(timezone=...) is for windows of days, weeks, months and years",
                expected='size="1d", "1w", "1mo", "1q" or "1y", and every likewise',
                found=f"size={self.text(self.size)}, every={self.text(self.every)}",
                hint="shorter windows begin at multiples of every in UTC; offset= moves them",
            )
        if self.offset_us % DAY_US and (self.zone is not None or self.unit == "months"):
            raise PlanError(
                "window(offset=...) of calendar windows must be whole days",
                expected='such as offset="5d"',
                found=repr(offset),
            )
        if self.zone is not None:
            try:
                ZoneInfo(self.zone)
            except (ValueError, OSError, KeyError) as error:
                raise PlanError(
                    "window(timezone=...) is unknown",
                    expected="such as 'Europe/Berlin'",
                    found=repr(self.zone),
                    hint=did_you_mean(str(self.zone), available_timezones()),
                ) from error

    def grid(self, time: EventTimeColumn) -> Grid:
        """Return the grid over a column of event times.

        Raises
        ------
        SchemaError
            Windows do not begin or end at times that the column can hold.
        """
        if self.zone is not None and time.dtype == pl.Date:
            raise SchemaError(
                "window(timezone=...) needs times, not dates",
                expected="a Datetime",
                found=f"{time.column}: {time.dtype}",
                hint="leave timezone out: a date is a day in every zone",
            )
        pane = gcd(self.size, self.every)
        per_size, per_every = self.size // pane, self.every // pane
        if self.unit == "months":
            return MonthGrid(time, per_size, per_every, self.offset_us, self.zone, pane)
        shift_us = self.offset_us + (_FIRST_MONDAY * DAY_US if self.mondays else 0)
        if self.zone is not None:
            return DayGrid(time, per_size, per_every, shift_us, self.zone, pane)
        return EvenGrid(time, per_size, per_every, _in_us(self.unit, pane), shift_us)

    def text(self, length: int) -> str:
        """Return a length in this unit as text, such as ``10s`` or ``3mo``."""
        if self.unit == "microseconds":
            return f"{seconds_text(length)}s"
        if self.unit == "months":
            return f"{length}mo"
        return f"{length // 7}w" if self.mondays and length % 7 == 0 else f"{length}d"

    def describe(self) -> str:
        """Return the arguments for `explain()`."""
        every = f", every={self.text(self.every)}" if self.every < self.size else ""
        offset = f", offset={seconds_text(self.offset_us)}s" if self.offset_us else ""
        return f"size={self.text(self.size)}{every}{offset}{f', timezone={self.zone}' if self.zone else ''}"


def _length(name: str, duration: Duration) -> tuple[Unit, int]:
    calendar = _CALENDAR.fullmatch(duration) if isinstance(duration, str) else None
    if calendar is None or calendar[1].strip("0") == "":
        if isinstance(duration, str) and not is_duration(duration):
            raise not_a_duration(duration, tuple(_UNITS))
        return "microseconds", window_duration(name, duration)
    unit, count = _UNITS[calendar[2]]
    return unit, int(calendar[1]) * count


def _in_us(unit: Unit, length: int) -> int:
    return length * (DAY_US if unit == "days" else 1)
