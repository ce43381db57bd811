"""How event time advances: by the rows of a column, and, if asked for, by the clock while no row comes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from arrowstream.core.checks import check_flag
from arrowstream.core.duration import Duration, microseconds, nanoseconds
from arrowstream.errors import PlanError


@dataclass(frozen=True, slots=True)
class EventTime:
    """The event time of a stream.

    Parameters
    ----------
    column
        Name of the column: Datetime, Date, or integer microseconds since 1970 (UTC).
    lateness_us
        How much later than other rows of its time a row may arrive, in microseconds.
    idle_ns
        Time without a row after which the stream counts as idle, in nanoseconds; None for never.
    advance_when_idle
        Whether event time advances with the clock while the stream is idle.
    max_jump_us
        The most by which one row may move event time, in microseconds; None for no limit.
    """

    column: str
    lateness_us: int = 0
    idle_ns: int | None = None
    advance_when_idle: bool = False
    max_jump_us: int | None = None

    @classmethod
    def of(
        cls,
        column: str,
        lateness: Duration = 0.0,
        idle: Duration | None = None,
        *,
        advance_when_idle: bool = False,
        max_jump: Duration | None = None,
    ) -> Self:
        """Make it from durations as users write them.

        Raises
        ------
        PlanError
            A value is not a duration, `max_jump` is 0, or `advance_when_idle` comes without `idle`.
        """
        check_flag("advance_when_idle", advance_when_idle)
        idle_ns = None if idle is None else nanoseconds(idle)
        if advance_when_idle and not idle_ns:
            raise PlanError(
                "advance_when_idle=True needs the time after which the stream counts as idle",
                expected='idle="30s", or another duration above 0',
                found=f"idle={idle!r}",
            )
        jump_us = None if max_jump is None else microseconds(max_jump)
        if jump_us == 0:
            raise PlanError(
                "max_jump allows no row to move event time",
                expected='a duration above 0, such as max_jump="1h"',
                found=f"max_jump={max_jump!r}",
            )
        return cls(column, microseconds(lateness), idle_ns, advance_when_idle, jump_us)
