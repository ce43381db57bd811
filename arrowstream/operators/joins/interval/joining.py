"""A join of two streams while it runs: each batch meets the rows of the other side that are held."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

import numpy as np
import polars as pl
import pyarrow as pa

from arrowstream.core.batch import Batch, Element, Idle, Watermark
from arrowstream.core.notes import ReaderNote
from arrowstream.operators.base import MultiInputProcess
from arrowstream.operators.joins.interval.results import JoinResults, Pairs
from arrowstream.operators.joins.interval.timed_rows import PAIRS_AT_A_TIME, TimedRows
from arrowstream.operators.joins.keys import JoinKeys, null_keys
from arrowstream.operators.joins.port_times import PortTimes
from arrowstream.operators.joins.side_rows import SideRows
from arrowstream.operators.joins.stream_columns import StreamColumns
from arrowstream.operators.joins.timely_rows import TimelyRows, ticks_of
from arrowstream.operators.windows.event_time import EventTimeColumn
from arrowstream.operators.windows.timeless_rows import NullTimes
from arrowstream.state.arrays import Array
from arrowstream.state.frame_log import rows_equal
from arrowstream.state.memory import StateMemory
from arrowstream.state.snapshot import SnapshotFormat

_FORMAT = SnapshotFormat("interval join", 1)
_LEFT, _RIGHT = 0, 1
_MATCHED = "matched"
_PIECE = 65_536
"""Rows whose partners are looked for at a time. Larger arrays leave the cache, and the allocator may take each one
from the system anew, which took half as long as the work on it."""
_KEPT_PAIRS = PAIRS_AT_A_TIME
"""Pairs of a piece that are kept until all that it deletes has come out; as many are looked for a second time."""
_END = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Sides:
    """What a join knows of its two sides.

    Parameters
    ----------
    keys
        The key columns.
    types
        The types in which keys are compared.
    times
        The event times of the left and of the right, in one unit.
    reach
        How much earlier, and how much later, than a row of the left its partner may be, in ticks.
    results
        What comes out.
    late
        The columns of late rows of either side.
    null_times
        What is done with rows without an event time.
    """

    keys: JoinKeys
    types: pl.Schema
    times: tuple[EventTimeColumn, EventTimeColumn]
    reach: tuple[int, int]
    results: JoinResults
    late: StreamColumns
    null_times: NullTimes

    def keys_of(self, port: int, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the keys of rows of a side, in the same columns for both sides."""
        return self.keys.of_left(rows, self.types) if port == _LEFT else self.keys.of_right(rows, self.types)

    def interval(self, port: int) -> tuple[int, int]:
        """Return how much earlier, and how much later, than a row of this side its partner may be, in ticks."""
        before, after = self.reach
        return (before, after) if port == _LEFT else (after, before)


