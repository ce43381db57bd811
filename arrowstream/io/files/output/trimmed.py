"""Rows that keep no more memory than their texts need, while they wait for the encoder of a file.

Texts are strings and bytes, from Polars 2 on also inside of lists and structs. Those of a block lie in memory of
their own, to which the rows have views. Rows that a filter has chosen keep all of it, also while they wait in the
queue, or for a row group of Parquet to become full. Copying half of the texts is 5 to 10 % of the work from CSV to
Parquet, so rows may keep half as much again as they take themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa

from arrowstream.core.batch import EXPORTS_SLICES_WRONGLY
from arrowstream.io.files.output.row_buffer import frame_bytes
from arrowstream.state.arrays import Array
from arrowstream.state.owned_rows import holds_texts, owned

_INSIDE: Final = 12
"""Longest text, in bytes, that its view of 16 bytes holds itself."""

_UNUSED: Final = 1 << 18
"""Bytes of a column that may be unused, together with a quarter of those that are used: less is not worth a copy."""

_SHARE: Final = 2
"""Unused bytes of all columns are worth a copy only if they are more than the bytes of the rows divided by this."""


def trimmed(rows: pl.DataFrame, nbytes: int | None = None) -> tuple[pl.DataFrame, int]:
    """Return the rows, with columns of text copied if they keep much more memory than the rows need.

    Parameters
    ----------
    rows
        The rows.
    nbytes
        Bytes of their values, if they are known; see `frame_bytes`.

    Returns
    -------
    rows : polars.DataFrame
        The same rows.
    unused : int
        Bytes of memory that they still keep and do not need.

    Examples
    --------
    >>> texts = pl.DataFrame({"text": ["a text of more than 12 bytes"] * 100_000})
    >>> chosen = texts[::3]
    >>> copied, unused = trimmed(chosen)
    >>> copied.equals(chosen), unused
    (True, 0)
    """
    worth, unused = _worth_a_copy(rows, nbytes)
    copies = [_copy(texts) for texts in worth]
    return (rows.with_columns(copies) if copies else rows), unused


def is_trimmed(rows: pl.DataFrame) -> bool:
    """Return True if `trimmed` would return the rows as they are."""
    return not _worth_a_copy(rows, None)[0]


def _worth_a_copy(rows: pl.DataFrame, nbytes: int | None) -> tuple[list[pl.Series], int]:
    """Return the columns that keep much more memory than they need, and the unused bytes of all others.

    If the unused bytes are few next to the rows, only columns are copied of which that takes nothing.
    """
    unused = copied = 0
    views, others = list[pl.Series](), list[pl.Series]()
    for texts in rows.get_columns():
        # Polars 1.35 exports nested values with children that are too short, which ends the process.
        if holds_texts(texts.dtype) and not (EXPORTS_SLICES_WRONGLY and texts.dtype.is_nested()):
            kept, needed = _memory(texts)
            spare = max(0, kept - needed) if needed else 0  # texts may share memory
            unused += spare
            if kept > needed + needed // 4 + _UNUSED:
                (others if needed else views).append(texts)
                copied += spare
    if others and _SHARE * unused <= (frame_bytes(rows) if nbytes is None else nbytes):
        return views, unused
    return views + others, unused - copied


def _memory(texts: pl.Series) -> tuple[int, int]:
    """Return how many bytes of memory a column keeps for texts outside of their views, and how many it needs."""
    kept: dict[int, int] = {}  # sizes by address: batches of one block have the same memory
    needed = 0
    for array in _arrays(texts):
        content = array.buffers()[2:]
        if content:
            kept.update((part.address, part.size) for part in content)
            sizes = _sizes(array)
            needed += int(sizes[sizes > _INSIDE].sum(dtype=np.int64))
    return sum(kept.values()), needed


def _copy(texts: pl.Series) -> pl.Series:
    arrays = [] if texts.dtype.is_nested() else _arrays(texts)
    if arrays and all(_sizes(array).max(initial=0) <= _INSIDE for array in arrays):
        # Their views are enough: nothing is copied.
        views = [
            pa.Array.from_buffers(array.type, len(array), array.buffers()[:2], array.null_count, array.offset)
            for array in arrays
        ]
        return pl.concat([pl.Series(texts.name, array) for array in views], rechunk=False)
    return owned(texts.to_frame()).to_series()


def _arrays(texts: pl.Series) -> list[pa.Array]:
    """Return the texts of each chunk as they are: all in one would be a copy."""
    # Polars panics over a name with a NUL character, as those of columns that only the engine sees have.
    unnamed = texts.alias("").get_chunks()
    chunks = (chunk.to_arrow(compat_level=pl.CompatLevel.newest()) for chunk in unnamed)
    return [array for chunk in chunks for array in _inside(chunk)]


def _inside(array: pa.Array) -> Iterator[pa.Array]:
    """Yield the texts of an array, also those of its lists and structs."""
    kind = array.type
    if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
        yield array
    elif pa.types.is_struct(kind):
        for place in range(kind.num_fields):
            yield from _inside(array.field(place))
    elif pa.types.is_fixed_size_list(kind):
        yield from _inside(array.values.slice(array.offset * kind.list_size, len(array) * kind.list_size))
    elif pa.types.is_large_list(kind):
        first, last = array.offsets[0].as_py(), array.offsets[len(array)].as_py()
        yield from _inside(array.values.slice(first, last - first))


def _sizes(array: pa.Array) -> Array:
    """Return the length of each text (rows,), int32; that of null is any."""
    sizes: Array = np.frombuffer(array.buffers()[1], np.int32)[4 * array.offset :: 4][: len(array)]
    return sizes
