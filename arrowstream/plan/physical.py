"""The physical plan: lines of stages with schemas on every edge, ready to run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import polars as pl

from arrowstream.backends.base import Evaluator
from arrowstream.core.batch import Batch
from arrowstream.io.sink import SinkSpec
from arrowstream.io.source import Query, SourceSpec
from arrowstream.operators.base import MultiInputOperator, Operator
from arrowstream.plan.placement.choice import Placement
from arrowstream.plan.policies import Policies
from arrowstream.plan.segment import Segment


@dataclass(frozen=True, slots=True)
class SegmentStage:
    """Fused expressions, with an evaluator for each backend that can run them.

    The placement changes while the pipeline runs: it learns the cost of each backend, and keeps it for the next run.
    """

    lines: ClassVar[tuple[Line, ...]] = ()
    name: str
    segment: Segment
    evaluators: dict[str, Evaluator]
    placement: Placement
    policies: Policies = field(default_factory=Policies)

    @property
    def schema(self) -> pl.Schema:
        """The schema of the rows that come in."""
        return self.segment.schema

    @property
    def output(self) -> pl.Schema:
        """The schema of the rows that go out."""
        return self.segment.output

    @property
    def description(self) -> tuple[str, ...]:
        """One line for each step."""
        return tuple(step.describe() for step in self.segment.steps)


@dataclass(frozen=True, slots=True)
class OperatorStage:
    """An opaque operator with one input; its saved state is found by `state_id`."""

    lines: ClassVar[tuple[Line, ...]] = ()
    name: str
    state_id: str
    operator: Operator
    schema: pl.Schema
    output: pl.Schema
    policies: Policies = field(default_factory=Policies)

    @property
    def description(self) -> tuple[str, ...]:
        """The operator, in one line."""
        return (self.operator.describe(),)


Route = Callable[[Batch], list[tuple[str, Batch]]]
"""Divides a batch into one for each branch that gets rows of it."""


@dataclass(frozen=True, slots=True)
class SplitStage:
    """A stage that divides a stream into several lines, which end in sinks or meet again after it.

    Parameters
    ----------
    name, describe
        The stage's id, and a line for `explain()`.
    route
        Divides each batch among the branches; None if every batch takes all of them.
    branches
        The lines.
    output
        The schema where branches meet again; None if all of them end in sinks.
    """

    name: str
    describe: str
    route: Route | None
    branches: tuple[Line, ...]
    output: pl.Schema | None

    @property
    def lines(self) -> tuple[Line, ...]:
        """The lines inside."""
        return self.branches

    @property
    def description(self) -> tuple[str, ...]:
        """The split, in one line."""
        return (self.describe,)


@dataclass(frozen=True, slots=True)
class InputsStage:
    """A stage where other inputs meet the stream that comes in.

    Parameters
    ----------
    name, describe
        The stage's id, and a line for `explain()`.
    schema
        The schema of the stream that comes in.
    inputs
        The other inputs, each from its source to here.
    output
        The schema of what comes out.
    operator
        The operator; the stream that comes in is its port 0, `inputs` are its ports from 1 on. None for a merge,
        which passes the rows of all inputs as they come.
    state_id
        The id of the operator's saved state.
    policies
        The sink of late rows.
    """

    name: str
    describe: str
    schema: pl.Schema
    inputs: tuple[Line, ...]
    output: pl.Schema
    operator: MultiInputOperator | None = None
    state_id: str = ""
    policies: Policies = field(default_factory=Policies)

    @property
    def schemas(self) -> tuple[pl.Schema, ...]:
        """The schema of each port."""
        return (self.schema, *(line.output for line in self.inputs if line.output is not None))

    @property
    def late(self) -> pl.Schema:
        """The schema of late rows."""
        return self.output if self.operator is None else self.operator.late_schema(*self.schemas)

    @property
    def lines(self) -> tuple[Line, ...]:
        """The lines inside."""
        return self.inputs

    @property
    def description(self) -> tuple[str, ...]:
        """The operator or merge, in one line."""
        return (self.describe,)


CompositeStage = SplitStage | InputsStage
"""A stage with lines inside."""

Stage = SegmentStage | OperatorStage | CompositeStage


@dataclass(frozen=True, slots=True)
class Input:
    """A source and the work it takes over while reading.

    Parameters
    ----------
    source
        The source.
    schema
        The schema of the rows that come from the read, after `query`.
    query
        The query that the source runs while reading, or None.
    absorbed
        The segment that runs entirely inside the read, or None; it is not among the stages.
    taken_over
        The same work as the user wrote it, which `explain()` describes; None if the read takes over nothing.
    name
        The source's id: ``source``, or ``merge/orders/source`` for another input.
    bad_rows
        The sink of rows that the source cannot read, or None.
    state_id
        The id of its saved position: ``source``, or such as ``merge-1bda/orders/source``.
    """

    source: SourceSpec
    schema: pl.Schema
    query: Query | None = None
    absorbed: Segment | None = None
    taken_over: Query | None = None
    name: str = "source"
    bad_rows: SinkBinding | None = None
    state_id: str = "source"


@dataclass(frozen=True, slots=True)
class SinkBinding:
    """A sink in its place.

    Parameters
    ----------
    name
        Its id in reports, metrics and errors: ``sink``, ``split/high/sink 2``, ``late rows of window``.
    sink
        The sink.
    schema
        The schema of the rows that come in.
    policies
        Its error handlers and time limit.
    best_effort_capacity
        Queue capacity, in batches, of a sink that misses batches while its queue is full; None if it applies
        backpressure.
    """

    name: str
    sink: SinkSpec
    schema: pl.Schema
    policies: Policies = field(default_factory=Policies)
    best_effort_capacity: int | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """Stages in a row.

    Parameters
    ----------
    name
        The name of the branch, of the input, or of the pipeline.
    input
        The source it begins with; None for a branch, whose rows come from the split.
    stages
        The stages, in order.
    output
        The schema after the last stage; None if every row has left through a sink inside.
    sink
        The sink at its end, or None.
    """

    name: str
    input: Input | None
    stages: tuple[Stage, ...]
    output: pl.Schema | None
    sink: SinkBinding | None = None

    @property
    def ended(self) -> bool:
        """True if no row comes out of the end."""
        return self.sink is not None or self.output is None


@dataclass(frozen=True, slots=True)
class Plan:
    """A compiled pipeline, ready to run.

    Parameters
    ----------
    name
        The pipeline's name.
    source_schema
        The schema of the source for which the plan was made, before anything is pushed into the read.
    input
        The source and the work it takes over.
    stages
        The stages, in order; a fan-out is a split at the end.
    output
        The schema after the last stage; None if every row has left through a sink inside.
    sink
        The sink at the end; None after a fan-out, and if every row has left before.
    """

    name: str
    source_schema: pl.Schema
    input: Input
    stages: tuple[Stage, ...]
    output: pl.Schema | None
    sink: SinkBinding | None

    @property
    def state_ids(self) -> frozenset[str]:
        """The ids under which sources and steps save positions and state."""
        return frozenset(_state_ids(Line(self.name, self.input, self.stages, self.output)))


def _state_ids(line: Line) -> Iterator[str]:
    if line.input is not None:
        yield line.input.state_id
    for stage in line.stages:
        if isinstance(stage, OperatorStage) or (
            isinstance(stage, InputsStage) and stage.operator is not None
        ):
            yield stage.state_id
        for inner in stage.lines:
            yield from _state_ids(inner)
