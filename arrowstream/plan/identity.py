"""The lines that describe a pipeline for its checkpoints: the same in every run of the same pipeline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from arrowstream.io.sink import SinkSpec
from arrowstream.io.source import SourceSpec
from arrowstream.plan.physical import (
    Input,
    InputsStage,
    OperatorStage,
    Plan,
    SegmentStage,
    SinkBinding,
    SplitStage,
    Stage,
)
from arrowstream.plan.policies import Policies, dead_letter_sink
from arrowstream.policies.handlers import DeadLetter


def identity(plan: Plan, *, in_full: bool = False) -> tuple[str, ...]:
    """Return a line for each source, step and sink, with the columns that go in and come out.

    What may change between two runs is left out: backends, files that a source finds, settings, sizes of queues and
    of state, rates, numbers of workers.

    Parameters
    ----------
    plan
        The plan.
    in_full
        Whether paths are absolute, in place of as they are written.
    """
    return tuple(_line(plan.input, plan.stages, plan.sink, "", in_full))


def _known_as(end: SourceSpec | SinkSpec, in_full: bool) -> str:
    return end.identity_in_full if in_full else end.identity


def _line(
    start: Input | None, stages: Sequence[Stage], sink: SinkBinding | None, indent: str, in_full: bool
) -> Iterator[str]:
    if start is not None:
        yield f"{indent}{start.name}: {_known_as(start.source, in_full)}: {_columns(start.schema)}"
        if start.bad_rows is not None:
            yield f"{indent}{start.bad_rows.name}: {_known_as(start.bad_rows.sink, in_full)}"
        if start.absorbed is not None:
            yield from (f"{indent}{step.identity}" for step in start.absorbed.steps)
    for stage in stages:
        yield from (f"{indent}{text}" for text in _steps(stage))
        if isinstance(stage, SegmentStage | OperatorStage | InputsStage):
            yield from _sides(stage.name, stage.policies, indent, in_full)
        for inner in stage.lines:
            yield f"{indent}{stage.name}/{inner.name}"
            yield from _line(inner.input, inner.stages, inner.sink, indent + "  ", in_full)
    if sink is not None:
        yield f"{indent}{sink.name}: {_known_as(sink.sink, in_full)}: {_columns(sink.schema)}"
        yield from _sides(sink.name, sink.policies, indent, in_full)


def _steps(stage: Stage) -> tuple[str, ...]:
    """Return a line for each step of a stage."""
    if isinstance(stage, SegmentStage):
        return tuple(step.identity for step in stage.segment.steps)
    operator = None if isinstance(stage, SplitStage) else stage.operator
    return stage.description if operator is None else (operator.identity,)


def _sides(name: str, policies: Policies, indent: str, in_full: bool) -> Iterator[str]:
    """Yield a line for the sink of late rows and that of dead letters of a step or sink."""
    if policies.late is not None:
        yield f"{indent}late rows of {name}: {_known_as(policies.late, in_full)}"
    dead = (dead_letter_sink(handler) for handler in policies.handlers if isinstance(handler, DeadLetter))
    yield from (f"{indent}dead letters of {name}: {_known_as(sink, in_full)}" for sink in dead)


def _columns(schema: pl.Schema) -> str:
    return ", ".join(f"{name} {type_}" for name, type_ in schema.items())
