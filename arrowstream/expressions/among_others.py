"""Evaluation of expressions over frames, so that a row gets the value that it has among other rows.

Polars takes a column of one value for a constant, and computes with constants in another way: divisions round
differently (`arrowstream.expressions.constant_divisors` writes them as multiplications), and powers multiply for a
single exponent of 3 or 4. A column has one value if the frame has one row, if a chunk of it has one, or if Polars
keeps equal values as one value and a length. Expressions that are not part of a read are evaluated here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import polars as pl

from arrowstream.core.rows.frame_of import frame_of
from arrowstream.expressions.constant_divisors import divides_by

_COPY = "__copy__"


def among_others(frame: pl.DataFrame, evaluate: Callable[[pl.DataFrame], pl.DataFrame]) -> pl.DataFrame:
    """Return ``evaluate(frame)``, where a row that is alone, or a chunk, gets the values that it has among others.

    Parameters
    ----------
    frame
        The rows.
    evaluate
        A function of a frame in which no row depends on another: it gives rows for each row, in order. It runs over
        a single row twice, as the first and second row of a frame; the first half of the result belongs to the row.
    """
    if frame.height != 1:
        return evaluate(joined(frame))
    try:
        twice = evaluate(_twice(frame))
    except pl.exceptions.PolarsError:
        return evaluate(frame)  # this error names the one value, the error above two
    return twice.head(twice.height // 2)


def grouped(frame: pl.DataFrame, by: Sequence[str], exprs: Sequence[pl.Expr]) -> pl.DataFrame:
    """Return the groups of a frame, where a single row gets the values that it has among others."""
    if frame.height != 1:
        return spread(frame).group_by(by).agg(*exprs)
    twice = _twice(frame).hstack([pl.Series(_COPY, [0, 1])])
    return twice.group_by(*by, _COPY).agg(*exprs).head(1).drop(_COPY)


def need_values(exprs: Sequence[pl.Expr]) -> bool:
    """Return whether expressions divide by other values than constants, so that rows must be `spread` before."""
    return any(map(divides_by, exprs))


def spread(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame with a value in memory for every row, also in columns kept as one value and a length.

    Polars makes such columns from constants, and when it joins single rows with equal values. A frame does not show
    which columns these are, but taking a column out of the frame spreads it.
    """
    return frame_of(frame.get_columns()) if frame.height > 1 and frame.width else frame


def joined(frame: pl.DataFrame) -> pl.DataFrame:
    """Join the chunks of a frame if Polars would compute wrongly with several.

    Polars takes a chunk of one row for a constant. Before Polars 2, `list.eval` over several chunks that are slices
    also gives lists the values of other rows.
    """
    if max(frame.n_chunks("all"), default=1) == 1:
        return frame
    misread = any(column.dtype.is_nested() or 1 in column.chunk_lengths() for column in frame)
    return frame.rechunk() if misread else frame


def _twice(frame: pl.DataFrame) -> pl.DataFrame:
    return frame_of(column.clone().extend(column).rechunk() for column in frame)
