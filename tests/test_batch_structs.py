"""Slices of nullable structs, and gathered empty lists, as Arrow, which Polars 1.35 exports wrongly."""

import polars as pl
import pyarrow as pa

from arrowstream.core.batch import Batch, arrow_schema, to_record

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


def test_what_polars_exports_wrongly_comes_by_way_of_its_stream_format(monkeypatch):
    def fail(frame, **options):
        raise pa.ArrowInvalid("child array is too short")

    schema = arrow_schema(ROWS.schema)
    with monkeypatch.context() as patch:
        patch.setattr(pl.DataFrame, "to_arrow", fail)
        record = to_record(ROWS)
    assert record.schema.equals(schema, check_metadata=True)
    is_sound(record, ROWS)


def test_gathered_empty_lists_behind_others_come_back():
    lists = pl.Series([["x"] * 21, [], None, ["y"]], dtype=pl.List(pl.Enum(["x", "y"]))).to_frame("l")
    rows = pl.concat([lists, lists[[1, 2]], lists[[3, 1]]], rechunk=False)
    assert rows.n_chunks() == 3
    is_sound(to_record(rows), rows)
