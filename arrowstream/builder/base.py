"""The builder without its steps: the graph, source and sink, and what applies to the step before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Concatenate, Literal, ParamSpec, Self, TypeVar

from arrowstream.core.duration import Duration
from arrowstream.core.mistakes.explain import explain_calls
from arrowstream.io.sink import AnySink, SinkSpec
from arrowstream.io.source import EventTimeSource, SourceSpec
from arrowstream.operators.base import Expressions, Operator
from arrowstream.plan.graph import Graph
from arrowstream.plan.policies import Policies
from arrowstream.policies.handlers import ErrorHandler

P = ParamSpec("P")
T = TypeVar("T")


@explain_calls
@dataclass(frozen=True, slots=True)
class GraphBuilder:
    """A graph, with the methods that every builder has."""

    graph: Graph

    def source(self, source: SourceSpec | EventTimeSource) -> Self:
        """Read from `source`; see `Source`."""
        return type(self)(self.graph.with_source(source))

    def sink(self, sink: AnySink) -> Self:
        """Write to `sink`; see `Sink`."""
        return type(self)(self.graph.with_sink(sink))

    def pipe(self, function: Callable[Concatenate[Self, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return ``function(builder, *args, **kwargs)``, so that steps written as a function stand in the chain."""
        return function(self, *args, **kwargs)

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

    def _then(self, operator: Expressions | Operator, late: SinkSpec | None = None) -> Self:
        return type(self)(self.graph.with_step(operator, late=late))
