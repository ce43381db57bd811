"""A time for each slot, and the slots whose time has passed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from arrowstream.state.arrays import Array
from arrowstream.state.memory import StateMemory

NEVER = int(np.iinfo(np.int64).min)
"""The time of a slot that has none."""

_CHUNK = 8_192
"""Slots whose earliest time is kept, so that a watermark looks only at slots whose time may have passed."""

_LATEST = np.iinfo(np.int64).max


class SlotTimes:
    """A time by slot, in ticks.

    Parameters
    ----------
    memory
        The memory that holds the times.

    Attributes
    ----------
    values
        The times (slots,), int64; `NEVER` for none.

    Examples
    --------
    >>> times = SlotTimes(StateMemory())
    >>> times.reach(3)
    >>> times.put(np.array([0, 2]), np.array([5, 7]))
    >>> [slots.tolist() for slots in times.passed(6)], times.values[:3].tolist()
    ([[0]], [-9223372036854775808, -9223372036854775808, 7])
    """

    __slots__ = ("_least", "_memory", "values")

    def __init__(self, memory: StateMemory) -> None:
        self._memory = memory
        self.values = memory.array((0,), np.int64)
        self._least = memory.array((0,), np.int64)
        """A time that none of each chunk is before."""

    def reach(self, slots: int) -> None:
        """Grow to at least this many slots."""
        self.values = self._memory.longer(self.values, slots, NEVER)
        self._least = self._memory.longer(self._least, -(-len(self.values) // _CHUNK), _LATEST)

    def put(self, slots: Array, times: Array) -> None:
        """Set the times of slots (int64); of a slot that comes several times, the last one counts."""
        self.values[slots] = times
        np.minimum.at(self._least, slots // _CHUNK, times)

    def passed(self, before: int) -> Iterator[Array]:
        """Yield the slots whose time is before `before`, which then have none, some at a time."""
        for chunk in np.flatnonzero(self._least < before):
            start = int(chunk) * _CHUNK
            times = self.values[start : start + _CHUNK]
            passed = np.flatnonzero((times < before) & (times != NEVER))
            times[passed] = NEVER
            self._least[chunk] = np.where(times == NEVER, _LATEST, times).min()
            if len(passed):
                yield start + passed
