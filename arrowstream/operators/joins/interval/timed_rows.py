"""The rows of one side of a join of streams, found by key and time until no partner can come any more."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from arrowstream.operators.joins.interval.hash_pairs import spell_pairs
from arrowstream.operators.joins.pairs import cut, ends_of, expanded
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

_CHUNK = 8_192
"""Rows whose earliest time is kept, so that a watermark looks only at rows that may leave."""

_SCANNED, _JOINED, _PAIRS_OF_A_ROW = 32, 4, 2
"""Rows are joined with questions without an index if there are at most this many for a question, this many of its
time, and if at most this many pairs of equal keys are looked at for a question and a row."""

_LEAST_DEAD = 262_144
"""Rows that have left before the others are numbered anew, which costs a copy of them."""

_NEVER = np.iinfo(np.int64).max


class TimedRows:
    """Rows with a time and the hash of a key, numbered in the order in which they came.

    A few rows, next to those that ask for partners, are joined with them in one go, by their hashes together with a
    part of their times. Where they are many, or many have one key, they are found in an index, which then takes up
    the rows that have come since it was last asked: a row's code has the first 40 bits of its hash, then its time in
    buckets of 1/32 of an interval, in 24 bits. Codes are kept in sorted runs, which are merged as in a log-structured
    merge tree (O'Neil et al., 1996), so that the rows of a key within an interval are a stretch of each of a few
    runs. Rows of another key with the same hash, or the same 40 bits, are found, too: the caller compares the keys.

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
        "_hashes",
        "_indexed",
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
        "_width",
    )

    def __init__(self, schema: pl.Schema, width: int, memory: StateMemory) -> None:
        self._schema = schema
        self._memory = memory
        self._width = width
        self._least_bits = self._tick_bits = max((width // _WIDTHS).bit_length() - 1, 0)
        """A bucket is 2 to the power of `_tick_bits` ticks long."""
        self._origin: int | None = None
        """The number of the first bucket since 1970; None without an index."""
        self._log = FrameLog(schema, memory)
        self._runs: list[tuple[Array, Array]] = []
        """The codes of a run (rows,), uint64, sorted, and the numbers of its rows (rows,), int64."""
        self._indexed = 0
        """The number of the first row that is not in the index."""
        self._begin(0)

    def _begin(self, rows: int) -> None:
        """Make arrays for this number of rows, the first ones."""
        self._times = self._memory.longer(self._memory.array((0,), np.int64), rows)
        self._hashes = self._memory.longer(self._memory.array((0,), np.uint64), rows)
        self._gone = self._memory.longer(self._memory.array((0,), np.bool_), rows)
        self._matched = self._memory.longer(self._memory.array((0,), np.bool_), rows)
        self._least = self._memory.array((0,), np.int64)
        """The earliest time among the rows of each chunk that have not left."""
        self._dead = 0

    def __len__(self) -> int:
        """Return the number of rows that have not left."""
        return self._log.stop - self._dead

    def append(self, rows: pl.DataFrame, times: Array, hashes: Array, matched: Array) -> None:
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
        """
        if not rows.height:
            return
        start, stop = self._log.stop, self._log.stop + rows.height
        self._log.append(rows)
        self._times = self._memory.longer(self._times, stop)
        self._hashes = self._memory.longer(self._hashes, stop)
        self._gone = self._memory.longer(self._gone, stop)
        self._matched = self._memory.longer(self._matched, stop)
        self._times[start:stop], self._hashes[start:stop], self._matched[start:stop] = times, hashes, matched
        self._note_least(start, stop)

    def find(self, hashes: Array, first: Array, last: Array) -> Iterator[tuple[Array, Array]]:
        """Yield pairs of a question and a row with the same hash, or 40 bits of it, and a time in its interval.

        Parameters
        ----------
        hashes
            The hash of each question (questions,), uint64, at least one.
        first, last
            The first and the last time of its interval (questions,), int64.

        Yields
        ------
        tuple
            Indices of questions and numbers of rows (pairs,), int64, some `PAIRS_AT_A_TIME` at a time.
        """
        found = self._joined(hashes, first, last)
        return self._looked_up(hashes, first, last) if found is None else found

    def _joined(self, hashes: Array, first: Array, last: Array) -> Iterator[tuple[Array, Array]] | None:
        """Return the pairs by a join of questions and rows; None if the index finds them faster."""
        stop, count = self._log.stop, len(hashes)
        if stop > _SCANNED * count:
            return None
        times = self._times[:stop]
        there = np.flatnonzero((times >= first.min()) & (times <= last.max()) & ~self._gone[:stop])
        if len(there) > _JOINED * count:
            return None
        most = _PAIRS_OF_A_ROW * (count + len(there))
        pairs = spell_pairs(hashes, first, last, self._hashes[there], times[there], most)
        return None if pairs is None else self._pairs(pairs[0], there[pairs[1]], first, last)

    def _pairs(self, asked: Array, found: Array, first: Array, last: Array) -> Iterator[tuple[Array, Array]]:
        """Yield some pairs at a time in the order of the questions, as far as times are close."""
        asked, found = self._within(asked, found, first, last)
        order = np.argsort(asked, kind="stable")  # there are a few sorted stretches
        for start in range(0, len(order), PAIRS_AT_A_TIME):
            some = order[start : start + PAIRS_AT_A_TIME]
            yield asked[some], found[some]

    def _looked_up(self, hashes: Array, first: Array, last: Array) -> Iterator[tuple[Array, Array]]:
        """Yield the pairs that the index finds."""
        self._index()
        if not self._runs:
            return
        # Neighbours in a run are looked up one after the other; their exact order does not matter.
        order = np.argsort((hashes >> np.uint64(48)).astype(np.uint16), kind="stable")
        hashes = hashes[order]
        low, high = self._codes(hashes, first[order]), self._codes(hashes, last[order])
        for codes, numbers in self._runs:
            begins = np.searchsorted(codes, low, "left")
            counts = ends_of(codes, begins, high) - begins
            for some in cut(counts, PAIRS_AT_A_TIME):
                asked, places = expanded(begins[some], counts[some])
                yield self._within(order[some][asked], numbers[places], first, last)

    def _within(self, asked: Array, found: Array, first: Array, last: Array) -> tuple[Array, Array]:
        """Return the pairs whose row has a time in the interval of its question."""
        times = self._times[found]
        within = np.flatnonzero((times >= first[asked]) & (times <= last[asked]))
        return (asked, found) if len(within) == len(times) else (asked[within], found[within])

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

    def _index(self) -> None:
        """Take rows into the index that have come since the last time."""
        numbers = self._indexed + np.flatnonzero(~self._gone[self._indexed : self._log.stop])
        if len(numbers):
            times = self._times[numbers]
            first, last = int(times.min()), int(times.max())
            if not self._reaches(first, last):
                self._lay_again(first, last)
                numbers = np.arange(self._indexed, self._log.stop)
                times = self._times[numbers]
            codes = self._codes(self._hashes[numbers], times)
            order = np.argsort(codes)
            self._push(codes[order], numbers[order])
        self._indexed = self._log.stop

    def _reaches(self, first: int, last: int) -> bool:
        """Return whether rows of these times have buckets of their own times."""
        if self._origin is None:
            return False
        low, high = (first >> self._tick_bits) - self._origin, (last >> self._tick_bits) - self._origin
        return low >= 0 and high <= _BUCKETS

    def _lay_again(self, first: int, last: int) -> None:
        """Lay the buckets so that every row held, and rows of these times, have buckets of their own times.

        A quarter of the buckets is for those times, and another one for earlier rows. So each code is made again at
        most once while as many rows come as are held, unless times are far apart.
        """
        self._compact()
        held = self._times[: self._log.stop]
        self._lay_buckets(min(first, int(held.min())), max(last, int(held.max())))
        runs, self._runs = self._runs, []
        for run in runs:
            for array in run:
                self._memory.let_go(array)
            numbers = run[1]
            codes = self._codes(self._hashes[numbers], self._times[numbers])
            # Other buckets are other orders of rows that had one bucket.
            order = np.argsort(codes)
            self._push(codes[order], numbers[order])

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

    def _compact(self) -> None:
        """Drop rows that have left, and number the others again."""
        old = self._log.stop
        kept = np.flatnonzero(~self._gone[:old])
        times, hashes, matched, gone = self._times, self._hashes, self._matched, self._gone
        for array in (times, hashes, matched, gone, self._least):
            self._memory.let_go(array)
        self._log.keep(kept[start : start + PIECE] for start in range(0, len(kept), PIECE))
        self._begin(len(kept))
        self._times[: len(kept)] = times[kept]
        self._hashes[: len(kept)] = hashes[kept]
        self._matched[: len(kept)] = matched[kept]
        if len(kept):
            self._note_least(0, len(kept))
        self._indexed = int(np.searchsorted(kept, self._indexed))
        runs, self._runs = self._runs, []
        if not runs:
            return
        numbering = np.cumsum(~gone[:old]) - 1
        for run in runs:
            for array in run:
                self._memory.let_go(array)
            stay = ~gone[run[1]]
            if stay.any():
                self._push(run[0][stay], numbering[run[1][stay]])
