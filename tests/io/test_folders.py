"""What a folder or a glob holds: through links, with every partition, without what is hidden or unfinished."""

import gzip
import os
from pathlib import Path

import polars as pl
import pyarrow.dataset as ds
import pytest
from contexts import context
from polars.testing import assert_frame_equal

from arrowstream import Pipeline, Sink, Source
from arrowstream.core.batch import Batch
from arrowstream.errors import JobError, PlanError, SchemaError, SinkError, SourceError, StageError
from arrowstream.io.files.formats import FileKind
from arrowstream.io.files.listing import find_files
from arrowstream.io.files.sink import FileSink
from arrowstream.io.files.source import FileSource
from arrowstream.io.files.together.alike import has_content
from arrowstream.jobs.job import Job


def csv(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"a\n{value}\n")


def read(path):
    return Pipeline.builder().source(Source.from_file(path)).collect_sync()


def found(folder, pattern=""):
    return [str(file.path.relative_to(folder)) for file in find_files([f"{folder}/{pattern}"])]


def test_folders_that_are_links_are_read_as_pyarrow_reads_them(tmp_path):
    csv(tmp_path / "t" / "day=1" / "x.csv", 1)
    csv(tmp_path / "other" / "deep" / "y.csv", 2)
    (tmp_path / "t" / "day=2").symlink_to("../other")
    (tmp_path / "t" / "z.csv").symlink_to("day=1/x.csv")
    (tmp_path / "t" / "z.csv").unlink()
    for path in ("t", "t/**/*.csv", "t/**", "t/*"):
        assert sorted(read(tmp_path / path).rows()) == [(1, 1), (2, 2)]
    oracle = ds.dataset(tmp_path / "t", format="csv", partitioning="hive").to_table().to_pylist()
    assert sorted((row["a"], row["day"]) for row in oracle) == [(1, 1), (2, 2)]


def test_a_link_in_a_circle_is_read_once(tmp_path):
    csv(tmp_path / "t" / "a" / "x.csv", 1)
    (tmp_path / "t" / "a" / "up").symlink_to("..")
    (tmp_path / "t" / "self").symlink_to(".")
    for pattern in ("", "**", "**/*.csv", "**/x.csv"):
        assert found(tmp_path / "t", pattern) == ["a/x.csv"]
    assert found(tmp_path / "t", "self/*/x.csv") == ["self/a/x.csv"]


def test_a_partition_whose_link_leads_nowhere_is_an_error_and_other_links_are_not_data(tmp_path):
    csv(tmp_path / "t" / "x=1.csv", 1)
    (tmp_path / "t" / "y=1.csv").symlink_to("x=1.csv")
    (tmp_path / "t" / "notes").symlink_to("missing")
    assert found(tmp_path / "t") == ["x=1.csv", "y=1.csv"]
    (tmp_path / "t" / "day=2").symlink_to("missing")
    with pytest.raises(SourceError, match="leads nowhere"):
        found(tmp_path / "t")


@pytest.mark.untraced
@pytest.mark.parametrize("column", ["_day", ".day", "__x", "day"])
def test_partitions_of_any_name_are_read_found_and_replaced(tmp_path, column):
    def write(frame, **options):
        sink = Sink.to_file(tmp_path / "out", partition_by=[column], **options)
        Pipeline.builder().source(Source.from_frame(frame)).sink(sink).build().run_sync()

    old = pl.DataFrame({"x": [1, 2], column: ["a", "b"]})
    new = pl.DataFrame({"x": [9], column: ["z"]})
    write(old)
    assert read(tmp_path / "out").sort("x").equals(old)
    for pattern in ("**/*.parquet", "*/*.parquet", f"{column}=*/*"):
        assert read(tmp_path / "out" / pattern).sort("x").equals(old)
    with pytest.raises(SinkError, match="already holds data files"):
        write(new)
    write(new, overwrite=True)
    assert read(tmp_path / "out").equals(new)
    assert pl.concat(pl.read_parquet(p) for p in (tmp_path / "out").rglob("*.parquet"))["x"].to_list() == [9]


