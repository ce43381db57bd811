"""Fusion: neighbouring expressions with the same pin become one stage, and so do fusible operators."""

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
from arrowstream.plan.physical import CompositeStage, InputsStage
from arrowstream.plan.policies import Policies
from arrowstream.plan.segment import Segment
from arrowstream.plan.step_ids import Prefix, state_ids, step_ids


@dataclass(frozen=True, slots=True)
class StageDraft:
    """A stage before pushdown, and before its backends are prepared.

    Parameters
    ----------
    name
        The stage's name: the ids of its steps, joined by ``+``.
    state_id
        The id of its saved state: the state ids of its steps, joined by ``+``.
    work
        The segment, operator or composite stage that runs.
    schema
        The schema of the rows that come in.
    output
        The schema of the rows that go out; None if all rows leave inside.
    pin
        The backend that its steps are pinned to, or ``"auto"``.
    policies
        The policies of its steps.
    """

    name: str
    state_id: str
    work: Segment | Operator | CompositeStage
    schema: pl.Schema
    output: pl.Schema | None
    pin: str = "auto"
    policies: Policies = field(default_factory=Policies)

    def over(self, segment: Segment) -> StageDraft:
        """Return the same draft with `segment` as its work."""
        return replace(self, work=segment, schema=segment.schema, output=segment.output)


def fuse(
    steps: Sequence[Step], schema: pl.Schema, prefix: Prefix, compiler: LineCompiler
) -> list[StageDraft]:
    """Check every step once, and fuse neighbours.

    Parameters
    ----------
    steps
        The steps of one line, in order.
    schema
        The schema of the rows that come in.
    prefix
        The prefix of the ids and of the state ids of these steps: the branch or input they are in.
    compiler
        Compiles the graphs inside composite steps.

    Returns
    -------
    list of StageDraft
        One draft for each stage, in order.

    Raises
    ------
    PlanError, SchemaError
        A step does not fit; the error names it.
    """
    drafts: list[StageDraft] = []
    identified = zip(step_ids(steps), state_ids(steps), steps, strict=True)
    for _, group in groupby(identified, lambda item: _fuses_with(item[0], item[2])):
        ids, states, members = zip(*group, strict=True)
        name, state_id = f"{prefix.name}{'+'.join(ids)}", f"{prefix.state}{'+'.join(states)}"
        full = [f"{prefix.name}{id}" for id in ids]
        draft = _draft(name, state_id, list(zip(full, members, strict=True)), schema, compiler)
        drafts.append(draft)
        # A step whose rows all leave inside is the last one: the graph takes no step after it.
        schema = draft.output if draft.output is not None else schema
    return drafts


def _fuses_with(id: str, step: Step) -> tuple[str, str, str]:
    """Return a key that is equal for neighbours of one stage; a step that is a stage alone has its id in it."""
    operator = step.operator
    plain = isinstance(operator, Expressions)
    fusible = plain or (isinstance(operator, Operator) and operator.fusible)
    alone = not fusible or step.policies.own_stage
    return (id if alone else "", "" if plain else operator.name, step.backend)


def _draft(
    name: str, state_id: str, members: Sequence[tuple[str, Step]], schema: pl.Schema, compiler: LineCompiler
) -> StageDraft:
    """Check the steps of one stage, each with its full id, and return their draft."""
    first = members[0][1]
    if isinstance(first.operator, Composite):
        with naming(name):
            stage = first.operator.compile(compiler.inside(state_id), name, schema)
            if isinstance(stage, InputsStage):
                first.policies.check(stage.late)
        return StageDraft(name, state_id, stage, schema, stage.output, policies=first.policies)
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
    return StageDraft(name, state_id, work, schema, output, first.backend, first.policies)


@contextmanager
def naming(stage: str) -> Iterator[None]:
    """Name `stage` in errors raised inside, unless they name one already."""
    try:
        yield
    except ArrowstreamError as error:
        error.stage = error.stage or stage
        raise
