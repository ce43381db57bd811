"""Part of a query that a file read takes over: the columns it needs and the first filter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl
from polars.io.plugins import register_io_source

from arrowstream.io.source import Query


@dataclass(frozen=True, slots=True)
class Pushed:
    """Part of a query that Polars' optimiser moves into the scan.

    Parameters
    ----------
    columns
        Names of the columns that the read needs, in the order of the file.
    predicate
        Filter on the columns, or None.
    """

    columns: tuple[str, ...]
    predicate: pl.Expr | None


def pushed(query: Query | None, schema: pl.Schema) -> Pushed:
    """Return the columns and the filter that Polars' optimiser moves into a scan of `schema` under `query`.

    The query runs over a source without rows, to which the optimiser passes the columns and the
    predicate. This works on every version of Polars, unlike reading the text of its plans.
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
    """Return the parts of a predicate that ``&`` joins, or the predicate itself if it is not joined.

    Parts are recognised by joining them again, not by their text: a string literal may contain any characters.
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
