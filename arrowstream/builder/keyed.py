"""The steps of the builder with keys and state."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from arrowstream.builder.base import GraphBuilder
from arrowstream.core.mistakes.explain import explain_calls
from arrowstream.plan.checks.row_local import check

if TYPE_CHECKING:
    import polars as pl
    from polars._typing import IntoExpr

    from arrowstream.operators.aggregation.grouped import Grouped
    from arrowstream.operators.reduce import Emit
    from arrowstream.state.limit import OnFull


@explain_calls
@dataclass(frozen=True, slots=True)
class KeyedSteps(GraphBuilder):
    """Steps with keys and state."""

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
        """Aggregate the stream so far for each key.

        With ``emit="end"`` one row for each key comes out when the stream has ended, in the order in which the
        keys first came: what Polars' ``group_by(by, maintain_order=True).agg(...)`` gives over all rows at once,
        however the stream was cut into batches. Without `by` it is one row for all; no row if the stream was empty.

        With ``emit="updates"`` every batch gives a row for each key in it, in the order in which they first came in
        that batch, with the aggregates over all rows of the key up to there. The number of updates depends on how
        the stream was cut into batches; the last update of every key does not, and is the row that ``"end"`` gives.
        Put ``batch(rows=...)`` before it to have updates at known rows.

        With ``emit="changes"`` they have a last column ``_change``: ``"insert"`` for the first row of a key; for a
        row that replaces another ``"update_before"`` with the values it had, then ``"update_after"``; nothing for
        one that stays as it was. See the guide on [changes](../guide/changes.md).

        Parameters
        ----------
        exprs
            Aggregations, of any kind Polars has; `window` says which of them keep a few values for each key and
            which all values of the columns they read.
        by
            The columns to group by; null is a key.
        emit
            ``"end"`` for rows at the end of the stream, ``"updates"`` for rows after every batch.
        max_keys
            The most keys to hold; None for no limit.
        max_bytes
            The most bytes of memory for keys and state, of which the first key takes 30,000 to 70,000; None for no
            limit. While an array grows, memory may reach twice the limit.
        on_full
            The reaction to a limit. ``"error"``: batches that exceed `max_keys` or `max_bytes` fail, and leave the
            state unchanged. ``"evict"``: the key that first came the longest ago is evicted. With ``emit="end"``
            its row comes out then; if the key comes again, it starts again. `max_bytes` is then converted to a
            number of keys of fixed size, so texts and lists are refused. ``"spill"``: state above `max_bytes` goes
            to unnamed files in the folder of the environment variable ``TMPDIR``, else in /var/tmp. Results are the
            same; the disk bounds the number of keys.
        named
            Aggregations under the names of the keywords.

        Returns
        -------
        Builder
            A new builder, with this step at the end.

        Raises
        ------
        PlanError
            No aggregate is given, or a name in its place, `emit` or `on_full` is unknown, a limit is below 1 or
            does not go with `on_full`, or an argument is neither a column name nor an expression.
        StageError
            While running: the limit is reached, the disk is full, or a count is larger than its type holds.

        Notes
        -----
        Runs as a stage. Sums, counts, means, and extremes of integers and times, are folded into arrays, some 100
        to 400 ns a row for 10,000 to 1,000,000 keys, and 0.5 ms a batch. If there are other aggregates, or keys are
        evicted, a batch costs a ``group_by`` of its rows and state, at least 1 ms: make small batches larger with
        `batch`. Where evicted keys often come again, such a ``group_by`` runs about every ``max_keys / 2`` rows:
        with ``max_keys=10`` a row costs 0.1 to 1 ms. Choose `max_keys` larger than the number of keys that come
        again. Holds each key and a few values for it; for an aggregation that cannot be merged, all values of the
        columns it reads.

        A count of more rows than its type holds, 4,294,967,295 as Polars counts, is an error;
        ``pl.len().cast(pl.Int64)`` counts further.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Source
        >>> frame = pl.DataFrame({"k": ["a", "b", "a"], "x": [1, 2, 3]})
        >>> builder = Pipeline.builder().source(Source.from_frame(frame))
        >>> builder.reduce(by="k", total=pl.col("x").sum()).collect_sync().rows()
        [('a', 4), ('b', 2)]
        >>> builder.batch(rows=2).reduce(by="k", total=pl.col("x").sum(), emit="updates").collect_sync().rows()
        [('a', 1), ('b', 2), ('a', 4)]
        """
        from arrowstream.operators.reduce import Reduce

        return self._then(
            Reduce.of(
                *exprs, by=by, emit=emit, max_keys=max_keys, max_bytes=max_bytes, on_full=on_full, **named
            )
        )

    def group_by(
        self,
        *by: str | Iterable[str],
        emit: Emit = "end",
        max_keys: int | None = None,
        max_bytes: int | None = None,
        on_full: OnFull = "error",
    ) -> Grouped[Self]:
        """Group the whole stream by key columns, for `.agg(...)`, as in Polars.

        The step is that of `reduce`, and `explain()` shows it as such: ``.group_by("k").agg(n=pl.len())`` is
        ``.reduce(by="k", n=pl.len())``. Rows come out at the end of the stream, in the order in which keys first
        came, as with ``maintain_order=True`` in Polars. For groups that come out while the stream goes on, use
        `window`.

        Parameters
        ----------
        by
            The columns to group by; null is a key.
        emit
            As for `reduce`.
        max_keys
            As for `reduce`.
        max_bytes
            As for `reduce`.
        on_full
            As for `reduce`.

        Returns
        -------
        Grouped
            The keys without aggregates yet; `.agg(...)` returns the builder with this step.

        Raises
        ------
        PlanError
            No column is given, a key is not a name, or an option is unknown.

        Notes
        -----
        Costs and holds what `reduce` does: each key and a few values for it.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Source
        >>> frame = pl.DataFrame({"k": ["a", "b", "a"], "x": [1, 2, 3]})
        >>> builder = Pipeline.builder().source(Source.from_frame(frame))
        >>> builder.group_by("k").agg(pl.col("x").sum(), n=pl.len()).collect_sync().rows()
        [('a', 4, 2), ('b', 2, 1)]
        """
        from arrowstream.operators.aggregation.grouped import grouped

        return grouped(self._then, by, emit=emit, max_keys=max_keys, max_bytes=max_bytes, on_full=on_full)

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
        """Compute running values, one row out for each row in, by expressions or a function ``fn(frame, state)``.

        Expressions give all columns and the running values after them: what Polars gives for ``expr.over(by)`` on
        the whole input. They may use the functions of this table, also nested, and any function of a single row.

        | running | with |
        |---|---|
        | `cum_sum`, `cum_prod`, `cum_min`, `cum_max`, `cum_count` | from the first row on |
        | `shift`, `diff`, `pct_change` | a positive number of rows; a constant `fill_value` of the same type |
        | `forward_fill` | any `limit` |
        | `rle_id` | |
        | `rolling_sum`, `_mean`, `_min`, `_max`, `_median`, `_quantile` | the last n rows |
        | `rolling_var`, `_std`, `_skew`, `_kurtosis` | the last n rows |
        | `ewm_mean`, `ewm_var`, `ewm_std` | all options |

        Refused, with a hint: functions of later rows (`reverse=True`, `backward_fill`, `interpolate`, centred
        windows, negative numbers of rows), windows of time, weights, and `is_first_distinct`.

        The result does not depend on how the rows are cut into batches, to the last bit, and equals that of Polars
        exactly, up to the sign of a zero that is an extreme. For floats, two kinds differ from Polars in the last
        digits: rolling functions, computed here from the rows of their window alone, in Polars from all rows
        before; and the `ewm` functions, after a null or after a key's first 256 values, where they are joined from
        blocks, and for `ewm_var` and `ewm_std` with ``bias=False`` at any value. An
        `ewm_mean` with ``adjust=False, ignore_nulls=True`` is exact.

        A function gives rows and the next state: ``fn(frame, state) -> (frame, state)``. At `build()` it is called
        once with a frame without rows, to learn the columns it gives. The source decides where the stream is cut
        into batches; it must give results that do not depend on the cut, which `arrowstream.testing` helps to
        test.

        Parameters
        ----------
        exprs
            The new columns; all are computed from the columns that come in, not from one another. Or one function,
            called with the rows of a batch and the last state.
        by
            Key columns: running values are separate for each key. Without any, they run over the whole stream.
        state
            The first state: None, a `polars.DataFrame`, or a dict of names to numbers, texts, booleans and None.
            A function must return a state of one of these kinds, so that it can be written into a checkpoint.
        max_keys
            The most keys to hold; None for no limit.
        max_bytes
            The most bytes of memory for keys and state; None for no limit.
        on_full
            The reaction to a limit, as for `reduce`: ``"error"``, ``"evict"`` the key that first came the longest
            ago, which starts again if it comes again, or ``"spill"`` to files.
        named
            Expressions under the names of the keywords.

        Returns
        -------
        Builder
            A new builder, with this step at the end.

        Raises
        ------
        PlanError
            No expression is given, or one can't be run this way (the message lists those that can), or the limit is
            out of range. With a function: the state is of another kind, or `by`, a limit or expressions are given.
        SchemaError
            A column is missing, or types do not fit. The function fails on a frame without rows, or does not return
            a frame and a state.
        StageError
            While running: the limit is reached, the disk is full, or a `cum_count` or `rle_id` is larger than its
            type holds, 4,294,967,295; a `cum_sum` of ``pl.Int64`` counts further. The function returns another
            number of rows, other columns, or a state of another kind.

        Notes
        -----
        Runs as a stage. Costs 1 to 3 ms a batch of 1,000 rows, 5 ms for an `ewm` joined from blocks, so make small
        batches larger with `batch`: 65,536 rows cost 5 to 25 ms. With 1,000,000 keys a batch takes two to four
        times as long as with 10,000, as the state no longer fits into the caches. Whole numbers that lie close
        together are the cheapest keys. For each key it holds the key, 8 bytes for a running total, 16 bytes for an
        exact `ewm_mean`, 64 for another `ewm_mean`, 96 for `ewm_var` or `ewm_std`, and as many values as a `shift`
        or a rolling function looks back.

        A function costs some 10 us a batch on top of its own work, and only its state is held.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Source
        >>> frame = pl.DataFrame({"k": ["a", "b", "a"], "x": [1, 2, 3]})
        >>> builder = Pipeline.builder().source(Source.from_frame(frame))
        >>> x = pl.col("x")
        >>> builder.scan(by="k", total=x.cum_sum(), step=x - x.shift(1)).collect_sync().rows()
        [('a', 1, 1, None), ('b', 2, 2, None), ('a', 3, 4, 2)]
        >>> def number(frame, state):
        ...     rows = frame.with_row_index("n", offset=state["next"])
        ...     return rows, {"next": state["next"] + frame.height}
        >>> builder = Pipeline.builder().source(Source.from_frame(pl.DataFrame({"x": ["a", "b", "c"]})))
        >>> builder.batch(rows=2).scan(number, state={"next": 1}).collect_sync().rows()
        [(1, 'a'), (2, 'b'), (3, 'c')]
        """
        from arrowstream.operators.functions.scan_function import ScanFunction, is_scan_function
        from arrowstream.operators.scan import Scan
        from arrowstream.state.limit import StateLimit

        limit = StateLimit(max_keys, max_bytes, on_full)
        if is_scan_function(exprs):
            return self._then(ScanFunction.of(*exprs, state=state, by=by, named=named, limit=limit))
        return self._then(Scan.of(check, exprs, named, by=by, limit=limit))
