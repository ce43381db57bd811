"""The steps of the builder that choose among rows: one of each key, the largest of a group."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

from arrowstream.builder.event_columns import needed_column
from arrowstream.builder.groups import GroupSteps
from arrowstream.core.duration import Duration, microseconds
from arrowstream.core.mistakes.explain import explain_calls
from arrowstream.errors import PlanError
from arrowstream.io.sink import SinkSpec
from arrowstream.operators.arguments import parse_keys
from arrowstream.state.limit import StateLimit

if TYPE_CHECKING:
    from arrowstream.operators.top_k import TopEmit
    from arrowstream.operators.unique import Keep
    from arrowstream.operators.windows.timeless_rows import NullTimes


@explain_calls
@dataclass(frozen=True, slots=True)
class ChoosingSteps(GroupSteps):
    """Steps that choose among rows."""

    def unique(
        self,
        by: str | Iterable[str] | None = None,
        *,
        within: Duration | None = None,
        keep: Keep = "first",
        time: str | None = None,
        late: SinkSpec | None = None,
        null_times: NullTimes = "error",
        max_bytes: int | None = None,
        on_full: Literal["error", "spill"] = "error",
    ) -> Self:
        """Keep one row of each key and drop the other ones as duplicates.

        **Over the whole stream**, the first row of each key comes out at once, and its key is held until the stream
        ends. With ``keep="last"`` the last row of each key comes out at the end, in the order in which these rows
        came. Both are what ``polars.LazyFrame.unique(..., maintain_order=True)`` gives over all rows, however the
        stream is cut into batches.

        **Within a time**, a row begins a group of its key: those that come after it and are at most `within` later
        are duplicates. The first row that is more than `within` later than the one before it that began a group
        begins the next one. With ``keep="first"`` the row that begins a group comes out at once. With
        ``keep="last"`` the row of a group with the latest event time comes out, of several the one that came last,
        once the next group begins, or the watermark says that no row of the group can come. A key is held for as
        long as a row may be its duplicate.

        Rows are taken in the order in which they come. A row that is out of order, but not late, counts for the last
        group of its key; if it is more than `within` earlier than the row that began that one, it comes out.

        Parameters
        ----------
        by
            The columns whose values make a duplicate; None for all columns. Null equals null, NaN equals NaN, and
            0.0 equals -0.0.
        within
            How much later than the row that is kept a duplicate is at most, such as ``"1h"``; None for the whole
            stream.
        keep
            Which row comes out, ``"first"`` or ``"last"``.
        time
            The column of event time for `within`; by default that of ``with_event_time``, or ``window_start`` after
            a window.
        late
            A sink of late rows, which are those from before the watermark, with `within`. Without it they are only
            counted in the report.
        null_times
            What becomes of rows without an event time, with `within`: ``"error"`` ends the run; ``"drop"`` leaves
            them out, and the report counts them; ``"late"`` counts them as late rows, which go to `late` if that is
            given.
        max_bytes
            The most bytes of memory for keys, and for rows that are held; None for no limit.
        on_full
            What happens beyond `max_bytes`: ``"error"``, or ``"spill"`` to move state to files.

        Returns
        -------
        Builder
            A new builder, with this step at the end.

        Raises
        ------
        PlanError
            `keep` is unknown, `within` is not a duration, it has no column of event times, or `time` or `late` come
            without it. A key is of a nested type.
        SchemaError
            A column is missing, or `time` does not hold times.
        StageError
            While running: state exceeds `max_bytes`, the disk is full, or a row has no event time and `null_times` is
            ``"error"``.

        Notes
        -----
        Runs as a stage. Costs a look-up for each row, and for ``keep="last"`` a copy of the last row of each key in
        a batch. Holds each key with up to 24 bytes, with `within` 8 more, and the rows for ``keep="last"``.

        With `within` and ``keep="last"`` the watermarks after this step are `within` earlier, so that no row is late
        for the steps after it.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Source
        >>> frame = pl.DataFrame({"us": [0, 2, 9, 11], "order": ["a", "a", "b", "a"], "n": [1, 2, 3, 4]})
        >>> orders = Pipeline.builder().source(Source.from_frame(frame).with_event_time("us"))
        >>> orders.unique("order").collect_sync()["n"].to_list()
        [1, 3]
        >>> orders.unique("order", keep="last").collect_sync()["n"].to_list()
        [3, 4]
        >>> orders.unique("order", within="10us").collect_sync()["n"].to_list()
        [1, 3, 4]
        """
        from arrowstream.operators.unique import Unique

        names = None if by is None else parse_keys("unique", by)
        limit = StateLimit(max_bytes=max_bytes, on_full=on_full)
        if within is None:
            nulls = None if null_times == "error" else null_times
            for name, value in {"time": time, "late": late, "null_times": nulls}.items():
                if value is not None:
                    raise PlanError(
                        f"unique({name}=...) goes with within=",
                        expected='within="1h", or no ' + name,
                        hint="over the whole stream no row is late, and event time does not matter",
                    )
            return self._then(Unique(names, keep, limit=limit))
        column = needed_column("unique", "within", time, self.graph)
        return self._then(Unique(names, keep, microseconds(within), column, limit, null_times), late=late)

    def top_k(
        self,
        k: int,
        *,
        by: str | Iterable[str],
        per: str | Iterable[str] | None = None,
        reverse: bool | Iterable[bool] = False,
        emit: TopEmit = "final",
        time: str | None = None,
        late: SinkSpec | None = None,
        null_times: NullTimes = "error",
        max_bytes: int | None = None,
        on_full: Literal["error", "spill"] = "error",
    ) -> Self:
        """Keep the k largest rows, of the whole stream or of each group.

        The order is that of ``polars.DataFrame.top_k``: nulls are smaller than any value, also with `reverse`, and
        NaN is larger than any number. Of equal rows the ones that came first stay, and come first.

        **When rows come out** depends on `emit`:

        - ``"final"``: the rows of a group once it is complete, largest first. Where one of the columns of `per` is
          event time, as ``window_start`` is after ``window(...).agg(...)``, a group is complete when the watermark
          has passed its time: groups come in the order of their time, and within a time in ascending order of their
          other columns. Else all groups are complete at the end of the stream, and come in the order in which they
          first came.
        - ``"updates"``: after each batch all rows of each group whose largest rows have changed.
        - ``"changes"``: after each batch the rows that have left (``"delete"``) and entered (``"insert"``) the
          largest rows of their group, in the column ``_change``; see `Changes` below.

        Parameters
        ----------
        k
            The most rows of a group.
        by
            The columns that say which rows are the largest; of rows that are equal in the first, the next decides.
        per
            The columns whose values make a group; None for one group. Null is a value.
        reverse
            Whether the smallest rows are kept; one for all columns of `by`, or one for each.
        emit
            When rows come out.
        time
            The column in `per` that is event time; found by itself if it is that of ``with_event_time`` or the
            start of a window. ``window_end`` counts as well where windows have a size.
        late
            A sink of late rows, which are those of groups that are complete. Without it they are only counted in
            the report.
        null_times
            What becomes of rows without an event time: ``"error"`` ends the run; ``"drop"`` leaves them
            out, and the report counts them; ``"late"`` counts them as late rows, which go to `late` if that is given.
        max_bytes
            The most bytes of memory for the rows held; None for no limit.
        on_full
            What happens beyond `max_bytes`: ``"error"``, or ``"spill"`` to move rows to files.

        Returns
        -------
        Builder
            A new builder, with this step at the end.

        Raises
        ------
        PlanError
            `k` is below 1, `emit` is unknown, `reverse` does not fit `by`, or `time` is not in `per`.
        SchemaError
            A column is missing, or has a name that this step uses itself.
        StageError
            While running: state exceeds `max_bytes`, the disk is full, or a row has no event time and `null_times` is
            ``"error"``.

        Notes
        -----
        Runs as a stage. With ``emit="final"`` rows are collected, up to a million of them, and sorted together,
        some 0.3 us a row; holds these and the k largest of each group that is not complete. Otherwise each batch
        costs a sort of its rows and of those held for its groups.

        With ``emit="updates"`` and ``"changes"`` groups whose time the watermark has passed are forgotten. Without
        event time in `per` these hold every watermark back, as rows of any time may come out once more.

        Changes: where the rows with ``"delete"`` are taken away from those with ``"insert"``, what is left are
        the largest rows so far. How many changes there are depends on how the stream is cut into batches. A
        database follows them with ``Sink.to_database(..., mode="upsert")``, and sums with the sign of each change:
        ``pl.when(pl.col("_change").is_in(["insert", "update_after"])).then(1).otherwise(-1)``.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Source
        >>> frame = pl.DataFrame({"us": [1, 4, 11, 12], "item": ["a", "b", "a", "b"], "price": [10, 30, 20, 40]})
        >>> bids = Pipeline.builder().source(Source.from_frame([frame[:3], frame[3:]]).with_event_time("us"))
        >>> bids.top_k(1, by="price", per="item").select("item", "price").collect_sync().rows()
        [('a', 20), ('b', 40)]
        >>> sums = bids.window("10us", on="us", by="item").agg(pl.col("price").sum())
        >>> sums.top_k(1, by="price", per="window_start").collect_sync().rows()
        [(0, 10, 'b', 30), (10, 20, 'b', 40)]
        >>> bids.top_k(1, by="price", emit="changes").select("price", "_change").collect_sync().rows()
        [(30, 'insert'), (30, 'delete'), (40, 'insert')]
        """
        from arrowstream.operators.ranking.order import RowOrder
        from arrowstream.operators.top_k import TopK

        groups = parse_keys("top_k", per, "per")
        order = RowOrder.of("top_k", by, reverse=reverse)
        limit = StateLimit(max_bytes=max_bytes, on_full=on_full)
        column = self._column("top_k", groups, time, late, null_times)
        return self._then(TopK(k, order, groups, column, emit, limit, null_times), late=late)
