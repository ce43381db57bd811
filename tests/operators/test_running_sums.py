"""Sums over hopping windows from running sums, against windows that merge their panes, and against Polars."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from unittest import mock

import hypothesis.strategies as st
import polars as pl
import pytest
from contexts import context
from effort import examples
from hypothesis import given, settings
from polars.testing import assert_frame_equal
from strategies import DATETIMES, DURATIONS, INTEGERS, corners, cuts
from windowing import end, feed

from arrowstream.core.batch import Batch, Watermark
from arrowstream.operators.base import Operator, Process
from arrowstream.operators.window import windows
from arrowstream.operators.windows import summed_windows
from arrowstream.operators.windows.groups.running_sums import RunningSums
from arrowstream.operators.windows.panes import PANE

SIZES = [(10, 2), (10, 5), (10, 4), (3, 2), (4, 1)]
"""Sizes and distances of windows, in seconds."""

S = 1_000_000
KEYS = (*INTEGERS, pl.Boolean(), pl.Date(), pl.Time(), *DATETIMES, *DURATIONS)
SUMS = (
    pl.len(),
    pl.col("x").sum(),
    pl.col("x").count().alias("count"),
    (pl.col("x") > 0).sum().alias("above"),
)


@pytest.fixture(autouse=True)
def few_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summed_windows, "_MANY", 1)


def hopping(size: int, every: int, *exprs: pl.Expr) -> Operator:
    return windows(lambda operator: operator, size, every=every, on="ts", by="k").agg(*(exprs or SUMS))


def keys(dtype: pl.DataType) -> st.SearchStrategy[pl.Series]:
    """Ten keys next to each other, often at one end of what the type holds."""
    if dtype == pl.Boolean:
        return st.just(pl.Series([True, False] * 5))
    ends = [number for number in corners(dtype) if number is not None]
    physical = pl.Series(ends, dtype=dtype).to_physical()
    least, most = int(physical.min()), int(physical.max())  # type: ignore[arg-type]
    starts = st.sampled_from([least, most - 9])
    return starts.map(lambda start: pl.Series([*range(start, start + 10)], dtype=physical.dtype).cast(dtype))


@st.composite
def events(draw: st.DrawFn, dtype: pl.DataType, value: pl.DataType) -> pl.DataFrame:
    """Rows mostly in the order of their times, over twenty seconds."""
    count = draw(st.integers(1, 40))

    def column(some: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(some, min_size=count, max_size=count))

    times = sorted(column(st.integers(0, 20)))
    late = column(st.integers(0, draw(st.sampled_from([0, 3]))))
    some, which = draw(keys(dtype)), column(st.integers(0, 9))
    columns = [
        pl.Series("ts", [(time - less) * S for time, less in zip(times, late, strict=True)], pl.Int64),
        some.gather(which).alias("k"),
        pl.Series("x", column(st.sampled_from(corners(value))), value),
    ]
    return pl.DataFrame(columns)


def counted(process: Process) -> list[str]:
    """The windows that are made of running sums while `process` runs, and the times that these begin again."""
    calls: list[str] = []
    summed = process._summed  # type: ignore[attr-defined]
    assert summed is not None

    class Counted(RunningSums):
        def window(self, number: int, first: int) -> pl.DataFrame:
            calls.append("window")
            return super().window(number, first)

        def clear(self) -> None:
            calls.append("clear")
            super().clear()

    summed._sums = Counted("k")
    calls.clear()
    return calls


def outputs(operator: Operator, items: list[Any], schema: pl.Schema, summed: bool) -> list[Any]:
    with mock.patch.object(summed_windows, "_MANY", 1 if summed else 1 << 40):
        process = operator.start(schema, context())
        assert isinstance(process, Process)
        return feed(process, items) + end(process)


@pytest.mark.parametrize("dtype", KEYS, ids=str)
@settings(max_examples=examples(8))
@given(data=st.data())
def test_windows_are_those_of_merged_panes(dtype: pl.DataType, data: st.DataObject) -> None:
    rows = data.draw(events(dtype, data.draw(st.sampled_from(INTEGERS))))
    operator = hopping(*data.draw(st.sampled_from(SIZES)))
    items: list[Any] = []
    time = -10
    for part in data.draw(cuts(rows)):
        # Marks too early, so that rows also come to windows that have closed, and to panes that have been summed.
        time += data.draw(st.integers(0, 8), "seconds")
        items += [part, time * S]
    summed, merged = (outputs(operator, items, rows.schema, each) for each in (True, False))
    assert len(summed) == len(merged)
    for one, other in zip(summed, merged, strict=True):
        if isinstance(one, Watermark):
            assert one == other
        else:
            assert_frame_equal(one, other)


@settings(max_examples=examples(30))
@given(data=st.data())
def test_equals_polars_on_the_whole(data: st.DataObject) -> None:
    rows = data.draw(events(pl.Int32(), pl.Int64()))
    size, every = data.draw(st.sampled_from(SIZES))
    found = outputs(hopping(size, every), data.draw(cuts(rows)), rows.schema, True)
    ends = [pl.col("ts") // (every * S) * (every * S) - back * every * S for back in range(-(-size // every))]
    given = rows.with_row_index("row").with_columns(window_start=pl.concat_list(ends)).explode("window_start")
    given = given.filter(pl.col("ts") < pl.col("window_start") + size * S).sort("window_start", "row")
    expected = given.group_by("window_start", "k", maintain_order=True).agg(*SUMS)
    assert_frame_equal(pl.concat(found).drop("window_end"), expected)


def test_windows_are_made_of_sums_until_a_row_comes_to_a_pane_that_was_summed() -> None:
    rows = pl.DataFrame({"ts": [second * S for second in range(12)], "k": [1, 2] * 6, "x": 1})
    process = hopping(4, 2).start(rows.schema, context())
    assert isinstance(process, Process)
    calls = counted(process)
    feed(process, [rows, 6 * S])
    assert calls == ["window"] * 3
    feed(process, [rows[7:8]])
    assert calls == ["window"] * 3
    feed(process, [rows[4:5]])
    assert calls == [*["window"] * 3, "clear"]
    out = feed(process, [8 * S])
    assert out[0].rows() == [(4 * S, 8 * S, 1, 3, 3, 3, 3), (4 * S, 8 * S, 2, 3, 3, 3, 3)]
    assert calls == [*["window"] * 3, "clear", "window"]


def test_sums_that_cannot_be_subtracted_and_other_keys_are_merged() -> None:
    rows = pl.DataFrame({"ts": [0], "k": [1], "x": [1], "f": [1.0]})
    for operator in (
        hopping(4, 2, pl.col("f").sum()),
        hopping(4, 2, pl.col("x").sum(), pl.col("x").max().alias("max")),
        hopping(4, 2, pl.col("x").mean()),
        hopping(4, 4),
    ):
        assert operator.start(rows.schema, context())._summed is None  # type: ignore[attr-defined]
    for other in (pl.lit("a"), pl.lit("a").cast(pl.Enum(["a"])), pl.lit(1.0)):
        schema = rows.with_columns(k=other).schema
        assert hopping(4, 2).start(schema, context())._summed is None  # type: ignore[attr-defined]


def test_few_groups_of_a_pane_are_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pl.DataFrame({"ts": [0, S, 100 * S], "k": [1, 2, 3], "x": 1})
    process = hopping(4, 2).start(rows.schema, context())
    assert isinstance(process, Process)
    calls = counted(process)
    assert sum(frame.height for frame in feed(process, [rows]) + end(process)) == 6
    assert calls == ["clear"]


def test_keys_far_apart_are_merged() -> None:
    rows = pl.DataFrame({"ts": [0, S, 2 * S], "k": [1, 1000, 1], "x": 1})
    process = hopping(4, 2).start(rows.schema, context())
    assert isinstance(process, Process)
    calls = counted(process)
    [found] = feed(process, [rows]) + end(process)
    assert found.select("window_start", "k", "x").rows() == [
        (-2 * S, 1, 1),
        (-2 * S, 1000, 1),
        (0, 1, 2),
        (0, 1000, 1),
        (2 * S, 1, 1),
    ]
    assert calls == ["clear"]


def groups(keys: list[Any], rows: list[int], sums: list[Any], dtype: Any = pl.Int64) -> pl.DataFrame:
    return pl.DataFrame(
        {PANE: [0] * len(keys), "k": keys, "__row__": rows, "n": pl.Series(sums, dtype=dtype)}
    )


def test_keys_that_count_up_move_the_range_that_has_places() -> None:
    sums = RunningSums("k")
    for pane in range(50):
        first = 100 * pane
        assert sums.add(pane, groups([*range(first, first + 150)], [*range(first, first + 150)], [1] * 150))
        sums.forget(pane - 1)
        if pane:
            found = sums.window(7, pane - 1)
            expected = {key: 1 + (first <= key < first + 50) for key in range(first - 100, first + 150)}
            assert dict(found.select("k", "n").rows()) == expected
            assert found[PANE].unique().to_list() == [7]


def test_keys_that_are_null_or_far_apart_have_no_places() -> None:
    sums = RunningSums("k")
    assert sums.add(0, groups([1, 2], [0, 1], [1, 1]))
    assert not sums.add(1, groups([1, None], [2, 3], [1, 1]))
    assert sums.end is None and not sums.panes
    assert not sums.add(1, groups([None], [2], [1], pl.Int64).cast({"k": pl.Int64}))
    assert not sums.add(1, groups([0, 16], [2, 3], [1, 1]))
    assert sums.add(1, groups([0, 15], [2, 3], [1, 1]))
    # The pane before counts as well.
    assert sums.add(2, groups([31], [4], [1])) is False


def test_a_sum_without_values_is_0_and_sums_wrap() -> None:
    sums = RunningSums("k")
    assert sums.add(0, groups([1, 2], [0, 1], [None, 200], pl.UInt8))
    assert sums.add(1, groups([2, 1], [2, 3], [100, None], pl.UInt8))
    assert sums.window(0, 0).rows() == [(0, 1, 0), (0, 2, 44)]
    assert sums.window(0, 0)["n"].dtype == pl.UInt8


def test_sums_of_durations() -> None:
    sums = RunningSums("k")
    assert sums.add(0, groups([1], [0], [timedelta(seconds=2)], pl.Duration("ms")))
    assert sums.add(1, groups([1], [1], [timedelta(seconds=3)], pl.Duration("ms")))
    assert_frame_equal(
        sums.window(0, 0),
        pl.DataFrame({PANE: [0], "k": [1], "n": [timedelta(seconds=5)]}).cast({"n": pl.Duration("ms")}),
    )


def test_groups_come_in_the_order_of_their_first_rows() -> None:
    sums = RunningSums("k")
    assert sums.add(0, groups([1, 2, 3], [0, 7, 9], [1, 1, 1]))
    # Key 3 came in this pane first, and key 4 before key 2.
    assert sums.add(1, groups([4, 3, 1], [5, 8, 11], [1, 1, 1]))
    assert sums.window(0, 0).rows() == [(0, 1, 2), (0, 4, 1), (0, 2, 1), (0, 3, 2)]
    sums.forget(1)
    assert sums.panes == [1] and sums.end == 2
    assert sums.window(1, 1).rows() == [(1, 4, 1), (1, 3, 1), (1, 1, 1)]


def test_windows_stay_as_they_are_while_later_ones_are_made() -> None:
    sums = RunningSums("k")
    kept = []
    for pane in range(6):
        assert sums.add(pane, groups([1, 2, 3], [pane * 3, pane * 3 + 1, pane * 3 + 2], [pane, 1, 2]))
        kept.append((sums.window(pane, max(pane - 1, 0)), pane))
    for window, pane in kept:
        assert window.rows() == [
            (pane, 1, max(2 * pane - 1, 0)),
            (pane, 2, 1 + (pane > 0)),
            (pane, 3, 2 + 2 * (pane > 0)),
        ]


def test_a_snapshot_does_not_hold_running_sums() -> None:
    rows = pl.DataFrame({"ts": [second * S for second in range(12)], "k": [1, 2] * 6, "x": 1})
    operator = hopping(4, 2)
    process, restored = (operator.start(rows.schema, context()) for _ in range(2))
    assert isinstance(process, Process) and isinstance(restored, Process)
    feed(process, [rows, 8 * S])
    restored.restore(iter([*process.snapshot()]))
    for one, other in zip(
        feed(process, [10 * S]) + end(process), feed(restored, [10 * S]) + end(restored), strict=True
    ):
        assert one.equals(other) if isinstance(one, pl.DataFrame) else one == other


def test_a_batch_of_one_row() -> None:
    rows = pl.DataFrame({"ts": [0], "k": [1], "x": [1]})
    process = hopping(4, 2).start(rows.schema, context())
    assert isinstance(process, Process)
    list(process.process(Batch(rows)))
    assert [frame.height for frame in end(process)] == [2]
