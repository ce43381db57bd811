"""What happens to rows that a target already holds: they stay, are replaced, or stop the run."""

import csv
import errno
import gzip
import io
import json
import os
import resource
import sys
from pathlib import Path

import duckdb
import polars as pl
import pytest
from contexts import context
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from arrowstream import ErrorHandler, Pipeline, Sink, Source
from arrowstream.core.batch import Batch
from arrowstream.errors import ArrowstreamError, PlanError, SchemaError, SinkError
from arrowstream.io.files.destination import staged
from arrowstream.io.files.destination.existing_rows import check_part, holds_rows
from arrowstream.io.files.formats import detect
from arrowstream.io.files.output.encoders import encoder_for
from arrowstream.io.files.output.streaming_sink import encoded
from arrowstream.io.files.sink import FileSink
from arrowstream.io.files.staging import appended_file, claim, leftovers
from arrowstream.testing import TestSink

FIRST = pl.DataFrame({"k": ["a", "b"], "x": [1, 2]})
SECOND = pl.DataFrame({"k": ["b", "c"], "x": [3, 4]})
NONE = FIRST.clear()


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def prepared(rows, path, **options):
    writer = FileSink.of(path, **options).open(rows.schema, context())
    try:
        writer.write(Batch(rows))
        writer.prepare(0)
    except BaseException:
        writer.abort()
        raise
    return writer


def write(rows, path, **options):
    writer = prepared(rows, path, **options)
    try:
        writer.commit({})
    except BaseException:
        writer.abort()
        raise


def read(path):
    return (
        Pipeline.builder()
        .source(Source.from_file(path))
        .collect_sync()
        .select("k", "x")
        .sort("x", "k")
        .rows()
    )


def hidden():
    return [str(path) for path in Path().rglob(".*")]


FOLDERS = {
    "parts": {"path": "out/"},
    "csv": {"path": "out/", "format": "csv", "compression": "gzip"},
    "json": {"path": "out/", "format": "json"},
    "ipc": {"path": "out/", "format": "ipc", "max_rows_per_file": 1},
    "partitions": {"path": "out/", "partition_by": "k"},
}
LINES = ("out.csv", "out.ndjson", "out.csv.gz", "out.ndjson.zst", "out.tsv")


@pytest.mark.once
@pytest.mark.parametrize("target", [*FOLDERS, *LINES])
def test_appended_rows_come_after_the_others_in_any_number_of_runs(target):
    options = FOLDERS.get(target, {"path": target})
    expected = []
    for rows in (NONE, FIRST, NONE, SECOND, NONE, FIRST):
        write(rows, mode="append", **options)
        expected += rows.rows()
        if expected or target in ("parts", "ipc", "partitions", "out.csv"):
            assert read(options["path"]) == sorted(expected, key=lambda row: row[::-1])
        assert hidden() == []
    if target in FOLDERS:
        parts = [path for path in Path("out").rglob("part-*") if path.is_file()]
        assert len({path.name for path in parts}) >= 3


@given(
    cuts=st.lists(st.lists(st.tuples(st.text(max_size=3), st.integers(-9, 9)), max_size=3), max_size=4),
    end=st.booleans(),
)
@settings(max_examples=examples(100))
def test_a_csv_file_that_was_appended_to_has_the_rows_of_all_runs(cuts, end, tmp_path_factory):
    path = tmp_path_factory.mktemp("csv") / "out.csv"
    head = [("q", 0)]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("k", "x"), *head])
    path.write_text(text.getvalue() if end else text.getvalue().removesuffix("\n"))
    for rows in cuts:
        frame = pl.DataFrame(rows, schema={"k": pl.String, "x": pl.Int64}, orient="row")
        write(frame, path, mode="append")
    with path.open(newline="") as file:
        found = list(csv.reader(file))
    assert found == [["k", "x"], *([k, str(x)] for k, x in [*head, *(row for rows in cuts for row in rows)])]


