"""Frames without values of a schema, over which Polars is asked what an expression gives.

A build asks for frames of the same few schemas many times, and making one takes 10 us a column. So they are kept, and
must not be changed; a function of the user gets a frame of its own.
"""

from __future__ import annotations

from functools import lru_cache

import polars as pl

from arrowstream.core.rows.frame_of import frame_of

_MOST_COLUMNS = 200
"""Largest number of columns of a frame that is kept: 64 frames of this width take some 10 MB."""

_Items = tuple[tuple[str, pl.DataType], ...]


def no_rows(schema: pl.Schema) -> pl.DataFrame:
    """Return a frame of `schema` without rows.

    Examples
    --------
    >>> no_rows(pl.Schema({"x": pl.Int64()})).lazy().select(pl.col("x") / 2).collect_schema()
    Schema([('x', Float64)])
    """
    items = tuple(schema.items())
    return _no_rows(items) if len(items) <= _MOST_COLUMNS else _no_rows.__wrapped__(items)


def nulls(schema: pl.Schema, height: int) -> pl.DataFrame:
    """Return a frame of `schema` with `height` rows of nulls.

    Examples
    --------
    >>> nulls(pl.Schema({"x": pl.Int64()}), 2)["x"].to_list()
    [None, None]
    """
    items = tuple(schema.items())
    return _nulls(items, height) if len(items) <= _MOST_COLUMNS else _nulls.__wrapped__(items, height)


@lru_cache(maxsize=64)
def _no_rows(items: _Items) -> pl.DataFrame:
    return pl.DataFrame(schema=dict(items))


@lru_cache(maxsize=64)
def _nulls(items: _Items, height: int) -> pl.DataFrame:
    # Not DataFrame.clear(height), which starts a query for each column.
    return frame_of(pl.Series(name, [None] * height, dtype=dtype) for name, dtype in items)
