"""Rows of keyed state parted by key shard, and put back in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import numpy as np
import polars as pl
import pyarrow as pa

from arrowstream.core.batch import Batch
from arrowstream.state.memory import PIECE
from arrowstream.state.snapshots.key_shards import SHARDS, shards_of

_ORDER = "__order__"
"""Name of the column of row numbers, longer if the rows have a column of this name; it is the last column."""


Keys = Sequence[str] | Callable[[pl.DataFrame], pl.DataFrame]
"""The names of key columns, or a function that returns the keys of rows."""


class ShardCutter:
    """Cuts rows of keyed state into key shards.

    The rows of a shard keep their order, and are cut at the same rows however many come after them: where state only
    grows, all cuts but the last of each shard stay equal.

    Parameters
    ----------
    keys
        The key columns, or a function that returns the keys of rows.
    ordered
        Whether the order of rows of different shards matters. They then get a last column of row
        numbers, counted over all rows in the order in which they were saved.
    """

    __slots__ = ("_count", "_keys", "_ordered")

    def __init__(self, keys: Keys, ordered: bool) -> None:
        self._keys = keys if callable(keys) else partial(_selected, keys)
        self._ordered = ordered
        self._count = 0

    def cut(self, frame: pl.DataFrame) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Yield shards and their rows: shards in ascending order for each `PIECE` rows."""
        for rows in frame.iter_slices(PIECE):
            if self._ordered:
                numbers = pl.int_range(self._count, self._count + rows.height, dtype=pl.UInt32)
                rows = rows.with_columns(numbers.alias(free_name(rows.columns)))
                self._count += rows.height
            shards = shards_of(self._keys(rows))
            sizes = np.bincount(shards, minlength=SHARDS)
            # Converted once, as a conversion for each shard takes four times as long.
            together = Batch(rows[pl.Series(np.argsort(shards, kind="stable").astype(np.uint32))]).arrow()
            for shard, (start, size) in enumerate(zip(np.cumsum(sizes) - sizes, sizes, strict=True)):
                if size:
                    yield shard, together.slice(start, size)


def free_name(columns: Sequence[str]) -> str:
    """Return a name for the column of row numbers."""
    name = _ORDER
    while name in columns:
        name += "_"
    return name


def _selected(names: Sequence[str], rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(names)


def in_order(parts: Iterable[tuple[int, pl.DataFrame]], shards: Iterable[int]) -> Iterator[pl.DataFrame]:
    """Yield the rows of all shards in the order of their last column, without this column.

    Few rows wait where the parts come in the order in which they were written, all if shards come one by one.

    Parameters
    ----------
    parts
        Shards and rows, of each shard in order.
    shards
        The shards that `parts` may have.
    """
    waiting: list[pl.DataFrame] = []
    last = dict.fromkeys(shards, -1)
    due = rows = 0
    for shard, part in parts:
        waiting.append(part)
        rows += part.height
        order = part.columns[-1]
        last[shard] = part[order][-1]
        # What comes later is after the last row of its shard.
        if rows > due and (until := min(last.values())) >= 0:
            everything = pl.concat(waiting).sort(order)
            safe = int(everything[order].search_sorted(until, side="right"))
            if safe:
                yield everything[:safe].drop(order)
            waiting = [everything[safe:]]
            rows -= safe
            due = 2 * rows
    if rows:
        yield pl.concat(waiting).sort(order).drop(order)