@pytest.mark.untraced
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("out.csv", "k,x\r\np,1\r\n"),
        ("out.csv", "k,x\r\np,1"),
        ("out.csv", "k,x\r\n"),
        ("out.csv", 'k,x\r\n"p\nq",1\r\n'),
        ("out.csv", 'k,x\n"p\r\n",1\n'),
        ("out.csv", "k,x"),
        ("out.csv.gz", "k,x\r\np,1\r\n"),
    ],
)
def test_appended_rows_of_csv_end_as_the_lines_of_the_file_do(name, text):
    with (gzip.open if name.endswith("gz") else open)(name, "wt", newline="") as file:
        file.write(text)
    rows = pl.DataFrame({"k": ["a", "new\nline"], "x": [1, 2]})
    for _ in range(2):
        write(rows, name, mode="append")
    newline = "\r\n" if text.startswith("k,x\r") else "\n"
    with (gzip.open if name.endswith("gz") else open)(name, "rt", newline="") as file:
        found = file.read()
    added = f'a,1{newline}"new\nline",2{newline}' * 2
    assert found == text + ("" if text.endswith(newline) else newline) + added
    count = len(list(csv.reader(io.StringIO(text, newline="")))) - 1
    assert duckdb.read_csv(name).fetchall()[count:] == rows.rows() * 2


LONG = "".join(f'"a ""{i}""\nb",{i}\n' for i in range(9_000))


@pytest.mark.parametrize(
    ("text", "is_open"),
    [
        ('k,x\n"p,1\n', True),
        ('k,x\n"p\n', True),
        ('k,x\np,"1', True),
        ('k,x\n"p",1\n', False),
        (f"k,x\n{LONG}", False),
        (f'k,x\n{LONG}"open,1\n', True),
        (f'k,x\n"open{"z" * 70_000},1\n', True),
        (f'k,x\n"{"z" * 70_000}",1', False),
        (f'k,x\n"open\n{"z,1" * 30_000}', True),
        (f'k,x\n"{"z,1" * 25_000}",1', False),
        (f"k,x\n{LONG}ragged\n", False),
    ],
)
@pytest.mark.parametrize("name", ["out.csv", "out.csv.gz"])
def test_rows_are_not_appended_inside_a_quoted_field(text, is_open, name, monkeypatch):
    monkeypatch.setattr("arrowstream.io.files.destination.old_csv.MAX_RECORD_BYTES", 80_000)
    monkeypatch.setattr("arrowstream.io.files.destination.old_text._BLOCK", 1 << 15)
    content = gzip.compress(text.encode()) if name.endswith("gz") else text.encode()
    Path(name).write_bytes(content)
    if is_open:
        with pytest.raises(SinkError, match=f"rows cannot be appended to {name}, which ends inside a quoted"):
            write(FIRST, name, mode="append")
        assert Path(name).read_bytes() == content
    elif name.endswith("gz") and not text.endswith("\n"):
        with pytest.raises(SinkError, match="does not end with a line break"):
            write(FIRST, name, mode="append")
    else:
        before = list(csv.reader(io.StringIO(text)))
        write(FIRST, name, mode="append")
        with (gzip.open if name.endswith("gz") else open)(name, "rt", newline="") as file:
            assert list(csv.reader(file)) == [*before, *([k, str(x)] for k, x in FIRST.rows())]


@pytest.mark.parametrize(
    ("target", "dtype"), [("out.csv", pl.Float64), ("out/", pl.Decimal(9, 2)), ("out.csv.gz", pl.Float32)]
)
@pytest.mark.parametrize("old", ["1,5", "1.5"])
def test_numbers_are_not_appended_to_those_with_another_sign_before_their_decimals(target, dtype, old):
    path = Path(target.replace("out/", "out/a.csv"))
    path.parent.mkdir(exist_ok=True)
    rows = pl.DataFrame({"k": ["a"], "x": [2.5]}, schema_overrides={"x": dtype})

    def append(content: bytes) -> None:
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
        sink = Sink.to_file(target, mode="append", format="csv", delimiter=";", decimal_comma="." in old)
        Pipeline.builder().source(Source.from_frame(rows)).sink(sink).build().run_sync()

    for text in (f"k;x\np;7\nq;{old}\n", f'k;x\n"p\n";"-{old}"', f"\nk;x\np;{old}\n" + "q;5\n" * 20_000):
        with pytest.raises(SchemaError, match=r"numbers in column 'x' of .* before their decimals") as caught:
            append(text.encode())
        assert caught.value.expected == f"decimal_comma={',' in old}, as for {'-' * ('-' in text) + old!r}"
    for text in (f"k;x\n{old};1", "k;x\np;1,5 or 1.5", "k;x", "k;x\np;1;2;3", f'k;x\n"p"q;{old}'):
        append(f"{text}\n".encode())


