"""Aggregation state by key, updated a batch at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from arrowstream.core.batch import Batch
from arrowstream.expressions.among_others import among_others, grouped
from arrowstream.operators.aggregation.aggregation import Aggregation
from arrowstream.operators.aggregation.mergeable import ROW
from arrowstream.state.arrays import Array
from arrowstream.state.key_index import Assigned, KeyIndex
from arrowstream.state.memory import StateMemory
from arrowstream.state.slot_store import SLOT, SlotStore, Touched


@dataclass(frozen=True, slots=True)
class KeyedRows:
    """Rows of a batch with the state of their keys so far.

    Parameters
    ----------
    rows
        The rows, with a column `SLOT` (Int64): the index into `slots` of the row's key.
    slots
        The distinct slots of the rows' keys (keys,), int64, in order of first appearance.
    keys
        The keys of `slots`, after a column `SLOT`.
    state
        The state of those keys that have some, with a column `SLOT`; None if none has.
    evicted
        The state of keys evicted for new ones, the oldest key first; None if none was evicted.
    """

    rows: pl.DataFrame
    slots: Array
    keys: pl.DataFrame
    state: pl.DataFrame | None
    evicted: pl.DataFrame | None


class KeyedGroups:
    """A row of state for each key: the columns of `keys` and the state of `aggregation`.

    Parameters
    ----------
    keys
        Names and types of the key columns; without any, all rows have one key.
    aggregation
        The aggregation.
    memory
        The memory that holds keys and state.
    max_keys, on_full
        As for `KeyIndex`.
    """

    def __init__(
        self,
        keys: pl.Schema,
        aggregation: Aggregation,
        memory: StateMemory,
        max_keys: int | None = None,
        on_full: Literal["error", "evict"] = "error",
    ) -> None:
        self.keys = tuple(keys)
        self._aggregation = aggregation
        self._state = [name for name, _, _ in aggregation.plain]
        self._index = KeyIndex(keys, max_keys, on_full, memory) if keys else None
        self._store = SlotStore(memory)
        self._touched = Touched(memory)

    def parts(self, rows: pl.DataFrame) -> Iterator[KeyedRows]:
        """Yield the rows with the state of their keys; call `put` or `drop` before asking for the next part."""
        for assigned in self._assign(rows):
            evicted = None
            fresh = assigned.fresh
            gone = fresh[self._store.has(fresh)]
            if len(gone):
                evicted = self._store.get(gone)
                self._store.drop(gone)
            firsts, which = self._touched.of(assigned.slots)
            slots = assigned.slots[firsts]
            known = self._store.has(slots)
            state = None
            if known.any():
                state = self._store.get(slots[known]).with_columns(
                    pl.Series(SLOT, np.flatnonzero(known), pl.Int64)
                )
            part = rows.slice(assigned.start, len(which)).with_columns(pl.Series(SLOT, which, pl.Int64))
            yield KeyedRows(part, slots, part.select(SLOT, *self.keys)[firsts], state, evicted)

    def merged(self, part: KeyedRows, more: tuple[str, ...] = ()) -> pl.DataFrame:
        """Return the state combined with the rows, sorted by `SLOT` and `more`.

        Parameters
        ----------
        part
            The rows, or groups of them that have state, and the state of their keys so far.
        more
            Further columns to group by, which rows and state must have.
        """
        aggregation, by = self._aggregation, [SLOT, *more]
        if self._state and self._state[0] in part.rows.columns:
            # Groups that a form of rows has made; a column of a stream cannot have such a name.
            new = part.rows.select(*by, ROW, *self._state)
        elif aggregation.init_row:
            new = among_others(part.rows, lambda rows: rows.select(*by, *aggregation.init_row))
        else:
            new = grouped(part.rows, by, aggregation.init)
        both = new if part.state is None else pl.concat([part.state.select(new.columns), new])
        merged = both.group_by(by).agg(*aggregation.combine).sort(by)
        keys = part.keys[merged[SLOT]] if more else part.keys
        return merged.hstack(keys.get_columns()[1:])

    def fold(self, rows: pl.DataFrame, updates: bool) -> Iterator[pl.DataFrame]:
        """Fold rows in; with `updates`, yield the new state of their keys in order of first appearance.

        Without `updates`, yield the state of evicted keys.
        """
        for part in self.parts(rows):
            state = self.merged(part)
            self.put(part.slots, state)
            if updates:
                yield state
            elif part.evicted is not None:
                yield part.evicted

    def changed(self, rows: pl.DataFrame) -> Iterator[tuple[pl.DataFrame, pl.DataFrame, Array]]:
        """Fold rows in; yield the state of their keys that was there, the new one, and which there was (keys,), bool.

        Keys are in order of first appearance; none may be evicted.
        """
        for part in self.parts(rows):
            state = self.merged(part)
            self.put(part.slots, state)
            there = np.zeros(state.height, np.bool_)
            if part.state is not None:
                there[part.state[SLOT].to_numpy()] = True
            yield state.clear() if part.state is None else part.state.select(state.columns), state, there

    def put(self, slots: Array, state: pl.DataFrame) -> None:
        """Store the state of `slots` (int64), one row each."""
        self._store.put(slots, state.drop(SLOT))

    def drop(self, slots: Array) -> None:
        """Delete the state of `slots` (int64)."""
        self._store.drop(slots)

    def frames(self) -> Iterator[pl.DataFrame]:
        """Yield all state in pieces, the oldest key first."""
        for slots in iter((np.zeros(1, np.int64),)) if self._index is None else self._index.pieces():
            having = slots[self._store.has(slots)]
            if len(having):
                yield self._store.get(having)

    def saved(self) -> Iterator[Batch]:
        """Yield all state for a snapshot."""
        return map(Batch, self.frames())

    def restore(self, frames: Iterable[pl.DataFrame]) -> None:
        """Add the frames, or slices of them, that `frames` gave."""
        for state in frames:
            if self._index is not None:
                self._index.check_room(state.height)
            (assigned,) = self._assign(state)
            self._store.put(assigned.slots, state)

    def _assign(self, rows: pl.DataFrame) -> Iterator[Assigned]:
        if self._index is not None:
            return self._index.assign(rows.select(self.keys))
        return iter((Assigned(0, np.zeros(rows.height, np.int64), np.zeros(0, np.int64)),))
