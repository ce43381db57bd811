"""Rows of files equal what Polars reads from them, whatever the format, the pieces and the query."""

import gzip
import os
import sys
import zipfile
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import hypothesis.strategies as st
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from contexts import context
from effort import examples
from hypothesis import HealthCheck, given, settings
from polars.testing import assert_frame_equal
from polars.testing.parametric import dataframes

from arrowstream import Pipeline, Sink, Source
from arrowstream.core.batch import Batch
from arrowstream.errors import PlanError, SchemaError
from arrowstream.io.files.columnar import scan
from arrowstream.io.files.columnar.parquet_footer import size_text
from arrowstream.io.files.reader import FileReader
from arrowstream.io.files.source import FileSource

SMALL = settings(max_examples=examples(40), suppress_health_check=[HealthCheck.function_scoped_fixture])

TYPED = pl.DataFrame(
    {
        "int": [1, None, -3, 4],
        "text": ["a", None, 'quo"te', "new\nline, ü"],
        "float": [1.5, float("nan"), None, float("-inf")],
        "flag": [True, None, False, True],
        "raw": [b"\x00\xff", None, b"", b"x"],
        "day": [date(2020, 1, 1), None, date(1960, 5, 5), date(2100, 1, 1)],
        "at": [datetime(2020, 1, 1, 1), None, datetime(1960, 1, 1), datetime(2030, 1, 1)],
        "zoned": [datetime(2020, 1, 1, tzinfo=UTC), None, None, None],
        "took": [timedelta(seconds=1), None, timedelta(days=-1), timedelta(0)],
        "money": [Decimal("1.25"), None, Decimal("-3.50"), Decimal("0")],
        "list": [[1, None], None, [], [3]],
        "pair": [{"x": 1, "y": "a"}, None, {"x": None, "y": "b"}, {"x": 3, "y": None}],
        "kind": ["u", None, "v", "u"],
        "size": ["S", "L", None, "S"],
        "tiny": [1, None, 3, -4],
    },
    schema_overrides={
        "zoned": pl.Datetime("us", "UTC"),
        "money": pl.Decimal(10, 2),
        "kind": pl.Categorical(),
        "size": pl.Enum(["S", "M", "L"]),
        "tiny": pl.Int8,
    },
)
PLAIN = pl.DataFrame(
    {
        "id": range(1000),
        "name": [None if i % 7 == 0 else f"n{i % 13}" for i in range(1000)],
        "x": [None if i % 11 == 0 else i / 8 for i in range(1000)],
        "even": [i % 2 == 0 for i in range(1000)],
    }
)


def batches(source: FileSource, query=None) -> list[Batch]:
    reader = source.open(context(), query)
    try:
        return list(iter(reader.read, None))
    finally:
        reader.close()


def rows(source: FileSource, query=None) -> pl.DataFrame:
    frames = [batch.polars() for batch in batches(source, query)]
    empty = pl.DataFrame(schema=source.schema()).lazy()
    return pl.concat([(empty if query is None else query(empty)).collect(), *frames])


def write(frame: pl.DataFrame, path: Path) -> Path:
    """A file in the format that its name tells."""
    path.parent.mkdir(parents=True, exist_ok=True)
    name = path.name.removesuffix(".gz").removesuffix(".zst").removesuffix(".zip")
    target = path.with_name(name)
    match target.suffix:
        case ".parquet":
            frame.write_parquet(target)
        case ".csv":
            frame.write_csv(target)
        case ".tsv":
            frame.write_csv(target, separator="\t")
        case ".ndjson" | ".jsonl":
            frame.write_ndjson(target)
        case ".json":
            frame.write_json(target)
        case ".arrow" | ".ipc" | ".feather":
            frame.write_ipc(target)
    if path != target:
        plain = target.read_bytes()
        target.unlink()
        if path.suffix == ".zip":
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("folder/", "")
                archive.writestr(f"folder/{name}", plain)
        else:
            path.write_bytes(
                gzip.compress(plain)
                if path.suffix == ".gz"
                else pa.compress(plain, codec="zstd", asbytes=True)
            )
    return path