def test_a_compressed_file_with_an_open_last_line_is_refused():
    Path("out.csv.gz").write_bytes(gzip.compress(b"k,x\na,1"))
    with pytest.raises(SinkError, match="does not end with a line break"):
        write(SECOND, "out.csv.gz", mode="append")
    assert gzip.decompress(Path("out.csv.gz").read_bytes()) == b"k,x\na,1"


def test_an_appended_file_keeps_mode_links_and_a_byte_order_mark():
    Path("real").mkdir()
    real = Path("real/out.csv")
    real.write_bytes(b"\xef\xbb\xbfk,x\r\na,1\r\n")
    real.chmod(0o640)
    Path("out.csv").symlink_to(real)
    write(SECOND, "out.csv", mode="append")
    assert Path("out.csv").is_symlink() and real.stat().st_mode & 0o777 == 0o640
    assert real.read_bytes() == b"\xef\xbb\xbfk,x\r\na,1\r\nb,3\r\nc,4\r\n"
    write(SECOND, "new.csv", mode="append")
    Path("plain").touch()
    assert Path("new.csv").stat().st_mode == Path("plain").stat().st_mode
    assert [path.name for path in Path("real").iterdir()] == ["out.csv"]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("content", "is_utf8"),
    [
        ("a,t\n1,café\n".encode("cp1252"), False),
        ("a,t\n1,café".encode("cp1252"), False),
        (b"\x80,t\n1,x\n", False),
        (b"a\xff,t\n", False),
        (b"a,t\n" + b"1,x\n" * 40_000 + b"1,\xe9\n", False),
        (b"a,t\n1,\xe9\n" + b"1,x\n" * 40_000, False),
        *(
            (b"a,t\n1," + b"x" * shift + "\N{SNOWMAN}\n1,".encode() * 40_000 + b"\n", True)
            for shift in range(4)
        ),
    ],
)
def test_rows_are_not_appended_to_text_that_is_not_utf8(content, is_utf8, packed):
    path = Path("out.csv.gz" if packed else "out.csv")
    path.write_bytes(gzip.compress(content) if packed else content)
    before = path.read_bytes()
    rows = pl.DataFrame({"a": [2], "t": ["é"]})
    if is_utf8:
        write(rows, path, mode="append")
        after = path.read_bytes()
        assert (gzip.decompress(after) if packed else after) == content + "2,é\n".encode()
        return
    with pytest.raises(SinkError, match="which is not UTF-8") as caught:
        write(rows, path, mode="append")
    assert "iconv" in caught.value.hint and path.read_bytes() == before


def test_objects_are_not_appended_to_ndjson_that_is_not_utf8():
    Path("out.ndjson").write_bytes(b'{"a": 1, "t": "caf\xe9"}\n')
    with pytest.raises(SinkError, match="which is not UTF-8"):
        write(pl.DataFrame({"a": [2], "t": ["é"]}), "out.ndjson", mode="append")


def test_rows_that_another_run_appends_meanwhile_stay():
    Path("out.csv").write_text("k,x\na,1")
    first, second = (prepared(rows, "out.csv", mode="append") for rows in (FIRST, SECOND))
    second.commit({})
    first.commit({})
    assert Path("out.csv").read_text() == "k,x\na,1\nb,3\nc,4\na,1\nb,2\n"
    first, second = (prepared(rows, "new.csv", mode="append") for rows in (FIRST, SECOND))
    first.commit({})
    second.commit({})
    assert Path("new.csv").read_text() == "k,x\na,1\nb,2\nb,3\nc,4\n"
    assert hidden() == []


def test_a_file_that_changes_while_it_is_copied_is_an_error(monkeypatch):
    write(FIRST, "out.csv")
    add = appended_file._add

    def grows(path, handle):
        add(path, handle)
        with Path("out.csv").open("a") as file:
            file.write("z,9\n")

    monkeypatch.setattr(appended_file, "_add", grows)
    with pytest.raises(SinkError, match="changed while it was copied"):
        prepared(SECOND, "out.csv", mode="append")
    assert Path("out.csv").read_text() == "k,x\na,1\nb,2\nz,9\nz,9\n" and hidden() == []


