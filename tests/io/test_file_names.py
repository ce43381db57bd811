"""Paths that the system, pathlib or Hive's naming make special: rows are found, or the error is one of ours."""

import os
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
from contexts import context
from scripted import publish

from arrowstream.core.batch import Batch
from arrowstream.errors import ArrowstreamError, SinkError, SourceError
from arrowstream.io.files.output.encoders import encoder_for
from arrowstream.io.files.sink import FileSink
from arrowstream.io.files.source import FileSource

NULL_NAME = "__HIVE_DEFAULT_PARTITION__"


def write(sink: FileSink, frame: pl.DataFrame) -> None:
    writer = sink.open(frame.schema, context())
    writer.write(Batch(frame))
    publish(writer)


def read(source: FileSource, query=None) -> pl.DataFrame:
    reader = source.open(context(), query)
    try:
        frames = []
        while (batch := reader.read()) is not None:
            frames.append(batch.polars())
        return pl.concat(frames)
    finally:
        reader.close()


def test_text_that_reads_like_hives_null_is_not_null(tmp_path: Path) -> None:
    frame = pl.DataFrame({"x": [1, 2, 3], "key": [NULL_NAME, None, "a"]})
    write(FileSink.of(tmp_path / "out", partition_by="key"), frame)
    rows = read(FileSource.of(tmp_path / "out"))
    assert rows.sort("x").equals(frame)


def test_a_filter_that_fails_on_a_partition_fails_in_the_read_with_its_place(tmp_path: Path) -> None:
    write(FileSink.of(tmp_path / "out", partition_by="key"), pl.DataFrame({"x": [1, 2], "key": ["7", "b"]}))
    source = FileSource.of(tmp_path / "out", schema={"key": pl.String})

    def query(rows: pl.LazyFrame) -> pl.LazyFrame:
        return rows.filter(pl.col("key").cast(pl.Int64) == 7)

    assert source.explain_read(query)
    with pytest.raises(ArrowstreamError) as caught:
        read(source, query)
    assert "key=b" in str(caught.value)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("~nobody-of-this-name/x.csv", "home directory"),
        ("x**.csv", "'\\*\\*'"),
        ("y" * 300 + ".csv", "name too long"),
    ],
)
def test_a_path_the_system_does_not_take_is_an_error_of_the_source(path: str, found: str) -> None:
    with pytest.raises(SourceError, match=f"(?i){found}"):
        FileSource.of(path).schema()


def test_a_folder_that_cannot_be_listed_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.csv").write_text("x\n1\n")
    assert read(FileSource.of(tmp_path)).height == 2
    scandir = os.scandir

    def refusing(path):
        if Path(path).name == "b":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(SourceError) as caught:
        FileSource.of(tmp_path).schema()
    assert caught.value.found == "Permission denied"
    assert str(tmp_path / "b") in caught.value.hint


def test_a_name_the_system_does_not_take_is_an_error_of_the_sink() -> None:
    with pytest.raises(SinkError, match="too long"):
        FileSink.of("y" * 300 + ".csv").check(pl.Schema({"x": pl.Int64}))


def test_overwriting_a_folder_leaves_alone_what_another_run_writes_into_one_of_its_partitions(
    tmp_path: Path,
) -> None:
    other = FileSink.of(f"{tmp_path}/day=1/").open(pl.Schema({"x": pl.Int64}), context())
    other.write(Batch(pl.DataFrame({"x": [1]})))
    handle = other.prepare(0)
    write(FileSink.of(tmp_path, overwrite=True, partition_by="day"), pl.DataFrame({"x": [2], "day": [2]}))
    other.commit(handle)
    other.close()
    assert read(FileSource.of(tmp_path)).rows() == [(1, 1), (2, 2)]


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_compressed_ipc_holds_texts_in_lists_however_rows_were_cut(tmp_path: Path, compression: str) -> None:
    frame = pl.DataFrame({"x": [["a"], None, ["b", "c"], []], "y": [{"t": "d"}] * 4})
    with (tmp_path / "x.arrow").open("wb") as file:
        encoder = encoder_for("ipc", frame.schema, compression)
        encoder.encode(frame.iter_slices(1), SimpleNamespace(add=file.write))
    assert pl.scan_ipc(tmp_path / "x.arrow").collect().equals(frame)
    assert read(FileSource.of(tmp_path / "x.arrow")).equals(frame)


def test_ndjson_read_as_narrow_integers(tmp_path: Path) -> None:
    narrow = {"a": pl.Int8, "b": pl.Int16, "c": pl.UInt8, "d": pl.UInt16}
    file = tmp_path / "x.ndjson"
    file.write_text('{"a":-128,"b":1,"c":255,"d":65535}\n{"a":null,"c":0}\n')
    rows = read(FileSource.of(file, schema=narrow))
    assert rows.schema == pl.Schema(narrow)
    assert rows.rows() == [(-128, 1, 255, 65535), (None, None, 0, None)]
    file.write_text('{"a":1,"b":1,"c":1,"d":1}\n{"a":1,"b":1,"c":256,"d":1}\n')
    with pytest.raises(SourceError, match=r"row 2 \(line 2\) .* column 'c'") as caught:
        read(FileSource.of(file, schema=narrow))
    assert caught.value.expected == "c: UInt8" and caught.value.found == "256"


@pytest.mark.parametrize(
    "dtype", [pl.Time(), pl.Decimal(9, 2), pl.List(pl.Duration("us")), pl.Struct({"x": pl.Binary()})]
)
def test_types_that_ndjson_cannot_be_read_as_are_refused_before_anything_runs(
    tmp_path: Path, dtype: pl.DataType
) -> None:
    (tmp_path / "x.ndjson").write_text('{"a":null}\n')
    with pytest.raises(ArrowstreamError, match="column 'a' cannot be read from NDJSON as"):
        FileSource.of(tmp_path / "x.ndjson", schema={"a": dtype}).schema()


def test_ndjson_read_as_nested_types(tmp_path: Path) -> None:
    dtype = pl.Struct({"l": pl.List(pl.Int8), "s": pl.String})
    (tmp_path / "x.ndjson").write_text('{"a":{"l":[1],"s":"t"}}\n')
    assert read(FileSource.of(tmp_path / "x.ndjson", schema={"a": dtype})).schema["a"] == dtype
