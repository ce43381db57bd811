"""Frames that take no more memory than their rows need."""

from __future__ import annotations

from typing import cast

import polars as pl


def owned(frame: pl.DataFrame) -> pl.DataFrame:
    """A copy in one piece that shares memory with nothing: a slice holds all the rows that it was cut from."""
    return with_own_text(frame[pl.int_range(frame.height, dtype=pl.UInt32, eager=True)])


def with_own_text(frame: pl.DataFrame) -> pl.DataFrame:
    """The same with a copy of what is text.

    Where rows are filtered, gathered or grouped, Polars copies where text lies and how long it is, not its letters.
    So a single key may hold all the text of the batch that it came with, or a file.
    """
    texts = [name for name, dtype in frame.schema.items() if _may_hold_text(dtype)]
    if not texts:
        return frame
    # In Arrow's older form of text the letters lie one after the other, so they are copied.
    letters = frame[texts].to_arrow(compat_level=pl.CompatLevel.oldest())
    return frame.with_columns(cast(pl.DataFrame, pl.from_arrow(letters)).get_columns())


def _may_hold_text(dtype: pl.DataType) -> bool:
    return dtype in (pl.String, pl.Binary) or dtype.is_nested()
