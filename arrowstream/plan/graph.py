"""The logical pipeline: the graph that a user built, before it is checked and placed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

import polars as pl

from arrowstream.backends.base import Backend
from arrowstream.core.checkpoints.described import Described
from arrowstream.errors import PlanError
from arrowstream.io.sink import AnySink, BoundSink, Fanout, SinkSpec, bound
from arrowstream.io.source import EventTimeSource, SourceSpec
from arrowstream.operators.base import Expressions, Operator
from arrowstream.operators.messages.decode import Decode
from arrowstream.operators.with_event_time import Watermarks
from arrowstream.plan.physical import CompositeStage, Line
from arrowstream.plan.policies import Policies
from arrowstream.plan.source_steps import source_steps
from arrowstream.plan.step_ids import check_name, inner_prefix, step_ids


@dataclass(frozen=True, slots=True)
class Step:
    """One operator with its pin, policies and name.

    Parameters
    ----------
    operator
        The operator: expressions, an opaque operator or a composite.
    backend
        The backend it is pinned to; with ``"auto"`` the cost model chooses.
    policies
        Error handlers, time limit, and the sink of late rows.
    id
        The name given by `named()`; None for a derived id (`step_ids`).
    """

    operator: Expressions | Operator | Composite
    backend: str = "auto"
    policies: Policies = field(default_factory=Policies)
    id: str | None = None

    @property
    def children(self) -> tuple[Child, ...]:
        """The graphs inside, if it is a composite."""
        return self.operator.children if isinstance(self.operator, Composite) else ()


@dataclass(frozen=True, slots=True)
class Child:
    """A graph inside a composite step, with a name that is unique there.

    Parameters
    ----------
    name
        The name of the branch or input.
    graph
        A branch has no source; another input has one.
    """

    name: str
    graph: Graph


class LineCompiler(Protocol):
    """The compiler of a composite step, which calls `branch` or `input` once for each graph inside."""

    backends: Sequence[Backend]
    state_id: str

    def inside(self, state_id: str) -> LineCompiler:
        """Return the compiler for the composite whose state id this is."""

    def branch(self, stage: str, child: Child, schema: pl.Schema) -> Line:
        """Compile a branch of `stage`, for rows of `schema`."""

    def input(self, stage: str, child: Child) -> Line:
        """Compile another input of `stage`, from its source on."""


class Composite(Described):
    """A step with graphs inside."""

    __slots__ = ()

    @property
    @abstractmethod
    def name(self) -> str:
        """The name of the builder's method."""

    @property
    @abstractmethod
    def children(self) -> tuple[Child, ...]:
        """The graphs inside, in order."""

    @abstractmethod
    def with_children(self, graphs: Sequence[Graph]) -> Self:
        """Return the same step with other graphs under the names of `children`, in their order."""

    @property
    def ended(self) -> bool:
        """True if every row leaves through a sink inside."""
        return False

    @abstractmethod
    def compile(self, compiler: LineCompiler, name: str, schema: pl.Schema) -> CompositeStage:
        """Compile the step and the graphs inside.

        Parameters
        ----------
        compiler
            Compiles the graphs inside.
        name
            The id of the step, and the name of its stage.
        schema
            The schema of the rows that come in.

        Raises
        ------
        PlanError, SchemaError
            The step or a graph inside does not fit; `build()` fails with this error.
        """


