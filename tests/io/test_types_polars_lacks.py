"""Columns of types that Polars lacks: an error of arrowstream that names the column, before anything runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from arrowstream import Pipeline, Sink, Source
from arrowstream.core.rows.arrow_types import unfit_columns
from arrowstream.errors import SchemaError, SourceError
from arrowstream.io.files.columnar.damage import unreadable_schema
from arrowstream.io.files.columnar.open_file import OpenFile


def _union(make: Any, *more: Any) -> pa.Array:
    return make(pa.array([0, 1], pa.int8()), *more, [pa.array([1, 2]), pa.array(["a", "b"])])


LACKED: dict[str, Callable[[], pa.Array]] = {
    "list view": lambda: pa.array([[1], [2]], pa.list_view(pa.int32())),
    "large list view": lambda: pa.array([[1], [2]], pa.large_list_view(pa.int32())),
    "run ends": lambda: pa.RunEndEncodedArray.from_arrays([1, 2], pa.array(["a", "b"])),
    "interval": lambda: pa.array([(1, 2, 3), None], pa.month_day_nano_interval()),
    "interval in a list": lambda: pa.array([[(1, 2, 3)], None], pa.list_(pa.month_day_nano_interval())),
    "sparse union": lambda: _union(pa.UnionArray.from_sparse),
    "dense union": lambda: _union(pa.UnionArray.from_dense, pa.array([0, 1], pa.int32())),
    "long decimal": lambda: pa.array([1, None], pa.decimal256(50, 2)),
    "no zone": lambda: pa.array([0, None], pa.timestamp("us", "Nowhere/Land")),
    "array of no values": lambda: pa.array([[], None], pa.list_(pa.int32(), 0)),
}


def _ipc(path: Path, table: pa.Table) -> None:
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)


WRITERS: dict[str, Callable[[Path, pa.Table], None]] = {
    "arrow": _ipc,
    "parquet": lambda path, table: pq.write_table(table, path),
}


@pytest.mark.parametrize("name", LACKED)
def test_a_frame_names_the_column(name: str) -> None:
    table = pa.table({"good": [1, 2], "bad": LACKED[name]()})
    with pytest.raises(SchemaError, match="bad") as raised:
        Source.from_frame(table)
    assert "good" not in str(raised.value)


@pytest.mark.parametrize("ending", WRITERS)
@pytest.mark.parametrize("name", LACKED)
def test_a_file_names_the_column(name: str, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.{ending}"
    try:
        WRITERS[ending](path, pa.table({"good": [1, 2], "bad": LACKED[name]()}))
    except pa.ArrowNotImplementedError:
        pytest.skip(f"{ending} has no {name}")
    for use in (
        lambda: Source.from_file(path).schema(),
        lambda: Pipeline.builder().source(Source.from_file(path)).sink(Sink.to_fn(print)).build(),
    ):
        with pytest.raises(SchemaError, match="bad") as raised:
            use()
        assert "good" not in str(raised.value) and str(path) in str(raised.value)


@pytest.mark.parametrize("ending", WRITERS)
def test_a_file_that_is_damaged_is_no_matter_of_types(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.{ending}"
    WRITERS[ending](path, pa.table({"x": [1, 2]}))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(SourceError, match="is not a complete"):
        Source.from_file(path).schema()


def test_types_that_only_the_reader_of_files_lacks(tmp_path: Path) -> None:
    schema = pa.schema({"x": pa.int64(), "y": pa.string()})
    path = tmp_path / "x.arrow"
    path.write_bytes(b"ARROW1")
    file = OpenFile(path)
    panic = unreadable_schema(
        file, pl.exceptions.PanicException("not yet implemented"), "IPC", lambda _: schema
    )
    assert isinstance(panic, SchemaError) and panic.found == "x: int64, y: string"
    assert panic.what == f"Polars has no type for one of the columns of {path}"
    error = unreadable_schema(file, pl.exceptions.ComputeError("broken"), "IPC", lambda _: schema)
    assert isinstance(error, SourceError) and error.found == "broken"


def test_columns_of_one_name_are_named_for_it() -> None:
    schema = pa.schema([("a", pa.int64()), ("b", pa.int64()), ("a", pa.string())])
    with pytest.raises(SchemaError, match="several columns are called 'a'"):
        Source.from_frame(
            pa.Table.from_arrays([pa.array([1]), pa.array([1]), pa.array(["x"])], schema=schema)
        )
    assert unfit_columns(schema, ValueError("twice")).found == "a, b, a"
