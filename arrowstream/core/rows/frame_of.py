"""Frames whose columns keep their names, also an empty one, as pandas writes it for its index."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl


def frame_of(columns: Iterable[pl.Series]) -> pl.DataFrame:
    """Return a frame of columns: in a list of them, Polars takes an empty name for none and gives another.

    Raises
    ------
    polars.exceptions.PolarsError
        Two columns have different lengths, or one name.

    Examples
    --------
    >>> frame_of([pl.Series("", [1]), pl.Series("x", [2])]).columns
    ['', 'x']
    """
    columns = list(columns)
    return with_names(pl.DataFrame(columns), [column.name for column in columns])


def with_names(frame: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    """Give the columns of a frame that was just made the names that they came with, if Polars has changed one."""
    if "" in names:
        frame.columns = names
    return frame