def test_where_the_system_cannot_copy_between_files_bytes_are_read_and_written(monkeypatch):
    def refuse(*arguments):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    for rows in (FIRST, SECOND):
        write(rows, "out.csv", mode="append")
    assert read("out.csv") == [*FIRST.rows(), *SECOND.rows()]


@pytest.mark.parametrize("shares_blocks", [True, False])
@pytest.mark.parametrize("room", [-1, 0, 3])
def test_an_append_that_the_disk_has_no_room_for_changes_nothing(room, shares_blocks, monkeypatch):
    def refuse(*arguments):
        raise OSError(errno.EOPNOTSUPP, "no shared blocks here")

    if not shares_blocks:
        monkeypatch.setattr(os, "copy_file_range", refuse)
    write(FIRST, "out.csv")
    before = Path("out.csv").read_bytes()
    writer = FileSink.of("out.csv", mode="append").open(SECOND.schema, context())
    writer.write(Batch(SECOND))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + room, hard))
    try:
        with pytest.raises(SinkError, match="cannot finish"):
            writer.prepare(0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    writer.abort()
    assert Path("out.csv").read_bytes() == before and list(Path().iterdir()) == [Path("out.csv")]


def test_rows_that_another_run_writes_after_the_look_at_a_file_are_not_replaced(monkeypatch):
    def looked(*arguments):
        found = holds_rows(*arguments)
        write(FIRST, "out.csv", mode="overwrite")
        return found

    write(NONE, "out.csv")
    with monkeypatch.context() as patch:
        patch.setattr(staged, "holds_rows", looked)
        writer = prepared(SECOND, "out.csv", mode="error")
    with pytest.raises(SinkError, match="was written by another run"):
        writer.commit({})
    writer.abort()
    assert read("out.csv") == FIRST.rows()


@pytest.mark.parametrize(
    ("target", "found", "message"),
    [
        ("out/", {"k": ["a"], "y": [1]}, "has no column 'x'"),
        ("out/", {"k": ["a"], "x": [1.0]}, "has another type in column 'x'"),
        ("out/", {"k": ["a"], "x": [1], "z": [0]}, "has a column 'z' more"),
        ("out/", {"x": [1], "k": ["a"]}, "has the columns in another order"),
        ("out.csv", {"k": ["a"], "y": [1]}, "has no column 'x'"),
        ("out.csv", {"x": [1], "k": ["a"]}, "has the columns in another order"),
        ("out.ndjson", {"k": ["a"]}, "has no column 'x'"),
    ],
)
def test_rows_of_other_columns_are_not_appended(target, found, message):
    write(pl.DataFrame(found), target)
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    with pytest.raises(SchemaError, match=message) as caught:
        write(FIRST, target, mode="append")
    assert caught.value.expected and caught.value.hint
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before


def test_keys_of_objects_may_come_in_any_order_and_an_array_may_be_on_one_line():
    Path("out.ndjson").write_text('\n{"x": 1, "k": "a"}\n')
    write(SECOND, "out.ndjson", mode="append")
    assert read("out.ndjson") == [("a", 1), *SECOND.rows()]
    Path("out").mkdir()
    Path("out/a.json").write_text(json.dumps(FIRST.to_dicts()))
    write(SECOND, "out/", format="json", mode="append")
    assert read("out/") == [*FIRST.rows(), *SECOND.rows()]
    Path("out/z.json").write_text(json.dumps([{"k": "z", "x": 9}], indent=1))
    write(SECOND, "out/", format="json", mode="append")
    assert read("out/") == [*FIRST.rows(), *sorted([*SECOND.rows()] * 2, key=lambda row: row[1]), ("z", 9)]
    Path("out/z.json").write_text('[{"other": 1}, {"other": 2}]')
    with pytest.raises(SchemaError, match="rows cannot be appended"):
        write(SECOND, "out/", format="json", mode="append")


def test_rows_are_appended_to_whatever_a_source_reads():
    """A carriage return between the values of an object or in a quoted name, and several objects on a line."""
    for first in (
        b'{"k": "p",\r"x": 1}\n',
        b'{"k": "p", "x": 1}\r{"k": "p", "x": 1}\n',
        b'{"k": "p", "x": 1} {"k": "q", "x": 2}\n',
    ):
        Path("out.ndjson").write_bytes(first)
        before = read("out.ndjson")
        write(SECOND, "out.ndjson", mode="append")
        assert read("out.ndjson") == [*before, *SECOND.rows()]
    rows = SECOND.rename({"k": "k\rl"})
    Path("out.csv").write_bytes(b'"k\rl",x\np,1\n')
    write(rows, "out.csv", mode="append")
    found = Pipeline.builder().source(Source.from_file("out.csv")).collect_sync()
    assert found.columns == ["k\rl", "x"] and found.rows() == [("p", 1), *SECOND.rows()]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("out.csv", b"\xff\xfe\x00"),
        ("out.csv.gz", b"not packed"),
        ("out.csv", b"k,x\rp,1\r"),  # as for a source, a carriage return ends no line
        ("out.csv", b"k\rx,z\np,1\n"),
        ("out.ndjson", b"not an object\n"),
        ("out.ndjson", b"[1]\n"),
        ("out/a.parquet", b"PAR1"),
    ],
)
def test_rows_are_not_appended_to_what_cannot_be_read(path, content):
    Path("out").mkdir()
    Path(path).write_bytes(content)
    with pytest.raises(SinkError, match="cannot be read"):
        write(FIRST, path if "/" not in path else "out/", mode="append")
    assert Path(path).read_bytes() == content


