"""The steps of the builder that cut, slow, part and join streams."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from arrowstream.builder.base import GraphBuilder
from arrowstream.builder.split import Splitting
from arrowstream.core.duration import Duration
from arrowstream.core.mistakes.explain import explain_calls
from arrowstream.errors import PlanError
from arrowstream.operators.buffer import Buffer
from arrowstream.operators.rebatch import Rebatch
from arrowstream.plan.composites.merge import Merge

if TYPE_CHECKING:
    from polars._typing import IntoExpr


@explain_calls
@dataclass(frozen=True, slots=True)
class FlowSteps(GraphBuilder):
    """Steps that cut, slow, part and join streams."""

    def batch(
        self, rows: int | None = None, *, nbytes: int | None = None, max_delay: Duration | None = None
    ) -> Self:
        """Regroup rows into batches of `rows` rows, of about `nbytes` bytes, or by time.

        A batch that is large enough is only sliced, which shares its memory; smaller ones are collected and joined
        once. Of several limits the first one reached ends a batch; the last batch may be smaller. A watermark or
        idle mark that comes while rows are held waits until they are out: where streams meet, the others wait for
        those rows. Set `max_delay` to bound that wait.

        Parameters
        ----------
        rows
            The most rows of a batch that comes out, at least 1.
        nbytes
            The most bytes of a batch that comes out, at least 1, counting all rows of an input batch as equally
            large; a single row may be larger.
        max_delay
            The longest time that a row is held, such as ``"50ms"``; None for no limit.

        Returns
        -------
        Builder
            A new builder, with this step at the end.

        Raises
        ------
        PlanError
            No limit is given, one is below 1, or `max_delay` isn't a duration.

        Notes
        -----
        Runs as a stage. A slice costs some microseconds, whatever its size; only rows of smaller batches are
        copied, once. Holds the rows of one batch that is not full yet.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Source
        >>> frame = pl.DataFrame({"x": range(5)})
        >>> Pipeline.builder().source(Source.from_frame(frame)).batch(rows=2).collect_sync().height
        5
        """
        return self._then(Rebatch(rows, nbytes, max_delay))

    def buffer(self, capacity: int) -> Self:
        """Add a queue of `capacity` batches, so that the steps before it can run ahead of the steps after it.

        The two sides run as separate tasks. When the queue is full, the steps before wait.

        Parameters
        ----------
        capacity
            Queue capacity in batches, at least 1.

        Returns
        -------
        Builder
            A new builder, with this step at the end.

        Raises
        ------
        PlanError
            `capacity` is below 1.

        Notes
        -----
        Costs a task and a channel: some 10 us a batch, whatever its size; no row is copied. Holds up to `capacity`
        batches, at most 256 MiB of them (setting ``buffer_mb``) if there are two or more.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Source
        >>> Pipeline.builder().source(Source.from_frame(pl.DataFrame({"x": [1]}))).buffer(100).collect_sync().height
        1
        """
        return self._then(Buffer(capacity))

    def throttle(self, rows: int | None = None, *, batches: int | None = None, per: Duration = "1s") -> Self:
        """Pass `rows` rows, or `batches` batches, per time `per`, and up to twice that at first and after a pause.

        Backpressure slows the source down. A token bucket (Turner, "New directions in communications", 1986): it
        holds at most `rows` tokens, is full at first, and fills at an even rate, so that at the start and after a
        pause `rows` rows pass at once, and as many again in the time `per` after that. A batch of more rows than
        there are tokens is cut into slices, each of a tenth of `rows` at least; a watermark waits for the rows before
        it, and so does the end of the stream.

        Parameters
        ----------
        rows
            Rows that may pass in the time `per`, at least 1.
        batches
            Batches that may pass in the time `per`, at least 1; give either this or `rows`.
        per
            The time for this number, such as ``"1s"``.

        Returns
        -------
        Builder
            A new builder, with this step at the end.

        Raises
        ------
        PlanError
            Not exactly one of `rows` and `batches` is given, it is below 1, or `per` isn't a duration above 0.

        Notes
        -----
        Runs as a stage. Costs some 30 us for each batch or slice that passes; no row is copied. Holds the rest of
        the last batch, and takes no other batch until it has passed.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Source
        >>> frame = pl.DataFrame({"x": [1, 2, 3]})
        >>> Pipeline.builder().source(Source.from_frame(frame)).throttle(rows=10_000, per="1s").collect_sync().height
        3
        """
        from arrowstream.operators.throttle import Throttle

        return self._then(Throttle(rows, batches, per))

    def debounce(self, quiet: Duration, *, by: str | Iterable[str] | None = None) -> Self:
        """Pass the latest row of a key once no other row of that key has come for `quiet`.

        A newer row replaces an older one. Time is when batches arrive, not a column. Rows held at the end of the
        stream come out then. A watermark waits until the rows held when it came are out or replaced, `quiet` at
        most.

        Parameters
        ----------
        quiet
            Time without a row of the key before its row comes out, such as ``"200ms"``.
        by
            Key columns; without any, all rows have the same key.

        Returns
        -------
        Builder
            A new builder, with this step at the end.

        Raises
        ------
        PlanError
            `quiet` is not a duration, or `by` names columns that cannot be keys.
        SchemaError
            A key column is missing.

        Notes
        -----
        Runs as a stage. Costs some 0.3 ms a batch of 1,000 rows, whatever the number of keys: a look-up of each
        row's key and a copy of the rows that are kept. Holds one row for each key that is not quiet yet, at most as
        many replaced rows or some 1,000, and up to 65,536 keys without a row.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Source
        >>> frame = pl.DataFrame({"k": ["a", "b", "a"], "x": [1, 2, 3]})
        >>> Pipeline.builder().source(Source.from_frame(frame)).debounce("200ms", by="k").collect_sync().rows()
        [('b', 2), ('a', 3)]
        """
        from arrowstream.operators.debounce import Debounce

        return self._then(Debounce.of(quiet, by))

    def split(self, selector: IntoExpr) -> Splitting[Self]:
        """Send each row down the branch that `selector` names, by `.branch(...)`, until `.merge()`.

        The split is immutable like the builder. Rows of a branch that ends in a sink do not come out of `merge`.
        Rows of one branch keep their order; the order between rows of several branches is unspecified.

        Parameters
        ----------
        selector
            Expression that gives the branch's name for every row: String, Categorical, Enum, an integer or a
            boolean.

        Returns
        -------
        Splitting
            The split without branches yet; `.merge()` returns the builder with this step.

        Raises
        ------
        PlanError
            `selector` cannot become an expression; at `build()`: the split has no branch, or two of one name.
        StageError
            While running: a row has a name without a branch, and the split has no `otherwise`.

        Notes
        -----
        Costs some 0.3 ms for a batch of 1,000 rows and two branches: a few passes over the names, and a copy of the
        rows into the batches of their branches; no copy if all rows of a batch take one branch. Each branch, and
        the line after the merge, has a task and a channel, which cost some 10 us a batch; each channel holds up to
        2 batches (setting ``default_buffer_size``). Holds no state.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Source
        >>> size = pl.when(pl.col("x") > 2).then(pl.lit("high")).otherwise(pl.lit("low"))
        >>> result = (
        ...     Pipeline.builder()
        ...     .source(Source.from_frame(pl.DataFrame({"x": [1, 5, 2]})))
        ...     .split(size)
        ...     .branch("high", lambda rows: rows.map(x=pl.col("x") * 10))
        ...     .branch("low", lambda rows: rows)
        ...     .merge()
        ...     .collect_sync()
        ... )
        >>> sorted(result["x"])
        [1, 2, 50]
        """
        return Splitting.of(self, selector)

    def merge(self, *others: GraphBuilder) -> Self:
        """Add the rows of other pipelines of the same schema, as they come.

        Parameters
        ----------
        others
            Builders with a source and without a sink. The rows of each stream keep their order; how rows of several
            streams interleave is unspecified.

        Returns
        -------
        Builder
            A new builder, with this step at the end.

        Raises
        ------
        PlanError
            No builder is given, or one has no source or has a sink.
        SchemaError
            At `build()`: their schemas differ.

        Notes
        -----
        Costs a task and a channel for each stream and one where they meet, some 10 us a batch; no row is copied. Up
        to 2 batches wait in each (setting ``default_buffer_size``), and no other state is held. The watermark is
        the least of all streams that are neither idle nor ended.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Source
        >>> def numbers(*values):
        ...     return Pipeline.builder().source(Source.from_frame(pl.DataFrame({"x": values})))
        >>> sorted(numbers(1, 2).merge(numbers(3), numbers(4)).collect_sync()["x"])
        [1, 2, 3, 4]
        """
        for other in others:
            if not isinstance(other, GraphBuilder):
                raise PlanError(
                    "merge() takes builders",
                    expected="such as Pipeline.builder().source(...)",
                    found=type(other).__name__,
                )
        return type(self)(self.graph.with_step(Merge.of(other.graph for other in others)))
