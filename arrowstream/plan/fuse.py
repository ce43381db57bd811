"""Neighbours that are plain expressions melt into one segment; other operators only with their own kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import reduce
from itertools import groupby

import polars as pl

from arrowstream.errors import ArrowstreamError
from arrowstream.operators.base import Expressions, Operator
from arrowstream.plan.checks.row_local import check
from arrowstream.plan.graph import Split, Step, Union
from arrowstream.plan.policies import Policies
from arrowstream.plan.segment import Segment
from arrowstream.plan.step_ids import step_ids

SchemaOf = Callable[[str, Split | Union, pl.Schema], pl.Schema | None]
"""What comes out of a split or a union of this name for rows of a schema."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What becomes one stage: its name, what it does, the rows before and after it, and what governs it."""

    name: str
    part: Segment | Operator | Split | Union
    schema: pl.Schema
    output: pl.Schema | None
    pin: str = "auto"
    policies: Policies = field(default_factory=Policies)

    def over(self, segment: Segment) -> Piece:
        """The same piece doing `segment`."""
        return replace(self, part=segment, schema=segment.schema, output=segment.output)


def fuse(steps: Sequence[Step], schema: pl.Schema, prefix: str, schema_of: SchemaOf) -> list[Piece]:
    """Check every step and melt neighbours that are plain expressions with the same pin.

    Parameters
    ----------
    prefix
        What the names of the pieces begin with: the branch they are in.

    Raises
    ------
    PlanError, SchemaError
        A step does not fit; the error names it.
    """
    pieces: list[Piece] = []
    for _, group in groupby(zip(step_ids(steps), steps, strict=True), lambda item: _melts_with(*item)):
        members = list(group)
        operators = [step.operator for _, step in members]
        name = f"{prefix}{'+'.join(id for id, _ in members)}"
        before, after = schema, _after(prefix, members, schema, schema_of)
        step, operator = members[0][1], operators[0]
        if isinstance(operator, Expressions):
            assert after is not None
            fused = tuple(operator for operator in operators if isinstance(operator, Expressions))
            part: Segment | Operator | Split | Union = Segment(fused, before, after)
        elif isinstance(operator, Operator):
            same = [other for other in operators if isinstance(other, Operator)]
            part = reduce(lambda one, next_one: one.melted(next_one), same)
        else:
            part = operator
        pieces.append(Piece(name, part, before, after, step.backend, step.policies))
        # Nothing can come after a piece that all rows leave by sinks: the graph has seen to that.
        schema = after if after is not None else before
    return pieces


def _melts_with(id: str, step: Step) -> tuple[str, str, str]:
    """Equal for neighbours that become one piece; its own id keeps a step apart."""
    operator = step.operator
    fuses = isinstance(operator, Expressions)
    melts = fuses or (isinstance(operator, Operator) and operator.melts)
    alone = not melts or step.policies.alone
    return (id if alone else "", "" if fuses else operator.name, step.backend)


def _after(
    prefix: str, members: list[tuple[str, Step]], schema: pl.Schema, schema_of: SchemaOf
) -> pl.Schema | None:
    after: pl.Schema | None = schema
    for id, step in members:
        assert after is not None
        name, operator = f"{prefix}{id}", step.operator
        before = after
        if isinstance(operator, Expressions):
            after = check(operator, after, name)
        with naming(name):
            if isinstance(operator, Operator):
                after = operator.output_schema(after)
            elif isinstance(operator, Split | Union):
                after = schema_of(name, operator, after)
            step.policies.check(before)
    return after


@contextmanager
def naming(stage: str) -> Iterator[None]:
    """Errors raised inside name `stage`, unless they name one already."""
    try:
        yield
    except ArrowstreamError as error:
        error.stage = error.stage or stage
        raise