ALL_TYPES = pl.DataFrame({"c": ["p"], "l": [[1]], "t": [None], "z": [0]}).with_columns(
    pl.col("c").cast(pl.Categorical).alias("cat"),
    pl.col("c").cast(pl.Enum(["p"])).alias("enum"),
    pl.col("z").cast(pl.Datetime("ns", "UTC")).alias("zoned"),
    pl.col("z").cast(pl.Duration("ms")).alias("took"),
    pl.col("z").cast(pl.Decimal(9, 2)).alias("decimal"),
    pl.struct("c", "z").alias("both"),
)


@pytest.mark.parametrize("format", ["parquet", "ipc"])
def test_a_part_of_any_types_fits_to_further_ones(format, tmp_path):
    path = tmp_path / f"part.{format}"
    for rows in (ALL_TYPES, ALL_TYPES.clear()):
        path.write_bytes(encoded(rows, encoder_for(format, rows.schema, None)))
        check_part(path, rows.schema, detect(path))


def test_a_folder_of_other_partitions_is_refused():
    write(FIRST, "out/", partition_by="k")
    for columns in ((), ("x",), ("k", "x")):
        with pytest.raises(SinkError, match="is partitioned by other columns") as caught:
            write(FIRST.with_columns(y=1), "out/", partition_by=columns, mode="append")
        assert "partition_by=['k'], as in k=a/part-00000.parquet" in caught.value.expected
    with pytest.raises(SinkError, match="data files of another format"):
        write(FIRST, "out/", format="csv", partition_by="k", mode="overwrite_partitions")


def test_only_partitions_that_get_rows_are_overwritten():
    Path("out/k=b").mkdir(parents=True)
    Path("out/k=b/notes.txt").write_text("kept")
    write(NONE, "out/", partition_by="k", mode="overwrite_partitions")
    for rows, expected in (
        (FIRST, FIRST.rows()),
        (SECOND, [("a", 1), *SECOND.rows()]),
        (NONE, [("a", 1), *SECOND.rows()]),
        (FIRST, [*FIRST.rows(), ("c", 4)]),
    ):
        write(rows, "out/", partition_by="k", mode="overwrite_partitions")
        assert read("out/") == expected
    assert Path("out/k=b/notes.txt").read_text() == "kept"
    assert len(list(Path("out").rglob("*.parquet"))) == 3 and hidden() == []


@pytest.mark.once
@pytest.mark.untraced
@pytest.mark.parametrize("mode", ["append", "overwrite", "overwrite_partitions"])
def test_the_work_for_a_partition_does_not_grow_with_their_number(mode):
    """Four times the partitions take about four times the calls of functions while a folder is written again."""
    counts = []
    for partitions in (40, 160):
        rows = pl.DataFrame({"k": range(partitions), "x": range(partitions)})
        place, calls = f"out{partitions}", [0]

        def count(frame, event, argument, calls=calls):
            calls[0] += 1

        write(rows, place, partition_by="k", format="parquet")
        writer = FileSink.of(place, partition_by="k", format="parquet", mode=mode).open(
            rows.schema, context()
        )
        writer.write(Batch(rows))
        sys.setprofile(count)
        try:
            writer.commit(writer.prepare(0))
        finally:
            sys.setprofile(None)
        writer.close()
        counts.append(calls[0])
    assert counts[1] < 6 * counts[0]


