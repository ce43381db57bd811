"""Row counts: kept in 64 bits, as a stream is unbounded, and returned in Polars' type, which may be too narrow."""

from __future__ import annotations

import polars as pl

from arrowstream.errors import StageError

COUNT = pl.get_index_type()
"""The type of Polars' row counts: 32 bits, or 64 bits in some builds."""


def most_rows() -> int:
    """Return the largest count that `COUNT` holds."""
    most: int = pl.select(COUNT.max()).item()
    return most


def too_many(rows: int, hint: str) -> StageError:
    """Return the error for a count of `rows` that `COUNT` cannot hold."""
    return StageError(
        "a count is larger than its type holds",
        expected=f"at most {most_rows():,} rows of a key, as Polars counts in {COUNT}",
        found=f"{rows:,} rows",
        hint=hint,
    )
