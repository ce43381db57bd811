"""Groups found by hashes, against Polars' `group_by` of the same rows."""

from __future__ import annotations

from typing import Any
from unittest import mock

import hypothesis.strategies as st
import numpy as np
import polars as pl
import pytest
from effort import examples
from hypothesis import given, settings
from polars.testing import assert_frame_equal
from strategies import DATETIMES, INTEGERS, corners, cuts

from arrowstream.operators.aggregation.aggregation import Aggregation
from arrowstream.operators.aggregation.mergeable import ROW, numbered
from arrowstream.operators.windows.groups import hashed_groups as hashed
from arrowstream.operators.windows.groups.hashed_groups import hashed_groups
from arrowstream.operators.windows.panes import PANE, Rows, by_pane

x, f = pl.col("x"), pl.col("f")
EXPRS = (pl.len(), x.sum(), x.count().alias("count"), x.mean().alias("mean"), f.sum())
EXTREMES = (x.min().alias("min"), x.max().alias("max"))
TEXTS = ["", "a", "b", "é", "a text longer than twelve bytes", "a text longer than twelve bytez", None]
KEYS = (*INTEGERS, pl.Boolean(), pl.Date(), pl.Time(), *DATETIMES, pl.String(), pl.Binary())


@pytest.fixture(autouse=True)
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashed, "_LEAST_ROWS", 1)


def aggregation(schema: Any, keys: list[str], *exprs: pl.Expr) -> Aggregation:
    found = Aggregation.of("window", exprs, pl.Schema(schema), keys, in_order=True)
    assert found.update
    return found


def values(dtype: pl.DataType) -> list[Any]:
    if dtype == pl.String:
        return TEXTS
    if dtype == pl.Binary:
        return [None if text is None else text.encode() for text in TEXTS]
    return [True, False, None] if dtype == pl.Boolean else corners(dtype)


@st.composite
def events(draw: st.DrawFn, *keys: pl.DataType) -> pl.DataFrame:
    """Rows of panes 5 to 7, with keys `k0`, `k1` ..., an integer and a float."""
    count = draw(st.integers(1, 30))

    def column(some: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(some, min_size=count, max_size=count))

    columns = [pl.Series(PANE, column(draw(st.sampled_from([st.just(5), st.integers(5, 7)]))), pl.Int64)]
    for place, dtype in enumerate(keys):
        some = draw(st.sampled_from([values(dtype), values(dtype)[:-1]]))
        columns.append(pl.Series(f"k{place}", column(st.sampled_from(some)), dtype))
    columns.append(pl.Series("x", column(st.integers(-9, 9) | st.none()), pl.Int64))
    columns.append(pl.Series("f", column(st.integers(-9, 9)), pl.Float64))
    return numbered(pl.DataFrame(columns), draw(st.sampled_from([0, 10**12])))


@pytest.mark.parametrize("dtype", KEYS, ids=str)
@settings(max_examples=examples(8))
@given(data=st.data())
def test_equals_polars(dtype: pl.DataType, data: st.DataObject) -> None:
    keys = [dtype, *data.draw(st.lists(st.sampled_from(KEYS), max_size=1))]
    names = [f"k{place}" for place in range(len(keys))]
    rows = data.draw(events(*keys))
    if data.draw(st.booleans(), "numbers out of order"):
        rows = rows.with_columns(pl.col(ROW).reverse())
    exprs = [*EXPRS, *(EXTREMES if not rows["x"].null_count() else ())]
    kept = aggregation(rows.schema, names, *exprs)
    parts = [Rows.of(part) for part in data.draw(cuts(rows)) if part.height]
    with (
        mock.patch.object(hashed, "_PIECE", data.draw(st.sampled_from([1, 2, 100]), "rows of a piece")),
        mock.patch.object(hashed, "_FIRST", data.draw(st.sampled_from([1, 100]), "rows of the first piece")),
        mock.patch.object(hashed, "_LEAST_BITS", data.draw(st.sampled_from([1, 14]), "bits of places")),
        mock.patch.object(hashed, "_PLACES", data.draw(st.sampled_from([1, 8]), "places of a group")),
    ):
        found = hashed_groups(parts, names, kept.init_row, kept.update)
    assert found is not None
    expected = by_pane([Rows.of(rows.sort(ROW))], names, kept.init, any_order=False)
    assert found.schema == expected.schema
    assert found[PANE].is_sorted()
    assert_frame_equal(found, expected, check_row_order=False)
    if rows[ROW].is_sorted():
        assert_frame_equal(found, found.sort(PANE, ROW))


