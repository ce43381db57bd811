"""A table in memory, indexed by its keys once, so that a batch costs no more than its own rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from arrowstream.operators.joins.keys import null_keys
from arrowstream.operators.joins.pairs import cut
from arrowstream.state.arrays import Array
from arrowstream.state.key_index import KeyIndex
from arrowstream.state.memory import StateMemory

_BUILT_AT_A_TIME = 1 << 20
"""Rows of the table whose keys are indexed at a time."""

MATCHES_AT_A_TIME = 1 << 18
"""Rows that come out at a time, where many rows of the table have the same key."""


class TableIndex:
    """The rows of a table by key.

    Parameters
    ----------
    keys
        The keys of the table's rows.
    memory
        The memory that holds the index.
    nulls_equal
        Whether a null equals a null; otherwise rows with a null among their keys are never found.

    Examples
    --------
    >>> index = TableIndex(pl.DataFrame({"k": ["a", "b", "b"]}), StateMemory())
    >>> [(ours.tolist(), theirs.tolist()) for ours, theirs in index.pairs(pl.DataFrame({"k": ["b", "x", "a"]}))]
    [([0, 0, 2], [1, 2, 0])]
    """

    __slots__ = ("_keys", "_memory", "_nulls_equal", "_order", "_starts", "duplicate")

    def __init__(self, keys: pl.DataFrame, memory: StateMemory, nulls_equal: bool = False) -> None:
        self._memory = memory
        self._nulls_equal = nulls_equal
        self._keys = KeyIndex(keys.schema, memory=memory)
        self._order: Array | None = None
        self._starts: Array | None = None
        self.duplicate: int | None = None
        """The first row whose key an earlier row has; None if every row has a key of its own."""
        self._build(keys)

    def find(self, keys: pl.DataFrame) -> Array:
        """Return the number of each row's key (rows,), int64; -1 if the table does not have it."""
        found = self._keys.find(keys)
        if not self._nulls_equal and (nulls := null_keys(keys)) is not None:
            found[nulls] = -1
        return found

    def rows(self, found: Array) -> Array:
        """Return the table's row of each key number (rows,), of a table without duplicates; -1 stays -1."""
        if self._order is None or not len(self._order):
            return found
        rows: Array = np.where(found < 0, -1, self._order[found])
        return rows

    def pairs(self, keys: pl.DataFrame, *, unmatched: bool = False) -> Iterator[tuple[Array, Array]]:
        """Yield the pairs of rows with equal keys: positions in `keys`, and rows of the table (pairs,), int64.

        Pairs are in the order of `keys`, and of the table for each of them; some `MATCHES_AT_A_TIME` at a time.

        Parameters
        ----------
        keys
            Keys to look up.
        unmatched
            Whether a row without a partner comes out, with -1 for the table's row.
        """
        found = self.find(keys)
        if self.duplicate is None:
            rows = self.rows(found)
            if unmatched:
                yield np.arange(len(rows)), rows
            else:
                ours = np.flatnonzero(rows >= 0)
                yield ours, rows[ours]
            return
        assert self._starts is not None and self._order is not None
        counts = np.where(found < 0, 0, self._starts[found + 1] - self._starts[found])
        if unmatched:
            counts = np.maximum(counts, 1)
        for some in cut(counts, MATCHES_AT_A_TIME):
            yield from self._expand(some.start, found[some], counts[some])

    def _expand(self, start: int, found: Array, counts: Array) -> Iterator[tuple[Array, Array]]:
        """Yield the pairs of consecutive rows, cut where one row has more than `MATCHES_AT_A_TIME`."""
        assert self._starts is not None and self._order is not None
        if len(counts) == 1 and counts[0] > MATCHES_AT_A_TIME:
            begun, ended = int(self._starts[found[0]]), int(self._starts[found[0] + 1])
            for begin in range(begun, ended, MATCHES_AT_A_TIME):
                end = min(begin + MATCHES_AT_A_TIME, ended)
                yield np.full(end - begin, start), self._order[begin:end]
            return
        ours = np.repeat(np.arange(start, start + len(counts)), counts)
        first = np.where(found < 0, -1, self._starts[found])
        within = np.arange(len(ours)) - np.repeat(np.cumsum(counts) - counts, counts)
        places = np.repeat(first, counts) + within
        yield ours, np.where(places < 0, -1, self._order[places])

    def _build(self, keys: pl.DataFrame) -> None:
        slots = np.full(keys.height, -1, np.int64)
        for start in range(0, keys.height, _BUILT_AT_A_TIME):
            piece = keys.slice(start, _BUILT_AT_A_TIME)
            rows = np.arange(start, start + piece.height)
            if not self._nulls_equal and (nulls := null_keys(piece)) is not None:
                rows = rows[~nulls]
                piece = piece.filter(pl.Series(~nulls))
            for part in self._keys.assign(piece):
                slots[rows[part.start : part.start + len(part.slots)]] = part.slots
        count = len(self._keys)
        if count == keys.height:
            return  # a key for each row: its number is the row
        held = np.flatnonzero(slots >= 0)
        order = held[np.argsort(slots[held], kind="stable")]
        self._order = self._memory.array((len(order),), np.int64)
        self._order[...] = order
        if count == len(order):
            return
        self._starts = self._memory.array((count + 1,), np.int64)
        np.cumsum(np.bincount(slots[held]), out=self._starts[1:])
        first = np.zeros(len(slots), np.bool_)
        first[order[self._starts[:-1]]] = True
        self.duplicate = int(held[~first[held]][0])
