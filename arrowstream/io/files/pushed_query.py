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

    The query runs over a source without rows; the optimiser tells that source the columns and the
    predicate, which is the same on every version of Polars, unlike the text of its plans.
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


def conditions(predicate: pl.Expr) -> str:
    """A predicate as people write it, its parts in alphabetical order because Polars' order varies.

    Examples
    --------
    >>> conditions((pl.col("price") > 110) & (pl.col("bidder") == 7))
    'bidder == 7 & price > 110'
    """
    return " & ".join(sorted(_plain(str(part), top=True) for part in conjuncts(predicate)))


def conjuncts(predicate: pl.Expr) -> list[pl.Expr]:
    """The parts of a predicate that are joined by ``&``; itself, if it is none of several.

    Told by building it again, not by its text: text in it may hold any signs.
    """
    parts = predicate.meta.pop()
    if len(parts) == 2 and (parts[1] & parts[0]).meta.eq(predicate):
        return [*conjuncts(parts[1]), *conjuncts(parts[0])]
    return [predicate]


def _plain(text: str, *, top: bool = False) -> str:
    binary = _binary(text)
    if binary is not None:
        left, operator, right = binary
        inner = f"{_plain(left)} {operator} {_plain(right)}"
        return inner if top else f"({inner})"
    if text.startswith('col("') and text.endswith('")') and text.count('"') == 2:
        return text[5:-2]
    if text.startswith("dyn "):
        return text.partition(": ")[2]
    return text


def _binary(text: str) -> tuple[str, str, str] | None:
    """The parts of Polars' ``[(left) operator (right)]``, or None for any other text."""
    if not (text.startswith("[(") and text.endswith(")]")):
        return None
    depth, quoted = 0, False
    for at, sign in enumerate(text[1:], 1):
        if sign == '"':
            quoted = not quoted
        elif not quoted:
            depth += (sign == "(") - (sign == ")")
            if depth == 0:
                operator, _, right = text[at + 1 : -2].partition("(")
                return text[2:at], operator.strip(), right
    return None
