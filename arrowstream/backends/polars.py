"""The Polars backend, which runs every segment."""

from __future__ import annotations

from sys import maxsize

import polars as pl

from arrowstream.backends.base import Backend, Evaluator, Frames, Step
from arrowstream.core.batch import Batch
from arrowstream.expressions.every_row import for_every_row, steps_for_every_row
from arrowstream.expressions.program import Program, Refusal

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
        steps = steps_for_every_row(segment.steps)
        spreads = [_gives_one_value(step) for step in steps]
        # One query would compute with a constant of an earlier step; steps one by one compute with its column.
        lazy_from = maxsize if any(map(_gives_constants, steps[:-1])) else _LAZY_FROM

        def evaluate(batch: Batch) -> Batch:
            frame = _spread(batch.polars())
            if frame.height < lazy_from:
                for step, spread in zip(steps, spreads, strict=True):
                    # A single row may come in, or be left by a filter.
                    frame = _among_others(step, frame)
                    if spread:
                        frame = _spread(frame)
                return batch.with_rows(frame)
            query = _joined(frame).lazy()
            for step in steps:
                query = step.apply(query)
            # Not the streaming engine: it may cut rows into pieces of one.
            frame = query.collect(engine="in-memory", optimizations=_OPTIMIZATIONS)
            return batch.with_rows(_spread(frame) if spreads[-1] else frame)

        return evaluate


def _gives_one_value(step: Step) -> bool:
    """Return whether Polars may keep a column of the step's result as one value and a length."""
    return _gives_constants(step) or any(
        for_every_row(expression, read=True) is not expression for expression in step.expressions()
    )


def _gives_constants(step: Step) -> bool:
    return any(not expression.meta.root_names() for expression in step.expressions())


def _spread(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame with a value in memory for every row, also in columns kept as one value and a length.

    Polars divides by such a column as by a constant (see `_among_others`). It makes them from constants, and when it
    joins single rows with equal values. A frame does not show which columns these are, but taking a
    column out of the frame spreads it.
    """
    return pl.DataFrame(frame.get_columns()) if frame.height > 1 and frame.width else frame


def _joined(frame: pl.DataFrame) -> pl.DataFrame:
    """Join the chunks of a frame if Polars would compute wrongly with several.

    Polars takes a chunk of one row for a constant (see `_among_others`). Before Polars 2, `list.eval` over several
    chunks that are slices also gives lists the values of other rows.
    """
    if max(frame.n_chunks("all")) == 1:
        return frame
    misread = any(column.dtype.is_nested() or 1 in column.chunk_lengths() for column in frame)
    return frame.rechunk() if misread else frame


def _among_others(step: Step, frame: pl.DataFrame) -> pl.DataFrame:
    """Apply a step to a frame; a single row gets the values that it would have among others.

    Polars takes a single row for a constant, and divides constants in another way: 5 / 3 is
    1.6666666666666667, but 1.6666666666666665 if there is a second row. So the step runs over the row twice; as no
    row depends on another, the first half of the result belongs to the row.
    """
    if frame.height != 1:
        return step.apply(_joined(frame))
    try:
        twice = step.apply(pl.DataFrame([column.clone().extend(column).rechunk() for column in frame]))
    except pl.exceptions.PolarsError:
        return step.apply(frame)  # this error names the one value, the error above two
    return twice.head(twice.height // 2)
