"""The output columns of windows."""

from __future__ import annotations

import polars as pl

from arrowstream.core.rows.arrow_schema import arrow_schema
from arrowstream.errors import SchemaError
from arrowstream.expressions.lineage import Lineage, Names
from arrowstream.operators.aggregation.reserved_names import END, START
from arrowstream.operators.windows.event_time import EventTimeColumn


class GivesWindows(Lineage):
    """A step whose rows have the event time of their windows."""

    __slots__ = ()

    @property
    def time_column(self) -> str:
        return START

    def names_after(self, names: Names) -> Names:
        return frozenset({START, END})


def window_schema(bound: pl.DataType, keys: pl.Schema, results: pl.Schema) -> pl.Schema:
    """Return the output schema of a window: its bounds, the keys, the results.

    Parameters
    ----------
    bound
        The type of `window_start` and `window_end`.
    keys, results
        Names and types of the key columns and of the results.

    Raises
    ------
    SchemaError
        A result has the name of a bound.
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


def time_bounds(time: EventTimeColumn, start: pl.Expr, end: pl.Expr) -> list[pl.Expr]:
    """Return the columns `window_start` and `window_end` from expressions of their ticks (Int64)."""
    return [time.from_ticks(start).alias(START), time.from_ticks(end).alias(END)]
