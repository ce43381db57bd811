"""`window`: the kind of window that the arguments ask for, and the value that waits for `.agg(...)`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeVar, get_args

import polars as pl

from arrowstream.core.duration import Duration
from arrowstream.core.hints import did_you_mean, unfinished, unfinished_text
from arrowstream.core.mistakes.explain import explain_calls
from arrowstream.errors import PlanError
from arrowstream.operators.arguments import parse_expressions, parse_keys
from arrowstream.operators.base import Operator
from arrowstream.operators.windows.count_window import CountWindow
from arrowstream.operators.windows.event_time import window_duration
from arrowstream.operators.windows.row_windows import RowWindows
from arrowstream.operators.windows.session_window import SessionWindow
from arrowstream.operators.windows.spacing import Spacing
from arrowstream.operators.windows.time_window import TimeWindow
from arrowstream.operators.windows.timeless_rows import NullTimes, check_null_times
from arrowstream.state.limit import NO_LIMIT, StateLimit

Built = TypeVar("Built")
WindowFull = Literal["error", "spill"]

_UNFINISHED: Final = ("window(...)", ".agg(...)", ".window(...).agg(n=pl.len())")
"""The step, the call that must come next, and a complete call."""


@explain_calls
@dataclass(frozen=True, slots=True)
class Windows(Generic[Built]):
    """Windows without aggregates yet; `agg` completes the step."""

    _then: Callable[[Operator], Built]
    _make: Callable[[tuple[pl.Expr, ...]], Operator]
    _of_rows: Callable[[], Operator]

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

    def rows(self) -> Built:
        """Give each row with the bounds of its windows, ``window_start`` and ``window_end``, before its columns.

        Rows come out at once, once for each window that they are in. The steps after this one group them by
        ``window_start``: `sort`, `over` and `top_k` give the rows of a window once it is complete. Late rows are
        those whose windows are all closed, as with `agg`. Holds no row.

        Returns
        -------
        Builder
            A new builder, with this step at the end.

        Raises
        ------
        PlanError
            The windows are sessions or of a number of rows, or `by` or a limit on state is given, which `agg` needs.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Source
        >>> frame = pl.DataFrame({"us": [4, 1, 12], "price": [30, 10, 20]})
        >>> bids = Pipeline.builder().source(Source.from_frame(frame).with_event_time("us", lateness="5us"))
        >>> windows = bids.window("10us", on="us").rows()
        >>> windows.collect_sync().rows()
        [(0, 10, 4, 30), (0, 10, 1, 10), (10, 20, 12, 20)]
        >>> windows.over("window_start", place=pl.col("price").rank()).collect_sync()["place"].to_list()
        [2.0, 1.0, 1.0]
        """
        return self._then(self._of_rows())

    def __repr__(self) -> str:
        return unfinished_text(*_UNFINISHED)

    if not TYPE_CHECKING:  # a type checker finds the mistake itself

        def __getattr__(self, name: str) -> Any:
            step, missing, example = _UNFINISHED
            raise unfinished(step, name, missing, example)


_OPTIONS = (
    *("size", "every", "offset", "timezone", "session", "rows", "on", "by"),
    *("allowed_lateness", "late", "null_times", "max_bytes", "on_full"),
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
    null_times: NullTimes = "error",
    max_bytes: int | None = None,
    on_full: WindowFull = "error",
) -> Windows[Built]:
    """Group the rows of a stream into windows, for aggregates over each of them.

    Parameters
    ----------
    then
        Receives the operator and gives the result of `agg`; a `Builder` appends it after its last step.
    size, every, offset, timezone, session, rows, on, by, allowed_lateness, null_times, max_bytes, on_full
        As for `arrowstream.Builder.window`, which describes the results too.

    Raises
    ------
    PlanError
        Not exactly one of `size`, `session` and `rows` is given, or an argument does not go with it.
    """
    if [size, session, rows].count(None) != 2:
        raise PlanError(
            "window() needs to know what ends a window",
            expected='one of size="10s", session="30s" and rows=1000',
            found=f"size={size!r}, session={session!r}, rows={rows!r}",
        )
    check_null_times(null_times)
    keys = parse_keys("window", by)
    limit = _limit(max_bytes, on_full, session)
    if rows is not None:
        late, nulls = allowed_lateness or None, None if null_times == "error" else null_times
        _without("rows", every=every, offset=offset, timezone=timezone, on=on, allowed_lateness=late)
        _without("rows", null_times=nulls)
        return Windows(then, lambda exprs: CountWindow(rows, keys, exprs, limit), partial(_no_rows, "rows"))
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
        return Windows(
            then,
            lambda exprs: SessionWindow(gap_us, on, keys, lateness, exprs, limit, null_times),
            partial(_no_rows, "session"),
        )
    assert size is not None
    spacing = Spacing.of(size, every, offset, timezone)

    def of_rows() -> Operator:
        if keys or limit != NO_LIMIT:
            _no_rows("by" if keys else "max_bytes")
        return RowWindows(spacing, on, lateness, null_times)

    return Windows(
        then, lambda exprs: TimeWindow(spacing, on, keys, lateness, exprs, limit, null_times), of_rows
    )


def _no_rows(argument: str) -> Operator:
    raise PlanError(
        f"window({argument}=...).rows() is not possible",
        expected="windows of a size, without by and max_bytes: .rows() holds no row",
        found=f"{argument}=...",
        hint="give keys and limits to the steps after it",
    )


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
