"""What is kept for long holds no more memory than its rows."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pytest
from contexts import context
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from strategies import TYPES, frames
from windowing import end, feed

from arrowstream import Builder, Pipeline, Source
from arrowstream.core.batch import Batch
from arrowstream.core.memory_budget import MemoryBudget
from arrowstream.operators.debounce import Debounce
from arrowstream.operators.functions.schema import conformed
from arrowstream.operators.window import windows
from arrowstream.operators.windows import pane_store
from arrowstream.state.owned_rows import held_bytes, owned
from arrowstream.state.small_frames import MANY

LETTERS = 40


def batch(times: npt.NDArray[np.int64], first: str = "a") -> tuple[pl.DataFrame, list[Any]]:
    """Times and text, `first` in the first row, and what tells whether the memory they lie in is still held."""
    count = len(times)
    letters = np.full(count * LETTERS, ord("a"), np.uint8)
    letters[:LETTERS] = ord(first)
    offsets = np.arange(0, (count + 1) * LETTERS, LETTERS)
    text = pa.LargeStringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(letters))
    number = pa.Array.from_buffers(pa.int64(), count, [None, pa.py_buffer(times)])
    rows = pl.DataFrame(pa.table({"ts": number, "k": text}))
    return rows, [weakref.ref(times), weakref.ref(letters)]


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@settings(max_examples=examples(5))
@given(data=st.data())
def test_a_copy_has_the_same_rows(dtype: pl.DataType, data: st.DataObject) -> None:
    rows = data.draw(frames({"a": dtype, "b": pl.Int64()}, max_rows=6))
    assert_frame_equal(owned(rows), rows, categorical_as_str=True)
    assert owned(rows).schema == rows.schema
    assert held_bytes(rows) >= rows.estimated_size()


@pytest.mark.usefixtures("own_garbage")
@pytest.mark.untraced
def test_a_copy_keeps_nothing_else() -> None:
    rows, held = batch(np.arange(1_000))
    few, some = owned(rows[3:4]), owned(rows.filter(pl.col("ts") % 500 == 3))
    del rows
    gc.collect()
    assert all(each() is None for each in held)
    assert few.rows() == [(3, "a" * LETTERS)]
    assert some["ts"].to_list() == [3, 503]


@pytest.mark.usefixtures("own_garbage")
@pytest.mark.untraced
@pytest.mark.parametrize("order", [1, -1])
def test_a_row_of_a_window_far_ahead_does_not_keep_its_batch(order: int) -> None:
    operator = windows(lambda made: made, 1e-3, on="ts", by="k").agg(pl.len())
    budget = MemoryBudget()
    process: Any = operator.start(pl.Schema({"ts": pl.Int64, "k": pl.String}), context(memory=budget))
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
    assert all(each() is None for each in memory)
    assert process.statistics().aside < MANY
    assert budget.held < 2 * MANY * 100
    assert sum(frame["len"].sum() for frame in end(process)) == 2 * MANY
    assert budget.held == 0


@pytest.mark.usefixtures("own_garbage")
@pytest.mark.untraced
@pytest.mark.parametrize("kind", ["size", "session"])
def test_a_key_does_not_keep_the_batch_that_it_came_with(kind: str) -> None:
    options: dict[str, Any] = {kind: 1}
    operator = windows(lambda made: made, on="ts", by="k", **options).agg(pl.col("k").last().alias("last"))
    process: Any = operator.start(pl.Schema({"ts": pl.Int64, "k": pl.String}), context())
    memory = []
    with mock.patch.object(pane_store, "_ASIDE_ROWS", 1):
        for number in range(9):
            rows, held = batch(np.arange(500), first="bcdefghij"[number])
            memory += held
            feed(process, [rows])
            del rows
    gc.collect()
    assert all(each() is None for each in memory)
    assert end(process)[0].height == 10


def test_merged_groups_do_not_keep_those_that_they_were_merged_from() -> None:
    operator = windows(lambda made: made, 1, on="ts", by="k").agg(pl.col("v").last())
    rows = pl.DataFrame({"ts": 0, "k": range(100), "v": [f"{number:0400}" for number in range(100)]})
    process: Any = operator.start(rows.schema, context())
    with mock.patch.object(pane_store, "_ASIDE_ROWS", 1):
        feed(process, [rows.with_columns(pl.col("k") % (100 - number)) for number in range(4)])
    (merged,) = process._store._runs.runs
    (text,) = (name for name, dtype in merged.frame.schema.items() if dtype == pl.String)
    letters = merged.frame[text].rechunk().to_arrow(compat_level=pl.CompatLevel.newest()).buffers()[2:]
    assert sum(part.size for part in letters) == 100 * 400


@pytest.mark.usefixtures("own_garbage")
@pytest.mark.untraced
@pytest.mark.parametrize("by", ["k", None])
def test_a_key_that_rests_does_not_keep_its_last_batch(by: str | None) -> None:
    process: Any = Debounce.of("1h", by).start(pl.Schema({"ts": pl.Int64, "k": pl.String}), context())
    memory = []
    for letter in "bcdef":
        rows, held = batch(np.arange(2_000), first=letter)
        memory += held
        feed(process, [rows])
        del rows
    gc.collect()
    assert all(each() is None for each in memory)
    found = pl.concat(end(process))["k"].str.head(1)
    assert sorted(found) == (list("abcdef") if by else ["a"])


FEW = pl.col("ts") % 500 == 3
STEPS: dict[str, Callable[[Builder], Builder]] = {
    "a branch": lambda rows: (
        rows.split(FEW.cast(pl.String))
        .branch("true")
        .branch("false", lambda others: others.filter(pl.col("ts") < 0))
        .merge()
    ),
    "a function": lambda rows: rows.map(lambda frame: frame.filter(FEW), frame="polars"),
    "an async function": lambda rows: rows.map(filtered, frame="polars"),
    "expressions": lambda rows: rows.filter(FEW).backend("polars"),
}


async def filtered(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter(FEW)


@pytest.mark.parametrize("step", STEPS)
def test_a_few_rows_of_a_batch_keep_none_of_the_others(step: str) -> None:
    texts: list[int] = []

    def noted(frame: pl.DataFrame) -> pl.DataFrame:
        for chunk in frame["k"].get_chunks():
            array = chunk.to_arrow(compat_level=pl.CompatLevel.newest())
            texts.append(sum(part.size for part in array.buffers()[2:]))
        return frame

    rows, _ = batch(np.arange(50_000))
    begun = STEPS[step](Pipeline.builder().source(Source.from_frame(rows)))
    found = begun.map(noted, frame="polars", schema=rows.schema).collect_sync()
    assert found.equals(rows.filter(FEW))
    assert sum(texts) <= 2 * 100 * LETTERS


@pytest.mark.parametrize("kind", [pa.RecordBatch, pa.Table])
def test_a_slice_of_a_record_batch_keeps_nothing_else(kind: type[Any]) -> None:
    rows, _ = batch(np.arange(50_000))
    record = rows.to_arrow().combine_chunks().to_batches()[0]

    def first(given: pa.RecordBatch) -> Any:
        few = given.slice(1, 3)
        return few if kind is pa.RecordBatch else pa.Table.from_batches([few])

    incoming = Batch(record)
    (few,) = conformed(first(record), incoming, incoming.polars().schema, record.schema)
    assert few.polars()["ts"].to_list() == [1, 2, 3]
    assert few.arrow().get_total_buffer_size() < 1_000
    assert next(conformed(record, incoming, incoming.polars().schema, record.schema)).arrow() is record
