"""The methods of the builder: every step, and `source` and `sink`.

Methods import large operators themselves, to keep ``import arrowstream`` fast.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack

from arrowstream.core.duration import Duration
from arrowstream.errors import PlanError
from arrowstream.io.sink import AnySink, SinkSpec
from arrowstream.io.source import EventTimeSource, SourceSpec
from arrowstream.operators.base import Expressions, Operator
from arrowstream.operators.buffer import Buffer
from arrowstream.operators.cast import Cast
from arrowstream.operators.drop import Drop
from arrowstream.operators.explode import Explode
from arrowstream.operators.filter import Filter
from arrowstream.operators.filter_map import filter_mapping
from arrowstream.operators.flat_map import flat_mapping
from arrowstream.operators.map import mapping
from arrowstream.operators.process import Processor, ProcessorStep
from arrowstream.operators.rebatch import Rebatch
from arrowstream.operators.rename import Rename
from arrowstream.operators.select import Select
from arrowstream.operators.unnest import Unnest
from arrowstream.operators.with_columns import WithColumns
from arrowstream.operators.with_event_time import Watermarks
from arrowstream.plan.checks.row_local import check
from arrowstream.plan.composites.merge import Merge
from arrowstream.plan.graph import Graph
from arrowstream.plan.policies import Policies
from arrowstream.policies.handlers import ErrorHandler
from arrowstream.split import Splitting

if TYPE_CHECKING:
    from arrowstream.operators.window import WindowOptions, Windows
    from arrowstream.operators.zero_copy.columns import ZeroCopyColumns
    from arrowstream.state.limit import OnFull


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of the builder, one method each. The docstrings of the operators document them."""

    graph: Graph

    def source(self, source: SourceSpec | EventTimeSource) -> Self:
        """Read from `source`; see `Source`."""
        return type(self)(self.graph.with_source(source))

    def select(self, *exprs: Any, **named: Any) -> Self:
        """Keep only these columns and expressions, as in Polars; see `Select`."""
        return self._then(Select.of(*exprs, **named))

    def with_columns(self, *exprs: Any, **named: Any) -> Self:
        """Add or replace columns, as in Polars; see `WithColumns`."""
        return self._then(WithColumns.of(*exprs, **named))

    def map(self, *exprs: Any, **named: Any) -> Self:
        """Transform rows by expressions, as `with_columns`; or batches by ``fn``, see `MapFunction`."""
        return self._then(mapping(*exprs, **named))

    def filter(self, *predicates: Any, **constraints: Any) -> Self:
        """Keep only rows for which every predicate is true, as in Polars; see `Filter`."""
        return self._then(Filter.of(*predicates, **constraints))

    def drop(self, *columns: Any) -> Self:
        """Drop these columns, as in Polars; see `Drop`."""
        return self._then(Drop.of(*columns))

    def rename(self, mapping: Mapping[str, str]) -> Self:
        """Rename columns by ``{old: new}``, as in Polars; see `Rename`."""
        return self._then(Rename.of(mapping))

    def cast(self, dtypes: Any, *, strict: bool = True) -> Self:
        """Cast columns by ``{column: type}``, or all to one type; strict: a value that does not fit is an error."""
        return self._then(Cast.of(dtypes, strict=strict))

    def explode(self, *columns: Any) -> Self:
        """Make a row for each element of these list columns, as in Polars; see `Explode`."""
        return self._then(Explode.of(*columns))

    def unnest(self, *columns: Any) -> Self:
        """Replace struct columns by their fields, as in Polars; see `Unnest`."""
        return self._then(Unnest.of(*columns))

    def batch(
        self, rows: int | None = None, *, nbytes: int | None = None, max_delay: Duration | None = None
    ) -> Self:
        """Regroup rows into batches of `rows` or `nbytes`, holding none longer than `max_delay`; see `Rebatch`."""
        return self._then(Rebatch(rows, nbytes, max_delay))

    def throttle(self, rows: int | None = None, *, batches: int | None = None, per: Duration = "1s") -> Self:
        """Pass at most `rows` or `batches` per time `per`, slowing the source to this rate; see `Throttle`."""
        from arrowstream.operators.throttle import Throttle

        return self._then(Throttle(rows, batches, per))

    def debounce(self, quiet: Duration, *, by: Any = None) -> Self:
        """Pass the last row of every run of events, by key, after a silence of `quiet`; see `Debounce`."""
        from arrowstream.operators.debounce import Debounce

        return self._then(Debounce.of(quiet, by))

    def flat_map(self, what: Any, **options: Any) -> Self:
        """Turn one batch into many by ``fn``, see `FlatMap`; or make a row for each element of a list column."""
        return self._then(flat_mapping(what, **options))

    def filter_map(self, what: Any, **options: Any) -> Self:
        """Filter rows, then compute expressions; or transform batches by ``fn``, see `FilterMap`."""
        return self._then(filter_mapping(what, **options))

    def process(self, processor: Processor | Callable[[], Processor]) -> Self:
        """Transform batches by a user's `Processor`, with state and resources; see `ProcessorStep`."""
        return self._then(ProcessorStep(processor))

    def parallel_map(self, fn: Callable[[Any], Any], **options: Any) -> Self:
        """Transform several batches at the same time by `fn`, in order; see `ParallelMap`."""
        from arrowstream.operators.parallel_map import ParallelMap

        return self._then(ParallelMap(fn, **options))

    def map_zero_copy(self, *fns: Callable[[ZeroCopyColumns], Any]) -> Self:
        """Change columns in place as NumPy arrays; see `MapZeroCopy`."""
        from arrowstream.operators.map_zero_copy import MapZeroCopy

        return self._then(MapZeroCopy(fns))

    def with_event_time(self, column: str, lateness: Duration = 0.0, idle: Duration | None = None) -> Self:
        """Derive watermarks from the event time in `column`, for windows; see `Watermarks`."""
        return self._then(Watermarks.of(column, lateness, idle))

    def window(
        self, size: Duration | None = None, *, late: SinkSpec | None = None, **options: Unpack[WindowOptions]
    ) -> Windows[Self]:
        """Open windows of event time, sessions or rows, for `.agg(...)`; see `arrowstream.operators.window.windows`.

        Late rows go to the sink `late`.
        """
        from arrowstream.operators.arguments import check_options
        from arrowstream.operators.window import OPTIONS, windows

        check_options("window", options, OPTIONS, "aggregates belong into .agg(...)")
        return windows(partial(self._then, late=late), size, **options)

    def scan(
        self,
        *exprs: Any,
        by: Any = None,
        state: Any = None,
        max_keys: int | None = None,
        max_bytes: int | None = None,
        on_full: OnFull = "error",
        **named: Any,
    ) -> Self:
        """Compute running values, one row out per row in, by expressions or ``fn(frame, state)``; see `Scan`."""
        from arrowstream.operators.scan import Scan
        from arrowstream.operators.scan_function import ScanFunction, is_scan_function
        from arrowstream.state.limit import StateLimit

        limit = StateLimit(max_keys, max_bytes, on_full)
        if is_scan_function(exprs):
            return self._then(ScanFunction.of(*exprs, state=state, by=by, named=named, limit=limit))
        return self._then(Scan.of(check, exprs, named, by=by, limit=limit))

    def reduce(self, *exprs: Any, by: Any = None, **named: Any) -> Self:
        """Aggregate the stream so far for each key; see `arrowstream.operators.reduce.Reduce`."""
        from arrowstream.operators.reduce import Reduce

        return self._then(Reduce.of(*exprs, by=by, **named))

    def backend(self, name: str) -> Self:
        """Pin the step before this to a backend: ``"auto"``, ``"arrow"`` or ``"polars"``.

        Parameters
        ----------
        name
            ``"arrow"``, ``"polars"``, or ``"auto"``, which lets the cost model choose.

        Raises
        ------
        PlanError
            The step is not made of expressions, the backend is unknown, or (at `build()`) cannot run the step.

        Notes
        -----
        Costs nothing and holds no state. The step is not fused with steps that are pinned to another backend.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Source
        >>> builder = Pipeline.builder().source(Source.from_frame(pl.DataFrame({"x": [1, 2]})))
        >>> builder.filter(pl.col("x") > 1).backend("arrow").collect_sync()["x"].to_list()
        [2]
        """
        return type(self)(self.graph.with_backend(name))

    def buffer(self, capacity: int) -> Self:
        """Add a queue of `capacity` batches, so that the steps before it can run ahead; see `Buffer`."""
        return self._then(Buffer(capacity))

    def split(self, selector: Any) -> Splitting[Self]:
        """Send each row down the branch that `selector` names; see `Splitting`."""
        return Splitting.of(self, selector)

    def merge(self, *others: Steps) -> Self:
        """Add the rows of other pipelines without a sink, of the same schema, as they come; see `Merge`."""
        for other in others:
            if not isinstance(other, Steps):
                raise PlanError(
                    "merge() takes builders",
                    expected="such as Pipeline.builder().source(...)",
                    found=type(other).__name__,
                )
        return type(self)(self.graph.with_step(Merge.of(other.graph for other in others)))

    def named(self, name: str) -> Self:
        """Name the step before this: its id in `explain()`, metrics, reports and errors.

        The first step of a kind without a name has that of its operator; for further ones in the same line, 4 hex
        digits follow, a hash of what the step does, such as ``filter-3f0a``. Inside a branch or another input, the id
        begins with the id of the split or merge and the name of the branch or input: ``split/high/totals``. Saved
        state is found by the name, or by a hash of what the step does: name a step before you change what it does.

        Parameters
        ----------
        name
            Letters, digits, ``_``, ``-`` and ``.``; no other step of this line may have it.

        Raises
        ------
        PlanError
            No step is before this, it already has a name, another step has this name, or the name has other
            characters.

        Notes
        -----
        Costs nothing and holds no state. Steps are fused whether they have names or not.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Source
        >>> builder = Pipeline.builder().source(Source.from_frame(pl.DataFrame({"x": [1, 2]})))
        >>> pipeline = builder.filter(pl.col("x") > 1).named("large").explain()
        >>> "stage large" in pipeline
        True
        """
        return type(self)(self.graph.with_name(name))

    def on_error(self, handler: ErrorHandler) -> Self:
        """Add an error handler to the step before this, or to the sink; handlers act in the order of the calls."""
        return type(self)(self.graph.with_policies("on_error", Policies(handlers=(handler,))))

    def timeout(self, duration: Duration, on_timeout: Literal["fail", "skip"] = "fail") -> Self:
        """Fail, or leave the batch out, if the step before this takes longer for one batch.

        Parameters
        ----------
        duration
            The longest time for one batch: ``"5s"``, seconds, a timedelta.
        on_timeout
            ``"fail"`` ends the run with a `StageTimeout`, unless a handler of `on_error` deals with it;
            ``"skip"`` leaves the batch out and counts its rows as failed.

        Raises
        ------
        PlanError
            The duration is unreadable or 0, or `on_timeout` is another word.

        Notes
        -----
        Costs a task and a timer for each batch, some tens of microseconds, and the step becomes a separate stage,
        not fused with others. Holds no state. Work on a worker thread cannot be interrupted: the step waits for it,
        and still counts it as too late. A batch that a sink has written too late stays written: it ends the run, or,
        if a handler or ``"skip"`` lets the run go on, is logged, and neither left out nor written again.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Source
        >>> builder = Pipeline.builder().source(Source.from_frame(pl.DataFrame({"x": [1, 2]})))
        >>> builder.map(y=pl.col("x") * 2).timeout("5s").collect_sync()["y"].to_list()
        [2, 4]
        """
        return type(self)(self.graph.with_policies("timeout", Policies.time_limit(duration, on_timeout)))

    def sink(self, sink: AnySink) -> Self:
        """Write to `sink`; see `Sink`."""
        return type(self)(self.graph.with_sink(sink))

    def _then(self, operator: Expressions | Operator, late: SinkSpec | None = None) -> Self:
        return type(self)(self.graph.with_step(operator, late=late))
