"""The Polars backend, which runs every segment."""

from __future__ import annotations

from sys import maxsize

import polars as pl

from arrowstream.backends.base import Backend, Evaluator, Frames
from arrowstream.core.batch import Batch
from arrowstream.expressions.among_others import among_others, joined, spread
from arrowstream.expressions.every_row import (
    ExpressionStep,
    depend_on_neighbours,
    may_be_one_value,
    steps_for_every_row,
)
from arrowstream.expressions.program import Program, Refusal
from arrowstream.state.owned_rows import owned_if_few

_LAZY_FROM = 20_000
"""Batch size in rows from which one lazy query, planned for each batch, costs less than the steps one by one."""

# A filter moved before a cast that can fail would hide the failure, which steps that run one by one and other
# backends show.
_OPTIMIZATIONS = pl.QueryOptFlags(predicate_pushdown=False)


class PolarsBackend(Backend):
    """The backend that runs segments in Polars: a step at a time for few rows, as one optimised query for many."""

    name = "polars"
    runs_everything = True

    def prepare(self, segment: Frames, program: Program | Refusal) -> Evaluator:
        steps = steps_for_every_row(segment.steps, segment.schema)
        spreads = [_gives_one_value(step) for step in steps]
        # One query would compute with a constant of an earlier step, and with a single row that a filter leaves;
        # steps one by one compute with its column, and with that row among others.
        one_by_one = any(map(_gives_constants, steps[:-1])) or depend_on_neighbours(steps, segment.schema)
        lazy_from = maxsize if one_by_one else _LAZY_FROM

        def evaluate(batch: Batch) -> Batch:
            frame = spread(batch.polars())
            height = frame.height
            if frame.height < lazy_from:
                for step, spreads_out in zip(steps, spreads, strict=True):
                    # A single row may come in, or be left by a filter.
                    frame = among_others(frame, step.apply)
                    if spreads_out:
                        frame = spread(frame)
                return batch.with_rows(owned_if_few(frame, height))
            query = joined(frame).lazy()
            for step in steps:
                query = step.apply(query)
            # Not the streaming engine: it may cut rows into pieces of one.
            frame = query.collect(engine="in-memory", optimizations=_OPTIMIZATIONS)
            frame = owned_if_few(frame, height)
            return batch.with_rows(spread(frame) if spreads[-1] else frame)

        return evaluate


def _gives_one_value(step: ExpressionStep) -> bool:
    """Return whether Polars may keep a column of the step's result as one value and a length."""
    return any(map(may_be_one_value, step.expressions()))


def _gives_constants(step: ExpressionStep) -> bool:
    return any(not expression.meta.root_names() for expression in step.expressions())
