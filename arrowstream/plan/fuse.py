"""Neighbouring steps become one stage: expressions with the same pin, and operators that are fusible."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import reduce
from itertools import groupby

import polars as pl

from arrowstream.errors import ArrowstreamError
from arrowstream.operators.base import Expressions, Operator
from arrowstream.plan.checks.pieces import runnable
from arrowstream.plan.checks.row_local import check
from arrowstream.plan.graph import Composite, LineCompiler, Step
from arrowstream.plan.physical import CompositeStage
from arrowstream.plan.policies import Policies
from arrowstream.plan.segment import Segment
from arrowstream.plan.step_ids import step_ids


@dataclass(frozen=True, slots=True)
class StageDraft:
    """A stage before the read takes its share and backends are prepared.

    Parameters
    ----------
    name
        The stage's name: the ids of its steps.
    work
        What it does.
    schema, output
        The schema of the rows that come in and that go out; None if all rows leave inside.
    pin, policies
        As of its steps.
    """

    name: str
    work: Segment | Operator | CompositeStage
    schema: pl.Schema
    output: pl.Schema | None
    pin: str = "auto"
    policies: Policies = field(default_factory=Policies)

    def over(self, segment: Segment) -> StageDraft:
        """The same draft doing `segment`."""
        return replace(self, work=segment, schema=segment.schema, output=segment.output)


def fuse(steps: Sequence[Step], schema: pl.Schema, prefix: str, compiler: LineCompiler) -> list[StageDraft]:
    """Check every step once, and fuse neighbours.

    Parameters
    ----------
    prefix
        The prefix of the ids of these steps: the branch or input they are in.
    compiler
        Compiles the graphs inside composite steps.

    Raises
    ------
    PlanError, SchemaError
        A step does not fit; the error names it.
    """
    drafts: list[StageDraft] = []
    for _, group in groupby(zip(step_ids(steps), steps, strict=True), lambda item: _fuses_with(*item)):
        members = [(f"{prefix}{id}", id, step) for id, step in group]
        name = f"{prefix}{'+'.join(id for _, id, _ in members)}"
        draft = _draft(name, [(full, step) for full, _, step in members], schema, compiler)
        drafts.append(draft)
        # A step whose rows all leave inside is the last one: the graph takes no step after it.
        schema = draft.output if draft.output is not None else schema
    return drafts


def _fuses_with(id: str, step: Step) -> tuple[str, str, str]:
    """Equal for neighbours that become one stage; its own id keeps a step apart."""
    operator = step.operator
    plain = isinstance(operator, Expressions)
    fusible = plain or (isinstance(operator, Operator) and operator.fusible)
    alone = not fusible or step.policies.alone
    return (id if alone else "", "" if plain else operator.name, step.backend)


def _draft(
    name: str, members: Sequence[tuple[str, Step]], schema: pl.Schema, compiler: LineCompiler
) -> StageDraft:
    """The draft of the steps of one stage, each under its full id."""
    first = members[0][1]
    if isinstance(first.operator, Composite):
        with naming(name):
            stage = first.operator.compile(compiler, name, schema)
        return StageDraft(name, stage, schema, stage.output)
    output = schema
    expressions: list[Expressions] = []
    for id, step in members:
        with naming(id):
            step.policies.check(output)
            if isinstance(step.operator, Expressions):
                expressions.append(runnable(step.operator, output, id))
                output = check(expressions[-1], output, id)
            else:
                assert isinstance(step.operator, Operator)
                output = step.operator.output_schema(output)
    operators = [step.operator for _, step in members if isinstance(step.operator, Operator)]
    work = (
        Segment(tuple(expressions), schema, output)
        if expressions
        else reduce(lambda one, following: one.fused_with(following), operators)
    )
    return StageDraft(name, work, schema, output, first.backend, first.policies)


@contextmanager
def naming(stage: str) -> Iterator[None]:
    """Errors raised inside name `stage`, unless they name one already."""
    try:
        yield
    except ArrowstreamError as error:
        error.stage = error.stage or stage
        raise