def test_two_runs_that_overwrite_the_same_partitions_never_mix():
    write(FIRST, "out/", partition_by="k")
    options = {"partition_by": "k", "mode": "overwrite_partitions"}
    other, first, second = (prepared(rows, "out/", **options) for rows in (FIRST[:1], SECOND, SECOND))
    first.commit({})
    with pytest.raises(SinkError, match=r"was written since this run began|has changed since"):
        second.commit({})
    second.abort()
    other.commit({})
    assert read("out/") == [("a", 1), *SECOND.rows()] and hidden() == []


@pytest.mark.parametrize("existing", [False, True])
def test_of_two_runs_that_overwrite_a_new_folder_one_fails(existing):
    if existing:
        Path("out").mkdir()
    options = {"partition_by": "k", "mode": "overwrite"}
    first, second = prepared(FIRST[:1], "out", **options), prepared(SECOND[1:], "out", **options)
    second.commit({})
    with pytest.raises(SinkError, match=r"cannot finish|was written since this run began"):
        first.commit({})
    first.abort()
    assert read("out/") == [("c", 4)] and hidden() == []


def test_runs_that_append_to_one_new_folder_at_once_all_keep_their_rows():
    first, second = prepared(FIRST, "deep/out/", mode="append"), prepared(SECOND, "deep/out/", mode="append")
    third = prepared(FIRST, "deep/out/", mode="append")
    third.abort()
    first.commit({})
    second.commit({})
    assert read("deep/out/") == [*FIRST.rows(), *SECOND.rows()]
    aborted, late = prepared(FIRST, "gone/", mode="append"), prepared(FIRST, "gone/", mode="append")
    aborted.abort()
    late.commit({})
    assert read("gone/") == FIRST.rows() and hidden() == []


def test_two_runs_that_append_the_first_rows_replace_the_empty_file_once():
    write(NONE, "out/", partition_by="k", mode="append")
    options = {"partition_by": "k", "mode": "append"}
    first, second = prepared(FIRST, "out/", **options), prepared(SECOND, "out/", **options)
    first.commit({})
    second.commit({})
    assert read("out/") == [*FIRST.rows(), *SECOND.rows()]
    assert not list(Path("out").glob("*.parquet"))


@pytest.mark.untraced
@pytest.mark.parametrize("path", ["out.parquet", "out.csv", "out.json.gz", "out.arrow", "out/"])
def test_rows_that_are_there_are_an_error_where_that_is_asked_for(path):
    if path != "out/":
        Path(path).touch()
        write(NONE, path, mode="error")
    write(FIRST, path, mode="error")
    with pytest.raises(SinkError, match="already holds") as caught:
        write(SECOND, path, mode="error")
    assert "mode='append'" in caught.value.hint
    assert read(path) == FIRST.rows() and hidden() == []


def test_a_file_that_is_made_while_a_run_writes_is_not_replaced_where_that_is_an_error():
    first, second = prepared(FIRST, "out.csv", mode="error"), prepared(SECOND, "out.csv", mode="error")
    first.commit({})
    with pytest.raises(SinkError, match="was written by another run"):
        second.commit({})
    second.abort()
    assert read("out.csv") == FIRST.rows() and hidden() == []
    Path("broken.parquet").write_text("what is that")
    with pytest.raises(SinkError, match="already holds rows"):
        write(FIRST, "broken.parquet", mode="error")


@pytest.mark.untraced
@pytest.mark.parametrize("overwrite", [{"overwrite": True}, {"mode": "overwrite"}])
def test_rows_are_overwritten_where_that_is_asked_for(overwrite):
    for path in ("out.csv", "out/"):
        for rows in (FIRST, SECOND):
            write(rows, path, **overwrite)
            assert read(path) == rows.rows()


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ("o.csv", {"mode": "apend"}, "there is no mode 'apend'"),
        ("o.csv", {"mode": "append", "overwrite": True}, "contradict each other"),
        ("o/", {"mode": "overwrite_partitions"}, "replaces the folders of partitions"),
        ("o.csv", {"mode": "overwrite_partitions"}, "replaces the folders of partitions"),
        ("o.parquet", {"mode": "append"}, "a Parquet file cannot be appended to"),
        ("o.json", {"mode": "append"}, "a JSON file cannot be appended to"),
        ("/dev/null", {"mode": "error", "format": "csv"}, "is for files"),
    ],
)
def test_modes_that_do_not_fit_are_refused(path, options, message):
    with pytest.raises(PlanError, match=message) as caught:
        FileSink.of(path, **options).check(FIRST.schema)
    assert caught.value.expected and caught.value.hint


