"""Counts of rows: kept in 64 bits, since a stream has no end, and given in Polars' own type, which it may outgrow."""

from __future__ import annotations

import polars as pl

from arrowstream.errors import StageError

COUNT = pl.get_index_type()
"""What Polars counts in: 32 bits, unless it is built for more."""


def most_rows() -> int:
    """The largest count that Polars' type holds."""
    most: int = pl.select(COUNT.max()).item()
    return most


def too_many(rows: int, hint: str) -> StageError:
    """The error for a count that Polars' type does not hold."""
    return StageError(
        "a count is larger than its type holds",
        expected=f"at most {most_rows():,} rows of a key, as Polars counts in {COUNT}",
        found=f"{rows:,} rows",
        hint=hint,
    )
