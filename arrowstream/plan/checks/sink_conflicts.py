"""The check that no two sinks write to one place, where only the rows of one would remain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from arrowstream.errors import PlanError
from arrowstream.plan.physical import (
    Input,
    InputsStage,
    OperatorStage,
    Plan,
    SegmentStage,
    SinkBinding,
    Stage,
)
from arrowstream.plan.policies import Policies, dead_letter_sink
from arrowstream.policies.dead_letter import dead_letter_schema
from arrowstream.policies.handlers import DeadLetter

Writing = tuple[SinkBinding, bool]
"""A sink in its place, and True if stages whose rows have the same schema may share it."""


def check_sinks(plan: Plan) -> None:
    """Check that no two sinks of a plan write to one place.

    Stages may share one sink for their dead letters if these have the same schema, and sources one for bad rows.

    Raises
    ------
    PlanError
        Two sinks write to one place; the error names both.
    """
    seen: dict[str, Writing] = {}
    for binding, sharing in _sinks(plan.input, plan.stages, plan.sink):
        place = binding.sink.place
        if place is None:
            continue
        other, other_sharing = seen.setdefault(place, (binding, sharing))
        same = other.sink is binding.sink and other.schema == binding.schema
        if other.name != binding.name and not (sharing and other_sharing and same):
            raise PlanError(
                "two sinks write to the same place",
                stage=binding.name,
                expected="a file or folder of its own for each",
                found=f"{binding.sink.label}, for {other.name} and for {binding.name}",
                hint="dead letters or bad rows may share a sink (one object) if their rows have the same columns",
            )


def _sinks(start: Input | None, stages: Sequence[Stage], sink: SinkBinding | None) -> Iterator[Writing]:
    """Yield every sink, in the order of their stages."""
    if start is not None and start.bad_rows is not None:
        yield start.bad_rows, True
    for stage in stages:
        if isinstance(stage, SegmentStage | OperatorStage):
            yield from _side_outputs(stage.name, stage.policies, stage.schema)
        elif isinstance(stage, InputsStage):
            yield from _side_outputs(stage.name, stage.policies, stage.late)
        for line in stage.lines:
            yield from _sinks(line.input, line.stages, line.sink)
    if sink is not None:
        yield sink, False
        yield from _side_outputs(sink.name, sink.policies, sink.schema)


def _side_outputs(name: str, policies: Policies, schema: pl.Schema) -> Iterator[Writing]:
    if policies.late is not None:
        yield SinkBinding(f"late rows of {name}", policies.late, schema), False
    for handler in policies.handlers:
        if isinstance(handler, DeadLetter):
            yield (
                SinkBinding(f"dead letters of {name}", dead_letter_sink(handler), dead_letter_schema(schema)),
                True,
            )
