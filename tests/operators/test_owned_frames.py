"""What is kept for long holds no more memory than its rows."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from strategies import TYPES, frames
from windowing import end, feed

from arrowstream.operators.owned_frames import owned
from arrowstream.operators.small_frames import MANY
from arrowstream.operators.window import windows

LETTERS = 40


def batch(times: npt.NDArray[np.int64]) -> tuple[pl.DataFrame, list[Any]]:
    """Times and text, and what tells whether the memory they lie in is still held."""
    count = len(times)
    letters = np.full(count * LETTERS, ord("a"), np.uint8)
    offsets = np.arange(0, (count + 1) * LETTERS, LETTERS)
    text = pa.LargeStringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(letters))
    number = pa.Array.from_buffers(pa.int64(), count, [None, pa.py_buffer(times)])
    rows = pl.DataFrame(pa.table({"ts": number, "k": text}))
    return rows, [weakref.ref(times), weakref.ref(letters)]


@given(data=st.data())
def test_a_copy_has_the_same_rows(data: st.DataObject) -> None:
    types = data.draw(st.lists(st.sampled_from(TYPES), max_size=4))
    rows = data.draw(frames({f"c{place}": dtype for place, dtype in enumerate(types)}, max_rows=6))
    assert_frame_equal(owned(rows), rows, categorical_as_str=True)
    assert owned(rows).schema == rows.schema


def test_a_copy_keeps_nothing_else() -> None:
    rows, held = batch(np.arange(1_000))
    few, some = owned(rows[3:4]), owned(rows.filter(pl.col("ts") % 500 == 3))
    del rows
    gc.collect()
    assert [each() for each in held] == [None, None]
    assert few.rows() == [(3, "a" * LETTERS)]
    assert some["ts"].to_list() == [3, 503]


@pytest.mark.parametrize("order", [1, -1])
def test_a_row_of_a_window_far_ahead_does_not_keep_its_batch(order: int) -> None:
    operator = windows(lambda made: made, 1e-3, on="ts", by="k").agg(pl.len())
    process: Any = operator.start(pl.Schema({"ts": pl.Int64, "k": pl.String}))
    memory = []
    for number in range(2 * MANY):
        times = np.append(np.arange(500), 10_000_000 + number)[::order].copy()
        rows, held = batch(times + 1_000 * number)
        del times
        memory += held
        out = feed(process, [rows, 1_000 * (number + 1)])
        assert out[0]["len"].to_list() == [500]
        del rows
    gc.collect()
    assert not any(each() is not None for each in memory)
    assert len(process._store._aside) < MANY
    assert process._memory.held < 2 * MANY * 100
    assert sum(frame["len"].sum() for frame in end(process)) == 2 * MANY
    assert process._memory.held == 0