def test_groups_of_several_panes_and_of_rows_out_of_order() -> None:
    rows = pl.DataFrame({PANE: [6, 5, 6, 5], "k": ["a", "b", "a", "a"], ROW: [3, 2, 1, 0], "x": [1, 2, 3, 4]})
    kept = aggregation(rows.schema, ["k"], x.sum())
    parts = [Rows.of(rows[:3]), Rows.of(rows[3:])]
    found = hashed_groups(parts, ["k"], kept.init_row, kept.update)
    assert found is not None
    assert found.rows() == [(5, "b", 2, 2), (5, "a", 0, 4), (6, "a", 1, 4)]
    found = hashed_groups([Rows(6, 6, rows[::2].drop(PANE))], ["k"], kept.init_row, kept.update)
    assert found is not None
    assert found.rows() == [(6, "a", 1, 4)]


def one(keys: pl.Series, *exprs: pl.Expr, values: Any = None) -> pl.DataFrame | None:
    rows = numbered(pl.DataFrame({"k": keys, "x": pl.Series(values or [1] * len(keys), dtype=pl.Int64)}), 0)
    kept = aggregation(rows.schema, ["k"], *(exprs or (x.sum(),)))
    return hashed_groups([Rows(3, 3, rows)], ["k"], kept.init_row, kept.update)


@pytest.mark.parametrize("keys", [[1.0, float("nan")], [[1], [2]]], ids=str)
def test_keys_that_are_equal_with_other_bytes_are_left_to_polars(keys: list[Any]) -> None:
    assert one(pl.Series(keys)) is None
    assert one(pl.Series(["a", "b"], dtype=pl.Categorical())) is None


def test_few_rows_and_extremes_of_nulls_are_left_to_polars(monkeypatch: pytest.MonkeyPatch) -> None:
    assert one(pl.Series(["a", "a"]), x.max(), values=[1, None]) is None
    monkeypatch.setattr(hashed, "_LEAST_ROWS", 3)
    assert one(pl.Series(["a", "a"])) is None
    assert one(pl.Series(["a", "a", "a"])) is not None


@pytest.mark.parametrize(
    "keys", [["a", "b", "a"], [b"a", b"b", b"a"], [1, None, 1], ["a", None, "a"]], ids=str
)
def test_different_keys_with_equal_hashes_are_found(keys: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    series = pl.Series(keys)
    found = one(series)
    assert found is not None and found["k"].to_list() == keys[:2]
    monkeypatch.setattr(hashed, "_hashes", lambda frame: pl.Series([7] * frame.height, dtype=pl.UInt64))
    assert one(series) is None
    monkeypatch.setattr(hashed, "_hashes", lambda frame: pl.Series([7, 8, 7], dtype=pl.UInt64))
    assert_frame_equal(one(series), found)


def places_of(numbers: list[int], layers: int, monkeypatch: pytest.MonkeyPatch) -> pl.DataFrame | None:
    monkeypatch.setattr(hashed, "_LEAST_BITS", 1)
    monkeypatch.setattr(hashed, "_PLACES", 0)
    monkeypatch.setattr(hashed, "_LAYERS", layers)
    return one(pl.Series(numbers))


def test_rows_that_no_layer_takes_are_left_to_polars(monkeypatch: pytest.MonkeyPatch) -> None:
    # Of two places each, which takes some layers for as many keys.
    keys = [*range(40), *range(40)]
    assert places_of(keys, 2, monkeypatch) is None
    groups = places_of(keys, 60, monkeypatch)
    assert groups is not None
    assert groups["k"].to_list() == keys[:40] and groups.to_series(-1).to_list() == [2] * 40


def test_multiples_of_the_factor_do_not_share_places() -> None:
    keys = np.random.default_rng(0).permutation(20_000).astype(np.int64) * np.int64(hashed._FACTOR - 2**64)
    _, _, left = hashed._layer(pl.Series(keys).reinterpret(signed=False), hashed._FACTOR, 16)
    assert len(left) < len(keys) / 4
