"""The description of a file sink: what it is called, what it refuses before anything is written."""

from datetime import date, datetime
from pathlib import Path

import polars as pl
import pytest
from contexts import context
from scripted import publish

from arrowstream import Pipeline, Sink, Source
from arrowstream.core.batch import Batch
from arrowstream.errors import PlanError, SchemaError
from arrowstream.io.files.column_types import check_types
from arrowstream.io.files.formats import a_file
from arrowstream.io.files.hive_folders import encode
from arrowstream.io.files.output.encoders import encoder_for
from arrowstream.io.files.output.streaming_sink import encoded
from arrowstream.io.files.sink import FileSink

SCHEMA = pl.Schema({"k": pl.String, "x": pl.Int64})


@pytest.mark.parametrize(
    ("sink", "label"),
    [
        (FileSink.of("out.parquet"), "file out.parquet (parquet, zstd)"),
        (FileSink.of("out.parquet", compression="none"), "file out.parquet (parquet)"),
        (FileSink.of(Path("a/out.csv.gz")), "file a/out.csv.gz (csv, gzip)"),
        (FileSink.of("out.json").with_format("ndjson"), "file out.json (ndjson)"),
        (FileSink.of("out.feather", compression="lz4"), "file out.feather (ipc, lz4)"),
        (FileSink.of("out/"), "files out/ (parquet, zstd)"),
        (FileSink.of("out.csv/", compression="zstd"), "files out.csv/ (csv, zstd)"),
        (FileSink.of("out", partition_by="k"), "files out/k=*/ (parquet, zstd)"),
        (FileSink.of("out", format="json", partition_by=["k", "x"]), "files out/k=*/x=*/ (json)"),
    ],
)
def test_label(sink, label):
    assert sink.label == label


def test_a_folder_that_is_there_needs_no_slash(tmp_path):
    sink = FileSink.of(tmp_path)
    assert sink.label == f"files {tmp_path}/ (parquet, zstd)"
    assert sink.guarantee == "no partial files: all of them appear at the end of a run that has succeeded"


@pytest.mark.parametrize("path", ["missing/", "out.parquet"])
def test_everything_else_is_atomic(path, tmp_path):
    guarantee = FileSink.of(f"{tmp_path}/{path}").guarantee
    assert guarantee == "atomic: the final name appears only when the run has succeeded"


def test_with_format_gives_a_changed_copy():
    sink = FileSink.of("out.json")
    assert sink.with_format("ndjson") == FileSink.of("out.json", format="ndjson")
    assert sink.format is None


@pytest.mark.parametrize(
    ("sink", "message"),
    [
        (FileSink.of("out"), "the name 'out' does not tell a file format"),
        (FileSink.of("out.txt", format="parkay"), "there is no file format 'parkay'"),
        (FileSink.of("out/", format="parkay"), "there is no file format 'parkay'"),
        (FileSink.of("out.csv", compression="snappy"), "a CSV file cannot be compressed with 'snappy'"),
        (FileSink.of("out.ipc", compression="gzip"), "an Arrow IPC file cannot be compressed with 'gzip'"),
        (FileSink.of("out.csv", compression="gzip"), "compression='gzip' is not what the file's name tells"),
        (
            FileSink.of("out.csv.gz", compression="none"),
            "compression='none' is not what the file's name tells",
        ),
        (
            FileSink.of("out.parquet", max_rows_per_file=5),
            "max_rows_per_file is for the part files of a folder",
        ),
        (FileSink.of("out/", max_rows_per_file=0), "max_rows_per_file is for the part files of a folder"),
    ],
)
def test_options_that_do_not_fit(sink, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PlanError) as caught:
        sink.check(SCHEMA)
    assert caught.value.what.startswith(message)
    assert caught.value.hint
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"overwrite": "no"}, "overwrite takes True or False"),
        ({"statistics": 0}, "statistics takes True or False"),
        ({"max_rows_per_file": "3"}, "max_rows_per_file takes a whole number"),
        ({"max_bytes_per_file": 1.5}, "max_bytes_per_file takes a whole number"),
        ({"row_group_size": True}, "row_group_size takes a whole number"),
        ({"compression_level": "3"}, "compression_level takes a whole number"),
        ({"max_rows_per_file": 0}, "max_rows_per_file is too small"),
        ({"partition_by": 3}, "partition_by takes names of columns"),
        ({"sort_by": ["x", 3]}, "sort_by takes names of columns"),
    ],
)
@pytest.mark.parametrize("path", ["out/", "s3://bucket/out/"])
def test_options_of_a_wrong_type(options, message, path):
    with pytest.raises(PlanError) as caught:
        Sink.to_file(path, **options)
    assert caught.value.what == message and caught.value.expected and caught.value.found


