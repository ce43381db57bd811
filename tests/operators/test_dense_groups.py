"""Groups folded at computed places, against Polars' `group_by` of the same rows."""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import Any

import hypothesis.strategies as st
import numpy as np
import polars as pl
import pytest
from effort import examples
from hypothesis import given, settings
from polars.testing import assert_frame_equal
from strategies import DATETIMES, DURATIONS, INTEGERS, corners, cuts

from arrowstream.operators.aggregation.aggregation import Aggregation
from arrowstream.operators.aggregation.mergeable import ROW, numbered
from arrowstream.operators.windows.groups import dense_groups as dense
from arrowstream.operators.windows.groups.dense_groups import dense_groups
from arrowstream.operators.windows.panes import PANE, Rows, SortedGroups, by_pane, in_order

x, f = pl.col("x"), pl.col("f")
EXPRS = [
    pl.len(),
    x.sum(),
    x.count().alias("count"),
    x.mean().alias("mean"),
    x.min().alias("min"),
    x.max().alias("max"),
    f.sum(),
]
KEYS = (*INTEGERS, pl.Boolean(), pl.Date(), pl.Time(), *DATETIMES, *DURATIONS)


def aggregation(schema: Any, keys: list[str], *exprs: pl.Expr) -> Aggregation:
    found = Aggregation.of("window", exprs or EXPRS, pl.Schema(schema), keys, in_order=True)
    assert found.update
    return found


def close(dtype: pl.DataType, count: int) -> st.SearchStrategy[list[Any]]:
    """Keys next to each other, often at one end of what the type holds."""
    ends = [number for number in corners(dtype) if number is not None]
    if dtype == pl.Boolean:
        return st.lists(st.booleans(), min_size=count, max_size=count)

    def from_(least: int) -> st.SearchStrategy[list[Any]]:
        near = st.integers(least, min(least + 2, max(ends)))
        return st.lists(near, min_size=count, max_size=count)

    return st.sampled_from(ends).flatmap(from_)


@st.composite
def events(draw: st.DrawFn, value: pl.DataType, *keys: pl.DataType) -> pl.DataFrame:
    """Rows of panes 5 to 7, with keys `k0`, `k1` ... close together, a value and a float."""
    count = draw(st.integers(1, 20))

    def column(values: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(values, min_size=count, max_size=count))

    panes = draw(st.sampled_from([st.just(5), st.integers(5, 7)]))
    columns = [pl.Series(PANE, column(panes), pl.Int64)]
    for place, dtype in enumerate(keys):
        columns.append(pl.Series(f"k{place}", draw(close(dtype, count)), dtype))
    nulls = draw(st.sampled_from([st.nothing(), st.none()]))
    columns.append(pl.Series("x", column(st.sampled_from(corners(value)[:-1]) | nulls), value))
    columns.append(pl.Series("f", column(st.floats(-1e9, 1e9) | nulls), pl.Float64))
    return numbered(pl.DataFrame(columns), draw(st.sampled_from([0, 10**12])))


def rounding(rows: pl.DataFrame) -> float:
    """How far sums of floats may be apart that are added in another order: large values may cancel out."""
    largest = rows.select(pl.max_horizontal(pl.col("x", "f").cast(pl.Float64).abs().max())).item()
    return 2.0**-52 * rows.height * float(largest or 0)


def parted(rows: pl.DataFrame, data: st.DataObject) -> list[Rows]:
    return [Rows.of(part) for part in data.draw(cuts(rows)) if part.height]


@pytest.mark.parametrize("dtype", KEYS, ids=str)
@settings(max_examples=examples(8))
@given(data=st.data())
def test_equals_polars(dtype: pl.DataType, data: st.DataObject) -> None:
    keys = [dtype, *data.draw(st.lists(st.sampled_from(KEYS), max_size=1))]
    names = [f"k{place}" for place in range(len(keys))]
    rows = data.draw(events(data.draw(st.sampled_from(INTEGERS)), *keys))
    kept = aggregation(rows.schema, names)
    parts = parted(rows, data)
    found = dense_groups(parts, names, kept.init_row, kept.update)
    if found is None:
        spread = [
            1 + int(rows[name].to_physical().max()) - int(rows[name].to_physical().min()) for name in names
        ]
        panes = rows[PANE].max() - rows[PANE].min() + 1
        assert rows["x"].null_count() or panes * spread[0] * (spread[1:] or [1])[0] > 8 * rows.height
        return
    expected = by_pane(parts, names, kept.init, any_order=False)
    assert found.schema == expected.schema
    assert found[PANE].is_sorted()
    assert_frame_equal(found.sort(PANE, *names), expected.sort(PANE, *names))
    # Groups of parts are merged into the same.
    states = [Rows.of(by_pane([part], names, kept.init, any_order=False)) for part in parts]
    columns = [pl.col(expr.meta.output_name()) for expr in kept.init_row]
    merged = dense_groups(states, names, columns, kept.update)
    if merged is not None:
        assert_frame_equal(merged, found, rel_tol=1e-12, abs_tol=rounding(rows), check_row_order=False)
    whole = rows.group_by(PANE, *names).agg(*EXPRS).sort(PANE, *names).select(pl.exclude(PANE, *names))
    results = kept.results(found.sort(PANE, *names), [])
    assert_frame_equal(results, whole, rel_tol=1e-12, abs_tol=rounding(rows))


