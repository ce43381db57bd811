"""Runs of groups in files: few of them, each group written a few times, and never much at once in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from unittest import mock

import polars as pl
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from arrowstream.operators.windows import run_store
from arrowstream.operators.windows.panes import PANE, Rows, SortedGroups
from arrowstream.operators.windows.run_store import RunStore
from arrowstream.state.memory import StateMemory

pytestmark = pytest.mark.once


class Summed(RunStore):
    """Sums by pane and key, and what was done for them."""

    def __init__(self, memory: StateMemory, keys: Sequence[str] = ("k",)) -> None:
        super().__init__(self.sums, keys, memory)
        self.keys = list(keys)
        self.at_once = 0

    def sums(self, parts: Sequence[Rows]) -> pl.DataFrame:
        rows = pl.concat([part.all() for part in parts])
        self.at_once = max(self.at_once, rows.height)
        return rows.group_by(PANE, *self.keys).agg(pl.col("x").sum()).sort(PANE)


class Counted(StateMemory):
    """Counts the rows that go to files."""

    __slots__ = ("written",)

    def __init__(self, max_bytes: int) -> None:
        super().__init__(max_bytes, spills=True)
        self.written = 0

    def in_file(self, pieces: Iterable[pl.DataFrame]) -> pl.DataFrame:
        def counted() -> Iterator[pl.DataFrame]:
            for piece in pieces:
                self.written += piece.height
                yield piece

        return super().in_file(counted())


def run(panes: Iterable[int], keys: Iterable[int]) -> SortedGroups:
    return SortedGroups.of(pl.DataFrame({PANE: panes, "k": keys, "x": 1}, schema_overrides={"x": pl.Int64}))


@pytest.fixture
def little() -> Iterator[None]:
    """Little is merged at once: some 200 groups of 24 bytes."""
    with mock.patch.object(run_store, "_LEAST_BYTES", 200 * 24):
        yield


def test_small_runs_wait_in_memory_until_they_are_worth_a_file() -> None:
    memory = Counted(100_000)
    store = Summed(memory)
    for number in range(50):
        store.add(run([0] * 10, range(10 * number, 10 * number + 10)))
    assert memory.held == 500 * 24 and not memory.written and not store.in_files(None)
    for number in range(50, 300):
        store.add(run([0] * 10, range(10 * number, 10 * number + 10)))
        assert memory.held <= 50_000
    assert store.in_files(None) and store.in_files(1) and not store.in_files(0)
    found = store.take(None, None, None)
    assert found is not None and sorted(found.frame["k"]) == list(range(3_000))


@pytest.mark.untraced
@pytest.mark.parametrize("order", ["one pane", "one after the other", "all at once"])
def test_many_runs_are_few_files_and_little_is_written(order: str, little: None) -> None:
    memory = Counted(100 * 24)
    store = Summed(memory)
    count = 200
    for number in range(count):
        panes = {"one pane": [0] * 100, "one after the other": [number] * 100, "all at once": range(100)}[
            order
        ]
        store.add(run(panes, range(100 * number, 100 * number + 100)))
        assert len(store.runs) <= 8 * 3
    # Files of 100, 800 and 6,400 groups; where a pane is too large, its groups are first put in order.
    assert memory.written <= 100 * count * 5
    assert store.at_once <= 2 * 200
    found = store.take(None, None, None)
    assert found is not None and sorted(found.frame["k"]) == list(range(100 * count))
    assert store.runs == []


def test_a_pane_of_more_groups_than_may_be_taken_at_once_comes_in_parts_by_key(little: None) -> None:
    store = Summed(StateMemory(1, spills=True))
    with mock.patch.object(run_store, "_LEAST_BYTES", 1), mock.patch.object(run_store, "_FAN", 2):
        for key in (0, 0, 1):
            store.add(run([3], [key]))
        parts = []
        while (few := store.first_few(1)) is not None:
            taken = store.take(few[1], few[1], None)
            assert taken is not None
            parts.append(taken.frame)
    rest = store.take(None, None, None)
    parts += [] if rest is None else [rest.frame]
    assert pl.concat(parts).sort("k").select("k", "x").rows() == [(0, 2), (1, 1)]


@settings(max_examples=examples(30))
@given(data=st.data())
def test_a_few_panes_at_a_time_are_all_of_them(data: st.DataObject) -> None:
    """However little may be taken at once, and however many groups one pane has, each step comes forward."""
    by = data.draw(st.sampled_from([["k"], []]))
    group = st.tuples(st.integers(-3, 3), st.integers(0, 9))
    runs = data.draw(st.lists(st.lists(group, min_size=1, unique_by=lambda each: each if by else each[0])))
    kept = st.sampled_from([1, 30, 100, 10_000])
    memory = StateMemory(data.draw(kept), spills=True)
    store = Summed(memory, by)
    rows = []
    with (
        mock.patch.object(run_store, "_LEAST_BYTES", data.draw(kept)),
        mock.patch.object(run_store, "_FAN", data.draw(st.sampled_from([2, 8]))),
    ):
        for groups in runs:
            panes, keys = zip(*sorted(groups), strict=True)
            rows.append(run(panes, keys).frame.select(PANE, *by, "x"))
            store.add(SortedGroups.of(rows[-1]))
        found, low = [], None
        while (few := store.first_few(data.draw(st.sampled_from([1, 3])))) is not None:
            first, until = few
            assert first < until and (low is None or low <= first)
            taken = store.take(until, until, None)
            assert taken is not None and taken.low == first and taken.high < until
            found.append(taken.frame)
            low = until
        rest = store.take(None, None, None)
    assert store.runs == [] and memory.held == 0
    found += [] if rest is None else [rest.frame]
    assert bool(found) == bool(rows)
    if rows:
        expected = pl.concat(rows).group_by(PANE, *by).agg(pl.col("x").sum())
        assert_frame_equal(pl.concat(found).select(expected.columns), expected, check_row_order=False)
