"""Rows that stay: in memory of their own, and how much that is."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import polars as pl

from arrowstream.core.batch import to_record

_VIEW = 16
"""Bytes of a text besides its letters, where it lies and how it begins, which Polars' estimate leaves out."""

_TEXTS = (pl.String, pl.Binary)

_OLDEST = pl.CompatLevel.oldest()


def owned(rows: pl.DataFrame) -> pl.DataFrame:
    """The same rows, which keep nothing of the batch that they were taken from.

    What is sliced shares the memory of the whole, and so do texts that are gathered or filtered: a few keys of a
    batch would keep all of it. Costs about 10 ns a text, 1 ns any other value.
    """
    return pl.DataFrame([_owned(column) for column in rows])


def with_own_text(groups: pl.DataFrame) -> pl.DataFrame:
    """Groups with a copy of what is text: numbers of groups are their own anyhow.

    Where rows are grouped, Polars copies where text lies and how long it is, not its letters. So a single new key
    would keep all the text of the batch that it came with.
    """
    texts = [name for name, dtype in groups.schema.items() if dtype in _TEXTS or dtype.is_nested()]
    return groups.with_columns(owned(groups[texts]).get_columns()) if texts else groups


def held_bytes(rows: pl.DataFrame) -> int:
    """The memory that owned rows take."""
    return int(rows.estimated_size()) + _VIEW * sum(map(_texts, rows))


def _owned(column: pl.Series) -> pl.Series:
    # In the oldest form of Arrow, with offsets, there are the letters of these rows alone.
    if column.dtype in _TEXTS:
        return pl.Series(column.name, column.to_arrow(compat_level=_OLDEST))
    gathered = column.gather(pl.Series(np.arange(len(column), dtype=np.uint32)))
    if not _holds_texts(column.dtype):
        return gathered
    # A frame keeps the types of categories inside, too.
    copied = cast(pl.DataFrame, pl.from_arrow(to_record(gathered.to_frame())))
    return copied.to_series().cast(column.dtype)


def _holds_texts(dtype: Any) -> bool:
    if isinstance(dtype, pl.Struct):
        return any(_holds_texts(field.dtype) for field in dtype.fields)
    if isinstance(dtype, pl.List | pl.Array):
        return _holds_texts(dtype.inner)
    return dtype in _TEXTS


def _texts(column: pl.Series) -> int:
    """The number of texts in a column, those in lists and structs included."""
    dtype = column.dtype
    if not _holds_texts(dtype):
        return 0
    if isinstance(dtype, pl.Struct):
        return sum(_texts(column.struct.field(field.name)) for field in dtype.fields)
    return _texts(column.explode()) if isinstance(dtype, pl.List | pl.Array) else len(column)
