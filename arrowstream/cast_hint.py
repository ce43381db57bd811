"""What to tell somebody whose cast meets a value that does not fit."""

from __future__ import annotations

import polars as pl


def cast_hint(error: BaseException) -> str | None:
    """How to get nulls instead, if an error is that of a strict cast; else None.

    Examples
    --------
    >>> cast_hint(pl.exceptions.InvalidOperationError("conversion from `str` to `i64` failed in column 'x'"))
    'cast(..., strict=False), in SQL TRY_CAST, makes null of what does not fit'
    """
    # Polars says so of every strict cast that meets a value it cannot take.
    if isinstance(error, pl.exceptions.InvalidOperationError) and "conversion" in str(error):
        return "cast(..., strict=False), in SQL TRY_CAST, makes null of what does not fit"
    return None
