"""Rows that own their memory, and its size."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from arrowstream.core.batch import to_frame, to_record
from arrowstream.core.rows.frame_of import frame_of

_VIEW = 16
"""Bytes of a string's view, which Polars' estimate leaves out."""

_FEW = 4
"""Of this many rows one is few."""

_MANY = 1_024
"""Rows whose strings may take much memory."""

_TEXTS = (pl.String, pl.Binary)

_OLDEST = pl.CompatLevel.oldest()


def owned(rows: pl.DataFrame) -> pl.DataFrame:
    """Copy rows, so that they do not keep the memory of the batch they come from.

    A slice shares the memory of the whole frame, and gathered or filtered strings share its string buffers: a few
    keys would keep the whole batch. Costs about 10 ns per string, and 1 ns per other value.
    """
    columns = rows.get_columns()
    others = [column for column in columns if column.dtype not in _TEXTS]
    # Together: column by column, each would cost as much as all of a few rows do.
    gathered = iter(frame_of(others)[_every(rows.height)].get_columns() if others else ())
    return frame_of(_own_text(each) if each.dtype in _TEXTS else _own(next(gathered)) for each in columns)


def owned_if_few(rows: pl.DataFrame, among: int) -> pl.DataFrame:
    """Return rows that a filter left of `among` rows; if they are few, copied by `owned`.

    A few lines of a log that wait for a sink would otherwise keep the whole log in memory.
    """
    return owned(rows) if _are_few(rows.height, among) else rows


def record_if_few(rows: pa.RecordBatch, among: int) -> pa.RecordBatch | pl.DataFrame:
    """Return rows that are left of `among` rows; if they are few, copied by `owned`: a slice shares all memory."""
    return owned(to_frame(rows)) if _are_few(rows.num_rows, among) else rows


def _are_few(rows: int, among: int) -> bool:
    return rows > 0 and among >= max(_MANY, _FEW * rows)


def with_own_text(groups: pl.DataFrame) -> pl.DataFrame:
    """Copy the strings of groups; their numbers own their memory already.

    Grouping copies the views of strings, not their buffers, so a single new key would keep all the strings of its
    batch.
    """
    texts = [name for name, dtype in groups.schema.items() if dtype in _TEXTS or dtype.is_nested()]
    if not texts:
        return groups
    copied = owned(groups[texts])
    return frame_of(copied[name] if name in copied.columns else groups[name] for name in groups.columns)


def held_bytes(rows: pl.DataFrame) -> int:
    """Return the bytes of memory that owned rows take."""
    return int(rows.estimated_size()) + _VIEW * sum(map(_texts, rows))


def _every(rows: int) -> pl.Series:
    return pl.Series(np.arange(rows, dtype=np.uint32))


def _own_text(column: pl.Series) -> pl.Series:
    # The oldest Arrow layout, with offsets, holds only the bytes of these rows.
    # Polars panics over a name with a NUL character, as those of columns that only the engine sees have.
    return pl.Series(column.name, column.alias("").to_arrow(compat_level=_OLDEST))


def _own(gathered: pl.Series) -> pl.Series:
    """Return gathered values with copies of the texts inside of lists and structs."""
    if not holds_texts(gathered.dtype):
        return gathered
    # Through a frame, which keeps the types of nested categories.
    copied = to_frame(to_record(gathered.alias("").to_frame()))
    return copied.to_series().cast(gathered.dtype).alias(gathered.name)


def holds_texts(dtype: Any) -> bool:
    """Return whether a type is one of strings or bytes, or has them inside."""
    if isinstance(dtype, pl.Struct):
        return any(holds_texts(field.dtype) for field in dtype.fields)
    if isinstance(dtype, pl.List | pl.Array):
        return holds_texts(dtype.inner)
    return dtype in _TEXTS


def _texts(column: pl.Series) -> int:
    """Return the number of strings in a column, including those in lists and structs."""
    dtype = column.dtype
    if not holds_texts(dtype):
        return 0
    if isinstance(dtype, pl.Struct):
        return sum(_texts(column.struct.field(field.name)) for field in dtype.fields)
    return _texts(column.explode()) if isinstance(dtype, pl.List | pl.Array) else len(column)