def test_what_is_hidden_or_unfinished_is_no_data(tmp_path):
    for name in (
        "a.csv",
        ".b.csv",
        "_c.csv",
        "_temporary/d.csv",
        ".git/e.csv",
        ".day=1.12-ab.inprogress/f.csv",
    ):
        csv(tmp_path / name, 1)
    assert found(tmp_path) == found(tmp_path, "**") == ["a.csv"]
    assert found(tmp_path, "*.csv") == found(tmp_path, "**/*.csv") == ["_c.csv", "a.csv"]
    assert found(tmp_path, "*/*.csv") == ["_temporary/d.csv"]
    assert found(tmp_path, ".git/*.csv") == [".git/e.csv"]
    assert found(tmp_path, ".*.csv") == [".b.csv"]


def test_nothing_of_a_run_that_still_writes_is_read_by_a_glob(tmp_path):
    csv(tmp_path / "t" / "x.csv", 1)
    writer = FileSink.of(f"{tmp_path}/t/k=1/", format="csv").open(pl.Schema({"a": pl.Int64}), context())
    writer.write(Batch(pl.DataFrame({"a": [2]})))
    writer.prepare(0)
    assert found(tmp_path / "t", "**/*.csv") == found(tmp_path / "t", "**") == ["x.csv"]
    writer.abort()


@pytest.mark.parametrize(
    "pattern",
    [
        "*.csv",
        "*/*.csv",
        "**/*.csv",
        "**/c/*.csv",
        "a/**/*.csv",
        "[ab]/*.csv",
        "?/x.csv",
        "a/b/c/x.csv*",
        "**/b/**/*.csv",
    ],
)
def test_patterns_match_what_pathlib_matches(tmp_path, pattern):
    for folder in ("", "a", "a/b", "a/b/c", "b", "c", "d e"):
        for name in ("x.csv", "y.csv"):
            csv(tmp_path / folder / name, 1)
    expected = sorted(path for path in tmp_path.glob(pattern) if path.is_file())
    assert found(tmp_path, pattern) == [str(path.relative_to(tmp_path)) for path in expected]


def test_a_pattern_below_a_folder_that_is_missing_is_no_match(tmp_path):
    with pytest.raises(SourceError, match="no file matches"):
        found(tmp_path, "missing/*.csv")


def test_files_come_in_the_order_of_their_paths(tmp_path):
    for name in ("b/x.csv", "a.csv", "a/z.csv", "B.csv", "b.csv", "a b/x.csv"):
        csv(tmp_path / name, 1)
    assert found(tmp_path) == [str(p.relative_to(tmp_path)) for p in sorted(tmp_path.rglob("*.csv"))]


def test_a_partition_whose_name_is_not_utf8_is_an_error_that_can_be_printed(tmp_path, capsys):
    csv(Path(os.fsdecode(os.fsencode(tmp_path) + b"/t/day=caf\xe9/x.csv")), 1)
    source = Source.from_file(tmp_path / "t")
    with pytest.raises(SourceError, match="not UTF-8") as caught:
        source.schema()
    print(caught.value, Source.from_file(os.fsdecode(b"caf\xe9.csv")).label)
    print(FileSink.of(os.fsdecode(b"caf\xe9.csv")).label, FileSink.of(os.fsdecode(b"caf\xe9/")).label)
    assert capsys.readouterr().out.count("caf\\udce9") >= 4


@pytest.mark.parametrize("section", ["source", "sink"])
@pytest.mark.parametrize("path", ["ftp://host/x.csv", ""])
def test_a_job_refuses_urls_and_empty_paths_with_file_and_line(tmp_path, section, path):
    csv(tmp_path / "good.csv", 1)
    good = str(tmp_path / "good.csv")
    paths = {"source": good, "sink": good, section: path}
    job = tmp_path / "job.toml"
    job.write_text("\n".join(f'[{name}]\nkind = "file"\npath = "{where}"' for name, where in paths.items()))
    with pytest.raises(JobError, match=r"job\.toml:\d+"):
        Job.load(job).pipeline()


def test_a_filter_that_fails_on_a_partition_fails_in_the_read(tmp_path):
    for day in ("1", "x"):
        (tmp_path / f"day={day}").mkdir()
        pl.DataFrame({"a": [1]}).write_parquet(tmp_path / f"day={day}" / "a.parquet")
    steps = Pipeline.builder().source(Source.from_file(tmp_path))
    assert steps.filter(pl.col("day") == "x").collect_sync().rows() == [(1, "x")]
    with pytest.raises(StageError, match="conversion"):
        steps.filter(pl.col("day").cast(pl.Int64) == 1).collect_sync()


