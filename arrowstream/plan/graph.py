"""The logical pipeline: what the user built, before it is checked and placed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import ClassVar

import polars as pl

from arrowstream.errors import PlanError
from arrowstream.expressions.text import expression_text
from arrowstream.io.sink import SinkSpec
from arrowstream.io.source import EventTimeSource, SourceSpec
from arrowstream.operators.base import Expressions, Operator
from arrowstream.operators.with_event_time import Watermarks
from arrowstream.plan.policies import Policies
from arrowstream.plan.step_ids import check_name, numbered, step_ids


@dataclass(frozen=True, slots=True)
class Step:
    """One operator, with what the user said of it.

    Parameters
    ----------
    operator
        What the step does.
    backend
        The backend it is pinned to; with ``"auto"`` the cost model chooses.
    policies
        Error handlers, time limit, and the sink of late rows.
    id
        The name given by `named()`; None for a derived id (`step_ids`).
    """

    operator: Expressions | Operator | Split | Union
    backend: str = "auto"
    policies: Policies = field(default_factory=Policies)
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Branch:
    """What rows of one name go through: a graph without a source, and with a sink if they leave there."""

    name: str
    graph: Graph

    @property
    def goes_on(self) -> bool:
        """Whether its rows are merged with those of others: no sink of its own takes them."""
        return self.graph.sink is None and not self.graph.ended


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Rows take one of several ways, by the name that `selector` gives; what comes out of the ways is merged.

    Parameters
    ----------
    selector
        A branch's name for each row.
    branches
        The ways.
    otherwise
        The way of rows without a name that is known, or None: such rows are an error.
    """

    name: ClassVar[str] = "split"
    selector: pl.Expr
    branches: tuple[Branch, ...]
    otherwise: Branch | None = None

    @property
    def all(self) -> tuple[Branch, ...]:
        """Every way, `otherwise` last."""
        return self.branches if self.otherwise is None else (*self.branches, self.otherwise)

    @property
    def merges(self) -> bool:
        """Whether any way goes on after the split: not those with a sink of their own."""
        return any(branch.goes_on for branch in self.all)

    def describe(self) -> str:
        """One line for `explain()`."""
        return f"split({expression_text(self.selector)})"


