"""The physical plan: stages with schemas on every edge, ready to run."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from arrowstream.backends.base import Evaluator
from arrowstream.io.base import Query, SinkSpec, SourceSpec
from arrowstream.operators.base import Operator
from arrowstream.plan.placement import Placement
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


Stage = SegmentStage | OperatorStage


@dataclass(frozen=True, slots=True)
class Plan:
    """What runs.

    Parameters
    ----------
    name
        The pipeline's name.
    source, sink
        The two ends.
    schema
        What the source hands over, after `query`.
    query
        What the source does while reading, or None.
    absorbed
        The segment that `query` runs entirely inside the read, or None; its stage is not in `stages`.
    stages
        The steps between, in order.
    """

    name: str
    source: SourceSpec
    sink: SinkSpec
    schema: pl.Schema
    query: Query | None
    absorbed: Segment | None
    stages: tuple[Stage, ...]
    read: tuple[str, ...] = field(default=())

    @property
    def output(self) -> pl.Schema:
        """The schema of what the sink gets."""
        return self.stages[-1].output if self.stages else self.schema