SUFFIXES = [".parquet", ".arrow", ".ipc", ".feather", ".csv", ".tsv", ".ndjson", ".jsonl", ".json"]
PACKED = [
    name + packed for name in (".csv", ".tsv", ".ndjson", ".json") for packed in (".gz", ".zst", ".zip")
]


@pytest.fixture
def tiny_pieces(monkeypatch):
    """Pieces and batches so small that every file is cut many times."""
    monkeypatch.setattr("arrowstream.io.files.text.file.BLOCK_BYTES", 700)
    monkeypatch.setattr("arrowstream.io.files.columnar.scan.PIECE_BYTES", 5000)
    monkeypatch.setattr("arrowstream.io.files.columnar.parquet_pieces.PIECE_BYTES", 5000)
    monkeypatch.setattr("arrowstream.io.files.columnar.parquet_pieces.WHOLE", 1)
    monkeypatch.setattr("arrowstream.io.files.reader.BATCH_ROWS", 90)


@pytest.mark.untraced
@pytest.mark.parametrize("suffix", [*SUFFIXES, *PACKED])
@pytest.mark.parametrize("tiny", [pytest.param(False, marks=pytest.mark.once), True])
def test_every_format_and_compression_gives_the_rows_that_were_written(suffix, tiny, tmp_path, request):
    if tiny:
        request.getfixturevalue("tiny_pieces")
    source = FileSource.of(write(PLAIN, tmp_path / f"data{suffix}"))
    read = batches(source)
    assert len(read) > 5 if tiny else len(read) == 1
    assert source.schema() == PLAIN.schema
    assert_frame_equal(rows(source), PLAIN)
    assert rows(source, lambda frame: frame.select("x")).equals(PLAIN.select("x"))


@pytest.mark.parametrize(
    ("group", "pieces"),
    [(30, [120] * 10), (100, [100] * 12), (400, [400] * 3), (600, [300] * 4), (1200, [400] * 3)],
)
def test_row_groups_are_read_together_or_whole_or_in_few_slices(group, pieces, tmp_path, monkeypatch):
    monkeypatch.setattr("arrowstream.io.files.columnar.parquet_pieces.PIECE_BYTES", 1000)
    frame = pl.DataFrame({"x": range(1200)})
    frame.write_parquet(tmp_path / "data.parquet", row_group_size=group)
    source = FileSource.of(tmp_path / "data.parquet")
    doubled = batches(source, lambda rows: rows.with_columns(y=pl.col("x") * 2))
    assert [batch.num_rows for batch in doubled] == pieces
    assert rows(source).equals(frame)


def test_the_first_row_groups_of_plain_columns_come_before_a_whole_piece(tmp_path, monkeypatch):
    monkeypatch.setattr("arrowstream.io.files.columnar.parquet_pieces.PIECE_BYTES", 1000)
    pl.DataFrame({"x": range(1200)}).write_parquet(tmp_path / "data.parquet", row_group_size=30)
    read = batches(FileSource.of(tmp_path / "data.parquet"))
    assert [batch.num_rows for batch in read] == [30, *[120] * 9, 90]


@pytest.mark.untraced
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_batches_know_their_place_in_their_file(suffix, tmp_path, tiny_pieces):
    files = [write(PLAIN, tmp_path / f"{name}{suffix}") for name in "ab"]
    for batch in batches(FileSource.of(files)):
        place = batch.position
        assert place.stop - place.start == batch.num_rows
        assert batch.polars()["id"].to_list() == list(range(place.start, place.stop))
        assert Path(place.origin) in files


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_every_type_comes_back(suffix, tmp_path, tiny_pieces, monkeypatch):
    path = write(TYPED, tmp_path / f"typed{suffix}")
    source = FileSource.of(path)
    assert source.schema() == TYPED.schema
    assert_frame_equal(rows(source), TYPED)
    # Page by page, as a huge row group is read.
    monkeypatch.setattr("arrowstream.io.files.columnar.parquet_pieces.PIECE_BYTES", 1)
    monkeypatch.setattr("arrowstream.io.files.columnar.parquet_pieces.HUGE_BYTES", 1)
    assert_frame_equal(rows(source), TYPED)
    chosen = rows(source, lambda frame: frame.filter(pl.col("int") > 0).select("pair", "kind"))
    assert_frame_equal(chosen, TYPED.filter(pl.col("int") > 0).select("pair", "kind"))


