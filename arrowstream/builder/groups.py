"""The steps of the builder that give the rows of complete groups: sorted, or with columns computed over them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

from arrowstream.builder.base import GraphBuilder
from arrowstream.builder.event_columns import column_of_groups
from arrowstream.core.mistakes.explain import explain_calls
from arrowstream.errors import PlanError
from arrowstream.io.sink import SinkSpec
from arrowstream.operators.arguments import parse_expressions, parse_keys
from arrowstream.state.limit import StateLimit

if TYPE_CHECKING:
    from polars._typing import IntoExpr

    from arrowstream.operators.windows.timeless_rows import NullTimes

_OPTIONS = ("time", "late", "null_times", "max_bytes", "on_full")


@explain_calls
@dataclass(frozen=True, slots=True)
class GroupSteps(GraphBuilder):
    """Steps that give the rows of complete groups."""

    def sort(
        self,
        by: str | Iterable[str],
        *,
        per: str | Iterable[str] | None = None,
        descending: bool | Iterable[bool] = False,
        nulls_last: bool | Iterable[bool] = False,
        time: str | None = None,
        late: SinkSpec | None = None,
        null_times: NullTimes = "error",
        max_bytes: int | None = None,
        on_full: Literal["error", "spill"] = "error",
    ) -> Self:
        """Sort the rows of each group once it is complete, such as those of a window.

        Where one of the columns of `per` is event time, as ``window_start`` is after a window, a group is complete
        when the watermark has passed its time: groups come in the order of their time, and within a time in
        ascending order of their other columns. Else all groups are complete at the end of the stream, and come in
        the order in which they first came. Of equal rows the ones that came first come first.

        Parameters
        ----------
        by
            The columns to sort by.
        per
            The columns whose values make a group; None for one group, the whole stream. Null is a value.
        descending
            Whether the largest values come first; one for all columns of `by`, or one for each.
        nulls_last
            Whether nulls come last, which are first by default; one for all columns of `by`, or one for each.
        time
            The column in `per` that is event time; found by itself if it is that of ``with_event_time`` or the
            start of a window. ``window_end`` counts as well where windows have a size.
        late
            A sink of late rows, which are those of groups that are complete.
        null_times
            What becomes of rows without an event time: ``"error"`` ends the run; ``"drop"`` leaves them
            out, and the report counts them; ``"late"`` counts them as late rows, which go to `late` if that is given.
        max_bytes
            The most bytes of memory for the rows held; None for no limit.
        on_full
            What happens beyond `max_bytes`: ``"error"``, or ``"spill"`` to move rows to files; the rows of one time
            must fit into memory.

        Returns
        -------
        Builder
            A new builder, with this step at the end.

        Raises
        ------
        PlanError
            No column is named, flags do not fit `by`, or `time` is not in `per`.
        SchemaError
            A column is missing, or has a name that this step uses itself.
        StageError
            While running: state exceeds `max_bytes`, the disk is full, or a row has no event time and `null_times` is
            ``"error"``.

        Notes
        -----
        Runs as a stage. Costs a sort of each group, some 0.2 us a row; holds the rows of groups that are not
        complete. For the largest rows of a group, `top_k` holds these only.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Source
        >>> frame = pl.DataFrame({"us": [1, 4, 11, 12], "item": ["a", "b", "a", "b"], "price": [10, 30, 40, 20]})
        >>> bids = Pipeline.builder().source(Source.from_frame(frame).with_event_time("us"))
        >>> sums = bids.window("10us", on="us", by="item").agg(pl.col("price").sum())
        >>> sums.sort("price", per="window_start", descending=True).collect_sync()["price"].to_list()
        [30, 10, 40, 20]
        """
        from arrowstream.operators.ranking.order import RowOrder
        from arrowstream.operators.sort import Sort

        groups = parse_keys("sort", per, "per")
        order = RowOrder.of("sort", by, descending=descending, nulls_last=nulls_last)
        column = self._column("sort", groups, time, late, null_times)
        limit = StateLimit(max_bytes=max_bytes, on_full=on_full)
        return self._then(Sort(order, groups, column, limit, null_times), late=late)

    def over(
        self,
        per: str | Iterable[str],
        *exprs: IntoExpr | Iterable[IntoExpr],
        time: str | None = None,
        late: SinkSpec | None = None,
        null_times: NullTimes = "error",
        max_bytes: int | None = None,
        on_full: Literal["error", "spill"] = "error",
        **named: IntoExpr,
    ) -> Self:
        """Add columns that are computed over all rows of a group once it is complete, such as a rank in a window.

        Any expression of Polars is allowed, as each sees the whole group, in the order in which its rows came: the
        result is that of ``with_columns`` on its rows. Groups are complete when they are with `sort`; those of one
        time come in the order in which they first came.

        Parameters
        ----------
        per
            The columns whose values make a group. With a window alone, ``per="window_start"``, keys go into the
            expressions: ``pl.col("price").rank().over("item")``.
        exprs
            The columns, as for ``with_columns``; constants and names, too.
        time
            The column in `per` that is event time, as for `sort`.
        late
            A sink of late rows, which are those of groups that are complete.
        null_times
            What becomes of rows without an event time: ``"error"`` ends the run; ``"drop"`` leaves them
            out, and the report counts them; ``"late"`` counts them as late rows, which go to `late` if that is given.
        max_bytes
            The most bytes of memory for the rows held; None for no limit.
        on_full
            What happens beyond `max_bytes`, as for `sort`.
        named
            Columns under the names of the keywords.

        Returns
        -------
        Builder
            A new builder, with this step at the end.

        Raises
        ------
        PlanError
            No column is named to group by, no expression is given, or `time` is not in `per`.
        SchemaError
            A column is missing, an expression does not fit, or a name is one that this step uses itself.
        StageError
            While running: an expression fails or gives another number of rows, state exceeds `max_bytes`, the disk
            is full, or a row has no event time and `null_times` is ``"error"``.

        Notes
        -----
        Runs as a stage. All groups that are complete are computed together; with an ``.over(...)`` among the
        expressions each costs some 0.1 ms. Holds the rows of groups that are not complete.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Source
        >>> frame = pl.DataFrame({"us": [1, 4, 5, 12], "item": ["a", "b", "a", "b"], "price": [10, 30, 40, 20]})
        >>> bids = Pipeline.builder().source(Source.from_frame(frame).with_event_time("us"))
        >>> place = pl.col("price").rank("ordinal", descending=True).over("item")
        >>> ranked = bids.window("10us", on="us").rows().over("window_start", place=place)
        >>> ranked.select("item", "price", "place").collect_sync().rows()
        [('a', 10, 2), ('b', 30, 1), ('a', 40, 1), ('b', 20, 1)]
        """
        from arrowstream.operators.over import Over

        groups = parse_keys("over", per, "per")
        parsed = parse_expressions("over", exprs, named, _OPTIONS)
        column = self._column("over", groups, time, late, null_times)
        limit = StateLimit(max_bytes=max_bytes, on_full=on_full)
        return self._then(Over(groups, parsed, column, limit, null_times), late=late)

    def _column(
        self, step: str, per: tuple[str, ...], time: str | None, late: SinkSpec | None, null_times: NullTimes
    ) -> str | None:
        """Return the column of event time that completes groups; raise if there is none for what needs one."""
        column = column_of_groups(step, per, time, self.graph)
        if column is None and (late is not None or null_times != "error"):
            raise PlanError(
                f"{step}({'null_times' if late is None else 'late'}=...) goes with groups of an event time",
                expected="the column of event time in per",
                found=", ".join(per) or "no per",
                hint="where all groups are complete at the end of the stream, no row is late or needs a time",
            )
        return column
