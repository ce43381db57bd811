"""The step of the builder that joins with the version that is valid at a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

from arrowstream.builder.base import GraphBuilder
from arrowstream.builder.other_side import only, stream_of, table_of
from arrowstream.core.duration import Duration, microseconds
from arrowstream.core.mistakes.explain import explain_calls
from arrowstream.errors import PlanError
from arrowstream.io.sink import SinkSpec
from arrowstream.io.source import EventTimeSource
from arrowstream.operators.arguments import parse_keys
from arrowstream.plan.composites.multi_input import MultiInput
from arrowstream.state.limit import StateLimit

if TYPE_CHECKING:
    from arrowstream.operators.joins.asof import AsofHow, Strategy
    from arrowstream.operators.joins.keys import JoinKeys
    from arrowstream.operators.windows.timeless_rows import NullTimes


@explain_calls
@dataclass(frozen=True, slots=True)
class AsofSteps(GraphBuilder):
    """The step that joins with the version that is valid at a time."""

    def join_asof(
        self,
        other: Any,
        *,
        on: str | None = None,
        left_on: str | None = None,
        right_on: str | None = None,
        by: str | Iterable[str] | None = None,
        by_left: str | Iterable[str] | None = None,
        by_right: str | Iterable[str] | None = None,
        strategy: Strategy = "backward",
        tolerance: Duration | None = None,
        how: AsofHow = "left",
        suffix: str = "_right",
        refresh: Duration | None = None,
        late: SinkSpec | None = None,
        null_times: NullTimes = "error",
        max_bytes: int | None = None,
        on_full: Literal["error", "spill"] = "error",
    ) -> Self:
        """Join each row with the version of its key that is valid at its time, such as a price or a rate.

        The result is that of ``polars.LazyFrame.join_asof`` over all rows sorted by time, however the streams are
        cut into batches and come one after the other. At most one version is joined:

        | `strategy` | the version | of several with one time |
        |---|---|---|
        | ``"backward"`` | the last at or before the time of the row | the one that came last |
        | ``"forward"`` | the first at or after it | the one that came first |
        | ``"nearest"`` | the one nearest in time, of two the later one | the one that came last |

        **A table** is loaded once, when the run starts, in any order, and rows get their version at once.

        **A stream**: a row waits until the watermark of the other stream has passed its time, so that its version is
        known; with ``"forward"`` and ``"nearest"`` also for a version after it, or until `tolerance` has passed.
        Versions leave once a newer one is before the watermarks of both streams, so that one stays for each key.
        Rows come out in no particular order. A row before the watermark of both, and a version before that of the
        versions, is late: it is counted, and goes to `late` if that is given.

        Parameters
        ----------
        other
            The table: a frame (Polars, pandas, pyarrow, ...), a `polars.LazyFrame`, the path of a file as in
            `Source.from_file`, or a source that ends. Or the stream: a builder, or a source ``.with_event_time()``.
        on
            The column of time, of one name on both sides; that of event time, where the other side is a stream.
        left_on, right_on
            The columns of time of this stream and of the other side, in place of `on`. The latter comes out, too.
        by
            Key columns that have the same names on both sides; without any, all versions are of one key.
        by_left, by_right
            Key columns of this stream, and those of the other side, in place of `by`.
        strategy
            Which version is joined.
        tolerance
            How far apart the two times may be, such as ``"1h"``; None for any distance.
        how
            ``"left"`` keeps all rows, with nulls where there is no version; ``"inner"`` those that have one.
        suffix
            What follows the name of a column of the other side where this stream has a column of that name.
        refresh
            Time after which the table is loaded again while the run goes on. For a table.
        late
            A sink of late rows of both streams, in the columns of both.
        null_times
            What becomes of rows without an event time of a stream: ``"error"`` ends the run; ``"drop"`` leaves them
            out, and the report counts them; ``"late"`` counts them as late rows, which go to `late` if that is given.
        max_bytes
            The most bytes of memory for rows and versions that are held; None for no limit.
        on_full
            What happens beyond `max_bytes`: ``"error"``, or ``"spill"`` to move rows to files.

        Returns
        -------
        Builder
            A new builder, with this step at the end.

        Raises
        ------
        PlanError
            A column of time is missing or given twice, or is not the event time of its stream, `strategy` or `how`
            is unknown, `tolerance` is not a duration, or an argument does not go with a table, or with a stream.
        SchemaError
            At `build()`: a column is missing, two cannot be compared, or two would have the same name.
        StageError
            While running: a row has no time and `null_times` is ``"error"``, state exceeds `max_bytes`, or the disk
            is full.

        Notes
        -----
        Runs as a stage. Costs a binary search for each row, some 0.3 to 1 us. Holds the rows that wait, the versions
        that a row may need with 40 bytes for each, and up to as many, or 262,144, that have become old.

        A row with a null among its keys has no version. Without `tolerance`, rows of ``"forward"`` and ``"nearest"``
        wait as long as no version of their key comes, and hold the watermarks of this step back.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Source
        >>> def stream(**columns):
        ...     return Pipeline.builder().source(Source.from_frame(pl.DataFrame(columns)).with_event_time("us"))
        >>> trades = stream(us=[2, 5, 9], item=["a", "b", "a"])
        >>> quotes = stream(us=[1, 4, 8], item=["a", "b", "a"], price=[10, 20, 12])
        >>> trades.join_asof(quotes, on="us", by="item").collect_sync().sort("us").rows()
        [(2, 'a', 10), (5, 'b', 20), (9, 'a', 12)]
        >>> rates = pl.DataFrame({"since": [0, 6], "rate": [0.9, 0.95]})
        >>> trades.join_asof(rates, left_on="us", right_on="since").select("us", "rate").collect_sync().rows()
        [(2, 0.9), (5, 0.9), (9, 0.95)]
        """
        from arrowstream.operators.join_asof import AsofOptions, StreamAsofJoin, TableAsofJoin
        from arrowstream.plan.composites.event_lineage import check_event_time

        near = None if tolerance is None else microseconds(tolerance)
        times, keys = _times(on, left_on, right_on), _keys(by, by_left, by_right)
        options = AsofOptions(times, keys, strategy, near, how, suffix)
        if not isinstance(other, GraphBuilder | EventTimeSource):
            spill = None if on_full == "error" else on_full
            only(
                "join_asof",
                "a stream, a builder",
                late=late,
                null_times=None if null_times == "error" else null_times,
                max_bytes=max_bytes,
                on_full=spill,
            )
            return self._then(TableAsofJoin(table_of("join_asof", other, type(self)), options, refresh))
        only("join_asof", "a table", refresh=refresh)
        stream = stream_of(other)
        for name, graph, side in zip(
            times, (self.graph, stream), ("this stream", "the other stream"), strict=True
        ):
            check_event_time("join_asof(on=...)", name, graph, side)
        limit = StateLimit(max_bytes=max_bytes, on_full=on_full)
        step = MultiInput.of(StreamAsofJoin(options, limit, null_times), [stream])
        return type(self)(self.graph.with_step(step, late=late))


def _times(on: str | None, left_on: str | None, right_on: str | None) -> tuple[str, str]:
    """Return the columns of time of both sides."""
    both = (left_on, right_on) if on is None else (on, on)
    if not all(isinstance(name, str) for name in both) or (
        on is not None and (left_on, right_on) != (None, None)
    ):
        raise PlanError(
            "join_asof() takes one column of time of each side",
            expected='on="ts", or left_on="ts", right_on="since"',
            found=f"on={on!r}, left_on={left_on!r}, right_on={right_on!r}",
        )
    return both  # type: ignore[return-value]


def _keys(by: Any, by_left: Any, by_right: Any) -> JoinKeys:
    from arrowstream.operators.joins.keys import JoinKeys

    if by is not None and (by_left is not None or by_right is not None):
        raise PlanError(
            "join_asof() takes its keys once", expected="by=, or by_left= and by_right=", found="both"
        )
    sides = [("by", by)] * 2 if by is not None else [("by_left", by_left), ("by_right", by_right)]
    left = parse_keys("join_asof", sides[0][1], sides[0][0])
    right = parse_keys("join_asof", sides[1][1], sides[1][0], repeated=True)
    if len(left) != len(right):
        raise PlanError(
            "join_asof() takes as many keys on one side as on the other",
            found=f"left: {', '.join(left) or 'none'}; right: {', '.join(right) or 'none'}",
        )
    return JoinKeys(left, right, step="join_asof")