@settings(max_examples=examples(15))
@given(data=st.data())
def test_equals_polars_without_keys(data: st.DataObject) -> None:
    rows = data.draw(events(pl.Int32()))
    rows = rows.with_columns(x=pl.col("x").fill_null(1))
    kept = aggregation(rows.schema, [])
    parts = parted(rows, data)
    found = dense_groups(parts, [], kept.init_row, kept.update)
    assert found is not None or rows.height == 1
    if found is not None:
        assert_frame_equal(found, by_pane(parts, [], kept.init, any_order=False))


@pytest.mark.untraced
@pytest.mark.parametrize("dtype", [pl.Date(), pl.Time(), *DATETIMES, *DURATIONS], ids=str)
def test_least_and_greatest_times_and_sums_of_durations(dtype: pl.DataType) -> None:
    # No row has the key between: what stands for no value there is no time of a day.
    rows = numbered(pl.DataFrame({"k": [1, 3, 1], "x": pl.Series([3, 1, 2], dtype=dtype)}), 0)
    exprs = [x.min().alias("min"), x.max().alias("max")]
    if isinstance(dtype, pl.Duration):
        rows = pl.concat([rows, numbered(rows.select("k", x=pl.lit(None, dtype)), 3)])
        exprs = [x.sum()]
    kept = aggregation(rows.schema, ["k"], *exprs)
    found = dense_groups([Rows(0, 0, rows)], ["k"], kept.init_row, kept.update)
    assert found is not None
    assert_frame_equal(kept.results(found, ["k"]), rows.group_by("k").agg(*exprs).sort("k"))


def found(keys: pl.Series, *exprs: pl.Expr, values: Any = None, low: int = 0, high: int = 0) -> Any:
    rows = numbered(pl.DataFrame({"k": keys, "x": pl.Series(values or [1] * len(keys), dtype=pl.Int64)}), 0)
    kept = aggregation(rows.schema, ["k"], *(exprs or (x.sum(),)))
    if high > low:
        rows = rows.with_columns(pl.Series(PANE, [low] + [high] * (rows.height - 1)))
    return dense_groups([Rows(low, high, rows)], ["k"], kept.init_row, kept.update)


NOT: dict[str, Any] = {
    "text": lambda: found(pl.Series(["a", "b"])),
    "floats": lambda: found(pl.Series([1.0, 2.0])),
    "categories": lambda: found(pl.Series(["a", "b"], dtype=pl.Categorical())),
    "codes": lambda: found(pl.Series(["a", "b"], dtype=pl.Enum(["a", "b"]))),
    "a null": lambda: found(pl.Series([1, None, 1, 1])),
    "only nulls": lambda: found(pl.Series([None, None], dtype=pl.Int8)),
    "far apart": lambda: found(pl.Series([0, 16])),
    "all of 64 bits": lambda: found(pl.Series([-(2**63), 2**63 - 1])),
    "all of 64 bits without a sign": lambda: found(pl.Series([0, 2**64 - 1], dtype=pl.UInt64)),
    "panes far apart": lambda: found(pl.Series([1, 1]), low=-(2**62), high=2**62),
    "far apart in one of many panes": lambda: found(pl.Series([5, 0, 24]), low=0, high=8),
    "many panes": lambda: found(pl.Series([1, 2]), low=0, high=16),
    "the greatest of a null": lambda: found(pl.Series([1, 1]), x.max(), values=[1, None]),
    "the least of a null": lambda: found(pl.Series([1, 1]), x.min(), values=[1, None]),
}


@pytest.mark.parametrize("case", NOT)
def test_what_is_left_to_polars(case: str) -> None:
    assert NOT[case]() is None


def test_as_far_apart_as_may_be() -> None:
    assert found(pl.Series([15, 0])).rows() == [(0, 15, 0, 1), (0, 0, 1, 1)]
    assert found(pl.Series([2**64 - 1, 2**64 - 16], dtype=pl.UInt64))["k"].to_list() == [
        2**64 - 1,
        2**64 - 16,
    ]
    assert found(pl.Series([2**63 + 1, 2**63] * 2, dtype=pl.UInt64))["k"].to_list() == [2**63, 2**63 + 1]
    assert found(pl.Series([2**63 - 1, 2**63 - 16]))["k"].to_list() == [2**63 - 1, 2**63 - 16]
    assert found(pl.Series([1]), low=0, high=0).rows() == [(0, 1, 0, 1)]