class StreamJoining(MultiInputProcess):
    """The process of a `StreamJoin`.

    Parameters
    ----------
    sides
        Keys, times and columns.
    schemas
        The schema of each side.
    memory
        The memory that holds the rows.
    """

    __slots__ = ("_held", "_memory", "_ports", "_results", "_saved_form", "_sides", "_timely")

    def __init__(self, sides: Sides, schemas: Sequence[pl.Schema], memory: StateMemory) -> None:
        self._sides = sides
        self._results = sides.results
        self._saved_form = SideRows(schemas)
        self._memory = memory
        self._held = tuple(TimedRows(schema, sum(sides.reach), memory) for schema in schemas)
        self._ports = PortTimes(len(schemas))
        self._timely = TimelyRows("join()", sides.times, sides.late, sides.null_times, max(sides.reach))

    @property
    def notes(self) -> tuple[ReaderNote, ...]:
        return self._timely.notes

    def process(self, batch: Batch, port: int = 0) -> Iterator[Element]:
        self._memory.check()
        self._ports.wake(port)
        reached = self._ports.time_us
        first = None if reached is None else self._sides.times[port].first_tick(reached)
        rows, times = self._timely.sift(batch, port, first)
        keys = self._sides.keys_of(port, rows)
        nulls = None if self._sides.keys.nulls_equal else null_keys(keys)
        if nulls is None:
            yield from self._meet(port, rows, keys, times)
            return
        kept = pl.Series(~nulls)
        yield from self._meet(port, rows.filter(kept), keys.filter(kept), times[~nulls])
        yield from self._results.alone(port, rows, nulls)

    def _meet(self, port: int, rows: pl.DataFrame, keys: pl.DataFrame, times: Array) -> Iterator[Batch]:
        """Yield what comes out for rows with keys, and keep them: what is deleted, then pairs, then rows alone."""
        if not rows.height:
            return
        hashes = keys.hash_rows().to_numpy()
        matched = np.zeros(rows.height, np.bool_)
        find = partial(self._pairs, port, keys, times, hashes)
        other = self._held[1 - port]
        pairs = (
            (yield from self._delete(port, find, other, rows.height))
            if self._results.deletes(1 - port)
            else find()
        )
        for found in pairs:
            yield from self._results.paired(port, rows, found, other, matched)
            matched[found.asked] = True
        yield from self._hold(port, rows, times, hashes, matched)

    def _delete(
        self, port: int, find: Callable[[], Iterator[Pairs]], other: TimedRows, rows: int
    ) -> Generator[Batch, None, Iterator[Pairs]]:
        """Yield the deletions of a batch of `rows` whose pairs come in parts, and return all parts.

        A key of the results may pass from a row that is deleted to a pair of another part, which must come later.
        """
        parts = find()
        few: list[Pairs] = []
        # Of one piece only: rows may be numbered again when the next piece is looked for.
        if rows <= _PIECE:
            count = 0
            while count < _KEPT_PAIRS and (found := next(parts, None)) is not None:
                few.append(found)
                count += len(found.asked)
            if count < _KEPT_PAIRS:
                if len(few) > 1:  # else they come out in one batch
                    for found in few:
                        yield from self._results.deleted(port, found, other)
                return iter(few)
        for found in chain(few, parts):
            yield from self._results.deleted(port, found, other)
        return find()

    def on_watermark(self, time_us: int, port: int = 0) -> Iterator[Element]:
        return self._advance(self._ports.reach(port, time_us))

    def on_idle(self, port: int = 0) -> Iterator[Element]:
        yield from self._advance(self._ports.sleep(port))
        if self._ports.is_idle:
            yield Idle()

    def on_end(self, port: int) -> Iterator[Element]:
        advanced = self._ports.end(port)
        # The other side gets no partner from here any more.
        yield from self._leave(1 - port, _END)
        yield from self._advance(advanced)
        if self._ports.is_idle:
            yield Idle()

    def finish(self) -> Iterator[Element]:
        for port in (_LEFT, _RIGHT):
            yield from self._leave(port, _END)

    def take_late(self) -> Batch | None:
        return self._timely.take_late()

    def snapshot(self) -> Iterator[pa.RecordBatch]:
        self._memory.check_whole()
        return _FORMAT.write(self._saved(), self._saved_keys, ordered=True, ports=self._ports.values())

    def restore(self, batches: Iterator[pa.RecordBatch]) -> None:
        values, saved = _FORMAT.read(batches)
        self._ports.restore(values["ports"])
        for batch in saved:
            for port, rows, own in self._saved_form.apart(batch.polars()):
                held = self._held[port]
                hashes = self._sides.keys_of(port, rows).hash_rows().to_numpy()
                held.append(rows, ticks_of(self._sides.times[port], rows), hashes, own[_MATCHED].to_numpy())

    def _saved(self) -> Iterator[Batch]:
        """Yield the rows held, and whether each has had a partner."""
        for port, held in enumerate(self._held):
            for rows, matched in held.living():
                yield Batch(self._saved_form.of(port, rows).with_columns(pl.Series(_MATCHED, matched)))

    def _saved_keys(self, saved: pl.DataFrame) -> pl.DataFrame:
        """Return the keys of rows that are saved, all of one side."""
        ((port, rows, _),) = self._saved_form.apart(saved)
        return self._sides.keys_of(port, rows)

    def _pairs(self, port: int, keys: pl.DataFrame, times: Array, hashes: Array) -> Iterator[Pairs]:
        """Yield the pairs of a batch, in parts."""
        before, after = self._sides.interval(port)
        other = self._held[1 - port]
        for start in range(0, len(times), _PIECE):
            some = slice(start, start + _PIECE)
            for asked, found in other.find(hashes[some], times[some] - before, times[some] + after):
                if not len(asked):
                    continue
                asked = asked + start
                partners = other.rows(found)
                same = rows_equal(keys.get_columns(), asked, self._sides.keys_of(1 - port, partners))
                if not same.all():
                    asked, found, partners = asked[same], found[same], partners.filter(pl.Series(same))
                yield Pairs(asked, found, partners)

    def _hold(
        self, port: int, rows: pl.DataFrame, times: Array, hashes: Array, matched: Array
    ) -> Iterator[Batch]:
        """Keep rows for partners that may come; those that need none, or come out as changes, go on."""
        ended = self._ports.has_ended(1 - port)
        if ended or self._results.changes:
            yield from self._results.alone(port, rows, ~matched)
        if ended:
            return
        if port == _LEFT and self._results.columns.how in ("semi", "anti"):
            rest = ~matched
            self._held[port].append(rows.filter(pl.Series(rest)), times[rest], hashes[rest], matched[rest])
        else:
            self._held[port].append(rows, times, hashes, matched)

    def _advance(self, time_us: int | None) -> Iterator[Element]:
        """Let rows go that can have no further partner, then pass a new time on, less what held rows may be older."""
        if time_us is None:
            return
        for port in (_LEFT, _RIGHT):
            # A partner's time is at least that of the watermark.
            tick = self._sides.times[port].first_tick(time_us)
            yield from self._leave(port, tick - self._sides.interval(port)[1])
        yield Watermark(time_us - self._sides.times[0].to_us(max(self._sides.reach)))

    def _leave(self, port: int, before: int) -> Iterator[Batch]:
        """Let rows with an earlier time go; those without a partner come out, if they have not done so before."""
        held = self._held[port]
        for leaving in held.leave(before):
            if self._results.keeps(port) and not self._results.changes:
                lonely = leaving[~held.matched(leaving)]
                yield from self._results.alone(port, held.rows(lonely), np.full(len(lonely), True))