INTS = [pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64]
OTHERS = [
    pl.Float32,
    pl.Float64,
    pl.Boolean,
    pl.String,
    pl.Binary,
    pl.Date,
    pl.Datetime,
    pl.Duration,
    pl.Enum,
]
NESTED = [pl.List, pl.Struct]


@SMALL
@given(
    frame=dataframes(min_cols=1, max_cols=4, max_size=20, allowed_dtypes=[*INTS, *OTHERS, *NESTED]),
    piece=st.sampled_from([1, 64, 10**6]),
)
def test_any_table_comes_back_from_parquet_and_ipc(frame, piece, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("arrowstream.io.files.columnar.scan.PIECE_BYTES", piece)
        patch.setattr("arrowstream.io.files.columnar.parquet_pieces.PIECE_BYTES", piece)
        patch.setattr("arrowstream.io.files.columnar.parquet_pieces.WHOLE", 1)
        for suffix in (".parquet", ".arrow"):
            path = write(frame, tmp_path / f"any{suffix}")
            expected = pl.read_parquet(path) if suffix == ".parquet" else pl.read_ipc(path)
            assert_frame_equal(rows(FileSource.of(path)), expected)


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8) | st.sampled_from(
    ["a,b", '"', '""', "x\ny", "\n", '\n"\n,', " "]
)


def cells(
    floats: st.SearchStrategy[float],
) -> st.SearchStrategy[list[tuple[int | None, str | None, float | None]]]:
    row = st.tuples(st.none() | st.integers(-(2**63), 2**63 - 1), st.none() | TEXTS, st.none() | floats)
    return st.lists(row, min_size=1, max_size=25)


CELLS = cells(st.floats(allow_nan=False))
JSON_CELLS = cells(st.floats(allow_nan=False, allow_infinity=False))  # JSON has no infinity


