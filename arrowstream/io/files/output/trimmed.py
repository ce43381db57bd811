"""Rows that keep no more memory than their texts need, while they wait for the encoder of a file.

The texts of a block lie in memory of their own, to which the rows have views. Rows that a filter has chosen keep all
of it, also while they wait in the queue, or for a row group of Parquet to become full.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa

from arrowstream.state.arrays import Array

_INSIDE: Final = 12
"""Longest text, in bytes, that its view of 16 bytes holds itself."""

_UNUSED: Final = 1 << 18
"""Bytes of a column that may be unused, together with a quarter of those that are used: less is not worth a copy."""


def trimmed(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows, with columns of text copied if they keep much more memory than their texts need.

    Examples
    --------
    >>> texts = pl.DataFrame({"text": ["a text of more than 12 bytes"] * 100_000})
    >>> chosen = texts[::3]
    >>> chosen.equals(trimmed(chosen))
    True
    """
    copies = [_copy(texts) for texts in rows.get_columns() if _keeps_more(texts)]
    return rows.with_columns(copies) if copies else rows


def is_trimmed(rows: pl.DataFrame) -> bool:
    """Return True if `trimmed` would return the rows as they are."""
    return not any(map(_keeps_more, rows.get_columns()))


def _keeps_more(texts: pl.Series) -> bool:
    if texts.dtype != pl.String:
        return False
    kept: dict[int, int] = {}  # sizes by address: batches of one block have the same memory
    needed = 0
    for array in _arrays(texts):
        content = array.buffers()[2:]
        if content:
            kept.update((part.address, part.size) for part in content)
            sizes = _sizes(array)
            needed += int(sizes[sizes > _INSIDE].sum(dtype=np.int64))
    return sum(kept.values()) > needed + needed // 4 + _UNUSED


def _copy(texts: pl.Series) -> pl.Series:
    arrays = _arrays(texts)
    if all(_sizes(array).max(initial=0) <= _INSIDE for array in arrays):
        # Their views are enough: nothing is copied.
        views = [
            pa.Array.from_buffers(array.type, len(array), array.buffers()[:2], array.null_count, array.offset)
            for array in arrays
        ]
        return pl.concat([pl.Series(texts.name, array) for array in views], rechunk=False)
    # Arrow's older type for texts has them one after the other.
    return pl.Series(texts.name, texts.to_arrow(compat_level=pl.CompatLevel.oldest()))


def _arrays(texts: pl.Series) -> list[pa.Array]:
    """Return the chunks as they are: all in one would be a copy."""
    return [chunk.to_arrow(compat_level=pl.CompatLevel.newest()) for chunk in texts.get_chunks()]


def _sizes(array: pa.Array) -> Array:
    """Return the length of each text (rows,), int32; that of null is any."""
    sizes: Array = np.frombuffer(array.buffers()[1], np.int32)[4 * array.offset :: 4][: len(array)]
    return sizes
