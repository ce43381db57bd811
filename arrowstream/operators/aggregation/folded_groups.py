"""Aggregation state by key, folded row by row into arrays by slot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import polars as pl

from arrowstream.core.batch import Batch
from arrowstream.core.rows.frame_of import frame_of
from arrowstream.expressions.among_others import among_others
from arrowstream.operators.aggregation.aggregation import Aggregation
from arrowstream.operators.aggregation.folded_column import SlotColumn
from arrowstream.state.arrays import Array
from arrowstream.state.key_index import KeyIndex
from arrowstream.state.memory import PIECE, StateMemory
from arrowstream.state.slot_store import Touched
from arrowstream.state.snapshots.key_ranges import KeyRanges, RangeRows

_LEAST = 1024
"""The initial number of slots of a column."""


class FoldedGroups:
    """A faster `KeyedGroups` for aggregations that can be folded, that is, with `update`.

    A column of state is an array by slot, and numpy folds the values of a batch into the slots of their rows, in
    row order: so a sum of floats has the same bits however the stream is cut. A batch costs a few random accesses
    per row, whatever the number of keys.

    Parameters
    ----------
    keys
        Names and types of the key columns; without any, all rows have one key.
    aggregation
        The aggregation; it must have `update`.
    memory
        The memory that holds keys and state.
    max_keys
        The most keys to hold; one more raises StageError.
    """

    def __init__(
        self, keys: pl.Schema, aggregation: Aggregation, memory: StateMemory, max_keys: int | None = None
    ) -> None:
        self.keys = tuple(keys)
        # The first column, the number of the first row, is not kept: slots are given in its order.
        self._folds = aggregation.update[1:]
        self._columns: list[SlotColumn] = []
        """Empty until the first rows give the types."""
        self._memory = memory
        self._one = aggregation.init_row[1:]
        self._names = [expr.meta.output_name() for expr in self._one]
        self._index = KeyIndex(keys, max_keys, memory=memory) if keys else None
        self._ranges = None
        if self._index is not None:
            self._ranges = KeyRanges(self._index, self.keys, memory)
        self._touched = Touched(memory)
        self._used = 0

    def fold(self, rows: pl.DataFrame, updates: bool) -> Iterator[pl.DataFrame]:
        """Fold rows or groups in; with `updates`, yield the new state of their keys in order of first appearance."""
        if not rows.height:
            return
        # The expressions may fail, so they run before new keys get slots.
        slots = self._add(rows, self._values(rows))
        if updates:
            firsts = self._touched.firsts(slots)
            yield self._with_keys(slots[firsts], self._keys(rows, firsts))

    def changed(self, rows: pl.DataFrame) -> Iterator[tuple[pl.DataFrame, pl.DataFrame, Array]]:
        """Fold rows, or groups, in; yield the state of their keys before and after, and which had some (keys,), bool.

        Keys are in order of first appearance.
        """
        if not rows.height:
            return
        columns = self._values(rows)
        slots, used = self._slots(rows), self._used
        firsts = self._touched.firsts(slots)
        touched = slots[firsts]
        there = touched < used
        before = self._with_keys(touched[there], self._keys(rows, firsts[there])) if there.any() else None
        self._fold(slots, columns)
        after = self._with_keys(touched, self._keys(rows, firsts))
        yield after.clear() if before is None else before, after, there

    def _keys(self, rows: pl.DataFrame, places: Array) -> list[pl.Series]:
        return [rows[name].gather(places) for name in self.keys]

    def _with_keys(self, slots: Array, keys: list[pl.Series]) -> pl.DataFrame:
        return frame_of([*(column.get(slots) for column in self._columns), *keys])

    def _values(self, rows: pl.DataFrame) -> pl.DataFrame:
        # Groups that a form of rows has made come with their state; a column of a stream cannot have such a name.
        if self._names and self._names[0] in rows.columns:
            return rows.select(self._names)
        return among_others(rows, self._single)

    def _single(self, rows: pl.DataFrame) -> pl.DataFrame:
        return rows.with_columns(self._one).select(self._names)

    def frames(self) -> Iterator[pl.DataFrame]:
        """Yield all state in pieces, the oldest key first."""
        for start in range(0, self._used, PIECE):
            stop = min(start + PIECE, self._used)
            state = [column.get(np.arange(start, stop)) for column in self._columns]
            keys = self._index.keys(start, stop).get_columns() if self._index is not None else []
            yield frame_of([*state, *keys])

    def saved(self) -> Iterator[Batch | RangeRows]:
        """Yield all state for a snapshot."""
        return map(Batch, self.frames()) if self._ranges is None else self._ranges.saved(self._state)

    def _state(self, slots: Array) -> pl.DataFrame:
        return frame_of(column.get(slots) for column in self._columns)

    def restore(self, frames: Iterable[pl.DataFrame]) -> None:
        """Add the frames, or slices of them, that `frames` gave."""
        for state in frames:
            self._add(state, state)

    def _add(self, rows: pl.DataFrame, columns: pl.DataFrame) -> Array:
        """Fold the values of `columns` into the slots of the keys of `rows`; return these slots (rows,), int64."""
        slots = self._slots(rows)
        self._fold(slots, columns)
        return slots

    def _fold(self, slots: Array, columns: pl.DataFrame) -> None:
        if not self._columns:
            folded = zip(self._folds, columns.get_columns(), strict=False)
            self._columns = [SlotColumn(fold, like, _LEAST, self._memory) for fold, like in folded]
        for column, values in zip(self._columns, columns, strict=False):
            column.fold(slots, values, self._used)
        self._used = max(self._used, int(slots.max()) + 1)

    def _slots(self, rows: pl.DataFrame) -> Array:
        if self._index is None:
            return np.zeros(rows.height, np.int64)
        # No key is evicted here, so a batch is one part.
        (assigned,) = self._index.assign(rows.select(self.keys))
        return assigned.slots