def test_a_compression_that_the_name_tells_too_may_be_named():
    FileSink.of("out.csv.gz", compression="gzip").check(SCHEMA)
    FileSink.of("out.csv", compression="none").check(SCHEMA)


REFUSED = [
    ("csv", pl.List(pl.Int64)),
    ("csv", pl.Array(pl.Int64, 2)),
    ("csv", pl.Struct({"a": pl.Int64})),
    ("csv", pl.Binary),
    ("csv", pl.Duration("us")),
    ("csv", pl.Object),
    ("json", pl.Binary),
    ("ndjson", pl.List(pl.Binary)),
    ("ndjson", pl.Struct({"a": pl.Array(pl.Binary, 2)})),
    ("ndjson", pl.Int128),
    ("ipc", pl.Categorical()),
    ("ipc", pl.List(pl.Struct({"a": pl.Categorical()}))),
    ("parquet", pl.Struct([])),
    ("parquet", pl.List(pl.Struct([]))),
]


@pytest.mark.parametrize(("format", "dtype"), REFUSED)
def test_types_that_a_format_cannot_hold(format, dtype):
    schema = pl.Schema({"good": pl.Int64, "bad": dtype})
    with pytest.raises(SchemaError) as caught:
        FileSink.of("out", format=format).check(schema)
    assert caught.value.what == f"column 'bad' cannot be written to {a_file(format)}"
    assert caught.value.expected and caught.value.hint
    assert caught.value.found == str(schema["bad"])


ONE_ROW = pl.DataFrame(
    {
        "i": [1],
        "f": [1.5],
        "b": [True],
        "s": ["a"],
        "d": [date(2013, 1, 1)],
        "t": [datetime(2013, 1, 1)],
        "c": pl.Series(["a"], dtype=pl.Categorical),
        "e": pl.Series(["a"], dtype=pl.Enum(["a"])),
        "n": pl.Series([1], dtype=pl.Decimal(5, 2)),
        "z": pl.Series([None], dtype=pl.Null),
        "l": [[1]],
        "a": pl.Series([[1]], dtype=pl.Array(pl.Int8, 1)),
        "r": [{"a": [b"x"]}],
        "p": pl.Series([1], dtype=pl.Duration("ms")),
        "y": [b"x"],
        "m": pl.Series([1], dtype=pl.Time),
    }
)


@pytest.mark.parametrize("format", ["parquet", "ipc", "csv", "json", "ndjson"])
def test_every_type_that_is_not_refused_can_be_written(format):
    for column in ONE_ROW.get_columns():
        frame = column.to_frame()
        try:
            check_types(format, frame.schema)
        except SchemaError:
            continue
        assert encoded(frame, encoder_for(format, frame.schema, None))


def test_no_columns_are_refused():
    with pytest.raises(SchemaError, match="no columns to write"):
        FileSink.of("out.parquet").check(pl.Schema())


