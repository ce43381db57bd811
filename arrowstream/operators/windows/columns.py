"""The columns of what comes out of windows, and the names that go in."""

from __future__ import annotations

import polars as pl

from arrowstream.core.batch import arrow_schema
from arrowstream.errors import SchemaError
from arrowstream.operators.aggregation.reserved_names import END, START
from arrowstream.operators.windows.event_time import EventTime


def window_schema(bound: pl.DataType, keys: pl.Schema, results: pl.Schema) -> pl.Schema:
    """Bounds of the window, keys, results.

    Raises
    ------
    SchemaError
        A result is called like a bound.
    """
    for name in results:
        if name in (START, END):
            raise SchemaError(
                "window gives a column of this name itself",
                expected="a result of another name",
                found=name,
                hint='name it with .alias("...")',
            )
    schema = pl.Schema({START: bound, END: bound, **keys, **results})
    arrow_schema(schema)
    return schema


def time_bounds(time: EventTime, start: pl.Expr, end: pl.Expr) -> list[pl.Expr]:
    """The bounds of a window from its ticks."""
    return [time.from_ticks(start).alias(START), time.from_ticks(end).alias(END)]
