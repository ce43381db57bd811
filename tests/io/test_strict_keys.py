"""A key of NDJSON that is no column, wherever it first comes."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arrowstream import Pipeline, Source
from arrowstream.errors import PlanError, SourceError
from arrowstream.io.text_format import INFER_ROWS, unknown_key

PLAIN = {"item": "tea", "of": {"kind": "green", "tags": [{"id": 1}]}}


def written(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def late(path: Path, row: Any) -> Path:
    """A file whose columns are learnt before this row comes."""
    return written(path, [PLAIN] * (INFER_ROWS + 5) + [row, PLAIN])


@pytest.mark.parametrize(
    ("row", "key"),
    [
        ({**PLAIN, "price": 3}, "price"),
        ({**PLAIN, "of": {"kind": "black", "tags": [], "leaf": True}}, "of.leaf"),
        ({**PLAIN, "of": {"kind": "black", "tags": [{"id": 1, "x": None}]}}, "of.tags.x"),
    ],
)
@pytest.mark.parametrize("suffix", ["ndjson", "json"])
def test_it_is_named(row: Any, key: str, suffix: str, tmp_path: Path) -> None:
    source = Source.from_file(late(tmp_path / f"a.{suffix}", row)).with_strict_keys()
    with pytest.raises(SourceError, match="has a key that is no column") as caught:
        Pipeline.builder().source(source).collect_sync()
    error = caught.value
    assert repr(key) in str(error)
    assert f"row {INFER_ROWS + 6} (line {INFER_ROWS + 6})" in str(error)
    assert f"schema={{{key.split('.')[0]!r}" in str(error)


def test_it_is_left_out_where_nobody_asks(tmp_path: Path) -> None:
    file = late(tmp_path / "a.ndjson", {**PLAIN, "price": 3})
    frame = Pipeline.builder().source(Source.from_file(file)).collect_sync()
    assert (frame.columns, frame.height) == (["item", "of"], INFER_ROWS + 7)


def test_named_in_the_schema_it_is_read(tmp_path: Path) -> None:
    file = late(tmp_path / "a.ndjson", {**PLAIN, "price": 3})
    source = Source.from_file(file, schema={"price": pl.Int64}).with_strict_keys()
    assert Pipeline.builder().source(source).collect_sync()["price"].sum() == 3


def test_keys_that_rows_leave_out_are_no_fault(tmp_path: Path) -> None:
    file = written(tmp_path / "a.ndjson", [PLAIN, {"item": "x"}, {}, {"of": None}, {"of": {"tags": None}}])
    frame = Pipeline.builder().source(Source.from_file(file).with_strict_keys()).collect_sync()
    assert frame["item"].to_list() == ["tea", "x", None, None, None]


def test_another_fault_is_told_as_ever(tmp_path: Path) -> None:
    file = tmp_path / "a.ndjson"
    file.write_text('{"x": 1}\n' * (INFER_ROWS + 5) + "nonsense\n")
    with pytest.raises(SourceError, match="cannot be read"):
        Pipeline.builder().source(Source.from_file(file).with_strict_keys()).collect_sync()


def test_only_json_has_keys(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("x\n1\n")
    with pytest.raises(PlanError, match="only NDJSON and JSON files have keys"):
        Source.from_file(file).with_strict_keys().schema()


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.dictionaries(st.sampled_from("abcd"), st.integers(0, 9)), min_size=1, max_size=8))
def test_found_where_any_row_has_one(rows: list[dict[str, int]]) -> None:
    block = "".join(json.dumps(row) + "\n" for row in rows).encode()
    unknown = unknown_key(block, pl.Schema({"a": pl.Int64, "b": pl.Int64}))
    strange = {key for row in rows for key in row} - {"a", "b"}
    assert (unknown in strange) if strange else unknown is None