@dataclass(frozen=True, slots=True)
class Union:
    """The rows of other pipelines, of the same schema, added to the stream as they come.

    Parameters
    ----------
    others
        Builders with a source and without a sink. Rows of one stream keep their order; how those of several
        interleave is left open.

    Raises
    ------
    PlanError
        There is none, or one has no source or has a sink.
    SchemaError
        At `build()`: their schemas differ.

    Notes
    -----
    Costs a task and a channel for each stream and one where they meet, some 10 us a batch; no row is copied. Up to
    2 batches wait in each (setting ``default_buffer_size``), and no other state is held. The watermark is that of the
    stream that is farthest behind, idle ones left aside.

    Examples
    --------
    >>> import polars as pl
    >>> from arrowstream import Pipeline, Source
    >>> def numbers(*values):
    ...     return Pipeline.builder().source(Source.from_frame(pl.DataFrame({"x": values})))
    >>> sorted(numbers(1, 2).merge(numbers(3), numbers(4)).collect_sync()["x"])
    [1, 2, 3, 4]
    """

    name: ClassVar[str] = "merge"
    others: tuple[Graph, ...]

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names of the pipelines, each once."""
        return numbered([other.name for other in self.others])

    @classmethod
    def of(cls, others: Iterable[Graph]) -> Union:
        """The union with these.

        Raises
        ------
        PlanError
            There is none, or one has no source or has a sink.
        """
        graphs = tuple(others)
        if not graphs:
            raise PlanError("merge() has nothing to merge with", expected="at least one other builder")
        for graph in graphs:
            if graph.source is None or graph.sink is not None or graph.ended:
                raise PlanError(
                    f"merge() cannot take the rows of {graph.name!r}",
                    expected="a builder with a source and without a sink",
                    found="no source" if graph.source is None else "a sink",
                )
        return cls(graphs)

    def describe(self) -> str:
        """One line for `explain()`."""
        return f"merge({', '.join(other.name for other in self.others)})"


@dataclass(frozen=True, slots=True)
class Graph:
    """A source, steps and a sink; every method gives a new graph. One that is `inner` is a branch of another."""

    name: str
    source: SourceSpec | None = None
    steps: tuple[Step, ...] = ()
    sink: SinkSpec | None = None
    inner: bool = False
    sink_policies: Policies = field(default_factory=Policies)
    part_policies: tuple[Policies, ...] = ()
    """Of each part of the sink, if it is a fan-out: its own handlers."""

    def with_source(self, source: SourceSpec) -> Graph:
        """This graph reading from `source`."""
        if not isinstance(source, SourceSpec):
            raise PlanError(
                "source() needs a source",
                expected="Source.from_file(...), Source.from_frame(...), ...",
                found=type(source).__name__,
                hint="write .source(Source.from_file(path)), or .source(Source.from_frame(frame))",
            )
        if self.inner:
            raise PlanError("a branch has the rows of its split as source", found="a call of source()")
        if self.source is not None:
            raise PlanError("a pipeline has one source", found="a second call of source()")
        if isinstance(source, EventTimeSource):
            step = Step(Watermarks(source.column, source.lateness_us, source.idle_ns))
            return replace(self, source=source.source, steps=(step,))
        return replace(self, source=source)

    def with_step(
        self, operator: Expressions | Operator | Split | Union, *, late: SinkSpec | None = None
    ) -> Graph:
        """This graph with one more step at its end, whose late rows leave by `late`."""
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
        """This graph with its last step pinned to a backend."""
        if not self.steps or not isinstance(self.steps[-1].operator, Expressions):
            raise PlanError(
                f"backend({name!r}) has no step of expressions before it",
                expected="select, with_columns, filter, ... directly before backend()",
                found=self.steps[-1].operator.name if self.steps else "no step",
            )
        return replace(self, steps=(*self.steps[:-1], replace(self.steps[-1], backend=name)))

    def with_name(self, name: str) -> Graph:
        """This graph with a name for its last step."""
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
        """This graph with more policies for its last step, or for its sink if it has one."""
        if self.sink is not None:
            return replace(self, sink_policies=self.sink_policies.then(call, "sink", added))
        if not self.steps:
            raise PlanError(f"{call}() has no step before it", expected="a step directly before it")
        last = self.steps[-1]
        if isinstance(last.operator, Split | Union | Watermarks):
            raise PlanError(
                f"{call}() cannot govern {last.operator.name}()",
                expected="a step that transforms rows, or a sink, directly before it",
            )
        if added.repeats and isinstance(last.operator, Operator) and not last.operator.repeatable:
            raise PlanError(
                f"{call}() cannot govern {last.operator.name}()",
                expected="a step without state of its own: expressions, functions, processors, or a sink",
                hint="what fails in the step before it is governed by a handler there",
            )
        policies = last.policies.then(call, last.operator.name, added)
        return replace(self, steps=(*self.steps[:-1], replace(last, policies=policies)))

    def with_sink(self, sink: SinkSpec) -> Graph:
        """This graph writing to `sink`."""
        if not isinstance(sink, SinkSpec):
            raise PlanError(
                "sink() needs a sink",
                expected="Sink.to_file(...), Sink.to_fn(...), ...",
                found=type(sink).__name__,
                hint="write .sink(Sink.to_file(path)), or .collect_sync() for a frame",
            )
        if self.source is None and not self.inner:
            raise PlanError("sink() before source()", hint="begin with Pipeline.builder().source(...)")
        if self.sink is not None:
            raise PlanError("a pipeline has one sink", found="a second call of sink()")
        if self.ended:
            raise PlanError("sink() after a split whose branches all have sinks", hint="call build()")
        return replace(
            self,
            sink=sink,
            sink_policies=Policies(handlers=sink.handlers),
            part_policies=tuple(Policies(handlers=part.handlers) for part in sink.parts),
        )

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the steps, in order."""
        return step_ids(self.steps)

    @property
    def ended(self) -> bool:
        """Whether no row is left at the end, because every branch of a split has a sink of its own."""
        return bool(self.steps) and isinstance(last := self.steps[-1].operator, Split) and not last.merges

    @property
    def sources(self) -> tuple[SourceSpec, ...]:
        """Every source rows may come from, this graph's own first."""
        found = [] if self.source is None else [self.source]
        for step in self.steps:
            if isinstance(step.operator, Split):
                found += [source for branch in step.operator.all for source in branch.graph.sources]
            elif isinstance(step.operator, Union):
                found += [source for other in step.operator.others for source in other.sources]
        return tuple(found)

    @property
    def sinks(self) -> tuple[SinkSpec, ...]:
        """Every sink rows may leave by, those of branches, of late rows and of dead letters included."""
        found: list[SinkSpec] = []
        for step in self.steps:
            found += step.policies.sinks
            if isinstance(step.operator, Split):
                found += [sink for branch in step.operator.all for sink in branch.graph.sinks]
            elif isinstance(step.operator, Union):
                found += [sink for other in step.operator.others for sink in other.sinks]
        if self.sink is not None:
            found += self.sink.parts or (self.sink,)
        for policies in (self.sink_policies, *self.part_policies):
            found += policies.sinks
        return tuple(found)
