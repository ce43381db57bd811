"""The steps of the builder that join."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self, cast

from arrowstream.builder.base import GraphBuilder
from arrowstream.builder.event_columns import event_column
from arrowstream.builder.other_side import only, stream_of, table_of
from arrowstream.core.duration import Duration
from arrowstream.core.mistakes.explain import explain_calls
from arrowstream.errors import PlanError
from arrowstream.io.sink import SinkSpec
from arrowstream.plan.composites.event_lineage import check_event_time
from arrowstream.plan.composites.multi_input import MultiInput
from arrowstream.plan.graph import Graph
from arrowstream.state.limit import StateLimit

if TYPE_CHECKING:
    from arrowstream.operators.join import Validate
    from arrowstream.operators.joins.columns import TableHow
    from arrowstream.operators.joins.interval.results import JoinEmit
    from arrowstream.operators.joins.stream_columns import StreamHow
    from arrowstream.operators.windows.timeless_rows import NullTimes


@explain_calls
@dataclass(frozen=True, slots=True)
class JoinSteps(GraphBuilder):
    """Steps that join the stream with something else."""

    def join(
        self,
        other: Any,
        on: str | Iterable[str] | None = None,
        how: StreamHow = "inner",
        *,
        within: Duration | tuple[Duration, Duration] | None = None,
        left_on: str | Iterable[str] | None = None,
        right_on: str | Iterable[str] | None = None,
        suffix: str = "_right",
        nulls_equal: bool = False,
        validate: Validate = "m:m",
        refresh: Duration | None = None,
        time: str | tuple[str, str] | None = None,
        late: SinkSpec | None = None,
        null_times: NullTimes = "error",
        max_bytes: int | None = None,
        on_full: Literal["error", "spill"] = "error",
        emit: JoinEmit = "final",
    ) -> Self:
        """Join with a table by keys, or, with `within`, with another stream by keys and event times.

        **A table** gives its columns to the rows that have its keys, as `polars.LazyFrame.join` does.

        The table is loaded once, when the run starts, and indexed by its keys, so that a batch costs only what its
        own rows cost. Rows keep their order; where the table has several rows for a key, each gives a row, in the
        order of the table.

        **A stream**: rows of both with equal keys whose event times are at most `within` apart come out as soon as
        the later one is there, in no particular order. Rows that are held leave when the watermark says that no
        partner can come any more; then those without a partner come out, for a `how` that keeps them. A row before
        the watermark is late: it is counted, goes to `late` if that is given, and meets no partner.

        Parameters
        ----------
        other
            The table: a frame (Polars, pandas, pyarrow, ...), a `polars.LazyFrame`, the path of a file as in
            `Source.from_file`, a source, or a builder with a source that ends and without a sink. With `within` the
            other stream: a builder or a source.
        on
            Key columns that have the same names on both sides.
        how
            ``"inner"`` keeps the rows that have a partner; ``"left"`` keeps all rows of this stream, with nulls in
            the columns of the other side where there is no partner; ``"semi"`` and ``"anti"`` keep the rows of this
            stream that have, or do not have, a partner, once each, and add no column. With `within` also
            ``"right"`` and ``"full"``, which keep the rows of the other stream, or of both; their keys stand in the
            key columns of this one.
        within
            How far the event times of partners may be apart, such as ``"10s"``; two durations, as in
            ``("5s", "1m")``, for a row of the other stream from 5 s before to 1 min after that of this one.
            ``"0s"`` joins rows of one time, such as the windows of two streams by their start.
        left_on, right_on
            Key columns of this stream, and those of the other side, in place of `on`.
        suffix
            What follows the name of a column of the other side where this stream has a column of that name.
        nulls_equal
            Whether null is equal to null; otherwise a row with a null among its keys has no partner.
        validate
            ``"m:1"`` to fail at the start of the run if a key comes more than once in the table; ``"m:m"`` for no
            check.
        refresh
            Time after which the table is loaded again, such as ``"10m"``, while the run goes on: a file that has
            changed, a query of a database. Each batch sees one state of the table. If loading fails, a warning is
            logged and the rows of the last time stay in use. For a table.
        time
            The columns of event time for `within`: one name, or those of this stream and of the other. By default
            those of ``with_event_time``. Where a stream has watermarks, its column must be what they speak of, maybe
            renamed or cast since.
        late
            A sink of late rows of both streams, in the columns of a join with ``how="full"``.
        null_times
            What becomes of rows without an event time of a stream: ``"error"`` ends the run; ``"drop"`` leaves them
            out, and the report counts them; ``"late"`` counts them as late rows, which go to `late` if that is given.
        max_bytes
            The most bytes of memory for the rows that are held for `within`; None for no limit.
        on_full
            What happens beyond `max_bytes`: ``"error"``, or ``"spill"`` to move rows to files.
        emit
            When rows without a partner come out, in a join of streams:

            - ``"final"``: once no partner can come any more.
            - ``"changes"``: at once, as ``"insert"`` in the column ``_change``; when the first partner comes, the row
              comes again as ``"delete"``, and then the rows with partners; see `Changes` below.

        Returns
        -------
        Builder
            A new builder, with this step at the end.

        Raises
        ------
        PlanError
            Keys are missing or given twice, a column of `time` is not the event time of its stream, `how`, `emit` or
            `validate` is unknown, `refresh` is not a duration above 0, the table does not end or has no schema, or an
            argument does not go with a table, or with a stream.
        SchemaError
            At `build()`: a key column is missing, two keys have types that cannot be compared, or two columns would
            have the same name.
        StageError
            While running: a key comes more than once and `validate` is ``"m:1"``; the table does not fit into the
            setting ``state_memory_mb``; a row of a stream has no event time and `null_times` is ``"error"``.

        Notes
        -----
        Runs as a stage. A batch of 65,536 rows takes some milliseconds: a look-up for each row, and a copy of the
        rows that come out; the table's size matters little. Holds the table's columns, a copy of its keys, and an
        index of up to 24 bytes a key; twice that while the table is loaded again. A run with checkpoints saves
        nothing of it: the table is loaded when the run starts again.

        No source is read before the table is loaded; one of Kafka connects then, so ``start="latest"`` means records
        that are written after that. A gentle stop meanwhile gives the load up, and the report notes it: no row has
        been read, so none is lost. It waits only for a read that is under way and blocks, such as a query of a
        database that has given no row yet, and for the whole table where columns are not declared: they are learnt
        from rows that have been read.

        A join of streams costs 0.1 to 0.3 us a row, the less the larger batches are, and 0.05 us a pair. It holds the
        rows of both streams that may have another partner, with 50 bytes for each, and up to as many that have left.
        With ``emit="changes"`` it holds the same, and takes up to a fifth more time; in a batch of more than 65,536
        rows, partners are looked for twice.

        Integers of different types are compared as numbers if one type holds both, and text, categories and enums as
        text. NaN is equal to NaN, and 0.0 to -0.0. With checkpoints, give the source of a table a `schema`: inferred
        types may change with its rows, and another type makes another pipeline.

        **Changes.** With ``emit="changes"`` a column ``_change`` says what becomes of a row: the inserted rows less
        the deleted ones are the join of the rows that have come so far, late ones left out, and at the end the rows
        of ``emit="final"``. A row is deleted at most once, for the batch that has its first partner, before all
        that this batch inserts.
        ``"inner"`` and ``"semi"`` only insert; ``"anti"`` inserts a row that has no partner, and deletes it if one
        comes. How many changes there are depends on how the streams interleave. See the guide on
        [changes](../guide/changes.md).

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Source
        >>> airlines = pl.DataFrame({"carrier": ["UA", "AA"], "airline": ["United", "American"]})
        >>> flights = Source.from_frame(pl.DataFrame({"flight": [1, 2], "carrier": ["AA", "XX"]}))
        >>> Pipeline.builder().source(flights).join(airlines, on="carrier", how="left").collect_sync().rows()
        [(1, 'AA', 'American'), (2, 'XX', None)]

        >>> def stream(**columns):
        ...     return Pipeline.builder().source(Source.from_frame(pl.DataFrame(columns)).with_event_time("us"))
        >>> orders = stream(us=[0, 10_000_000], order=[1, 2])
        >>> payments = stream(us=[4_000_000], order=[1], eur=[9.5])
        >>> orders.join(payments, on="order", within="5s", how="left").collect_sync().sort("order").rows()
        [(0, 1, 4000000, 9.5), (10000000, 2, None, None)]
        """
        from arrowstream.operators.join import (  # here, to keep importing arrowstream fast
            StreamJoin,
            TableJoin,
        )
        from arrowstream.operators.joins.interval.within import Within
        from arrowstream.operators.joins.keys import JoinKeys

        keys = JoinKeys.of(on, left_on, right_on, nulls_equal)
        if within is None:
            spill = None if on_full == "error" else on_full
            only(
                "join",
                "a stream, which needs within=",
                time=time,
                late=late,
                null_times=None if null_times == "error" else null_times,
                max_bytes=max_bytes,
                on_full=spill,
                emit=None if emit == "final" else emit,
            )
            if how in ("right", "full"):
                raise PlanError(
                    f"join(how={how!r}) is for a join with a stream, which needs within=",
                    expected="'inner', 'left', 'semi' or 'anti'",
                    found=f"how={how!r}",
                )
            return self._then(
                TableJoin(
                    table_of("join", other, type(self)),
                    keys,
                    cast("TableHow", how),
                    suffix,
                    validate,
                    refresh,
                )
            )
        only(
            "join",
            "a table, without within=",
            refresh=refresh,
            validate=None if validate == "m:m" else validate,
        )
        stream = stream_of(other)
        times = _times(time, self.graph, stream)
        check_event_time("join(time=...)", times[0], self.graph, "this stream")
        check_event_time("join(time=...)", times[1], stream, "the other stream")
        limit = StateLimit(max_bytes=max_bytes, on_full=on_full)
        step = MultiInput.of(
            StreamJoin(keys, times, Within.of(within), how, suffix, limit, null_times, emit), [stream]
        )
        return type(self)(self.graph.with_step(step, late=late))


def _times(time: str | tuple[str, str] | None, *graphs: Graph) -> tuple[str, str]:
    """Return the columns of event time of both streams."""
    if time is None:
        found = [event_column(graph) for graph in graphs]
        if None in found:
            raise PlanError(
                "join(within=...) needs a column of event times of both streams",
                expected='time="ts", or ("ts", "sent_at"), or .with_event_time("ts") in each stream',
                found=" and ".join(str(name) for name in found),
            )
        return cast(tuple[str, str], tuple(found))
    both = (time, time) if isinstance(time, str) else tuple(time)
    if len(both) != 2 or not all(isinstance(name, str) for name in both):
        raise PlanError(
            "join(time=...) takes one name or two", expected='"ts", or ("ts", "sent_at")', found=repr(time)
        )
    return both
