"""When frames are the same, and what is said if they are not."""

from datetime import date
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from strategies import cuts, frames

from arrowstream.core.batch import to_record
from arrowstream.testing import assert_frames_equal


@st.composite
def shuffled(draw: st.DrawFn) -> tuple[pl.DataFrame, pl.DataFrame]:
    frame = draw(frames())
    order = draw(st.permutations(range(frame.height)))
    return frame, frame[list(order)]


@given(pair=shuffled())
def test_any_order(pair: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    frame, other = pair
    assert_frames_equal(other, frame, any_order=True)


@given(data=st.data(), frame=frames())
def test_a_frame_equals_its_parts(data: st.DataObject, frame: pl.DataFrame) -> None:
    assert_frames_equal(data.draw(cuts(frame)), frame)
    assert_frames_equal(frame, to_record(frame))


@given(left=frames({"a": pl.Int8(), "b": pl.String()}), right=frames({"a": pl.Int8(), "b": pl.String()}))
def test_the_verdict_is_that_of_polars(left: pl.DataFrame, right: pl.DataFrame) -> None:
    for any_order in (False, True):
        try:
            assert_frame_equal(left, right, check_row_order=not any_order, check_exact=True)
        except AssertionError:
            with pytest.raises(AssertionError):
                assert_frames_equal(left, right, any_order=any_order)
        else:
            assert_frames_equal(left, right, any_order=any_order)


FRAME = pl.DataFrame({"k": ["a", "b", "c"], "x": [1, 2, 3]})


@pytest.mark.parametrize(
    ("found", "options", "message"),
    [
        (FRAME.with_columns(x=pl.Series([1, 7, 3])), {},
         "row 1 differs\n  expected: {'k': 'b', 'x': 2}\n  found:    {'k': 'b', 'x': 7}"),
        (FRAME[:2], {},
         "3 rows expected, 2 found; row 2 differs\n  expected: {'k': 'c', 'x': 3}\n  found:    no such row"),
        (pl.concat([FRAME, FRAME[:1]]), {},
         "3 rows expected, 4 found; row 3 differs\n  expected: no such row\n  found:    {'k': 'a', 'x': 1}"),
        (FRAME.reverse().with_columns(x=pl.Series([9, 2, 1])), {"any_order": True},
         "row 2 of the sorted rows differs\n  expected: {'k': 'c', 'x': 3}\n  found:    {'k': 'c', 'x': 9}"),
        (FRAME.select("k", y="x"), {}, "columns differ\n  missing:  x: Int64\n  too many: y: Int64"),
        (FRAME.cast({"x": pl.Int8}), {}, "columns differ\n  x: expected Int64, found Int8"),
        (FRAME.select("x", "k"), {}, "columns differ\n  expected the order k, x, found x, k"),
        (FRAME.drop("x"), {"any_column_order": True}, "columns differ\n  missing:  x: Int64"),
    ],
)  # fmt: skip
def test_what_differs_is_shown(found: pl.DataFrame, options: dict[str, Any], message: str) -> None:
    with pytest.raises(AssertionError) as failed:
        assert_frames_equal(found, FRAME, **options)
    assert str(failed.value) == message


def test_columns_in_any_order() -> None:
    assert_frames_equal(FRAME.select("x", "k"), FRAME, any_column_order=True)


def test_floats() -> None:
    near = pl.DataFrame({"x": [0.1 + 0.2]})
    assert_frames_equal(near, pl.DataFrame({"x": [0.3]}), exact=False)
    with pytest.raises(AssertionError, match="row 0 differs"):
        assert_frames_equal(near, pl.DataFrame({"x": [0.3]}))
    assert_frames_equal(pl.DataFrame({"x": [float("nan")]}), pl.DataFrame({"x": [float("nan")]}))


def test_frames_without_columns() -> None:
    assert_frames_equal(pl.DataFrame(), pl.DataFrame(), any_order=True)


def test_moments() -> None:
    assert_frames_equal(pl.DataFrame({"d": [date(2024, 1, 1)]}), [pl.DataFrame({"d": [date(2024, 1, 1)]})])