def test_keys_are_sorted_unless_there_are_few_rows_for_a_place() -> None:
    assert found(pl.Series([1, 0, 1, 0])).rows() == [(0, 0, 1, 2), (0, 1, 0, 2)]
    assert found(pl.Series([2, 0, 2, 0])).rows() == [(0, 2, 0, 2), (0, 0, 1, 2)]


@pytest.mark.parametrize("times", [1, 5])
def test_keys_that_count_up_from_pane_to_pane_lie_together(times: int) -> None:
    """Panes 3, 5 and 6, of which each has two keys of its own, far from those of the others."""
    rows = [(3, 0), (5, 10**6 + 1), (5, 10**6), (6, -(10**9)), (6, 1 - 10**9)] * times
    frame = numbered(pl.DataFrame(rows, {PANE: pl.Int64, "k": pl.Int64}, orient="row").with_columns(x=1), 0)
    kept = aggregation(frame.schema, ["k"], x.sum())
    groups = dense_groups([Rows.of(frame)], ["k"], kept.init_row, kept.update)
    assert groups is not None and groups[PANE].is_sorted()
    assert_frame_equal(
        groups,
        by_pane([Rows.of(frame)], ["k"], kept.init, any_order=True),
        check_row_order=False,
    )


@pytest.mark.parametrize("times", [1, 5])
def test_several_keys_are_digits_of_a_number(times: int) -> None:
    rows = [(3, 10, True), (3, 12, False), (4, 11, True), (4, 10, False), (3, 10, False)] * times
    frame = pl.DataFrame(rows, {PANE: pl.Int64, "a": pl.UInt64, "b": pl.Boolean}, orient="row")
    frame = numbered(frame.with_columns(x=1), 0)
    kept = aggregation(frame.schema, ["a", "b"], x.sum())
    groups = dense_groups([Rows.of(frame)], ["a", "b"], kept.init_row, kept.update)
    assert groups is not None
    expected = by_pane([Rows.of(frame)], ["a", "b"], kept.init, any_order=True)
    assert_frame_equal(groups, expected, check_row_order=False)


def test_groups_whose_rows_are_far_apart_are_put_into_order() -> None:
    groups = pl.DataFrame({PANE: [1, 1, 2, 2], ROW: [2**40, 7, 2**41, 2**40]})
    assert in_order(groups).rows() == [(1, 7), (1, 2**40), (2, 2**40), (2, 2**41)]
    assert in_order(groups[:2]).rows() == [(1, 7), (1, 2**40)]


def test_keys_whose_numbers_would_overflow_are_left_to_polars() -> None:
    rows = numbered(pl.DataFrame({"a": [0, 2**30], "b": [0, 2**11], "x": [1, 1]}), 0)
    kept = aggregation(rows.schema, ["a", "b"], x.sum())
    assert dense_groups([Rows(0, 0, rows)], ["a", "b"], kept.init_row, kept.update) is None


@pytest.mark.parametrize("keys", [["id", "name"], ["name", "id", "city"]])
@pytest.mark.parametrize("piece", [1, 2, 100])
def test_texts_that_an_integer_tells_need_no_hashes(
    keys: list[str], piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dense, "_PIECE", piece)
    rows = numbered(
        pl.DataFrame(
            {
                PANE: [1, 1, 2, 1, 2, 2],
                "id": [7, 8, 7, 7, 9, 7],
                "name": ["a", None, "b", "a", "", "b"],
                "city": ["x", "x", None, "x", "y", None],
                "x": [1, 2, 3, 4, 5, 6],
            }
        ),
        0,
    )
    kept = aggregation(rows.schema, keys, x.sum())
    parts = [Rows.of(rows[:4]), Rows.of(rows[4:])]
    groups = dense_groups(parts, keys, kept.init_row, kept.update)
    assert groups is not None
    assert_frame_equal(groups, by_pane(parts, keys, kept.init, any_order=False), check_row_order=False)
    # One name of a pane differs.
    for other in ("c", None):
        apart = rows.with_columns(name=pl.when(pl.col(ROW) == 5).then(pl.lit(other)).otherwise("name"))
        parts = [Rows.of(apart[:4]), Rows.of(apart[4:])]
        assert dense_groups(parts, keys, kept.init_row, kept.update) is None


