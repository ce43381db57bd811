"""A key of NDJSON that is no column, wherever it first comes."""

import gzip
import json
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from effort import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arrowstream import Pipeline, Source
from arrowstream.errors import PlanError, SourceError
from arrowstream.io.files.text.formats import INFER_ROWS
from arrowstream.io.files.text.unknown_key import unknown_key

PLAIN = {"item": "tea", "of": {"kind": "green", "tags": [{"id": 1}]}}


def written(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def late(path: Path, row: Any) -> Path:
    """A file whose columns are learnt before this row comes."""
    return written(path, [PLAIN] * (INFER_ROWS + 5) + [row, PLAIN])


@pytest.mark.untraced
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


@pytest.mark.untraced
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
    with pytest.raises(PlanError, match="only JSON or NDJSON files have strict_keys"):
        Source.from_file(file).with_strict_keys().schema()


@settings(max_examples=examples(50), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.dictionaries(st.sampled_from("abcd"), st.integers(0, 9)), min_size=1, max_size=8))
def test_found_where_any_row_has_one(rows: list[dict[str, int]]) -> None:
    block = "".join(json.dumps(row) + "\n" for row in rows).encode()
    unknown = unknown_key(block, pl.Schema({"a": pl.Int64, "b": pl.Int64}))
    strange = {key for row in rows for key in row} - {"a", "b"}
    assert (unknown and unknown[0] in strange) if strange else unknown is None


def packed(path: Path, text: str) -> Path:
    data = text.encode()
    if path.suffix == ".gz":
        data = gzip.compress(data)
    elif path.suffix == ".zst":
        data = pa.compress(data, codec="zstd", asbytes=True)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path


ROWS = [{"a": i, "of": {"k": i}, "t": "x" * (i % 7)} for i in range(50)]
LINES = [json.dumps(row) + "\n" for row in ROWS]


@pytest.mark.untraced
@pytest.mark.parametrize("name", ["b.ndjson", "b.ndjson.gz", "b.ndjson.zst", "b.json", "b.json.gz"])
@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('{"a": 1, "of": {"k": 1, "z": 2}}', "of.z"),
        ('{"a": 1, "\\u0062\\u0063": 1}', "bc"),
        ('{"a": 1, "q": 2, "q": 3}', "q"),
        ('{"q.r": 1}', "q.r"),
        ('{"A": null}', "A"),
    ],
)
def test_file_row_and_key_are_named_in_one_of_several_files_of_small_blocks(
    name: str, line: str, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Blocks end within lines, and an array's are made into lines first.
    monkeypatch.setattr("arrowstream.io.files.text.file.BLOCK_BYTES", 200)
    lines = [*LINES[:33], line + "\n", *LINES[33:]]
    text = "".join(lines) if ".nd" in name else f"[{','.join(lines)}]"
    file = packed(tmp_path / "in" / name, text)
    packed(
        tmp_path / "in" / name.replace("b", "a", 1),
        "".join(LINES) if ".nd" in name else f"[{','.join(LINES)}]",
    )
    with pytest.raises(SourceError, match="has a key that is no column") as raised:
        Pipeline.builder().source(Source.from_file(tmp_path / "in" / "*").with_strict_keys()).collect_sync()
    error = raised.value
    where = "row 34 (line 34)" if ".nd" in name else "row 34"
    assert error.what == f"{where} of {file} has a key that is no column: {key!r}"
    assert error.found is not None and repr(line)[:-1] in error.found
    assert (
        error.hint is not None
        and f"schema={{{key if key == 'q.r' else key.split('.')[0]!r}: ...}}" in error.hint
    )


@pytest.mark.parametrize("suffix", ["ndjson", "ndjson.gz", "json"])
def test_no_false_alarms(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arrowstream.io.files.text.file.BLOCK_BYTES", 200)
    odd = ['{"a": 1, "a": 2}\n', '{"\\u0061": 5, "of": {"\\u006b": 1, "k": 2}}\n', "\r\n", "{}\r\n"]
    text = "".join([*LINES, *odd])
    if suffix == "json":
        text = f"[{','.join([*LINES, odd[0], odd[1], odd[3]])}]"
    source = Source.from_file(packed(tmp_path / f"a.{suffix}", text)).with_strict_keys()
    frame = Pipeline.builder().source(source).collect_sync()
    assert frame["a"].to_list() == [*range(50), 1, 5, None]
    assert Pipeline.builder().source(source).select("t").collect_sync().height == 53


def test_a_key_that_the_folders_tell_is_a_column(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arrowstream.io.files.text.file.BLOCK_BYTES", 64)
    plain = '{"x": 1}\n' * 20
    packed(tmp_path / "k=a" / "1.ndjson", plain)
    packed(tmp_path / "k=b" / "1.ndjson", plain + '{"k": "b", "x": 2}\n')
    source = Source.from_file(f"{tmp_path}/").with_strict_keys()
    frame = Pipeline.builder().source(source).collect_sync()
    assert frame["k"].to_list() == ["a"] * 20 + ["b"] * 21


@pytest.mark.parametrize(
    ("lines", "key"),
    [
        ([b'{"of": "text"}', b'{"of": {"k": 1, "q": 1}}'], ("of", "q")),
        ([b'{"l": ["text"]}', b'{"l": [{"q": 1}]}'], ("l", "q")),
        ([b'{"of": {"in": "text"}}', b'{"of": {"in": {"q": 1}}}'], ("of", "in", "q")),
        ([b'{"l": [{"z": 1}]}', b'{"l": {"z": 1}}', b'{"q": 1}'], ("q",)),
        ([b"nonsense", b'{"q": 1}'], ("q",)),
        ([b'{"of": "text"}', b'{"of": {"k": 1}}'], None),
        ([b'{"of": {"k": 1}}', b"nonsense"], None),
        ([b'{"a": "text"}', b'{"a": 1}'], None),
        ([b'{"l": ["text", {"q": 1}]}'], None),
        ([b"", b""], None),
    ],
)
def test_objects_among_other_values_are_looked_into(lines: list[bytes], key: tuple[str, ...] | None) -> None:
    within = pl.Struct({"k": pl.Int64, "in": pl.Struct({"j": pl.Int64})})
    schema = pl.Schema({"a": pl.Int64, "of": within, "l": pl.List(pl.Struct({"z": pl.Int64}))})
    for before in (0, 1, 5):
        block = b"\n".join([b'{"a": 1}'] * before + lines) + b"\n"
        assert unknown_key(block, schema) == key
        assert unknown_key(block.rstrip(b"\n"), schema) == key
