"""The Polars backend: runs every segment, as Polars itself would."""

from __future__ import annotations

from sys import maxsize

import polars as pl

from arrowstream.backends.base import Backend, Evaluator, Frames, Step
from arrowstream.core.batch import Batch
from arrowstream.expressions.every_row import for_every_row, steps_for_every_row
from arrowstream.expressions.program import Program, Refusal

_LAZY_FROM = 20_000
"""Rows from which one lazy plan, made anew for each batch, is cheaper than several steps one by one."""

# A filter moved before a cast that can fail would hide the failure, here but not where the steps run
# one by one, nor in the other backends.
_OPTIMIZATIONS = pl.QueryOptFlags(predicate_pushdown=False)


class PolarsBackend(Backend):
    """Runs segments in Polars: a step at a time for few rows, as one optimised query for many."""

    name = "polars"
    runs_everything = True

    def prepare(self, segment: Frames, program: Program | Refusal) -> Evaluator:
        steps = steps_for_every_row(segment.steps)
        spreads = [_gives_one_value(step) for step in steps]
        # One query would compute with a constant of an earlier step, where a batch has a column of it.
        lazy_from = maxsize if any(map(_gives_constants, steps[:-1])) else _LAZY_FROM

        def evaluate(batch: Batch) -> Batch:
            frame = _spread(batch.polars())
            if frame.height < lazy_from:
                for step, spread in zip(steps, spreads, strict=True):
                    # A filter may leave one row, too.
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
    """Whether a column of the result may be one value and a length."""
    return _gives_constants(step) or any(
        for_every_row(expression, read=True) is not expression for expression in step.expressions()
    )


def _gives_constants(step: Step) -> bool:
    return any(not expression.meta.root_names() for expression in step.expressions())


def _spread(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with a value for every row in columns that Polars keeps as one value and a length.

    It divides by those as by constants (see `_among_others`). They come from constants, and from joining
    single rows that are alike; a frame does not tell which of its columns they are, but taking a column
    out of it spreads the column.
    """
    return pl.DataFrame(frame.get_columns()) if frame.height > 1 and frame.width else frame


def _joined(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame without chunks that Polars takes for something else.

    A chunk of one row passes for a constant (see `_among_others`); and before Polars 2, `list.eval` gives
    the lists of several chunks values of the wrong rows where the chunks are slices.
    """
    if max(frame.n_chunks("all")) == 1:
        return frame
    misread = any(column.dtype.is_nested() or 1 in column.chunk_lengths() for column in frame)
    return frame.rechunk() if misread else frame


def _among_others(step: Step, frame: pl.DataFrame) -> pl.DataFrame:
    """A step over a frame, one row as it would be among others.

    Polars takes one row, and one row that is a chunk of its own, for a constant, and divides constants in
    another way: 5 / 3 is 1.6666666666666667, but with a second row both are 1.6666666666666665. So the
    row is given twice, and as no row depends on another, the first half of what comes out is its own.
    """
    if frame.height != 1:
        return step.apply(_joined(frame))
    try:
        twice = step.apply(pl.DataFrame([column.clone().extend(column).rechunk() for column in frame]))
    except pl.exceptions.PolarsError:
        return step.apply(frame)  # its error tells of one value, where that above tells of two
    return twice.head(twice.height // 2)
