"""What of a query a file read takes over: which columns it needs and which filter comes first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl
from polars.io.plugins import register_io_source

from arrowstream.io.source import Query


@dataclass(frozen=True, slots=True)
class Pushed:
    """The part of a query that Polars' optimiser moves into the scan.

    Parameters
    ----------
    columns
        Columns the read needs, in the order of the file.
    predicate
        The filter on them, or None.
    """

    columns: tuple[str, ...]
    predicate: pl.Expr | None


def pushed(query: Query | None, schema: pl.Schema) -> Pushed:
    """What Polars moves into a scan of `schema` under `query`, as its own optimiser decides it.

    The query runs over a source without rows; the optimiser hands that source the columns and the
    predicate, which works the same on every version of Polars, unlike the text of its plans.
    """
    columns, predicate = tuple(schema), None
    if query is None:
        return Pushed(columns, predicate)

    def source(
        with_columns: list[str] | None, filter: pl.Expr | None, n_rows: int | None, batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        nonlocal columns, predicate
        predicate = filter
        if with_columns is not None:
            columns = tuple(name for name in schema if name in with_columns)
        yield pl.DataFrame(schema={name: schema[name] for name in columns})

    query(register_io_source(source, schema=schema)).collect(engine="in-memory")
    return Pushed(columns, predicate)


def conjuncts(predicate: pl.Expr) -> list[pl.Expr]:
    """The parts of a predicate that are joined by ``&``; the predicate itself if it is not joined.

    A part is recognised by joining it again, not by its text: a text in it may hold any signs.
    """
    parts, found = [predicate], list[pl.Expr]()
    while parts:
        part = parts.pop()
        inputs = part.meta.pop()
        if len(inputs) == 2 and (inputs[1] & inputs[0]).meta.eq(part):
            parts += inputs
        else:
            found.append(part)
    return found