@pytest.mark.parametrize(
    ("columns", "schema", "message"),
    [
        (["nope"], SCHEMA, "there is no column 'nope' to partition by"),
        (["k", "k"], SCHEMA, "a column is named twice in partition_by"),
        (["k", "x"], SCHEMA, "every column is partitioned by"),
        (["k/"], {"k/": pl.Int64, "x": pl.Int64}, "column 'k/' cannot name a folder"),
        (["k"], {"k": pl.Float64, "x": pl.Int64}, "column 'k' of type Float64 cannot be partitioned by"),
        (["k"], {"k": pl.List(pl.Int64), "x": pl.Int64}, "column 'k' of type List(Int64)"),
        (["k"], {"k": pl.Datetime("ns"), "x": pl.Int64}, "column 'k' of type Datetime"),
        (["k"], {"k": pl.Datetime("us", "UTC"), "x": pl.Int64}, "column 'k' of type Datetime"),
    ],
)
def test_columns_that_cannot_be_partitioned_by(columns, schema, message):
    with pytest.raises(SchemaError) as caught:
        FileSink.of("out", partition_by=columns).check(pl.Schema(schema))
    assert caught.value.what.startswith(message)
    assert caught.value.found and caught.value.hint


def test_a_partition_above_the_path_of_the_source_is_a_column_by_a_list(tmp_path):
    folder = tmp_path / "in" / "day=1"
    folder.mkdir(parents=True)
    (folder / "a.csv").write_text("x\n2\n")
    sink = Sink.to_file(tmp_path / "out", partition_by="day")
    with pytest.raises(SchemaError) as caught:
        Pipeline.builder().source(Source.from_file(folder)).sink(sink).build()
    assert "a folder day=... of the source, give the paths as a list" in caught.value.hint
    Pipeline.builder().source(Source.from_file([folder])).sink(sink).build().run_sync()
    assert pl.read_parquet(tmp_path / "out").rows() == [(2, 1)]


def test_a_partition_column_need_not_fit_the_format():
    schema = pl.Schema({"k": pl.Categorical(), "x": pl.Int64})
    FileSink.of("out", format="ipc", partition_by="k").check(schema)


@pytest.mark.parametrize(
    ("value", "dtype", "text"),
    [
        (None, pl.Int64(), "__HIVE_DEFAULT_PARTITION__"),
        ("__HIVE_DEFAULT_PARTITION__", pl.String(), "%5F_HIVE_DEFAULT_PARTITION__"),
        ("", pl.String(), ""),
        ("..", pl.String(), ".."),
        ("../a", pl.String(), "..%2Fa"),
        ("a=b%20\0\n", pl.String(), "a%3Db%2520%00%0A"),
        ("é b", pl.String(), "é b"),
        (-5, pl.Int8(), "-5"),
        (False, pl.Boolean(), "false"),
        (date(2013, 1, 2), pl.Date(), "2013-01-02"),
        (datetime(2013, 1, 2, 3), pl.Datetime("us"), "2013-01-02 03%3A00%3A00.000000"),
        ("b", pl.Enum(["a", "b"]), "b"),
    ],
)
def test_values_as_folder_names(value, dtype, text):
    assert encode([value, None, value], dtype) == [text, "__HIVE_DEFAULT_PARTITION__", text]


@pytest.mark.parametrize(
    ("format", "compression", "name"),
    [
        ("parquet", "gzip", "part-00000.parquet"),
        ("ipc", "zstd", "part-00000.arrow"),
        ("csv", "gzip", "part-00000.csv.gz"),
        ("json", "zstd", "part-00000.json.zst"),
        ("ndjson", None, "part-00000.ndjson"),
    ],
)
def test_names_of_part_files(format, compression, name, tmp_path):
    sink = FileSink.of(f"{tmp_path}/out/", format=format, compression=compression)
    writer = sink.open(SCHEMA, context())
    writer.write(Batch(pl.DataFrame({"k": ["a"], "x": [1]})))
    publish(writer)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [name]


def test_part_files_have_at_most_so_many_rows(tmp_path):
    rows = Pipeline.builder().source(Source.from_frame(pl.DataFrame({"x": range(7)}), batch_rows=2))
    rows.sink(Sink.to_file(tmp_path, max_rows_per_file=3)).build().run_sync()
    parts = [pl.read_parquet(path)["x"].to_list() for path in sorted(tmp_path.iterdir())]
    assert parts == [[0, 1, 2], [3, 4, 5], [6]]