@pytest.mark.untraced
def test_a_list_keeps_the_partitions_in_its_paths(tmp_path):
    for day in (1, 2):
        for hour in (7, 8):
            csv(tmp_path / "t" / f"day={day}" / f"hour={hour}" / "x.csv", day * 10 + hour)
    expected = read(tmp_path / "t")
    assert expected.columns == ["a", "day", "hour"]
    folder = tmp_path / "t"
    for paths in (
        sorted(folder.glob("*/*/x.csv")),
        [folder / "day=1", folder / "day=2"],
        [folder / "day=1" / "**", folder / "day=2" / "*" / "x.csv"],
        [folder],
        [folder / "*" / "*" / "x.csv"],
    ):
        assert_frame_equal(read(paths), expected)
        steps = Pipeline.builder().source(Source.from_file(paths))
        assert steps.filter(pl.col("day") == 2).select("a").collect_sync()["a"].to_list() == [27, 28]
    assert read([folder / "day=1" / "hour=7" / "x.csv"]).rows() == [(17, 1, 7)]
    assert read(folder / "day=1" / "hour=7" / "x.csv").columns == ["a"]
    csv(tmp_path / "other" / "x.csv", 5)
    mixed = [folder / "day=1" / "hour=7" / "x.csv", tmp_path / "other" / "x.csv"]
    assert read(mixed).rows() == [(17,), (5,)]


def test_a_list_of_relative_paths_keeps_partitions(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    csv(tmp_path / "day=1" / "x.csv", 1)
    csv(tmp_path / "day=x" / "x.csv", 2)
    assert read(["day=1/x.csv", "day=x/x.csv"]).rows() == [(1, "1"), (2, "x")]
    with pytest.raises(SourceError, match="cannot be looked for"):
        read(["~nobody-of-this-name/day=1/x.csv", "day=1/x.csv"])


@pytest.mark.parametrize("format", ["csv", "parquet", "ndjson", "arrow"])
def test_each_row_has_the_path_of_its_file_where_asked_for(tmp_path, format):
    write = {
        "csv": pl.DataFrame.write_csv,
        "parquet": pl.DataFrame.write_parquet,
        "ndjson": pl.DataFrame.write_ndjson,
        "arrow": pl.DataFrame.write_ipc,
    }[format]
    for number in range(4):
        (tmp_path / f"day={number % 2}").mkdir(exist_ok=True)
        write(pl.DataFrame({"a": [number, -number]}), tmp_path / f"day={number % 2}" / f"{number}.{format}")
    source = Source.from_file(tmp_path, include_file_paths="path")
    found = Pipeline.builder().source(source).collect_sync()
    assert found.columns == ["a", "day", "path"]
    assert found.schema["path"] == pl.String
    for value, day, path in found.rows():
        assert path == str(tmp_path / f"day={day}" / f"{abs(value)}.{format}")
    only = Pipeline.builder().source(source).filter(pl.col("path").str.ends_with(f"3.{format}"))
    explained = only.sink(Sink.to_fn(print)).build().explain()
    assert ("files: 1 of 4" in explained) == (format in ("parquet", "arrow"))
    assert only.select("a").collect_sync()["a"].to_list() == [3, -3]
    for name in ("a", "day"):
        with pytest.raises(PlanError, match=f"have a column '{name}' already"):
            Source.from_file(tmp_path, include_file_paths=name).schema()


@pytest.mark.untraced
@pytest.mark.parametrize("suffix", ["csv", "ndjson", "json", "parquet", "arrow", "csv.gz"])
def test_files_without_content_are_left_out_and_counted_where_asked_for(tmp_path, suffix):
    def pack(content):
        return gzip.compress(content) if suffix.endswith(".gz") else content

    frame = pl.DataFrame({"a": [1, 2]})
    write = {"parquet": frame.write_parquet, "arrow": frame.write_ipc, "json": frame.write_json}
    for number in (1, 3):
        path = tmp_path / f"{number}.{suffix}"
        if suffix in write:
            write[suffix](path)
        else:
            path.write_bytes(pack(frame.write_csv().encode() if "csv" in suffix else b'{"a":1}\n{"a":2}\n'))
    for number in (0, 2, 4):
        (tmp_path / f"{number}.{suffix}").write_bytes(
            pack(b"" if number or suffix in write else b"\xef\xbb\xbf\n")
        )
    (tmp_path / "5.parquet").touch()
    pattern = tmp_path / f"*.{suffix}"
    if suffix != "parquet":
        (tmp_path / "5.parquet").unlink()
    source = Source.from_file(pattern, skip_empty=True)
    rows = []
    report = Pipeline.builder().source(source).sink(Sink.to_fn(lambda b: rows.extend(pl.DataFrame(b).rows())))
    report = report.build().run_sync()
    assert rows == [(1,), (2,)] * 2
    many = 4 if suffix == "parquet" else 3
    note = f"{many} files without content left out, first in {tmp_path / f'0.{suffix}'}"
    assert [str(note) for note in report.notes] == [note]
    if suffix != "ndjson":
        with pytest.raises((SourceError, SchemaError)):
            read(pattern)
        with pytest.raises((SourceError, SchemaError)):
            Pipeline.builder().source(
                Source.from_file(tmp_path / f"0.{suffix}", skip_empty=True)
            ).collect_sync()


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "ndjson", "json", "parquet", "arrow", "avro"])
def test_a_source_whose_files_have_no_content_has_no_rows(suffix, tmp_path):
    for day in ("day=1", "day=2"):
        (tmp_path / day).mkdir()
        (tmp_path / day / f"a.{suffix}").write_bytes(gzip.compress(b"\n") if suffix == "csv.gz" else b"")
    columns = {"x": pl.Int64, "t": pl.String}
    source = Source.from_file(tmp_path, schema=columns, skip_empty=True)
    builder = Pipeline.builder().source(source).filter(pl.col("x") > 0, pl.col("day") == 1)
    assert_frame_equal(builder.collect_sync(), pl.DataFrame(schema={**columns, "day": pl.Int64}))
    plan = builder.explain()
    assert ("columns: 3" in plan, "bytes:" in plan) == (suffix in ("parquet", "arrow", "avro"), False)
    seen = []
    report = builder.sink(Sink.to_fn(print)).build().run_sync(progress=seen.append)
    assert (report.rows_in, report.rows_out) == (0, 0)
    assert [str(note).split(",")[0] for note in report.notes] == ["2 files without content left out"]
    with pytest.raises(SourceError, match="no file has content") as error:
        Source.from_file(tmp_path, skip_empty=True).schema()
    assert "schema=" in error.value.hint and str(tmp_path / "day=1") in error.value.found
    with pytest.raises(SourceError, match="no file has content"):
        Source.from_file(tmp_path, schema={"day": pl.Int64}, skip_empty=True).schema()
    if suffix in ("csv", "ndjson"):
        with pytest.raises(SchemaError, match="cannot be read from"):
            Source.from_file(tmp_path, schema={"x": pl.Binary}, skip_empty=True).schema()