@settings(SMALL, max_examples=examples(60))
@given(cells=CELLS, block=st.sampled_from([1, 7, 64, 10**6]), windows=st.booleans())
def test_any_text_in_csv_is_read_as_polars_reads_it(cells, block, windows, tmp_path):
    frame = pl.DataFrame(cells, schema={"i": pl.Int64, "t": pl.String, "f": pl.Float64}, orient="row")
    path = tmp_path / "any.csv"
    frame.write_csv(path, line_terminator="\r\n" if windows else "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("arrowstream.io.files.text.file.BLOCK_BYTES", block)
        source = FileSource.of(path, schema=frame.schema)
        expected = pl.read_csv(path, schema=frame.schema)
        assert_frame_equal(rows(source), expected)
        assert_frame_equal(rows(source, lambda rows: rows.select("t")), expected.select("t"))


@settings(SMALL, max_examples=examples(40))
@given(cells=JSON_CELLS, block=st.sampled_from([3, 64, 10**6]), suffix=st.sampled_from([".ndjson", ".json"]))
def test_any_text_in_json_comes_back(cells, block, suffix, tmp_path):
    frame = pl.DataFrame(cells, schema={"i": pl.Int64, "t": pl.String, "f": pl.Float64}, orient="row")
    frame = frame.with_columns(l=pl.concat_list("i", "i"), s=pl.struct("t", "f"))
    path = write(frame, tmp_path / f"any{suffix}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("arrowstream.io.files.text.file.BLOCK_BYTES", block)
        # JSON has no infinity: null is written in its place.
        finite = pl.when(pl.col("f").is_finite()).then("f").alias("f")
        expected = frame.with_columns(finite, s=pl.struct("t", finite))
        assert_frame_equal(rows(FileSource.of(path, schema=frame.schema)), expected)


@pytest.mark.untraced
@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
@pytest.mark.parametrize("huge", [False, True])
def test_a_query_in_the_read_gives_what_it_gives_afterwards(suffix, huge, tmp_path, tiny_pieces, monkeypatch):
    if huge:
        monkeypatch.setattr("arrowstream.io.files.columnar.parquet_pieces.HUGE_BYTES", 1)
    source = FileSource.of(write(PLAIN, tmp_path / f"q{suffix}"))
    for query in (
        lambda f: f.filter(pl.col("id") > 900),
        lambda f: f.with_columns(y=pl.col("x") * 2).filter(pl.col("y") > 100).select("name", "y"),
        lambda f: f.filter(pl.col("name") == "n3", pl.col("even")).select("x"),
        lambda f: f.filter(pl.col("id") < 0),
        lambda f: f.select(z=pl.col("id").cast(pl.String)),
    ):
        assert_frame_equal(rows(source, query), query(PLAIN.lazy()).collect())
    for batch in batches(source, lambda f: f.filter(pl.col("id") % 100 == 3)):
        place = batch.position
        assert all(place.start <= row < place.stop for row in batch.polars()["id"])


def test_a_list_a_glob_and_a_folder_give_their_files_in_order(tmp_path):
    parts = [PLAIN.slice(i * 100, 100) for i in range(10)]
    files = [write(part, tmp_path / "deep" / f"p{i}.csv") for i, part in enumerate(parts)]
    (tmp_path / "deep" / "_SUCCESS").touch()
    (tmp_path / "deep" / ".p0.csv.tmp").write_text("no data")
    (tmp_path / "deep" / ".p0.csv").write_text("no data")
    (tmp_path / "deep" / "README.txt").write_text("no data")
    for path in (
        files,
        tmp_path,
        str(tmp_path / "deep" / "*.csv"),
        str(tmp_path / "**" / "p?.csv"),
        tmp_path / "*" / "**",
        tmp_path / "d*",
    ):
        source = FileSource.of(path)
        assert_frame_equal(rows(source), PLAIN)
    assert_frame_equal(rows(FileSource.of(str(f) for f in reversed(files))), pl.concat(reversed(parts)))
    assert FileSource.of(tmp_path / "deep").label == f"file {tmp_path / 'deep'} (csv, 10 files)"
    assert FileSource.of(files[0]).label == f"file {files[0]} (csv, 1 file)"
    assert FileSource.of(tmp_path / "none").label == f"file {tmp_path / 'none'}"


def test_a_file_whose_name_holds_wildcards_is_found(tmp_path):
    assert rows(FileSource.of(write(PLAIN, tmp_path / "a[1].csv"))).height == 1000


HIVE_VALUES = [
    ["1", "2"],
    ["007", "__HIVE_DEFAULT_PARTITION__"],
    ["1.5", "2"],
    ["2020-01-01", "1999-12-31"],
    ["2020-01-01", "x"],
    ["true", "false"],
    ["a b", "c"],
    ["2020-01-01T10:00:00"],
    ["nan", "1"],
    ['q"uote', "com,ma"],
]


@pytest.mark.untraced
@pytest.mark.parametrize(
    ("values", "suffix"),
    [
        *((values, ".parquet") for values in HIVE_VALUES),
        *((values, suffix) for values in HIVE_VALUES[:4] for suffix in (".csv", ".arrow")),
    ],
)
def test_hive_partitions_become_columns_as_in_polars(values, suffix, tmp_path):
    for n, value in enumerate(values):
        write(PLAIN.slice(n, 2), tmp_path / f"k={value}" / "m=7" / f"f{suffix}")
        write(
            PLAIN.slice(n, 2),
            tmp_path.parent / f"{tmp_path.name}-oracle" / f"k={value}" / "m=7" / "f.parquet",
        )
    expected = pl.read_parquet(tmp_path.parent / f"{tmp_path.name}-oracle")
    for path in (tmp_path, str(tmp_path / "k=*" / "m=7" / "*"), str(tmp_path / "k*")):
        source = FileSource.of(path)
        assert source.schema() == expected.schema
        assert_frame_equal(rows(source).sort("id"), expected.sort("id"))
    for query in (
        lambda f: f.select("k"),
        lambda f: f.select("m", "id"),
    ):
        assert_frame_equal(rows(source, query), query(rows(source).lazy()).collect())


def test_partitions_take_the_types_that_are_given(tmp_path):
    for day in ("1", "2"):
        write(PLAIN.head(1), tmp_path / f"day={day}" / f"hour={day}" / "f.parquet")
    source = FileSource.of(tmp_path, schema={"day": pl.String, "hour": pl.Int8})
    assert rows(source)["day"].to_list() == ["1", "2"]
    assert rows(source)["hour"].dtype == pl.Int8


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".csv", ".ndjson"])
def test_given_types_win_for_the_columns_they_name(suffix, tmp_path):
    source = FileSource.of(write(PLAIN, tmp_path / f"g{suffix}"), schema={"id": pl.Float64})
    expected = PLAIN.with_columns(pl.col("id").cast(pl.Float64))
    assert source.schema() == expected.schema
    assert_frame_equal(rows(source), expected)
    assert_frame_equal(rows(source, lambda f: f.select("id")), expected.select("id"))


