"""The first or the last row of each key within a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
import pyarrow as pa

from arrowstream.core.batch import Batch, Element, Watermark
from arrowstream.core.notes import ReaderNote
from arrowstream.operators.base import Process
from arrowstream.operators.duplicates.groups import Groups, groups_of
from arrowstream.operators.duplicates.slot_times import NEVER, SlotTimes
from arrowstream.operators.windows.event_time import EventTimeColumn
from arrowstream.operators.windows.late_rows import LateRows
from arrowstream.operators.windows.timeless_rows import NullTimes, TimelessRows
from arrowstream.state.arrays import Array
from arrowstream.state.key_index import KeyIndex
from arrowstream.state.memory import PIECE, StateMemory
from arrowstream.state.slot_store import SlotStore
from arrowstream.state.snapshot import SnapshotFormat

_FORMAT = SnapshotFormat("rows within a time", 1)
_BEGAN = "began"
_FORGOTTEN = 65_536
"""Keys are indexed again when there are more than this many and twice those that had a group the last time."""


class RowsWithin(Process):
    """One row of each group: a group begins with a row, and has the rows of its key within `within_us` after it.

    Parameters
    ----------
    schema
        The schema of the rows.
    keys
        Names and types of the key columns.
    time
        The column of event time.
    within_us
        The length of a group, in microseconds.
    last
        Whether the latest row of a group comes out, once it is complete, and not the first one, at once.
    null_times
        What is done with rows without an event time.
    memory
        The memory that holds keys, times and rows.
    """

    __slots__ = (
        *("_began", "_index", "_keys", "_late", "_length", "_memory", "_most", "_reached_us"),
        *("_rows", "_schema", "_time", "_timeless"),
    )

    def __init__(
        self,
        schema: pl.Schema,
        keys: pl.Schema,
        time: EventTimeColumn,
        within_us: int,
        last: bool,
        null_times: NullTimes,
        memory: StateMemory,
    ) -> None:
        self._schema = schema
        self._keys = keys
        self._time = time
        self._length = time.whole_ticks(within_us)
        self._memory = memory
        self._late = LateRows(schema)
        self._timeless = TimelessRows(null_times, time, self._late, "unique()")
        self._reached_us: int | None = None
        self._rows: SlotStore | None = None
        """The latest row of the open group of each slot, where that is the one that comes out."""
        self._begin(last)

    def _begin(self, last: bool) -> None:
        self._index = KeyIndex(self._keys, memory=self._memory)
        self._began = SlotTimes(self._memory)
        """When the last group of each slot began."""
        self._rows = SlotStore(self._memory) if last else None
        self._most = _FORGOTTEN

    @property
    def notes(self) -> tuple[ReaderNote, ...]:
        return self._timeless.notes

    def process(self, batch: Batch) -> Iterator[Element]:
        self._memory.check()
        rows = self._timeless.sift(batch)
        if self._reached_us is not None:
            rows = self._late.sift(rows, self._time.expression() < self._time.first_tick(self._reached_us))
        if not rows.height:
            return
        times = self._ticks(rows)
        self._time.check_room(int(times.min()), int(times.max()), self._length, "unique()")
        if len(self._index) > self._most:
            self._forget()
        slots = self._slots(rows.select(list(self._keys)))
        groups = groups_of(slots, times, self._began.values, self._length)
        if self._rows is None:
            yield from self._first(batch, rows, groups)
        else:
            yield from self._last(rows, times[groups.order], groups, self._rows)
        begun = np.flatnonzero(groups.begins)
        self._began.put(groups.slots[begun], times[groups.order[begun]])

    def on_watermark(self, time_us: int) -> Iterator[Element]:
        if self._reached_us is None or time_us > self._reached_us:
            self._reached_us = time_us
        if self._rows is None:
            yield Watermark(time_us)
            return
        complete = self._complete_before()
        assert complete is not None
        for slots in self._began.passed(complete):
            yield Batch(self._rows.get(slots))
            self._rows.drop(slots)
        # No row that is held is before the beginning of its group.
        yield Watermark(self._time.to_us(complete))

    def take_late(self) -> Batch | None:
        return self._late.take()

    def snapshot(self) -> Iterator[pa.RecordBatch]:
        self._memory.check_whole()
        saved = map(Batch, self._saved())
        return _FORMAT.write(saved, self._saved_keys, ordered=True, reached_us=self._reached_us)

    def restore(self, batches: Iterator[pa.RecordBatch]) -> None:
        values, saved = _FORMAT.read(batches)
        self._reached_us = values["reached_us"]
        for batch in saved:
            self._add(batch.polars())

    def finish(self) -> Iterator[Element]:
        if self._rows is not None:
            self._memory.check()
            for slots in self._open():
                yield Batch(self._rows.get(slots))

    def _first(self, batch: Batch, rows: pl.DataFrame, groups: Groups) -> Iterator[Batch]:
        """Yield the rows that begin a group, and those in none."""
        out = np.zeros(rows.height, np.bool_)
        out[groups.order] = groups.begins | groups.apart
        if out.all() and rows.height == batch.num_rows:
            yield batch
        elif out.any():
            yield batch.with_rows(rows.filter(pl.Series(out)))

    def _last(self, rows: pl.DataFrame, times: Array, groups: Groups, held: SlotStore) -> Iterator[Batch]:
        """Hold the latest row of the last group of each key; yield those of earlier groups, and rows in none.

        Parameters
        ----------
        rows
            The rows.
        times
            Their times, by key (rows,), int64.
        groups
            Their groups.
        held
            The latest rows of open groups.
        """
        slots, begun = groups.slots, np.cumsum(groups.begins)
        firsts = np.flatnonzero(np.concatenate([[True], slots[1:] != slots[:-1]]))
        key = np.repeat(np.arange(len(firsts)), np.diff(firsts, append=len(slots)))
        with_row = np.flatnonzero(held.has(slots[firsts]))
        # The rows that are held join those of the batch: the open group of a key has a number before its others.
        older = held.get(slots[firsts[with_row]]) if len(with_row) else rows.clear()
        inside = np.flatnonzero(~groups.apart)
        number = np.concatenate([(begun - groups.begins)[firsts[with_row]] + with_row, (begun + key)[inside]])
        slot = np.concatenate([slots[firsts[with_row]], slots[inside]])
        place = np.concatenate([np.arange(older.height), older.height + groups.order[inside]])
        order = np.lexsort((np.concatenate([self._ticks(older), times[inside]]), number))
        latest = order[_last_of_each(number[order])]
        stay = _last_of_each(slot[latest])
        both = pl.concat([older, rows])
        gone = np.concatenate([place[latest[~stay]], older.height + groups.order[groups.apart]])
        if len(gone):
            yield Batch(both[pl.Series(gone.astype(np.uint32))])
        held.put(slot[latest[stay]], both[pl.Series(place[latest[stay]].astype(np.uint32))])

    def _complete_before(self) -> int | None:
        """Return the tick before which a group has begun that gets no further row; None without a watermark."""
        if self._reached_us is None:
            return None
        return self._time.first_tick(self._reached_us) - self._length

    def _open(self) -> Iterator[Array]:
        """Yield the slots whose last group may get further rows, some at a time."""
        complete = self._complete_before()
        least = NEVER + 1 if complete is None else complete
        for start in range(0, len(self._index), PIECE):
            began = self._began.values[start : min(start + PIECE, len(self._index))]
            slots = start + np.flatnonzero(began >= least)
            if len(slots):
                yield slots

    def _forget(self) -> None:
        """Index the keys that may have a further row again, without the others."""
        saved = list(self._saved())
        self._memory.close()
        self._begin(self._rows is not None)
        for frame in saved:
            self._add(frame)
        self._most = _FORGOTTEN + 2 * len(self._index)

    def _saved(self) -> Iterator[pl.DataFrame]:
        """Yield the key of each open group, or its latest row, and when it began."""
        for slots in self._open():
            rows = self._keys_of(slots) if self._rows is None else self._rows.get(slots)
            names = {name: f"of {name}" for name in rows.columns}
            yield rows.rename(names).with_columns(pl.Series(_BEGAN, self._began.values[slots]))

    def _keys_of(self, slots: Array) -> pl.DataFrame:
        start, stop = int(slots[0]), int(slots[-1]) + 1
        return self._index.keys(start, stop)[pl.Series((slots - start).astype(np.uint32))]

    def _saved_keys(self, saved: pl.DataFrame) -> pl.DataFrame:
        return saved.select(**{name: pl.col(f"of {name}") for name in self._keys})

    def _add(self, saved: pl.DataFrame) -> None:
        slots = self._slots(self._saved_keys(saved))
        self._began.put(slots, saved[_BEGAN].to_numpy())
        if self._rows is not None:
            self._rows.put(slots, saved.select(**{name: pl.col(f"of {name}") for name in self._schema}))

    def _ticks(self, rows: pl.DataFrame) -> Array:
        return rows.select(self._time.expression()).to_series().to_numpy()

    def _slots(self, keys: pl.DataFrame) -> Array:
        """Return the slots of at least one key (rows,), int64; no key is evicted, so all are one part."""
        (part,) = self._index.assign(keys)
        self._began.reach(len(self._index))
        return part.slots


def _last_of_each(sorted_numbers: Array) -> Array:
    """Return whether each number is the last of its value (rows,), bool."""
    return np.append(sorted_numbers[1:] != sorted_numbers[:-1], True)
