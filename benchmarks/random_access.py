"""What memory alone costs as state grows: reads and writes at random places of two arrays, by numpy."""

from __future__ import annotations

import statistics
import time

import numpy as np

_ROWS = 65_536
_ROUNDS = 15


def growth(fewest: int, most: int) -> float:
    """How many times as long a batch takes that adds to a count and a sum of each row's key, and reads both."""
    return _seconds(most) / _seconds(fewest)


def _seconds(keys: int) -> float:
    rng = np.random.default_rng(0)
    counts, sums = np.zeros(keys, np.uint32), np.zeros(keys, np.int64)
    ones, values = np.ones(_ROWS, np.uint32), rng.integers(0, 1_000, _ROWS)
    taken = []
    for _ in range(_ROUNDS):
        slots = rng.integers(0, keys, _ROWS)
        begin = time.perf_counter()
        np.add.at(counts, slots, ones)
        np.add.at(sums, slots, values)
        _ = counts[slots], sums[slots]
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken)
