"""The k largest rows of each group so far, which come out as they change."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
import pyarrow as pa

from arrowstream.core.batch import Batch, Element, Idle, Watermark
from arrowstream.core.notes import ReaderNote
from arrowstream.core.rows.changes import CHANGE, CHANGE_TYPE, DELETE, INSERT
from arrowstream.operators.base import Process
from arrowstream.operators.ranking.complete_groups import GroupKeys
from arrowstream.operators.ranking.order import RowOrder, places_in_groups
from arrowstream.operators.windows.late_rows import LateRows
from arrowstream.operators.windows.timeless_rows import NullTimes
from arrowstream.state.arrays import Array
from arrowstream.state.key_index import KeyIndex
from arrowstream.state.memory import PIECE, StateMemory
from arrowstream.state.slot_store import SlotStore, Touched
from arrowstream.state.snapshot import SnapshotFormat

_FORMAT = SnapshotFormat("largest rows", 1)
_GROUP, _HELD = "__group__", "__held__"
_FORGOTTEN = 65_536
"""Groups are indexed again when there are more than this many and twice those that were open the last time."""


class RunningLargest(Process):
    """The first k rows of each group in an order, held as a row of lists for each group.

    Parameters
    ----------
    grouped
        How rows are grouped.
    k
        The most rows of a group.
    order
        The order of rows.
    changes
        Whether rows that enter and leave come out, and not all rows of groups that have changed.
    null_times
        What is done with rows without an event time, where groups have one.
    memory
        The memory that holds groups and rows.
    """

    __slots__ = (
        *("_changes", "_grouped", "_index", "_k", "_late", "_memory", "_most", "_order"),
        *("_reached_us", "_store", "_timeless", "_touched"),
    )

    def __init__(
        self,
        grouped: GroupKeys,
        k: int,
        order: RowOrder,
        changes: bool,
        null_times: NullTimes,
        memory: StateMemory,
    ) -> None:
        self._grouped = grouped
        self._k = k
        self._order = order
        self._changes = changes
        self._memory = memory
        self._late = LateRows(grouped.schema)
        self._timeless = grouped.timeless(null_times, self._late)
        self._reached_us: int | None = None
        self._begin()

    def _begin(self) -> None:
        self._index = KeyIndex(self._grouped.keys, memory=self._memory) if self._grouped.keys else None
        self._store = SlotStore(self._memory)
        self._touched = Touched(self._memory)
        self._most = _FORGOTTEN

    @property
    def notes(self) -> tuple[ReaderNote, ...]:
        return () if self._timeless is None else self._timeless.notes

    def process(self, batch: Batch) -> Iterator[Element]:
        self._memory.check()
        rows = batch.polars()
        time = self._grouped.time
        if time is not None:
            assert self._timeless is not None
            rows = self._timeless.sift(batch)
            if self._reached_us is not None:
                rows = self._late.sift(rows, time.expression() < time.first_tick(self._reached_us))
            if self._index is not None and len(self._index) > self._most:
                self._forget()
        if rows.height:
            yield from self._added(batch, rows)

    def on_watermark(self, time_us: int) -> Iterator[Element]:
        if self._grouped.time is not None:
            self._reached_us = max(time_us, self._reached_us or time_us)
            yield Watermark(self._reached_us)
        # Otherwise rows of any time may come out once more.

    def on_idle(self) -> Iterator[Element]:
        return iter(() if self._grouped.time is None else (Idle(),))

    def take_late(self) -> Batch | None:
        return self._late.take()

    def finish(self) -> Iterator[Element]:
        return iter(())

    def snapshot(self) -> Iterator[pa.RecordBatch]:
        self._memory.check_whole()
        return _FORMAT.write(
            map(Batch, self._saved()),
            list(self._grouped.keys),
            ordered=True,
            reached_us=self._reached_us,
        )

    def restore(self, batches: Iterator[pa.RecordBatch]) -> None:
        values, saved = _FORMAT.read(batches)
        self._reached_us = values["reached_us"]
        for batch in saved:
            self._restore(batch.polars())

    def _added(self, batch: Batch, rows: pl.DataFrame) -> Iterator[Batch]:
        slots = self._slots(rows)
        firsts, which = self._touched.of(slots)
        distinct = slots[firsts]
        rows = rows.with_columns(pl.Series(_GROUP, which), pl.lit(False).alias(_HELD))
        has = np.flatnonzero(self._store.has(distinct))
        if len(has):
            held = self._store.get(distinct[has]).with_columns(
                pl.Series(_GROUP, has), pl.lit(True).alias(_HELD)
            )
            held = held.explode([name for name in rows.columns if name not in (_GROUP, _HELD)])
            rows = pl.concat([held.select(rows.columns), rows])
        rows = self._order.sorted(rows, [_GROUP])
        stays = places_in_groups(rows.select(_GROUP)) < self._k
        held_before = rows[_HELD].to_numpy()
        moves = stays != held_before
        groups = rows[_GROUP].to_numpy()
        changed = np.zeros(len(distinct), np.bool_)
        changed[groups[moves]] = True
        if not changed.any():
            return
        new = rows.filter(pl.Series(stays & changed[groups]))
        self._put(distinct, new)
        if self._changes:
            words = pl.Series(CHANGE, np.where(stays, INSERT, DELETE)[moves]).cast(CHANGE_TYPE)
            moved = rows.filter(pl.Series(moves)).with_columns(words)
            # Those that leave come first: no group ever has more than k rows, and a key that moves to another group
            # is deleted before it is inserted.
            out = moved.sort(CHANGE, _GROUP, descending=[True, False], maintain_order=True)
            yield batch.with_rows(out.select(*self._grouped.schema, CHANGE))
        else:
            yield batch.with_rows(new.select(list(self._grouped.schema)))

    def _put(self, distinct: Array, rows: pl.DataFrame) -> None:
        """Hold the rows of groups that have changed, which are sorted by group."""
        lists = rows.group_by(_GROUP, maintain_order=True).agg(pl.all().exclude(_HELD))
        self._store.put(distinct[lists[_GROUP].to_numpy()], lists.drop(_GROUP))

    def _forget(self) -> None:
        """Index the groups that may get further rows again, without the others."""
        saved = list(self._saved())
        self._memory.close()
        self._begin()
        for lists in saved:
            self._restore(lists)
        assert self._index is not None
        self._most = _FORGOTTEN + 2 * len(self._index)

    def _saved(self) -> Iterator[pl.DataFrame]:
        """Yield the keys of groups that may get further rows, and then lists of their rows."""
        names = {name: f"of {name}" for name in self._grouped.schema}
        if self._index is None:
            slots = np.flatnonzero(self._store.has(np.zeros(1, np.int64)))
            if len(slots):
                yield self._store.get(slots).rename(names)
            return
        time = self._grouped.time
        for start in range(0, len(self._index), PIECE):
            keys = self._index.keys(start, min(start + PIECE, len(self._index)))
            slots = np.arange(start, start + keys.height)
            if time is not None and self._reached_us is not None:
                is_open = keys.select(time.expression() >= time.first_tick(self._reached_us)).to_series()
                keys, slots = keys.filter(is_open), slots[is_open.to_numpy()]
            if len(slots):
                yield keys.hstack(self._store.get(slots).rename(names).get_columns())

    def _restore(self, saved: pl.DataFrame) -> None:
        slots = self._slots(saved)
        self._store.put(slots, saved.select(**{name: pl.col(f"of {name}") for name in self._grouped.schema}))

    def _slots(self, rows: pl.DataFrame) -> Array:
        if self._index is None:
            return np.zeros(rows.height, np.int64)
        (part,) = self._index.assign(rows.select(list(self._grouped.keys)))
        return part.slots