def test_modes_of_other_libraries_get_the_one_to_write():
    for mode, hint in (
        ("replace", "write mode='overwrite'"),
        ("Truncate", "write mode='overwrite'"),
        ("a", "write mode='append'"),
        ("fail", "write mode='error'"),
        ("delete_matching", "write mode='overwrite_partitions'"),
        ("upsert", "rows of a file are not changed by key"),
    ):
        with pytest.raises(PlanError, match="there is no mode") as caught:
            Sink.to_file("out/", mode=mode)
        assert hint in caught.value.hint


@pytest.mark.untraced
@pytest.mark.parametrize("ends", ["\n", "\r\n", ""])
@pytest.mark.parametrize("format", ["csv", "ndjson"])
def test_rows_are_appended_after_a_first_line_of_any_length(format, ends, monkeypatch):
    monkeypatch.setattr("arrowstream.io.files.destination.old_text._BLOCK", 64)
    names = [f"column_{number}" for number in range(50)]
    rows = pl.DataFrame({name: [1, 2] for name in names})
    path = Path(f"out.{format}")
    text = rows.write_csv() if format == "csv" else rows.write_ndjson()
    path.write_text(text.rstrip("\n").replace("\n", ends or "\n") + ends, newline="")
    write(rows, "out." + format, mode="append")
    again = pl.read_csv(path) if format == "csv" else pl.read_ndjson(path)
    assert again.select(names).equals(pl.concat([rows, rows]))
    with pytest.raises(SchemaError, match="rows cannot be appended"):
        write(FIRST, str(path), mode="append")


def test_a_line_that_is_longer_than_a_record_is_not_held_whole(monkeypatch):
    monkeypatch.setattr("arrowstream.io.files.destination.old_text._BLOCK", 4)
    monkeypatch.setattr("arrowstream.io.files.destination.old_text.MAX_RECORD_BYTES", 24)
    Path("out.ndjson").write_text('{"k": "a and b and c", "x": 1}\n')
    with pytest.raises(SinkError, match=r"rows cannot be added to those of out.ndjson, which cannot be read"):
        write(FIRST, "out.ndjson", mode="append")
    Path("out.ndjson").write_text(" " * 50 + '\n{"k": "a", "x": 0}\n')
    write(FIRST, "out.ndjson", mode="append")
    assert read("out.ndjson") == [("a", 0), *FIRST.rows()]


def test_partitions_of_other_columns_cannot_be_replaced():
    write(FIRST, "out/", partition_by="k")
    for rows, fault in (
        (FIRST.rename({"x": "y"}), "has no column 'y'"),
        (FIRST.cast({"x": pl.Int8}), "another type"),
    ):
        for mode, refusal in (
            ("overwrite_partitions", "partitions cannot be replaced: "),
            ("append", "rows cannot be appended: "),
        ):
            with pytest.raises(SchemaError, match=fault) as caught:
                write(rows, "out/", partition_by="k", mode=mode)
            assert caught.value.what.startswith(refusal)


def test_standard_output_has_a_short_name(capfd):
    for _ in range(2):
        Pipeline.builder().source(Source.from_frame(FIRST)).sink(
            Sink.to_file("-", format="csv")
        ).build().run_sync()
    assert capfd.readouterr().out == 2 * FIRST.write_csv()
    assert list(Path().iterdir()) == []


def failing(sink):
    """A run of which one row goes to the dead letters."""
    return (
        Pipeline.builder()
        .source(Source.from_frame(pl.DataFrame({"s": ["1", "a"]})))
        .cast({"s": pl.Int64})
        .on_error(ErrorHandler.dead_letter(sink))
        .sink(TestSink())
        .build()
    )