def test_json_lines_under_the_name_of_json(tmp_path):
    path = tmp_path / "lines.json"
    PLAIN.write_ndjson(path)
    assert_frame_equal(rows(FileSource.of(path)), PLAIN)


def test_types_are_fixed_by_the_first_rows_for_all_that_follow(tmp_path, tiny_pieces):
    write(pl.DataFrame({"a": [1] * 1000, "b": [None] * 999 + ["x"]}), tmp_path / "1.ndjson")
    write(pl.DataFrame({"a": [2]}), tmp_path / "2.ndjson")
    source = FileSource.of(tmp_path, schema={"b": pl.String})
    assert {tuple(batch.polars().schema.items()) for batch in batches(source)} == {
        (("a", pl.Int64), ("b", pl.String))
    }
    assert rows(source)["b"].to_list() == [None] * 999 + ["x", None]


def test_columns_in_another_order_are_put_right(tmp_path):
    for suffix in (".parquet", ".csv", ".ndjson", ".arrow"):
        one = write(PLAIN.head(3), tmp_path / f"1{suffix}")
        two = write(PLAIN.select(reversed(PLAIN.columns)).tail(3), tmp_path / f"2{suffix}")
        assert_frame_equal(rows(FileSource.of([one, two])), pl.concat([PLAIN.head(3), PLAIN.tail(3)]))


