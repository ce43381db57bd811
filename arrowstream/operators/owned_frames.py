"""Frames that take no more memory than their rows need."""

from __future__ import annotations

from typing import cast

import polars as pl


def owned(frame: pl.DataFrame) -> pl.DataFrame:
    """A copy in one piece that shares memory with nothing.

    A slice holds all the rows that it was cut from. So does text that was filtered or gathered: Polars copies where
    it lies and how long it is, not its letters. What is kept for long would hold whole batches, or files.
    """
    rows = frame[pl.int_range(frame.height, dtype=pl.UInt32, eager=True)]
    texts = [name for name, dtype in rows.schema.items() if _may_hold_text(dtype)]
    if not texts:
        return rows
    # In Arrow's older form of text the letters lie one after the other, so they are copied.
    letters = rows[texts].to_arrow(compat_level=pl.CompatLevel.oldest())
    return rows.with_columns(cast(pl.DataFrame, pl.from_arrow(letters)).get_columns())


def _may_hold_text(dtype: pl.DataType) -> bool:
    return dtype in (pl.String, pl.Binary) or dtype.is_nested()
