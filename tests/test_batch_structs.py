"""Slices of nested columns as Arrow, which Polars 1.35 exports wrongly, and from Arrow, which Polars 2 refuses."""

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import cuts

from arrowstream import Pipeline, Source
from arrowstream.core import batch
from arrowstream.core.batch import Batch, to_frame, to_record
from arrowstream.core.rows.arrow_schema import arrow_schema

ROWS = pl.DataFrame(
    {
        "r": pl.Series([{"a": 1}, None, {"a": 2}, None], dtype=pl.Struct({"a": pl.Int64})),
        "l": pl.Series([[{"b": "x"}, None], None, [None], []], dtype=pl.List(pl.Struct({"b": pl.String}))),
        "e": pl.Series(["x", None, "y", "x"], dtype=pl.Enum(["x", "y"])),
        "c": pl.Series(["p", "q", None, "p"], dtype=pl.Categorical),
        "s": ["a", None, "", "b"],
    }
)


def is_sound(record, rows):
    record.validate(full=True)
    assert record.schema.equals(arrow_schema(rows.schema), check_metadata=True)
    assert Batch(record).polars().equals(rows)


def test_every_slice_of_nullable_structs_comes_back():
    for start in range(ROWS.height):
        for length in range(ROWS.height - start + 1):
            rows = ROWS.slice(start, length)
            is_sound(Batch(rows).arrow(), rows)


@pytest.mark.parametrize("wrongly", [True, False])
def test_nested_columns_come_by_way_of_the_stream_format_where_polars_exports_slices_wrongly(
    monkeypatch, wrongly
):
    monkeypatch.setattr(batch, "EXPORTS_SLICES_WRONGLY", wrongly)
    is_sound(to_record(ROWS), ROWS)
    plain = ROWS.select("s", "e")
    is_sound(to_record(plain), plain)


def test_gathered_empty_lists_behind_others_come_back():
    lists = pl.Series([["x"] * 21, [], None, ["y"]], dtype=pl.List(pl.Enum(["x", "y"]))).to_frame("l")
    rows = pl.concat([lists, lists[[1, 2]], lists[[3, 1]]], rechunk=False)
    assert rows.n_chunks() == 3
    is_sound(to_record(rows), rows)


INT, TEXT, ENUM = pl.Int64(), pl.String(), pl.Enum(["u", "v"])
PAIR = pl.Array(INT, 2)
COLUMNS = {
    "a": ([[1, 2], None, [3, 4], None, [None, 6], [7, 8], None], PAIR),
    "aa": ([[[1, 2], None], None, [[3, 4], [5, 6]], None, [None] * 2, None, None], pl.Array(PAIR, 2)),
    "at": ([["x", None], None, ["y", "z"], None, None, ["", "q"], None], pl.Array(TEXT, 2)),
    "ab": ([[True, None], None, [False] * 2, None, None, [True] * 2, None], pl.Array(pl.Boolean, 2)),
    "al": ([[[1], None], None, [[], [2, 3]], None, [[4]] * 2, None, None], pl.Array(pl.List(INT), 2)),
    "la": ([[[1, 2], None], None, [], [[3, 4]], [None], None, []], pl.List(PAIR)),
    "sa": (
        [{"a": [1, 2]}, None, {"a": None}, None, {"a": [3, 4]}, None, {"a": None}],
        pl.Struct({"a": PAIR}),
    ),
    "as": (
        [[{"q": 1}] * 2, None, None, [{"q": None}, None], None, None, None],
        pl.Array(pl.Struct({"q": INT}), 2),
    ),
    "ae": ([["u", "v"], None, [None, "u"], None, None, None, None], pl.Array(ENUM, 2)),
    "b": ([True, None, False, None, True, True, None], pl.Boolean),
    "s": (["long enough to be no prefix", None, "", None, "y", "z", None], TEXT),
    "c": (["p", "q", None, "p", None, "p", "q"], pl.Categorical),
}
NESTED = pl.DataFrame([pl.Series(name, *column) for name, column in COLUMNS.items()]).with_row_index("row")


@pytest.mark.untraced
@pytest.mark.parametrize("name", NESTED.columns)
def test_every_slice_of_a_column_comes_back_in_either_direction(name):
    column = NESTED.select(name)
    record = to_record(column)
    for start in range(NESTED.height):
        for length in range(NESTED.height - start + 1):
            rows = column.slice(start, length)
            is_sound(Batch(rows).arrow(), rows)
            assert Batch(record.slice(start, length)).polars().equals(rows)
            assert Batch(record).slice(start, length).polars().equals(rows)
            table = pa.Table.from_batches([record]).slice(start, length)
            assert to_frame(table).equals(rows)


@given(st.data())
def test_nested_columns_pass_every_kind_of_step_in_slices(data):
    record = to_record(NESTED)
    parts, start = [], 0
    for part in data.draw(cuts(NESTED)):
        parts.append(record.slice(start, part.height))
        start += part.height
    rows = data.draw(st.integers(1, 5))
    steps = data.draw(st.sampled_from([
        lambda b: b.batch(rows=rows),
        lambda b: b.map(lambda batch: batch),
        lambda b: b.map(lambda frame: frame, frame="polars").batch(rows=rows),
        lambda b: b.batch(rows=rows).scan(n=pl.col("row").cum_sum()).drop("n"),
        lambda b: b.filter(pl.col("row") >= 0).batch(rows=rows).with_columns(n=pl.col("row") + 1).drop("n"),
        lambda b: b.reduce(*[pl.col(name).first() for name in NESTED.columns[1:]], by="row"),
    ]))  # fmt: skip
    source = Source.from_frame(parts, schema=NESTED.schema, batch_rows=data.draw(st.integers(1, 8)))
    assert steps(Pipeline.builder().source(source)).collect_sync().equals(NESTED)