MORE_PLACES: dict[str, tuple[list[list[tuple[int, int]]], list[int]]] = {
    "each row is a group": ([[(0, 9), (0, 3), (0, 6)]], [0, 1, 2]),
    "the first row is kept of several": ([[(0, 9), (0, 3), (0, 9), (0, 3), (0, 9)]], [0, 1, 2, 3, 4]),
    "known groups only": ([[(0, 9), (0, 3)], [(0, 3), (0, 3)], [(0, 9)]], [0, 1, 2, 3, 4]),
    "known and new groups": ([[(0, 9), (0, 3)], [(0, 7), (0, 3), (0, 7), (0, 1)]], [0, 1, 2, 3, 4, 5]),
    "panes out of order": ([[(2, 1), (1, 1)], [(1, 1), (2, 3)], [(1, 0)]], [0, 1, 2, 3, 4]),
    "row numbers out of order": ([[(0, 9), (0, 3)], [(0, 3), (0, 9)]], [5, 2, 1, 8]),
}


@pytest.mark.parametrize("case", MORE_PLACES)
def test_groups_at_more_places_than_rows(case: str) -> None:
    parts, numbers = MORE_PLACES[case]
    rows = pl.DataFrame(
        [row for part in parts for row in part], {PANE: pl.Int64, "k": pl.Int16}, orient="row"
    ).with_columns(pl.Series(ROW, numbers), x=pl.Series([2**63 - 1, 5, 7, 1, 2, 3][: len(numbers)]), f=-0.0)
    kept = aggregation(rows.schema, ["k"])
    stops = list(accumulate(map(len, parts), initial=0))
    frames = [Rows.of(rows[start:stop]) for start, stop in pairwise(stops)]
    groups = dense_groups(frames, ["k"], kept.init_row, kept.update)
    assert groups is not None
    assert groups[PANE].is_sorted()
    expected = by_pane([Rows.of(rows.sort(ROW))], ["k"], kept.init, any_order=False)
    assert_frame_equal(groups, expected, check_row_order=False)
    # A sum begins with 0.0, as where there are fewer places.
    assert not np.signbit(groups["__part_7__"].to_numpy()).any()
    if len(set(rows[PANE])) == 1 and numbers == sorted(numbers):
        assert groups[ROW].is_sorted()


def test_sums_wrap_and_floats_add_up_in_the_order_of_rows() -> None:
    rows = pl.DataFrame({"k": [1] * 4, "x": [2**63 - 1, 1, 0, 0], "f": [1.0, 1e16, -1e16, 1.0]})
    rows = numbered(rows, 0)
    kept = aggregation(rows.schema, ["k"], x.sum(), f.sum())
    parts = [Rows(0, 0, rows[:2]), Rows(0, 0, rows[2:])]
    groups = dense_groups(parts, ["k"], kept.init_row, kept.update)
    assert groups is not None
    assert kept.results(groups, []).rows() == [(-(2**63), 1.0)]
    assert groups.columns[:3] == [PANE, "k", ROW]


@pytest.mark.parametrize("dtype", [pl.Int64(), pl.UInt64()], ids=str)
def test_counts_in_state_of_64_bits_add_up_beyond_32(dtype: pl.DataType) -> None:
    counts = pl.Series("n", [2**32 - 1, 1, 2**32 - 1], dtype=dtype)
    state = numbered(pl.DataFrame([pl.Series("k", [1, 2, 1]), counts]), 0)
    parts = [Rows(0, 0, state[:2]), Rows(0, 0, state[2:])]
    values = [pl.col(ROW), pl.col("n")]
    found = dense_groups(parts, ["k"], values, ["min", "add"])
    assert found is not None
    assert found.rows() == [(0, 1, 0, 2**33 - 2), (0, 2, 1, 1)]
    merged = by_pane(parts, ["k"], [pl.col(ROW).min(), pl.col("n").sum()], any_order=True)
    assert_frame_equal(found, merged, check_row_order=False)


def test_parts_of_one_pane_each() -> None:
    rows = numbered(pl.DataFrame({"k": [1, 2, 1, 2], "x": [1, 2, 3, 4]}), 0)
    kept = aggregation(rows.schema, ["k"], x.sum())
    groups = dense_groups([Rows(5, 5, rows[:2]), Rows(6, 6, rows[2:])], ["k"], kept.init_row, kept.update)
    assert groups is not None
    assert groups.rows() == [(5, 1, 0, 1), (5, 2, 1, 2), (6, 1, 2, 3), (6, 2, 3, 4)]


def test_many_pieces_become_one() -> None:
    run = SortedGroups.of(pl.DataFrame({PANE: [0]}))
    for pane in range(1, 200):
        run = run.joined(SortedGroups.of(pl.DataFrame({PANE: [pane]})))
        assert run.frame.n_chunks() < 64
    assert (run.low, run.high, run.frame[PANE].to_list()) == (0, 199, list(range(200)))
