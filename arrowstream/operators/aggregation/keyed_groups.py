"""State of an aggregation for each key, brought forward a batch at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from arrowstream.operators.aggregation.aggregation import Aggregation
from arrowstream.state.arrays import Array
from arrowstream.state.key_index import Assigned, KeyIndex
from arrowstream.state.memory import StateMemory
from arrowstream.state.slot_store import SLOT, SlotStore, Touched


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of a batch with the state of their keys so far.

    Parameters
    ----------
    rows
        The rows, with a column `SLOT` that tells which of `slots` they belong to, by number.
    slots
        The slots of the keys, in the order in which they come.
    keys
        The keys of the slots, behind such a column.
    state
        State that there is for them, with the same column.
    evicted
        State of keys that had to go for those that are new, in the order in which they first came; may be empty.
    """

    rows: pl.DataFrame
    slots: Array
    keys: pl.DataFrame
    state: pl.DataFrame | None
    evicted: pl.DataFrame | None


class KeyedGroups:
    """A row of state a key: the columns of `keys`, and what `aggregation` keeps.

    Parameters
    ----------
    keys
        The key columns; without any all rows have one key.
    aggregation
        What is kept.
    memory
        Where it lies.
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
        self._index = KeyIndex(keys, max_keys, on_full, memory) if keys else None
        self._store = SlotStore(memory)
        self._touched = Touched(memory)

    def parts(self, rows: pl.DataFrame) -> Iterator[Part]:
        """The rows with the state of their keys; `put` must be called before the next part is asked for."""
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
            yield Part(part, slots, part.select(SLOT, *self.keys)[firsts], state, evicted)

    def merged(self, part: Part, beside: tuple[str, ...] = ()) -> pl.DataFrame:
        """The state with the rows counted in, in the order of `SLOT`.

        Parameters
        ----------
        part
            The rows and the state.
        beside
            More columns to group by, which both must have.
        """
        aggregation, by = self._aggregation, [SLOT, *beside]
        if aggregation.init_row:
            new = part.rows.select(*by, *aggregation.init_row)
        else:
            new = part.rows.group_by(by).agg(*aggregation.init)
        both = new if part.state is None else pl.concat([part.state.select(new.columns), new])
        merged = both.group_by(by).agg(*aggregation.combine).sort(by)
        keys = part.keys[merged[SLOT]] if beside else part.keys
        return merged.hstack(keys.get_columns()[1:])

    def fold(self, rows: pl.DataFrame, updates: bool) -> Iterator[pl.DataFrame]:
        """Count rows in; with `updates` give the state of their keys, in the order in which these first come.

        Without, give that of keys that were evicted.
        """
        for part in self.parts(rows):
            state = self.merged(part)
            self.put(part.slots, state)
            if updates:
                yield state
            elif part.evicted is not None:
                yield part.evicted

    def put(self, slots: Array, state: pl.DataFrame) -> None:
        """Keep this state of these slots."""
        self._store.put(slots, state.drop(SLOT))

    def drop(self, slots: Array) -> None:
        """Keep no state of these slots any more."""
        self._store.drop(slots)

    def frames(self) -> Iterator[pl.DataFrame]:
        """All state, that of the oldest key first, some of it at a time."""
        for slots in iter((np.zeros(1, np.int64),)) if self._index is None else self._index.pieces():
            having = slots[self._store.has(slots)]
            if len(having):
                yield self._store.get(having)

    def restore(self, frames: Iterable[pl.DataFrame]) -> None:
        """Take over what `frames` gave, or slices of it."""
        for state in frames:
            if self._index is not None:
                self._index.check_room(state.height)
            (assigned,) = self._assign(state)
            self._store.put(assigned.slots, state)

    def _assign(self, rows: pl.DataFrame) -> Iterator[Assigned]:
        if self._index is not None:
            return self._index.assign(rows.select(self.keys))
        return iter((Assigned(0, np.zeros(rows.height, np.int64), np.zeros(0, np.int64)),))
