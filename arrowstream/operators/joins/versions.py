"""Versions of rows by key and time: the one before a time, and the one after it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from arrowstream.state.arrays import Array, merged, ranked, stable_order
from arrowstream.state.frame_log import RATIO, FrameLog
from arrowstream.state.key_index import KeyIndex
from arrowstream.state.memory import PIECE, StateMemory

_NONE = -1


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """Versions sorted by key, time and number.

    Parameters
    ----------
    codes
        The slot of the key times `width`, plus the rank of the time among `times` (rows,), int64.
    times
        The distinct times, in order (times,), int64.
    numbers
        The numbers of the rows (rows,), int64.
    """

    codes: Array
    times: Array
    numbers: Array

    @property
    def width(self) -> int:
        return len(self.times) + 1

    @property
    def slots(self) -> Array:
        found: Array = self.codes // self.width
        return found

    @property
    def nbytes(self) -> int:
        return self.codes.nbytes + self.times.nbytes + self.numbers.nbytes


class Versions:
    """Rows with a key and a time, numbered in the order in which they came.

    They are found in a few sorted runs, which are merged as in a log-structured merge tree (O'Neil et al., 1996), by
    binary search for the slot of the key and the time together.

    Parameters
    ----------
    schema
        The schema of the rows.
    keys
        Names and types of the key columns, none for one key.
    memory
        The memory that holds the rows.
    """

    __slots__ = ("_keys", "_memory", "_runs", "index", "log", "newest", "times")

    def __init__(self, schema: pl.Schema, keys: pl.Schema, memory: StateMemory) -> None:
        self._keys = keys
        self._memory = memory
        self._runs: list[_Run] = []
        self.log = FrameLog(schema, memory)
        """The rows."""
        self.times = memory.array((0,), np.int64)
        """The time of each row."""
        self._begin()

    def _begin(self) -> None:
        self.index = KeyIndex(self._keys, memory=self._memory) if self._keys else None
        """The slot of each key; None if there is one key, whose slot is 0."""
        self.newest = self._memory.array((0,), np.int64)
        """The latest time of the rows of each slot."""

    def append(self, rows: pl.DataFrame, keys: pl.DataFrame, times: Array) -> None:
        """Add at least one row, with its key and its time (rows,), int64."""
        start, stop = self.log.stop, self.log.stop + rows.height
        self.log.append(rows)
        self.times = self._memory.longer(self.times, stop)
        self.times[start:stop] = times
        slots = self.slots(keys, rows.height, add=True)
        np.maximum.at(self.newest, slots, times)
        self._push(slots, times, np.arange(start, stop))

    def slots(self, keys: pl.DataFrame, height: int, *, add: bool = False) -> Array:
        """Return the slot of each key (rows,), int64; -1 for one that is not there, unless it is added."""
        if self.index is None:
            found = np.zeros(height, np.int64)
        elif add:
            (part,) = self.index.assign(keys)
            found = part.slots
        else:
            return self.index.find(keys)
        least = np.iinfo(np.int64).min
        self.newest = self._memory.longer(self.newest, 1 if self.index is None else len(self.index), least)
        return found

    def before(self, slots: Array, times: Array) -> Array:
        """Return the last row of each slot at or before a time (rows,), int64; -1 for none."""
        order = _by_slot(slots)
        slots = slots[order]
        best = np.full(len(slots), _NONE)
        for run in self._runs:
            ends = slots * run.width + np.searchsorted(run.times, times, "right")[order]
            places = np.searchsorted(run.codes, ends) - 1
            there = (places >= 0) & (run.codes.take(places, mode="clip") >= slots * run.width) & (slots >= 0)
            self._better(best, np.where(there, run.numbers.take(places, mode="clip"), _NONE), later=True)
        return _back(best, order)

    def after(self, slots: Array, times: Array, *, last: bool) -> Array:
        """Return the first row of each slot at or after a time (rows,), int64; -1 for none.

        Parameters
        ----------
        slots, times
            The slot and the time of each question (rows,), int64.
        last
            Whether, of several rows of that time, the last one is returned, and not the first.
        """
        order = _by_slot(slots)
        slots = slots[order]
        best = np.full(len(slots), _NONE)
        for run in self._runs:
            begins = slots * run.width + np.searchsorted(run.times, times)[order]
            places = np.searchsorted(run.codes, begins)
            found = run.codes.take(places, mode="clip")
            there = (places < len(run.codes)) & (found < (slots + 1) * run.width) & (slots >= 0)
            if last:
                places = np.where(there, np.searchsorted(run.codes, found, "right") - 1, places)
            numbers = np.where(there, run.numbers.take(places, mode="clip"), _NONE)
            self._better(best, numbers, later=False, last=last)
        return _back(best, order)

    def sorted(self) -> tuple[Array, Array, Array]:
        """Return slots, times and numbers of all rows, at least one, sorted by them (rows,), int64 each."""
        while len(self._runs) > 1:
            self._merge()
        (run,) = self._runs
        return run.slots, self.times[run.numbers], run.numbers

    def keep(self, kept: Array, keys: Iterator[pl.DataFrame]) -> None:
        """Keep only some rows, and number rows and keys anew.

        Parameters
        ----------
        kept
            The numbers of the rows that stay, in order (rows,), int64.
        keys
            The keys of these rows, in pieces of `PIECE` rows.
        """
        pieces = list(keys)
        for run in self._runs:
            self._memory.reserve(-run.nbytes)
        times = self.times[kept]
        for array in (self.times, self.newest):
            self._memory.let_go(array)
        self._runs = []
        if self.index is not None:
            self.index.close()
        self.log.keep(kept[start : start + PIECE] for start in range(0, len(kept), PIECE))
        self.times = self._memory.longer(self._memory.array((0,), np.int64), len(kept))
        self.times[: len(kept)] = times
        self._begin()
        found = [self.slots(piece, piece.height, add=True) for piece in pieces]
        slots = np.concatenate([np.zeros(0, np.int64), *found])
        if self.index is None:
            slots = np.zeros(len(kept), np.int64)
            self.slots(pl.DataFrame(), 0, add=True)
        np.maximum.at(self.newest, slots, times)
        if len(kept):
            self._push(slots, times, np.arange(len(kept)))

    def _better(self, best: Array, numbers: Array, *, later: bool, last: bool = True) -> None:
        """Replace the best rows by others that are later, or earlier; of one time by the last, or the first."""
        if len(self._runs) == 1:
            best[:] = numbers
            return
        there, none = numbers >= 0, best < 0
        ours, theirs = self.times.take(best, mode="clip"), self.times.take(numbers, mode="clip")
        nearer = theirs > ours if later else theirs < ours
        same = (theirs == ours) & ((numbers > best) if last else (numbers < best))
        replaced = there & (none | nearer | same)
        best[replaced] = numbers[replaced]

    def _push(self, slots: Array, times: Array, numbers: Array) -> None:
        if (times[1:] < times[:-1]).any():
            order = np.argsort(times, kind="stable")
            slots, times, numbers = slots[order], times[order], numbers[order]
        distinct, ranks = ranked(times)
        # By slot alone, which is faster than by code: those of a slot are in order.
        order = stable_order(slots)
        self._add((slots * (len(distinct) + 1) + ranks)[order], distinct, numbers[order])
        while len(self._runs) > 1 and len(self._runs[-2].codes) < RATIO * len(self._runs[-1].codes):
            self._merge()

    def _merge(self) -> None:
        """Merge the last two runs."""
        newer, older = self._runs.pop(), self._runs.pop()
        self._memory.reserve(-newer.nbytes - older.nbytes)
        times, *places = merged(older.times, newer.times)
        codes = []
        for run, ranks in zip((older, newer), places, strict=True):
            slots = run.slots
            codes.append(slots * (len(times) + 1) + ranks[run.codes - slots * run.width])
        both, numbers = np.concatenate(codes), np.concatenate([older.numbers, newer.numbers])
        # Rows of a key and time keep their order; two sorted halves are merged in linear time.
        order = np.argsort(both, kind="stable")
        self._add(both[order], times, numbers[order])

    def _add(self, codes: Array, times: Array, numbers: Array) -> None:
        """Add a run of sorted codes."""
        run = _Run(codes, times, numbers)
        self._memory.reserve(run.nbytes)
        self._runs.append(run)


def _by_slot(slots: Array) -> Array:
    """Return an order of questions by the upper 16 bits of their slots (rows,), int64.

    Neighbours in a run are then looked up one after the other.
    """
    shift = max(int(slots.max(initial=0)).bit_length() - 16, 0)
    return np.argsort((slots >> shift).astype(np.uint16), kind="stable")


def _back(found: Array, order: Array) -> Array:
    """Return what was found in an order, in the order of the questions (rows,), int64."""
    back = np.empty_like(found)
    back[order] = found
    return back
