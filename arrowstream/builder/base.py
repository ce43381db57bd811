"""The builder without its steps: the graph, source and sink, and what applies to the step before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Concatenate, Literal, ParamSpec, Self, TypeVar

from arrowstream.core.duration import Duration
from arrowstream.core.mistakes.explain import explain_calls
from arrowstream.io.sink import AnySink, SinkSpec
from arrowstream.io.source import EventTimeSource, SourceSpec
from arrowstream.operators.base import Expressions, Operator
from arrowstream.plan.graph import Graph
from arrowstream.plan.policies import Policies
from arrowstream.policies.handlers import ErrorHandler
from arrowstream.shown import Shown

P = ParamSpec("P")
T = TypeVar("T")


@explain_calls
@dataclass(frozen=True, slots=True)
class GraphBuilder(Shown):
    """A graph, with the methods that every builder has."""

    _shown_by: ClassVar[str] = "pipelines.builder"
    graph: Graph

    def source(self, source: SourceSpec | EventTimeSource) -> Self:
        """Read the rows from `source`.

        Parameters
        ----------
        source
            A source, such as ``Source.from_file("in/*.csv")``, also with ``.with_event_time("ts")``; see `Source`.

        Returns
        -------
        Builder
            A new builder, with this source.

        Raises
        ------
        PlanError
            `source` is not a source, or the builder has one, as the builder of a branch does.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Source
        >>> Pipeline.builder().source(Source.from_frame(pl.DataFrame({"x": [1, 2]}))).collect_sync()["x"].to_list()
        [1, 2]
        """
        return type(self)(self.graph.with_source(source))

    def sink(self, sink: AnySink) -> Self:
        """Write the rows to `sink`.

        Parameters
        ----------
        sink
            A sink, such as ``Sink.to_file("out.parquet")``, or several as ``Sink.fanout([...])``; see `Sink`.

        Returns
        -------
        Builder
            A new builder that ends in this sink.

        Raises
        ------
        PlanError
            `sink` is not a sink, the builder has one already, or it has no source.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Sink, Source
        >>> builder = Pipeline.builder().source(Source.from_frame(pl.DataFrame({"x": [1, 2]})))
        >>> builder.sink(Sink.to_fn(lambda batch: print(batch["x"].to_pylist()))).build().run_sync().rows_out
        [1, 2]
        2
        """
        return type(self)(self.graph.with_sink(sink))

    def pipe(self, function: Callable[Concatenate[Self, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return ``function(builder, *args, **kwargs)``, so that steps written as a function stand in the chain.

        Parameters
        ----------
        function
            Takes the builder and the other arguments, and usually returns a builder.
        args
            Arguments of the function after the builder.
        kwargs
            Arguments of the function by name.

        Returns
        -------
        object
            The result of the function.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Source
        >>> def above(rows, column, least):
        ...     return rows.filter(pl.col(column) > least)
        >>> builder = Pipeline.builder().source(Source.from_frame(pl.DataFrame({"x": [1, 2, 3]})))
        >>> builder.pipe(above, "x", least=1).collect_sync()["x"].to_list()
        [2, 3]
        """
        return function(self, *args, **kwargs)

    def named(self, name: str) -> Self:
        """Name the step before this: its id in `explain()`, metrics, reports and errors.

        The first step of a kind without a name has that of its operator; for further ones in the same line, 4 hex
        digits follow, a hash of what the step does, such as ``filter-3f0a``. Inside a branch or another input, the
        id begins with the id of the split or merge and the name of the branch or input: ``split/high/totals``.
        Saved state is found by the name, or by a hash of what the step does: name a step before you change what it
        does.

        Parameters
        ----------
        name
            Letters, digits, ``_``, ``-`` and ``.``; no other step of this line may have it.

        Returns
        -------
        Builder
            A new builder, whose last step has this name.

        Raises
        ------
        PlanError
            No step is before this, it already has a name, another step has this name, or the name has other
            characters.

        Notes
        -----
        Costs nothing and holds no state. Steps are fused whether they have names or not; the stage that they become
        has their ids joined by ``+``, such as ``filter+totals``, in metrics, reports and errors.

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

    def backend(self, name: str) -> Self:
        """Pin the step before this to a backend: ``"auto"``, ``"arrow"``, ``"polars"`` or ``"gpu"``.

        Parameters
        ----------
        name
            ``"arrow"``, ``"polars"``, ``"gpu"`` (extra: gpu), or ``"auto"``, which lets the cost model choose.

        Returns
        -------
        Builder
            A new builder, whose last step runs on this backend.

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

    def on_error(self, handler: ErrorHandler) -> Self:
        """Add an error handler to the step before this, or to the sink; handlers act in the order of the calls.

        Parameters
        ----------
        handler
            ``ErrorHandler.retry(...)``, ``.log()``, ``.skip()``, ``.dead_letter(sink)`` or ``.fail()``. Any number of
            `retry` and `log` may come first; one of `skip`, `dead_letter` and `fail` may come last.

        Returns
        -------
        Builder
            A new builder, whose last step or sink has this handler.

        Raises
        ------
        PlanError
            No step is before this, the step cannot be retried, or the handler cannot come after the earlier ones.

        Notes
        -----
        Costs nothing per row while nothing fails. The step becomes a separate stage, not fused with others, which
        costs some 20 us a batch. A failure costs what the handlers do: `retry` the waits and the repeated work;
        `skip` and `dead_letter` some ``2 * log2(rows)`` attempts for a row that fails among good ones, and one
        attempt for each row where all of them fail. Holds no state.

        Handlers apply to steps that do a batch's work in one call: expressions, functions, processors and sinks. A
        step that changes its state during the work, such as a window, cannot be retried.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import ErrorHandler, Pipeline, Source
        >>> builder = (
        ...     Pipeline.builder()
        ...     .source(Source.from_frame(pl.DataFrame({"x": ["1", "two", "3"]})))
        ...     .cast({"x": pl.Int64})
        ...     .on_error(ErrorHandler.retry(2, delay="1ms"))
        ...     .on_error(ErrorHandler.skip())
        ... )
        >>> builder.collect_sync()["x"].to_list()
        [1, 3]
        """
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

        Returns
        -------
        Builder
            A new builder, whose last step or sink has this time limit.

        Raises
        ------
        PlanError
            The duration is unreadable or 0, or `on_timeout` is another word.

        Notes
        -----
        Costs a task and a timer for each batch, some tens of microseconds, and the step becomes a separate stage,
        not fused with others. Holds no state. Work on a worker thread cannot be interrupted: the step waits for it,
        and still counts it as too late. A batch that a sink has written too late stays written: it ends the run,
        or, if a handler or ``"skip"`` lets the run go on, is logged, and neither left out nor written again.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Source
        >>> builder = Pipeline.builder().source(Source.from_frame(pl.DataFrame({"x": [1, 2]})))
        >>> builder.map(y=pl.col("x") * 2).timeout("5s").collect_sync()["y"].to_list()
        [2, 4]
        """
        return type(self)(self.graph.with_policies("timeout", Policies.time_limit(duration, on_timeout)))

    def _then(self, operator: Expressions | Operator, late: SinkSpec | None = None) -> Self:
        return type(self)(self.graph.with_step(operator, late=late))
