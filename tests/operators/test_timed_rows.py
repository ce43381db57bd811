"""Rows of one side of a join of streams: each question finds those of its hash and times, wherever buckets lie."""

from collections.abc import Iterable

import numpy as np
import polars as pl
import pytest

from arrowstream.operators.joins.interval.timed_rows import TimedRows
from arrowstream.state.arrays import Array
from arrowstream.state.memory import StateMemory

WIDTH = 32
"""A bucket is one tick long, so that 2^24 ticks have buckets."""

FAR = 1 << 24
KEYS = 7


class Held:
    """Rows that are held, next to a plain list of those that are still there."""

    def __init__(self) -> None:
        self.memory = StateMemory()
        self.rows = TimedRows(pl.Schema({"time": pl.Int64, "key": pl.Int64}), WIDTH, self.memory)
        self.there: list[tuple[int, int]] = []

    def append(self, times: Iterable[int]) -> None:
        """Add rows of these times; their keys go round."""
        frame = pl.DataFrame({"time": list(times)}).with_columns(key=pl.col("time") % KEYS)
        self.rows.append(frame, frame["time"].to_numpy(), hashes(frame), np.zeros(frame.height, np.bool_))
        self.there += frame.rows()

    def leave(self, before: int) -> None:
        """Let rows of earlier times leave."""
        for _ in self.rows.leave(before):
            pass
        self.there = [row for row in self.there if row[0] >= before]

    def found(self, key: int, first: int, last: int) -> list[tuple[int, int]]:
        """Return the rows that one question finds: with so many rows for it, the index is asked."""
        questions = pl.DataFrame({"key": [key]})
        pairs = list(self.rows.find(hashes(questions), np.array([first]), np.array([last])))
        return sorted(row for _, numbers in pairs for row in self.rows.rows(numbers).rows() if row[1] == key)

    def check(self, times: Iterable[int]) -> None:
        """Ask for each key around these times."""
        for time in times:
            for key in range(KEYS):
                first, last = time - WIDTH // 2, time + WIDTH // 2
                wanted = sorted(row for row in self.there if row[1] == key and first <= row[0] <= last)
                assert self.found(key, first, last) == wanted, (key, first, last)


def hashes(frame: pl.DataFrame) -> Array:
    """Return a hash of 64 bits of each key, whose first 40 bits differ."""
    return (frame["key"].to_numpy().astype(np.uint64) + np.uint64(1)) << np.uint64(60)


@pytest.mark.parametrize(
    "others",
    [
        range(FAR, FAR + 300, 3),  # later than the last bucket
        range(-FAR, 300 - FAR, 3),  # earlier than the first one
        range(0, 8 * FAR, FAR // 16 + 1),  # so far apart that buckets become longer
    ],
    ids=["later", "earlier", "far apart"],
)
@pytest.mark.parametrize("left", [0, 100], ids=["all are there", "some have left"])
def test_rows_are_found_after_buckets_are_laid_again(others: range, left: int) -> None:
    held = Held()
    held.append(range(0, 400, 2))
    held.check([10, 200])  # the rows are in the index now
    held.leave(left)
    held.append(others)
    held.check([0, left, 200, 390, others[0], others[50], others[-1], 3 * FAR])


def test_rows_of_several_runs_are_found_after_buckets_are_laid_again() -> None:
    held = Held()
    # Each run is more than 8 times as long as the next one, so that they stay apart.
    for first, rows in ((0, 2_000), (1_000, 200), (1_500, 20)):
        held.append(range(first, first + rows))
        held.check([first])
    held.append([2 * FAR])
    held.check([0, 990, 1_100, 1_510, 1_990, 2 * FAR])


def test_rows_that_had_one_bucket_are_found_after_it_became_many() -> None:
    held = Held()
    held.append([0, *range(7 * FAR, 7 * FAR + 400)])  # 32 ticks have one bucket, up to 24 * FAR
    held.check([0, 7 * FAR])
    end = 24 * FAR
    held.append(range(end - 10, end - 400, -2))
    held.check([end - 200])
    held.leave(end - 1_000)
    held.append([end + 32])
    held.check([*range(end - 380, end, 20), end + 32])


def test_buckets_are_laid_where_no_row_is_left() -> None:
    held = Held()
    held.append(range(0, 400, 2))
    held.check([200])
    held.leave(FAR)
    assert len(held.rows) == 0
    held.append(range(2 * FAR, 2 * FAR + 400, 2))
    held.check([200, 2 * FAR, 2 * FAR + 390])


def test_codes_that_are_made_again_release_the_memory_of_the_old_ones() -> None:
    held = Held()
    empty = held.memory.held
    for times in range(0, 8 * FAR, 2 * FAR):
        held.append(range(times, times + 400, 2))
        held.check([times + 10])
    assert held.memory.held > empty
    held.leave(8 * FAR)
    assert held.memory.held == empty
