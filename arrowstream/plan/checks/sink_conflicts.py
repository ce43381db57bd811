"""Two sinks that write the same file would leave only what one of them wrote: refused before anything is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from arrowstream.errors import PlanError
from arrowstream.io.sink import SinkSpec
from arrowstream.plan.physical import OperatorStage, Outlet, Plan, SegmentStage, SplitStage, Stage
from arrowstream.plan.policies import Policies
from arrowstream.policies.dead_letter import dead_letter_schema
from arrowstream.policies.handlers import DeadLetter

Use = tuple[str, SinkSpec, pl.Schema | None]
"""Who writes, where, and, if it puts rows aside, their schema: with one schema, several may share a sink."""


def check_places(plan: Plan) -> None:
    """Check that no two sinks of a plan write to one place, but for dead letters of one schema in one sink.

    Raises
    ------
    PlanError
        Two do; the error names both.
    """
    seen: dict[str, Use] = {}
    for use in _uses(plan.stages, plan.outlet):
        name, sink, schema = use
        if sink.place is None:
            continue
        other, other_sink, other_schema = seen.setdefault(sink.place, use)
        shared = sink is other_sink and schema is not None and schema == other_schema
        if other != name and not shared:
            raise PlanError(
                "two sinks write to the same place",
                stage=name,
                expected="a file or folder of its own for each",
                found=f"{sink.label}, for {other} and for {name}",
                hint="dead letters may share a sink (one object) where their rows have the same columns",
            )


def _uses(stages: Sequence[Stage], outlet: Outlet | None) -> Iterator[Use]:
    for stage in stages:
        if isinstance(stage, SegmentStage):
            yield from _aside(stage.name, stage.policies, stage.segment.schema)
        elif isinstance(stage, OperatorStage):
            yield from _aside(stage.name, stage.policies, stage.schema)
        elif isinstance(stage, SplitStage):
            for branch in stage.branches:
                yield from _uses(branch.stages, branch.outlet)
        else:
            for _, before in stage.inputs:
                yield from _uses(before, None)
    if outlet is not None:
        yield outlet.name, outlet.sink, None
        yield from _aside(outlet.name, outlet.policies, outlet.schema)


def _aside(name: str, policies: Policies, schema: pl.Schema) -> Iterator[Use]:
    if policies.late is not None:
        yield f"late rows of {name}", policies.late, None
    for handler in policies.handlers:
        if isinstance(handler, DeadLetter):
            assert isinstance(handler.sink, SinkSpec)
            yield f"dead letters of {name}", handler.sink, dead_letter_schema(schema)