def test_a_delimiter_a_byte_order_mark_and_blank_lines(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbf\n\na;b\n1;x,y\n\n2;z")
    source = FileSource.of(path).with_delimiter(";")
    expected = pl.read_csv(path, separator=";")
    assert source.schema() == {"a": pl.Int64, "b": pl.String}
    assert rows(source).rows() == [(1, "x,y"), (None, None), (2, "z")]
    assert rows(source).rows() == expected.rows()
    assert FileSource.of(path).delimiter is None


def test_a_header_without_rows_and_a_frame_without_rows(tmp_path, tiny_pieces):
    for suffix in (".parquet", ".arrow", ".csv"):
        source = FileSource.of(write(PLAIN.clear(), tmp_path / f"e{suffix}"))
        assert source.schema().names() == PLAIN.columns
        # A record batch without rows, which Polars 1 writes, is read as a batch without rows; the runtime drops it.
        assert sum(batch.num_rows for batch in batches(source)) == 0
    (tmp_path / "e.ndjson").write_text("\n \n")
    source = FileSource.of(tmp_path / "e.ndjson", schema={"a": pl.Int64})
    assert rows(source).schema == {"a": pl.Int64}
    (tmp_path / "only.csv").write_text("a,b")
    assert batches(FileSource.of(tmp_path / "only.csv")) == []


def test_schemas_are_compared_byte_by_byte_however_many_are_remembered(tmp_path, monkeypatch):
    monkeypatch.setattr(scan, "_KNOWN_ENDS", 2)
    for number in range(5):
        frame = pl.DataFrame({f"c{number % 3}": [number], "x": ["t"]})
        frame.write_parquet(tmp_path / f"{number}.parquet")
        assert FileSource.of(tmp_path / f"{number}.parquet").schema() == frame.schema
    assert len(scan._known_ends) <= 2
    with pytest.raises(SchemaError, match=r"1\.parquet has no column 'c0'"):
        FileSource.of(tmp_path).schema()


def test_what_is_pushed_into_the_read_is_explained(tmp_path):
    path = write(PLAIN, tmp_path / "p.parquet")
    source = FileSource.of(path)
    query = lambda f: f.filter(pl.col("x") > 110, pl.col("name") == "n3").select("id", "x")  # noqa: E731
    columns, condition, size = source.explain_read(query)
    assert columns == "columns: 3 of 4 (id, name, x)"
    assert condition == 'filter: name == "n3" & x > 110.0' or condition == 'filter: name == "n3" & x > 110'
    assert size.startswith("bytes: ") and " of " in size
    assert source.explain_read(lambda f: f)[0] == "columns: 4 of 4"
    assert FileSource.of(write(PLAIN, tmp_path / "p.csv")).explain_read(lambda f: f.select("x")) == (
        "columns: 1 of 4 (x)",
    )
    assert source.pushdown == "query"
    assert FileSource.of("a.csv", format="ipc").pushdown == "query"
    assert FileSource.of(tmp_path / "p.csv").pushdown == "columns"


def test_a_narrow_query_reads_fewer_bytes_and_rows_are_counted_where_a_filter_hides_them(
    tmp_path, tiny_pieces
):
    path = tmp_path / "p.parquet"
    pq.write_table(PLAIN.to_arrow(), path, row_group_size=100)
    source = FileSource.of(path)

    def figures(query):
        reader = source.open(context(), query)
        total = reader.total_rows
        while reader.read() is not None:
            pass
        reader.close()
        return reader.bytes_read, reader.rows_read, total

    everything, narrow = figures(None), figures(lambda f: f.filter(pl.col("id") < 10).select("id"))
    assert everything[0] <= path.stat().st_size
    assert narrow[0] < everything[0] / 2
    assert everything[1:] == narrow[1:] == (1000, 1000)
    reader = FileSource.of(write(PLAIN, tmp_path / "p.csv")).open(context())
    assert reader.total_rows is None
    while reader.read() is not None:
        pass
    assert (reader.rows_read, reader.bytes_read) == (None, (tmp_path / "p.csv").stat().st_size)
    reader.close()
    reader = FileSource.of(write(PLAIN, tmp_path / "p.arrow")).open(context())
    assert reader.total_rows == 1000
    reader.close()


@pytest.mark.untraced
@pytest.mark.skipif(
    sys.platform != "linux" or pl.__version__ < "2",
    reason="the kernel counts reads, not mapped pages, on Linux only",
)
def test_the_kernel_too_sees_fewer_bytes_read(tmp_path):
    path = tmp_path / "p.parquet"
    count = 400_000
    pl.DataFrame({"id": range(count), "wide": [os.urandom(8).hex() for _ in range(count)]}).write_parquet(
        path
    )

    def read_bytes(query):
        before = int(Path("/proc/self/io").read_text().split()[1])
        rows(FileSource.of(path), query)
        return int(Path("/proc/self/io").read_text().split()[1]) - before

    assert read_bytes(lambda f: f.select("id")) < 0.5 * read_bytes(lambda f: f)


def test_sizes_are_written_with_their_unit():
    sizes = [0, 12, 999, 1234, 14_600_000, 2_000_000_000, 3 * 10**12, 5 * 10**16]
    assert [size_text(n) for n in sizes] == [
        "0 B",
        "12 B",
        "999 B",
        "1.2 KB",
        "14.6 MB",
        "2.0 GB",
        "3.0 TB",
        "50000.0 TB",
    ]


@pytest.mark.parametrize("group_rows", [7, 100, 600])
def test_row_groups_of_any_size_follow_each_other(group_rows, tmp_path, tiny_pieces):
    path = tmp_path / "p.parquet"
    pq.write_table(PLAIN.to_arrow(), path, row_group_size=group_rows)
    read = batches(FileSource.of(path))
    assert [batch.position.start for batch in read[1:]] == [batch.position.stop for batch in read[:-1]]
    assert_frame_equal(rows(FileSource.of(path)), PLAIN)


def test_a_huge_row_group_is_never_loaded_whole(tmp_path, tiny_pieces, monkeypatch):
    path = write(PLAIN, tmp_path / "p.parquet")
    monkeypatch.setattr("arrowstream.io.files.columnar.parquet_pieces.HUGE_BYTES", 1)
    monkeypatch.delattr("arrowstream.io.files.columnar.parquet_pieces.slice_piece")
    read = batches(FileSource.of(path))
    assert max(batch.num_rows for batch in read) < 200
    assert read[-1].position.stop == 1000


def test_closing_early_closes_the_file(tmp_path, tiny_pieces, monkeypatch):
    closed = []
    monkeypatch.setattr(
        "arrowstream.io.files.text.file.TextFile.close", lambda text: closed.append(text._bytes.close())
    )
    source = FileSource.of(write(PLAIN, tmp_path / "p.csv"))
    reader = source.open(context())
    assert reader.read().num_rows
    before = len(closed)
    reader.close()
    assert len(closed) == before + 1


def test_closing_early_stops_reading(tmp_path, tiny_pieces):
    path = write(PLAIN, tmp_path / "p.parquet")
    reader = FileSource.of([path] * 50).open(context())
    assert reader.read().num_rows
    reader.close()
    assert reader.rows_read < 2000


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_a_piece_of_which_a_filter_leaves_no_row_is_a_batch_without_rows(suffix, tmp_path, tiny_pieces):
    path = write(PLAIN, tmp_path / f"p{suffix}")
    reader = FileSource.of(path).open(context(), lambda frame: frame.filter(pl.col("id") == 990).select("x"))
    looked_at = []
    while (batch := reader.read()) is not None:
        looked_at.append((batch.num_rows, reader.rows_read))
        assert batch.polars().schema == pl.Schema({"x": pl.Float64})
    assert len(looked_at) > 2
    assert [rows for rows, _ in looked_at] == [0] * (len(looked_at) - 1) + [1]
    assert sorted({rows for _, rows in looked_at}) == [rows for _, rows in looked_at]
    assert looked_at[-1][1] == 1000


def test_a_run_whose_filter_leaves_no_row_stops_between_two_pieces(tmp_path, tiny_pieces, monkeypatch):
    path = write(PLAIN, tmp_path / "p.parquet")
    calls, looked_at = [], []
    pipeline = (
        Pipeline.builder()
        .source(Source.from_file([path] * 3))
        .filter(pl.col("id") < 0)
        .map(calls.append, schema=PLAIN.schema)
        .sink(Sink.to_fn(calls.append))
        .build()
    )
    read = FileReader.read

    def stopped(reader):
        batch = read(reader)
        looked_at.append(reader.rows_read)
        if len(looked_at) == 2:
            pipeline.stop()
        return batch

    monkeypatch.setattr(FileReader, "read", stopped)
    report = pipeline.run_sync()
    assert report.stopped == "stop"
    assert len(looked_at) == 2
    assert report.rows_in == looked_at[-1] < 1000
    assert calls == []


@pytest.mark.untraced
@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".ndjson", ".arrow"])
@pytest.mark.parametrize("most", [1, 7, 999, 5000])
def test_batches_have_at_most_the_rows_that_the_user_asks_for(suffix, most, tmp_path):
    path = write(PLAIN, tmp_path / f"p{suffix}")
    source = Source.from_file(path, batch_rows=most)
    read = batches(source)
    assert max(batch.num_rows for batch in read) <= most
    assert len(read) == -(-1000 // most)
    assert [batch.position.start for batch in read[1:]] == [batch.position.stop for batch in read[:-1]]
    assert_frame_equal(rows(source), PLAIN)


@pytest.mark.parametrize("most", [0, -1, 1.5, True])
def test_batches_have_a_whole_number_of_rows(most, tmp_path):
    with pytest.raises(PlanError, match="batch_rows"):
        Source.from_file(tmp_path / "p.csv", batch_rows=most)


def test_many_files_are_not_all_counted_before_they_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr("arrowstream.io.files.reader.CHECKED_AT_BUILD", 1)
    monkeypatch.setattr("arrowstream.io.files.schema.CHECKED_AT_BUILD", 1)
    path = write(PLAIN, tmp_path / "p.parquet")
    reader = FileSource.of([path, path]).open(context())
    assert reader.total_rows is None
    reader.close()


def test_partitions_that_a_filter_rules_out_are_not_read(tmp_path):
    for day in range(4):
        write(PLAIN.slice(day * 10, 10), tmp_path / f"day={day}" / "f.parquet")
    source = FileSource.of(tmp_path)
    wide, pruned = (
        lambda f: f.filter(pl.col("id") > 5),
        lambda f: f.filter(pl.col("id") > 5, (pl.col("day") == 2) | (pl.col("day") == 0)).select("id"),
    )
    assert_frame_equal(
        rows(source, pruned),
        rows(source).filter(pl.col("id") > 5, pl.col("day").is_in([0, 2]))["id"].to_frame(),
    )
    reader = source.open(context(), pruned)
    assert reader.total_rows == 20
    while reader.read() is not None:
        pass
    reader.close()
    assert reader.rows_read == 20
    assert "files: 2 of 4" in source.explain_read(pruned)
    assert not any(line.startswith("files") for line in source.explain_read(wide))
    assert rows(source, lambda f: f.filter(pl.col("day") == 9)).height == 0
    assert rows(source, lambda f: f.filter(pl.lit(True))).height == 40


def test_a_text_in_a_filter_that_reads_like_its_brackets_rules_out_no_partition(tmp_path):
    text = '")]) & ('
    write(PLAIN, tmp_path / "p=b" / "f.parquet")
    found = rows(FileSource.of(tmp_path), lambda f: f.filter((pl.col("p") == text) | (pl.col("p") == "b")))
    assert found.height == PLAIN.height


def test_a_partition_wins_over_a_column_of_its_name(tmp_path):
    path = tmp_path / "id=5" / "f.parquet"
    write(PLAIN.head(2), path)
    assert_frame_equal(rows(FileSource.of(tmp_path)), pl.read_parquet(tmp_path))


def test_a_file_read_twice_counts_its_rows_anew(tmp_path):
    path = write(PLAIN, tmp_path / "p.csv")
    assert [batch.position.start for batch in batches(FileSource.of([path, path]))] == [0, 0]


def test_new_files_are_read_as_what_the_pipeline_was_built_for(tmp_path):
    write(PLAIN.head(1), tmp_path / "k=1" / "f.csv")
    source = FileSource.of(tmp_path)
    assert source.schema()["k"] == pl.Int64
    write(PLAIN.tail(1), tmp_path / "k=2" / "f.csv")
    assert rows(source)["k"].to_list() == [1, 2]


@pytest.mark.parametrize("predicate", [None, pl.col("x") % 7 == 0, pl.col("x") < 10, pl.col("x") < 0])
def test_rows_that_nobody_has_got_yet_are_not_told_to_be_read(
    predicate: pl.Expr | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arrowstream.io.files.reader.BATCH_ROWS", 10)
    pl.DataFrame({"x": range(1000)}).write_parquet(tmp_path / "x.parquet", row_group_size=500)
    query = None if predicate is None else (lambda rows: rows.filter(predicate))
    reader = FileSource.of(tmp_path / "x.parquet").open(context(), query)
    read = [0]
    while (batch := reader.read()) is not None:
        assert reader.rows_read is not None
        read.append(reader.rows_read)
        if predicate is None:
            assert read[-1] - read[-2] == batch.num_rows
    assert read == sorted(read)
    assert reader.rows_read == 1000
    reader.close()
