"""The steps of the builder with event time, keys and state."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from arrowstream.builder.base import GraphBuilder
from arrowstream.core.duration import Duration
from arrowstream.core.mistakes.explain import explain_calls
from arrowstream.io.sink import SinkSpec
from arrowstream.operators.with_event_time import Watermarks
from arrowstream.plan.checks.row_local import check

if TYPE_CHECKING:
    import polars as pl
    from polars._typing import IntoExpr

    from arrowstream.operators.aggregation.grouped import Grouped
    from arrowstream.operators.reduce import Emit
    from arrowstream.operators.window import WindowFull, Windows
    from arrowstream.state.limit import OnFull


@explain_calls
@dataclass(frozen=True, slots=True)
class KeyedSteps(GraphBuilder):
    """Steps with event time, keys and state. The docstrings of the operators document them."""

    def with_event_time(self, column: str, lateness: Duration = 0.0, idle: Duration | None = None) -> Self:
        """Derive watermarks from the event time in `column`, for windows; see `Watermarks`."""
        return self._then(Watermarks.of(column, lateness, idle))

    def window(
        self,
        size: Duration | None = None,
        *,
        every: Duration | None = None,
        offset: Duration | None = None,
        timezone: str | None = None,
        session: Duration | None = None,
        rows: int | None = None,
        on: str | None = None,
        by: str | Iterable[str] | None = None,
        allowed_lateness: Duration = 0,
        late: SinkSpec | None = None,
        max_bytes: int | None = None,
        on_full: WindowFull = "error",
    ) -> Windows[Self]:
        """Open windows of event time, sessions or rows, for `.agg(...)`; see `arrowstream.operators.window.windows`.

        Late rows go to the sink `late`.
        """
        from arrowstream.operators.window import windows

        return windows(
            partial(self._then, late=late),
            size,
            every=every,
            offset=offset,
            timezone=timezone,
            session=session,
            rows=rows,
            on=on,
            by=by,
            allowed_lateness=allowed_lateness,
            max_bytes=max_bytes,
            on_full=on_full,
        )

    def group_by(
        self,
        *by: str | Iterable[str],
        emit: Emit = "end",
        max_keys: int | None = None,
        max_bytes: int | None = None,
        on_full: OnFull = "error",
    ) -> Grouped[Self]:
        """Group the whole stream by key columns, for `.agg(...)`, as in Polars: `reduce` in other words."""
        from arrowstream.operators.aggregation.grouped import grouped

        return grouped(self._then, by, emit=emit, max_keys=max_keys, max_bytes=max_bytes, on_full=on_full)

    def reduce(
        self,
        *exprs: pl.Expr | Iterable[pl.Expr],
        by: str | Iterable[str] | None = None,
        emit: Emit = "end",
        max_keys: int | None = None,
        max_bytes: int | None = None,
        on_full: OnFull = "error",
        **named: pl.Expr,
    ) -> Self:
        """Aggregate the stream so far for each key; see `arrowstream.operators.reduce.Reduce`."""
        from arrowstream.operators.reduce import Reduce

        return self._then(
            Reduce.of(
                *exprs, by=by, emit=emit, max_keys=max_keys, max_bytes=max_bytes, on_full=on_full, **named
            )
        )

    def scan(
        self,
        *exprs: Any,
        by: str | Iterable[str] | None = None,
        state: Any = None,
        max_keys: int | None = None,
        max_bytes: int | None = None,
        on_full: OnFull = "error",
        **named: IntoExpr,
    ) -> Self:
        """Compute running values, one row out per row in, by expressions or ``fn(frame, state)``; see `Scan`."""
        from arrowstream.operators.scan import Scan
        from arrowstream.operators.scan_function import ScanFunction, is_scan_function
        from arrowstream.state.limit import StateLimit

        limit = StateLimit(max_keys, max_bytes, on_full)
        if is_scan_function(exprs):
            return self._then(ScanFunction.of(*exprs, state=state, by=by, named=named, limit=limit))
        return self._then(Scan.of(check, exprs, named, by=by, limit=limit))

    def debounce(self, quiet: Duration, *, by: str | Iterable[str] | None = None) -> Self:
        """Pass the last row of every run of events, by key, after a silence of `quiet`; see `Debounce`."""
        from arrowstream.operators.debounce import Debounce

        return self._then(Debounce.of(quiet, by))