@pytest.mark.once
@pytest.mark.untraced
@pytest.mark.parametrize("path", ["bad/", "bad.csv", "bad.ndjson"])
def test_dead_letters_of_all_days_are_kept(path):
    for day in range(1, 4):
        failing(Sink.to_file(path)).run_sync()
        found = Pipeline.builder().source(Source.from_file(path)).collect_sync()
        assert found["s"].to_list() == ["a"] * day
    failing(Sink.to_file(path, mode="overwrite")).run_sync()
    assert Pipeline.builder().source(Source.from_file(path)).collect_sync().height == 1


def test_dead_letters_in_a_file_that_cannot_grow_are_not_lost():
    failing(Sink.to_file("bad.parquet")).run_sync()
    with pytest.raises(ArrowstreamError, match="already holds rows"):
        failing(Sink.to_file("bad.parquet")).run_sync()
    assert pl.read_parquet("bad.parquet")["s"].to_list() == ["a"]


def test_late_rows_of_all_days_are_kept():
    frame = pl.DataFrame({"ts": [50, 60, 0], "x": [1, 1, 2]}, schema={"ts": pl.Datetime("us"), "x": pl.Int64})
    for _ in range(2):
        rows = Pipeline.builder().source(Source.from_frame(frame, batch_rows=1).with_event_time("ts"))
        windows = rows.window("10us", on="ts", late=Sink.to_file("late/")).agg(pl.len())
        windows.sink(TestSink()).build().run_sync()
    assert pl.read_parquet("late")["x"].to_list() == [2, 2]


@pytest.mark.parametrize("when", ["opened", "locked"])
def test_what_is_removed_before_it_is_locked_is_made_again(tmp_path, monkeypatch, when):
    made = []
    lock = claim.lock

    def make(path):
        path.touch()
        made.append(path)
        if len(made) == 1 and when == "opened":
            path.unlink()

    def late(handle, *, wait=False):
        if len(made) == 1:
            made[0].unlink()
        return lock(handle, wait=wait)

    monkeypatch.setattr(claim, "lock", late)
    token, path, held = claim.claimed(tmp_path.joinpath, make)
    assert path == made[1] == tmp_path / token and path.exists()
    held.release()
    held.release()


@pytest.mark.parametrize("when", ["opened", "locked"])
def test_what_goes_while_leftovers_are_looked_at_is_none(tmp_path, monkeypatch, when, caplog):
    left = tmp_path / ".out.csv.1-ab.inprogress"
    left.touch()
    name = "open" if when == "opened" else "lock"
    owner = leftovers.os if when == "opened" else leftovers
    call = getattr(owner, name)

    def late(*arguments):
        left.unlink()
        return call(*arguments)

    monkeypatch.setattr(owner, name, late)
    leftovers.clear_leftovers(tmp_path, "out.csv")
    assert caplog.text == ""


def test_a_leftover_that_may_not_be_opened_is_named(tmp_path, monkeypatch, caplog):
    left = tmp_path / ".out.csv.1-ab.inprogress"
    left.touch()

    def refuse(*arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(leftovers.os, "open", refuse)
    leftovers.clear_leftovers(tmp_path, "out.csv")
    assert f"{left}: unfinished" in caplog.text and left.exists()


def test_a_replaced_folder_with_a_broken_record_loses_nothing():
    write(FIRST, "out/")
    Path(".out.1-ab.inprogress").mkdir()
    Path(".out.1-ab.inprogress/.1-ab.replacing").write_text("{")
    Path(".out.1-ab.inprogress/notes.txt").write_text("kept")
    write(SECOND, "out/", mode="append")
    assert Path("out/notes.txt").read_text() == "kept" and hidden() == []


def test_the_record_of_a_run_that_still_writes_is_left():
    write(FIRST, "out/")
    other = prepared(SECOND, "out/", mode="overwrite")
    (running,) = Path().glob(".out.*")
    record = Path("out", running.name.replace(".out", "").replace(".inprogress", ".replacing"))
    record.write_text("{}")
    write(SECOND, "out/", mode="append")
    assert record.exists() and running.exists()
    other.abort()
    write(FIRST, "out/", mode="append")
    assert hidden() == []


def test_records_of_runs_that_were_killed_before_the_exchange_are_removed():
    write(FIRST, "out/")
    Path("out/.1-ab.replacing").write_text("{")
    Path("out/.1-cd.draft").touch()
    Path("out/.1-cd.draft").rename("out/.1-ab.draft")
    write(SECOND, "out/", mode="append")
    assert hidden() == [] and read("out/") == [*FIRST.rows(), *SECOND.rows()]
