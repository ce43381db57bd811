"""The rows of one side of a join of streams, found by key and time until no partner can come any more."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from arrowstream.operators.joins.pairs import cut
from arrowstream.state.arrays import Array
from arrowstream.state.frame_log import RATIO, FrameLog
from arrowstream.state.memory import PIECE, StateMemory

PAIRS_AT_A_TIME = 1 << 18
"""Pairs that are looked at at a time, where many rows have the same key."""

_BUCKET_BITS = 24
_BUCKETS = (1 << _BUCKET_BITS) - 1
_HASH = np.uint64(2**64 - 1 - _BUCKETS)
_WIDTHS = 32
"""Time buckets in the length of an interval."""

_STEPS = 4
"""Codes that are looked at one after the other before the end of a stretch is searched."""

_CHUNK = 8_192
"""Rows whose earliest time is kept, so that a watermark looks only at rows that may leave."""

_LEAST_DEAD = 262_144
"""Rows that have left before the others are numbered anew, which costs a copy of them."""

_NEVER = np.iinfo(np.int64).max


class TimedRows:
    """Rows with a time and the hash of a key, numbered in the order in which they came.

    A row's code has the first 40 bits of its hash, then its time in buckets of 1/32 of an interval, in 24 bits. Codes
    are kept in sorted runs, which are merged as in a log-structured merge tree (O'Neil et al., 1996), so that the
    rows of a key within an interval are a stretch of each of a few runs. Rows of another key with the same 40 bits
    are found, too: the caller compares the keys.

    Parameters
    ----------
    schema
        The schema of the rows.
    width
        The length of an interval, in ticks.
    memory
        The memory that holds the rows.
    """

    __slots__ = (
        "_dead",
        "_gone",
        "_least",
        "_least_bits",
        "_log",
        "_matched",
        "_memory",
        "_origin",
        "_runs",
        "_schema",
        "_tick_bits",
        "_times",
    )

    def __init__(self, schema: pl.Schema, width: int, memory: StateMemory) -> None:
        self._schema = schema
        self._memory = memory
        self._least_bits = self._tick_bits = max((width // _WIDTHS).bit_length() - 1, 0)
        """A bucket is 2 to the power of `_tick_bits` ticks long."""
        self._origin: int | None = None
        """The number of the first bucket since 1970."""
        self._begin()

    def _begin(self) -> None:
        self._log = FrameLog(self._schema, self._memory)
        self._runs: list[tuple[Array, Array]] = []
        """The codes of a run (rows,), uint64, sorted, and the numbers of its rows (rows,), int64."""
        self._times = self._memory.array((0,), np.int64)
        self._gone = self._memory.array((0,), np.bool_)
        self._matched = self._memory.array((0,), np.bool_)
        self._least = self._memory.array((0,), np.int64)
        """The earliest time among the rows of each chunk that have not left."""
        self._dead = 0

    def __len__(self) -> int:
        """Return the number of rows that have not left."""
        return self._log.stop - self._dead

    def order(self, hashes: Array, times: Array) -> Array:
        """Return the order of rows by hash and time (rows,), int64, in which they are found fastest, and added."""
        if not len(times):
            return np.arange(0)
        self._reach(int(times.min()), int(times.max()))
        return np.argsort(self._codes(hashes, times))

    def append(self, rows: pl.DataFrame, times: Array, hashes: Array, matched: Array, order: Array) -> None:
        """Add rows.

        Parameters
        ----------
        rows
            The rows.
        times
            Their times in ticks (rows,), int64.
        hashes
            The hashes of their keys (rows,), uint64.
        matched
            Whether each has a partner already (rows,), bool.
        order
            Their `order`, asked for since rows were added or left.
        """
        if not rows.height:
            return
        start, stop = self._log.stop, self._log.stop + rows.height
        self._log.append(rows)
        self._times = self._memory.longer(self._times, stop)
        self._gone = self._memory.longer(self._gone, stop)
        self._matched = self._memory.longer(self._matched, stop)
        self._times[start:stop], self._matched[start:stop] = times, matched
        self._note_least(start, stop)
        self._push(self._codes(hashes[order], times[order]), start + order)

    def find(self, hashes: Array, first: Array, last: Array, order: Array) -> Iterator[tuple[Array, Array]]:
        """Yield pairs of a question and a row with the same hash, as far as it is kept, and a time in its interval.

        Parameters
        ----------
        hashes
            The hash of each question (questions,), uint64.
        first, last
            The first and the last time of its interval (questions,), int64.
        order
            The order in which questions are looked up; that of their hashes is fast.

        Yields
        ------
        tuple
            Indices of questions and numbers of rows (pairs,), int64, some `PAIRS_AT_A_TIME` at a time.
        """
        if not self._runs:
            return
        hashes = hashes[order]
        low, high = self._codes(hashes, first[order]), self._codes(hashes, last[order])
        for codes, numbers in self._runs:
            begins = np.searchsorted(codes, low, "left")
            counts = _ends(codes, begins, high) - begins
            for some in cut(counts, PAIRS_AT_A_TIME):
                asked, found = _expanded(order[some], begins[some], counts[some], numbers)
                times = self._times[found]
                within = (times >= first[asked]) & (times <= last[asked])
                yield (asked, found) if within.all() else (asked[within], found[within])

    def rows(self, numbers: Array) -> pl.DataFrame:
        """Return the rows of these numbers (rows,), int64."""
        return self._log.gather(numbers)

    def matched(self, numbers: Array) -> Array:
        """Return whether each of these rows has had a partner (rows,), bool."""
        found: Array = self._matched[numbers]
        return found

    def match(self, numbers: Array) -> None:
        """Note that these rows have a partner."""
        self._matched[numbers] = True

    def leave(self, before: int) -> Iterator[Array]:
        """Yield the numbers of rows with an earlier time, which leave; then forget rows that have left.

        Parameters
        ----------
        before
            A time in ticks.
        """
        chunks = np.flatnonzero(self._least < before)
        for start in range(0, len(chunks), PIECE // _CHUNK):
            some = chunks[start : start + PIECE // _CHUNK]
            numbers = (some[:, None] * _CHUNK + np.arange(_CHUNK)).ravel()
            numbers = numbers[numbers < self._log.stop]
            leaving = numbers[(self._times[numbers] < before) & ~self._gone[numbers]]
            self._gone[leaving] = True
            self._dead += len(leaving)
            yield leaving
            for chunk in some:
                self._note_least(
                    int(chunk) * _CHUNK, min((int(chunk) + 1) * _CHUNK, self._log.stop), fresh=True
                )
        if self._dead > max(len(self), _LEAST_DEAD) or not len(self):
            self._compact()

    def living(self) -> Iterator[tuple[pl.DataFrame, Array]]:
        """Yield the rows that have not left, and whether each has had a partner (rows,), bool."""
        for start in range(0, self._log.stop, PIECE):
            numbers = start + np.flatnonzero(~self._gone[start : min(start + PIECE, self._log.stop)])
            if len(numbers):
                yield self._log.gather(numbers), self._matched[numbers]

    def _codes(self, hashes: Array, times: Array) -> Array:
        """Return the code of each row; a time out of reach, which no row has, is in the first or the last bucket."""
        assert self._origin is not None
        buckets = (times >> self._tick_bits) - self._origin
        codes: Array = (hashes & _HASH) | np.clip(buckets, 0, _BUCKETS).view(np.uint64)
        return codes

    def _reach(self, first: int, last: int) -> None:
        """Lay the buckets so that every row held, and rows of these times, have buckets of their own times.

        A quarter of the buckets is for those times, and another one for earlier rows. So each code is made again at
        most once while as many rows come as are held, unless times are far apart.
        """
        if self._origin is not None:
            low, high = (first >> self._tick_bits) - self._origin, (last >> self._tick_bits) - self._origin
            if low >= 0 and high <= _BUCKETS:
                return
        self._compact(first, last)

    def _lay_buckets(self, first: int, last: int) -> None:
        self._tick_bits = self._least_bits
        while (last >> self._tick_bits) - (first >> self._tick_bits) > _BUCKETS // 4:
            self._tick_bits += 1
        self._origin = (first >> self._tick_bits) - _BUCKETS // 4

    def _note_least(self, start: int, stop: int, fresh: bool = False) -> None:
        """Bring the earliest times of the chunks of rows `start` to `stop` up to date."""
        first, last = start // _CHUNK, -(-stop // _CHUNK)
        if last > len(self._least):
            self._least = self._memory.longer(self._least, last, _NEVER)
        times = self._times[start:stop]
        if fresh:
            times = np.where(self._gone[start:stop], _NEVER, times)
            self._least[first:last] = _NEVER
        cuts = np.maximum(np.arange(first, last) * _CHUNK - start, 0)
        self._least[first:last] = np.minimum(self._least[first:last], np.minimum.reduceat(times, cuts))

    def _push(self, codes: Array, numbers: Array) -> None:
        """Add a sorted run; it is merged with the one before it unless that is `RATIO` times as long."""
        while self._runs and len(self._runs[-1][0]) < RATIO * len(codes):
            older = self._runs.pop()
            codes, numbers = np.concatenate([older[0], codes]), np.concatenate([older[1], numbers])
            for array in older:
                self._memory.let_go(array)
            order = np.argsort(codes, kind="stable")  # linear, as both halves are sorted
            codes, numbers = codes[order], numbers[order]
        self._memory.reserve(codes.nbytes + numbers.nbytes)
        self._runs.append((codes, numbers))

    def _compact(self, *coming: int) -> None:
        """Drop rows that have left, number the others again, and lay the buckets for them and for times to come."""
        old = self._log.stop
        kept = np.flatnonzero(~self._gone[:old])
        for array in (self._gone, self._least, *(array for run in self._runs for array in run)):
            self._memory.let_go(array)
        times, matched, runs, gone = self._times, self._matched, self._runs, self._gone
        numbering = np.cumsum(~gone[:old]) - 1
        self._log.keep(kept[start : start + PIECE] for start in range(0, len(kept), PIECE))
        log = self._log
        self._begin()
        self._log = log
        self._times = self._memory.longer(self._times, len(kept))
        self._times[: len(kept)] = times[kept]
        self._matched = self._memory.longer(self._matched, len(kept))
        self._matched[: len(kept)] = matched[kept]
        self._gone = self._memory.longer(self._gone, len(kept))
        for array in (times, matched):
            self._memory.let_go(array)
        held = self._times[: len(kept)]
        ends = [*coming, *([int(held.min()), int(held.max())] if len(held) else [])]
        if not ends:
            self._origin = None
            return
        if len(kept):
            self._note_least(0, len(kept))
        self._lay_buckets(min(ends), max(ends))
        for codes, numbers in runs:
            stay = ~gone[numbers]
            numbers = numbering[numbers[stay]]
            if len(numbers):
                codes = self._codes(codes[stay], self._times[numbers])
                # Other buckets are other orders of rows that had one bucket.
                order = np.argsort(codes)
                self._push(codes[order], numbers[order])


def _ends(codes: Array, begins: Array, high: Array) -> Array:
    """Return the end of each stretch of codes that begins at `begins` and goes up to `high` (questions,), int64.

    Most stretches have no code or a few, which are found by looking at the next ones.
    """
    ends = begins.copy()
    going = np.arange(len(ends))
    for _ in range(_STEPS):
        at = ends[going]
        going = going[(at < len(codes)) & (codes.take(at, mode="clip") <= high[going])]
        if not len(going):
            return ends
        ends[going] += 1
    ends[going] = np.searchsorted(codes, high[going], "right")
    return ends


def _expanded(asked: Array, begins: Array, counts: Array, numbers: Array) -> tuple[Array, Array]:
    """Return the question and the row of each pair (pairs,), int64."""
    before = np.cumsum(counts) - counts
    places = np.arange(int(counts.sum())) + np.repeat(begins - before, counts)
    return np.repeat(asked, counts), numbers[places]