def test_a_file_that_is_gone_or_no_file_has_content(tmp_path):
    assert has_content(tmp_path / "gone", FileKind("csv"))
    os.mkfifo(tmp_path / "pipe")
    assert has_content(tmp_path / "pipe", FileKind("csv"))
    assert has_content(tmp_path, FileKind("csv"))


def test_the_partitions_of_listed_paths_are_those_of_their_folders(tmp_path):
    for key in "12":
        (tmp_path / f"p={key}").mkdir()
        (tmp_path / f"p={key}" / f"a={key}.csv").write_text(f"x\n{key}0\n")
    forms = ("p=1/a=1.csv", "p=2/a=2.csv"), ("p=1", "p=2"), ("p=1/*.csv", "p=2/a=*")
    for paths in forms:
        found = read([tmp_path / path for path in paths])
        assert found.to_dict(as_series=False) == {"x": [10, 20], "p": [1, 2]}


def test_blank_space_is_no_content_unless_it_is_long(tmp_path):
    for size in (0, 1, 64, 65):
        (tmp_path / "blank.csv").write_text(" " * size)
        assert has_content(tmp_path / "blank.csv", FileKind("csv")) == (size > 64)


def test_a_path_that_is_not_utf8_is_no_value_of_a_column(tmp_path):
    (tmp_path / os.fsdecode(b"\xff.csv")).write_text("a\n1\n")
    assert read(tmp_path).rows() == [(1,)]
    with pytest.raises(SourceError, match="not UTF-8, as a value of column 'path' must be"):
        Source.from_file(tmp_path, include_file_paths="path").schema()


def test_a_list_without_files_is_an_error():
    with pytest.raises(PlanError, match="there is no file to read"):
        FileSource.of([]).schema()
    with pytest.raises(PlanError, match="there is no file to read"):
        assert FileSource.of([]).pushdown
