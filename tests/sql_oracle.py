"""Rows of a query of ours and of DuckDB, compared as multisets."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import duckdb
import polars as pl

from arrowstream import Pipeline


def plain(value: Any) -> Any:
    """A value such that those of both sides are equal if they are the same: floats to 9 digits."""
    if isinstance(value, Decimal):
        value = int(value) if value == int(value) else float(value)
    if isinstance(value, float):
        if math.isnan(value):
            return "NaN"
        return float(f"{value + 0.0:.9g}")
    return value


def multiset(frame: pl.DataFrame) -> Counter[tuple[Any, ...]]:
    return Counter(tuple((type(value) is bool, plain(value)) for value in row) for row in frame.rows())


def by_duckdb(query: str, frames: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    with duckdb.connect() as connection:
        connection.execute("SET threads = 1")
        for name, frame in frames.items():
            connection.register(name, frame.to_arrow())
        found = pl.from_arrow(connection.sql(query).to_arrow_table())
    assert isinstance(found, pl.DataFrame)
    return found


def check(
    query: str, tables: Mapping[str, Any], frames: Mapping[str, pl.DataFrame], other: str | None = None
) -> int:
    """Raise unless a query gives the rows that DuckDB gives for it, or for `other`; return their number."""
    builder = Pipeline.sql(query, **tables)
    known = builder.schema()
    own = builder.collect_sync()
    assert own.schema == known
    expected = by_duckdb(other or query, frames)
    assert own.columns == expected.columns
    assert multiset(own) == multiset(expected), f"{query}\n{own}\n{expected}"
    return own.height
