"""The physical plan: stages with schemas on every edge, ready to run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import polars as pl

from arrowstream.backends.base import Evaluator
from arrowstream.core.batch import Batch
from arrowstream.io.sink import SinkSpec
from arrowstream.io.source import Query, SourceSpec
from arrowstream.operators.base import Operator
from arrowstream.plan.placement.choice import Placement
from arrowstream.plan.policies import Policies
from arrowstream.plan.segment import Segment


@dataclass(frozen=True, slots=True)
class SegmentStage:
    """Fused expressions, with an evaluator for each backend that can run them.

    The placement is the one thing here that changes: it learns what each backend costs while the
    pipeline runs, and keeps that for the next run.
    """

    name: str
    segment: Segment
    evaluators: dict[str, Evaluator]
    placement: Placement
    policies: Policies = field(default_factory=Policies)

    @property
    def output(self) -> pl.Schema:
        return self.segment.output


@dataclass(frozen=True, slots=True)
class OperatorStage:
    """An opaque operator on its own."""

    name: str
    operator: Operator
    schema: pl.Schema
    output: pl.Schema
    policies: Policies = field(default_factory=Policies)


@dataclass(frozen=True, slots=True)
class Input:
    """A source and what it does while reading.

    Parameters
    ----------
    source
        Where the rows come from.
    schema
        What the source hands over, after `query`.
    query
        What the source does while reading, or None.
    absorbed
        The segment that `query` runs entirely inside the read, or None; its stage is not among the stages.
    read
        Lines for `explain()` about the read.
    name
        The source's id: ``source``, or ``merge/orders/source`` for another input.
    """

    source: SourceSpec
    schema: pl.Schema
    query: Query | None = None
    absorbed: Segment | None = None
    read: tuple[str, ...] = ()
    name: str = "source"


@dataclass(frozen=True, slots=True)
class Outlet:
    """A sink, what comes to it, and its name in reports."""

    name: str
    sink: SinkSpec
    schema: pl.Schema
    policies: Policies = field(default_factory=Policies)


@dataclass(frozen=True, slots=True)
class BranchPlan:
    """The stages of one way after a split, and the sink at its end, if there is one; `ended` if it does not go on."""

    name: str
    stages: tuple[Stage, ...]
    output: pl.Schema | None
    outlet: Outlet | None = None
    ended: bool = False


Route = Callable[[Batch], list[tuple[str, Batch]]]
"""Divides a batch into one for each branch that gets rows of it."""


@dataclass(frozen=True, slots=True)
class SplitStage:
    """Every row takes the branch that `route` gives it; without `route`, every batch takes all of them."""

    name: str
    describe: str
    route: Route | None
    branches: tuple[BranchPlan, ...]
    output: pl.Schema | None
    """What comes out where branches meet again; None if all of them end in sinks."""


@dataclass(frozen=True, slots=True)
class UnionStage:
    """Other sources with stages of their own, whose rows are added as they come."""

    name: str
    describe: str
    inputs: tuple[tuple[Input, tuple[Stage, ...]], ...]
    output: pl.Schema


Stage = SegmentStage | OperatorStage | SplitStage | UnionStage


@dataclass(frozen=True, slots=True)
class Plan:
    """What runs.

    Parameters
    ----------
    name
        The pipeline's name.
    source_schema
        What the plan was made for: the schema of the source before anything is pushed into the read.
    input
        The source, with what it does while reading.
    stages
        The steps between, in order. A fan-out of sinks is a split at the end.
    output
        The schema after the last stage; None if every row has left through a branch's sink.
    outlet
        The sink at the end, or None if there are others instead.
    """

    name: str
    source_schema: pl.Schema
    input: Input
    stages: tuple[Stage, ...]
    output: pl.Schema | None
    outlet: Outlet | None
