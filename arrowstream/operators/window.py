"""`window`: the kind of window that the arguments ask for, and the value that waits for `.agg(...)`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, get_args

import polars as pl

from arrowstream.core.duration import Duration
from arrowstream.core.hints import did_you_mean, unfinished
from arrowstream.core.mistakes.explain import explain_calls
from arrowstream.errors import PlanError
from arrowstream.operators.arguments import parse_expressions, parse_keys
from arrowstream.operators.base import Operator
from arrowstream.operators.windows.count_window import CountWindow
from arrowstream.operators.windows.event_time import window_duration
from arrowstream.operators.windows.session_window import SessionWindow
from arrowstream.operators.windows.spacing import Spacing
from arrowstream.operators.windows.time_window import TimeWindow
from arrowstream.state.limit import StateLimit

Built = TypeVar("Built")
WindowFull = Literal["error", "spill"]


@explain_calls
@dataclass(frozen=True, slots=True)
class Windows(Generic[Built]):
    """Windows without aggregates yet; `agg` completes the step."""

    _then: Callable[[Operator], Built]
    _make: Callable[[tuple[pl.Expr, ...]], Operator]

    def agg(self, *exprs: Any, **named: Any) -> Built:
        """Give one row for every window and key, with these aggregates.

        Parameters
        ----------
        exprs, named
            What `polars.DataFrame.group_by(...).agg(...)` takes.

        Returns
        -------
        Builder
            A new builder, with this step at the end.

        Raises
        ------
        PlanError
            No aggregate is given, or an input cannot become an expression.
        """
        return self._then(self._make(parse_expressions("window(...).agg", exprs, named, _OPTIONS)))

    if not TYPE_CHECKING:  # a type checker finds the mistake itself

        def __getattr__(self, name: str) -> Any:
            raise unfinished("window(...)", name, ".agg(...)", ".window(...).agg(n=pl.len())")


_OPTIONS = (
    *("size", "every", "offset", "timezone", "session", "rows", "on", "by"),
    *("allowed_lateness", "late", "max_bytes", "on_full"),
)
"""The arguments of `window`, which are misplaced in `agg`."""


def windows(
    then: Callable[[Operator], Built],
    size: Duration | None = None,
    *,
    every: Duration | None = None,
    offset: Duration | None = None,
    timezone: str | None = None,
    session: Duration | None = None,
    rows: int | None = None,
    on: str | None = None,
    by: Any = None,
    allowed_lateness: Duration = 0,
    max_bytes: int | None = None,
    on_full: WindowFull = "error",
) -> Windows[Built]:
    """Group the rows of a stream into windows, for aggregates over each of them.

    Results are those of Polars' ``group_by([window, *by]).agg(...)`` over all rows at once, whatever the aggregation,
    and however the stream is cut into batches. A sum, mean, variance or standard deviation of floats may
    differ in its last digits: values are added in another order. A row comes out for every window
    that has rows and every key in it: ``window_start`` and ``window_end`` (of the type of `on`; Int64
    for integers), which windows of `rows` do not have, then the keys, then the aggregates.

    Parameters
    ----------
    then
        Receives the operator and gives the result of `agg`; a `Builder` appends it after its last step.
    size
        Length of a window in event time (``"10s"``, seconds, a timedelta), also in days ``"1d"``, weeks ``"1w"``,
        months ``"1mo"``, quarters ``"1q"`` and years ``"1y"``. A window has the rows from its start up to, not
        including, its end; windows start at multiples of `every` since 1970 UTC, those of weeks on Mondays, those of
        months on the first day of a month.
    every
        From one start to the next; `size` by default, so that every row is in one window. If it is
        shorter, windows overlap, and a row is in several. Months go with months, quarters and years only.
    offset
        By how much windows start later: ``size="1d", offset="6h"`` for days from 06:00 to 06:00. Whole days for
        windows of months, and with `timezone`.
    timezone
        The zone of days, weeks and months, such as ``"Europe/Berlin"``, whatever the zone of `on`: windows start at
        its midnights, so that a day has 23 or 25 hours where the clocks change. UTC by default. Times without a zone
        are in UTC, and then ``window_start`` and ``window_end`` are too: a day in Berlin starts at 22:00 or 23:00.
    session
        Instead of `size`: a window for each stretch of activity of a key. A gap of this length or more between
        two rows ends one; its ``window_end`` is its last row's time plus the gap.
    rows
        Instead of `size`: windows of this number of rows of a key, in the order in which they come. The
        last window of a key may be smaller.
    on
        The column of event times: Datetime of any unit and zone (without a zone it counts as UTC), Date,
        or integers of microseconds since 1970 UTC. Windows of `rows` have none.
    by
        The columns to group by, a name or several; null is a key.
    allowed_lateness
        Event time for which a window still takes rows after the watermark has passed its end.
    max_bytes
        The most bytes of memory that open windows take; None for no limit. Merging and closing windows may take
        more for a moment.
    on_full
        The reaction to the limit: ``"error"``, all batches fail from then on, or ``"spill"``: state goes to files, as
        for `reduce`, and windows come out a few at a time; the rows of one must fit into memory. Sessions can't be
        spilled, and no window closes early to make room.

    Raises
    ------
    PlanError
        Not exactly one of `size`, `session` and `rows` is given, or an argument does not go with it.
    StageError
        While running: a row has no event time, or a bound of its window does not fit into the type of `on`, state
        exceeds `max_bytes`, or the disk is full.
    """
    if [size, session, rows].count(None) != 2:
        raise PlanError(
            "window() needs to know what ends a window",
            expected='one of size="10s", session="30s" and rows=1000',
            found=f"size={size!r}, session={session!r}, rows={rows!r}",
        )
    keys = parse_keys("window", by)
    limit = _limit(max_bytes, on_full, session)
    if rows is not None:
        late = allowed_lateness or None
        _without("rows", every=every, offset=offset, timezone=timezone, on=on, allowed_lateness=late)
        return Windows(then, lambda exprs: CountWindow(rows, keys, exprs, limit))
    if not isinstance(on, str):
        raise PlanError(
            "window() needs a column of event times",
            expected='its name, as in on="ts"',
            found=repr(on),
            hint="window(rows=...) needs none",
        )
    lateness = window_duration("allowed_lateness", allowed_lateness, 0)
    if session is not None:
        _without("session", every=every, offset=offset, timezone=timezone)
        gap_us = window_duration("session", session)
        return Windows(then, lambda exprs: SessionWindow(gap_us, on, keys, lateness, exprs, limit))
    assert size is not None
    spacing = Spacing.of(size, every, offset, timezone)
    return Windows(then, lambda exprs: TimeWindow(spacing, on, keys, lateness, exprs, limit))


def _limit(max_bytes: int | None, on_full: str, session: Duration | None) -> StateLimit:
    if on_full not in ("error", "evict", "spill"):
        raise PlanError(
            "unknown on_full of window(...)",
            expected="'error' or 'spill'",
            found=repr(on_full),
            hint=did_you_mean(str(on_full), get_args(WindowFull)),
        )
    if on_full == "evict":
        raise PlanError(
            'window(on_full="evict") would give windows that lack rows',
            expected="'error' or 'spill'",
            hint="a shorter allowed_lateness closes windows sooner",
        )
    if on_full == "spill" and session is not None:
        raise PlanError(
            'window(session=..., on_full="spill") is not possible: all sessions of a key are merged in memory',
            expected="on_full='error' with sessions",
            hint="windows of a size can be spilled",
        )
    return StateLimit(max_bytes=max_bytes, on_full=on_full)  # type: ignore[arg-type]


def _without(kind: str, **others: Any) -> None:
    for name, value in others.items():
        if value is not None:
            raise PlanError(
                f"window({kind}=...) has no {name}",
                expected=f"{kind} without {name}",
                found=f"{name}={value!r}",
            )