@dataclass(frozen=True, slots=True)
class Graph:
    """A source, steps and a sink; every method returns a new graph.

    Parameters
    ----------
    name
        The name of the pipeline or branch.
    source
        The source, or None: not set yet, or a branch.
    steps
        The steps, in order.
    sink
        The sink or fan-out at the end, or None.
    inner
        True for a branch, whose rows come from a split.
    sink_policies
        Error handlers and time limit of the sink.
    query
        The SQL that the steps come from, or None.
    """

    name: str
    source: SourceSpec | None = None
    steps: tuple[Step, ...] = ()
    sink: BoundSink | Fanout | None = None
    inner: bool = False
    sink_policies: Policies = field(default_factory=Policies)
    query: str | None = None

    def with_source(self, source: SourceSpec | EventTimeSource) -> Graph:
        """Return the graph with a source; raise PlanError if the graph has one or is a branch."""
        spec, operators = source_steps(source)
        if self.inner:
            raise PlanError("a branch has the rows of its split as source", found="a call of source()")
        if self.source is not None:
            raise PlanError("a pipeline has one source", found="a second call of source()")
        return replace(self, source=spec, steps=tuple(Step(operator) for operator in operators))

    def with_step(
        self, operator: Expressions | Operator | Composite, *, late: SinkSpec | None = None
    ) -> Graph:
        """Return the graph with one more step at its end, whose late rows go to `late`.

        Raises
        ------
        PlanError
            No source is set, or no rows come out of the end.
        """
        if self.source is None and not self.inner:
            raise PlanError(
                f"{operator.name}() before source()", hint="begin with Pipeline.builder().source(...)"
            )
        if self.sink is not None:
            raise PlanError(f"{operator.name}() after sink()", hint="sink() comes last, before build()")
        if self.ended:
            raise PlanError(
                f"{operator.name}() after a split whose branches all have sinks",
                hint="leave .sink(...) out of the branches whose rows should go on",
            )
        return replace(self, steps=(*self.steps, Step(operator, policies=Policies(late=late))))

    def with_backend(self, name: str) -> Graph:
        """Return the graph with its last step pinned to a backend; raise PlanError unless it is expressions."""
        if not self.steps or not isinstance(self.steps[-1].operator, Expressions):
            raise PlanError(
                f"backend({name!r}) has no step of expressions before it",
                expected="select, with_columns, filter, ... directly before backend()",
                found=self.steps[-1].operator.name if self.steps else "no step",
            )
        return replace(self, steps=(*self.steps[:-1], replace(self.steps[-1], backend=name)))

    def with_name(self, name: str) -> Graph:
        """Return the graph with a name for its last step.

        Raises
        ------
        PlanError
            The name is not allowed or another step has it, the last step has a name, or the graph has no last step.
        """
        check_name(name)
        if self.sink is not None or not self.steps:
            raise PlanError(
                f"named({name!r}) has no step before it",
                expected="a step directly before named()",
                found="sink()" if self.sink is not None else "no step",
            )
        *before, last = self.steps
        if last.id is not None:
            raise PlanError(f"named({name!r}): the step before it has a name", found=repr(last.id))
        for step in before:
            if step.id == name:
                raise PlanError(
                    f"two steps have the name {name!r}",
                    expected="another name for each step",
                    found=f"{step.operator.describe()} and {last.operator.describe()}",
                )
        return replace(self, steps=(*before, replace(last, id=name)))

    def with_policies(self, call: str, added: Policies) -> Graph:
        """Return the graph with more policies for its sink, or for its last step if it has no sink.

        Parameters
        ----------
        call
            The builder's method that errors name.
        added
            The policies to add.

        Raises
        ------
        PlanError
            The policies do not apply to the step, or contradict those it has.
        """
        if self.sink is not None:
            return replace(self, sink_policies=self.sink_policies.then(call, "sink", added))
        if not self.steps:
            raise PlanError(f"{call}() has no step before it", expected="a step directly before it")
        # A source of messages is decoded by a step; between it and the end there may be the event time of the source.
        number = len(self.steps) - 1
        if isinstance(self.steps[0].operator, Decode) and isinstance(self.steps[number].operator, Watermarks):
            number = 0
        last = self.steps[number]
        if isinstance(last.operator, Composite | Watermarks):
            raise PlanError(
                f"{call}() does not apply to {last.operator.name}()",
                expected="a step that transforms rows, or a sink, directly before it",
            )
        if added.retries_batches and isinstance(last.operator, Operator) and not last.operator.repeatable:
            raise PlanError(
                f"{call}() does not apply to {last.operator.name}()",
                expected="a step without state: expressions, functions, processors, or a sink",
                hint="put the handler after the step before it, if that is the one that fails",
            )
        policies = last.policies.then(call, last.operator.name, added)
        return replace(
            self, steps=(*self.steps[:number], replace(last, policies=policies), *self.steps[number + 1 :])
        )

    def with_sink(self, sink: AnySink) -> Graph:
        """Return the graph with a sink; raise PlanError if it has one or no rows reach it."""
        if not isinstance(sink, AnySink):
            raise PlanError(
                "sink() needs a sink",
                expected="Sink.to_file(...), Sink.to_fn(...), ...",
                found=type(sink).__name__,
                hint="write .sink(Sink.to_file(path)), or .collect_sync() for a frame",
            )
        if self.source is None and not self.inner:
            raise PlanError("sink() before source()", hint="begin with Pipeline.builder().source(...)")
        if self.sink is not None:
            raise PlanError(
                "a pipeline has one sink",
                found="a second call of sink()",
                hint="for several, sink(Sink.fanout([first, second]))",
            )
        if self.ended:
            raise PlanError("sink() after a split whose branches all have sinks", hint="call build()")
        if isinstance(sink, Fanout):
            return replace(self, sink=sink)
        (one,) = bound(sink)
        # The handlers of a single sink become the graph's sink policies: on_error() after sink() adds to them.
        return replace(self, sink=replace(one, handlers=()), sink_policies=Policies(handlers=one.handlers))

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the steps, in order."""
        return step_ids(self.steps)

    @property
    def ended(self) -> bool:
        """True if no row comes out of the last step: every branch of a split has a sink."""
        last = self.steps[-1].operator if self.steps else None
        return isinstance(last, Composite) and last.ended

    @property
    def has_output(self) -> bool:
        """True if rows come out of the end: the graph has no sink, and not all rows have left before."""
        return self.sink is None and not self.ended

    def walk(self, prefix: str = "") -> Iterator[tuple[str, Step]]:
        """Yield every step with its id; the steps of graphs inside a step follow it."""
        for id, step in zip(self.ids, self.steps, strict=True):
            yield f"{prefix}{id}", step
            for child in step.children:
                yield from child.graph.walk(inner_prefix(f"{prefix}{id}", child.name))

    def graphs(self) -> Iterator[Graph]:
        """Yield the graph itself, then every graph inside one of its steps."""
        yield self
        for _, step in self.walk():
            yield from (child.graph for child in step.children)

    @property
    def sources(self) -> tuple[SourceSpec, ...]:
        """Every source that rows may come from; the one at the graph's start is first."""
        return tuple(graph.source for graph in self.graphs() if graph.source is not None)

    @property
    def ends(self) -> tuple[tuple[str, BoundSink, Policies], ...]:
        """The sinks at the end: the id, the sink and the policies of each."""
        if self.sink is None:
            return ()
        sinks = bound(self.sink)
        names = [f"sink {number}" for number in range(1, len(sinks) + 1)]
        return tuple(
            (name, sink, self.sink_policies.overridden(sink.handlers))
            for name, sink in zip(names if isinstance(self.sink, Fanout) else ["sink"], sinks, strict=True)
        )

    @property
    def sinks(self) -> tuple[SinkSpec, ...]:
        """Every sink that rows may leave by, each once, with those of branches and side outputs."""
        found = [source.bad_rows_sink for source in self.sources if source.bad_rows_sink is not None]
        for graph in self.graphs():
            for step in graph.steps:
                found += step.policies.sinks
            found += (end.sink for _, end, _ in graph.ends)
            for _, _, policies in graph.ends:
                found += policies.sinks
        return tuple({id(sink): sink for sink in found}.values())
