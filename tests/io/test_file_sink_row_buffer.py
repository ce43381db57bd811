"""Rows collected into units."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrowstream.io.files.output import row_buffer
from arrowstream.io.files.output.row_buffer import RowBuffer, frame_bytes


def rows(start, stop):
    return pl.DataFrame({"x": range(start, stop)}, schema={"x": pl.Int64})


@given(sizes=st.lists(st.integers(0, 30), max_size=200), unit=st.integers(1, 40))
def test_units_are_full_and_in_order(sizes, unit):
    assert_units(sizes, unit)


@pytest.mark.parametrize("unit", [1, 7, 40])
def test_units_of_frames_of_any_size(unit):
    assert_units([3, 0, 7, 30, 0, 1, 1], unit)


def assert_units(sizes, unit):
    buffer = RowBuffer(unit)
    units, start = [], 0
    for size in sizes:
        frame = rows(start, start + size)
        units += buffer.add(frame, frame_bytes(frame))
        start += size
    assert {given.height for given in units} <= {unit}
    assert buffer.height == start % unit
    if buffer.height:
        units.append(buffer.take())
    assert [x for given in units for x in given["x"]] == list(range(start))


def test_units_of_wide_rows_are_cut_by_bytes(monkeypatch):
    monkeypatch.setattr(row_buffer, "UNIT_BYTES", 10_000)
    buffer = RowBuffer(1000)
    units = list(buffer.add(rows(0, 900), nbytes=90_000))
    assert all(80 <= unit.height <= 110 for unit in units)
    assert sum(unit.height for unit in units) + buffer.height == 900
    assert list(buffer.add(rows(0, 1), nbytes=1_000_000))[-1].height == 1


def test_many_small_frames_are_put_together():
    buffer = RowBuffer(100_000)
    for k in range(5000):
        assert not list(buffer.add(rows(k, k + 1), 8))
    taken = buffer.take()
    assert taken["x"].to_list() == list(range(5000))
    # One of 4,096 rows, 14 of 64, and 8 rows.
    assert taken.n_chunks() == 1 + 14 + 8


@pytest.mark.parametrize("dtype", [pl.String, pl.Binary])
def test_a_slice_weighs_only_its_own_values(dtype):
    frame = pl.DataFrame({"s": ["some longer string value"] * 100_000}).cast(dtype)
    assert frame_bytes(frame) == 100_000 * (16 + 24)
    assert frame_bytes(frame.head(10)) == 10 * (16 + 24)
    assert frame_bytes(frame.clear()) == 0
    assert frame_bytes(rows(0, 1000)) == 8000
