"""What goes wrong with files is told with file, row, what was expected, what was found, and what to do."""

import gzip
import os

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from contexts import context

from arrowstream import Pipeline
from arrowstream.errors import PlanError, SchemaError, SourceError, StageError, UnreadableData
from arrowstream.io.files.columnar.ipc_file import IpcFile
from arrowstream.io.files.columnar.open_file import OpenFile
from arrowstream.io.files.columnar.parquet_footer import row_groups
from arrowstream.io.files.source import FileSource


def drain(source, query=None):
    reader = source.open(context(), query)
    try:
        return sum(batch.num_rows for batch in iter(reader.read, None))
    finally:
        reader.close()


def failure(kind, source, query=None):
    with pytest.raises(kind) as caught:
        drain(source, query)
    assert type(caught.value) is kind
    return caught.value


@pytest.fixture
def tiny_blocks(monkeypatch):
    monkeypatch.setattr("arrowstream.io.files.text.file.BLOCK_BYTES", 64)


# Finding files


def test_a_missing_file_names_what_is_close(tmp_path):
    (tmp_path / "flights.csv").touch()
    (tmp_path / "other.csv").touch()
    error = failure(SourceError, FileSource.of(tmp_path / "flight.csv"))
    assert str(tmp_path / "flight.csv") in error.what
    assert error.found == f"in {tmp_path}: flights.csv, other.csv"
    assert error.hint == "did you mean 'flights.csv'?"


def test_a_missing_file_of_another_date_is_not_the_one_that_was_meant(tmp_path):
    for day in (27, 28):
        (tmp_path / f"sales-2026-11-{day}.csv").touch()
    error = failure(SourceError, FileSource.of(tmp_path / "sales-2026-11-29.csv"))
    assert error.found == f"in {tmp_path}: sales-2026-11-28.csv, sales-2026-11-27.csv"
    assert error.hint.startswith("check the digits of the name, and whether the file has been written yet")
    error = failure(SourceError, FileSource.of(tmp_path / "sale-2026-11-28.csv"))
    assert error.hint == "did you mean 'sales-2026-11-28.csv'?"


def test_a_glob_without_a_match_names_what_is_there(tmp_path):
    for n in range(7):
        (tmp_path / f"{n}.csv").touch()
    error = failure(SourceError, FileSource.of(tmp_path / "*.parquet"))
    assert error.what == f"no file matches {tmp_path}/*.parquet"
    assert error.found == f"in {tmp_path}: 0.csv, 1.csv, 2.csv, 3.csv, 4.csv, … (7 in all)"
    assert "check the path" in error.hint
    (tmp_path / "empty").mkdir()
    assert failure(SourceError, FileSource.of(tmp_path / "empty" / "a" / "*.csv")).found.startswith("nothing")


def test_a_folder_that_cannot_be_listed_is_not_listed(tmp_path, monkeypatch):
    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.iterdir", refuse)
    assert "nothing that can be listed" in failure(SourceError, FileSource.of(tmp_path / "a.csv")).found


def test_a_folder_without_data(tmp_path):
    assert failure(SourceError, FileSource.of(tmp_path)).found == "an empty folder"
    (tmp_path / "notes.txt").touch()
    error = failure(SourceError, FileSource.of(tmp_path))
    assert error.found == "notes.txt"
    assert ".parquet, .csv" in error.expected


def test_formats_and_partitions_are_not_mixed(tmp_path):
    (tmp_path / "a.csv").write_text("a\n1\n")
    (tmp_path / "b.ndjson").write_text('{"a":1}\n')
    error = failure(PlanError, FileSource.of(tmp_path))
    assert error.expected == f"csv, as {tmp_path / 'a.csv'} has"
    assert error.found == f"ndjson in {tmp_path / 'b.ndjson'}"
    (tmp_path / "x" / "k=1").mkdir(parents=True)
    (tmp_path / "x" / "k=1" / "a.csv").write_text("a\n1\n")
    (tmp_path / "x" / "b.csv").write_text("a\n1\n")
    error = failure(PlanError, FileSource.of(tmp_path / "x"))
    # Folders are listed in no order.
    assert {error.expected.split(" in the folders")[0], error.found} == {"k=", "no key=value folders"}


def test_an_empty_list_an_unknown_format_and_a_wrong_delimiter(tmp_path):
    assert "no file to read" in failure(PlanError, FileSource.of([])).what
    with pytest.raises(PlanError, match="did you mean 'csv'"):
        FileSource.of("a.txt", format="cvs")
    for wrong in ("", ";;", '"', "\n", "é"):
        with pytest.raises(PlanError, match="cannot be a delimiter"):
            FileSource.of("a.csv").with_delimiter(wrong)
    (tmp_path / "a.ndjson").write_text('{"a":1}\n')
    error = failure(PlanError, FileSource.of(tmp_path / "a.ndjson").with_delimiter(";"))
    assert (error.what, error.hint) == ("only CSV files have delimiter", "leave out delimiter")


# Schemas that do not go together


def frame_file(frame, path):
    {".parquet": frame.write_parquet, ".arrow": frame.write_ipc, ".csv": frame.write_csv}[path.suffix](path)
    return path


@pytest.mark.untraced
@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".csv"])
@pytest.mark.parametrize("at_build", [True, False])
def test_files_with_other_columns_are_told_apart(suffix, at_build, tmp_path, monkeypatch):
    if not at_build:
        monkeypatch.setattr("arrowstream.io.files.schema.CHECKED_AT_BUILD", 1)
    base = pl.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    first = frame_file(base, tmp_path / f"1{suffix}")
    for other, name in (
        (base.drop("b"), "b"),
        (base.with_columns(c=1), "c"),
        (base.with_columns(pl.col("a").cast(pl.String) + "!"), "a"),
    ):
        second = frame_file(other, tmp_path / f"2{suffix}")
        source = FileSource.of([first, second])
        if suffix == ".csv" and name == "a":
            error = failure(UnreadableData, source)
        else:
            error = failure(SchemaError, source)
            assert str(first) in error.expected
        assert str(second) in str(error)
        assert name in error.what
        if at_build and suffix != ".csv":
            with pytest.raises(SchemaError):
                source.schema()


def test_a_file_that_changed_after_the_build_is_found_before_its_rows_go_out(tmp_path):
    path = frame_file(pl.DataFrame({"a": [1]}), tmp_path / "1.parquet")
    source = FileSource.of(path)
    assert source.schema() == {"a": pl.Int64}
    frame_file(pl.DataFrame({"a": ["x", "y"]}), path)
    assert "another type in column 'a'" in failure(SchemaError, source).what


def test_a_given_column_that_does_not_exist(tmp_path):
    path = frame_file(pl.DataFrame({"a": [1]}), tmp_path / "1.csv")
    assert "'z'" in failure(SchemaError, FileSource.of(path, schema={"z": pl.Int8})).what


def test_a_partition_that_does_not_fit_the_type_of_the_others(tmp_path):
    for value in ("1", "x"):
        (tmp_path / f"k={value}").mkdir()
        frame_file(pl.DataFrame({"a": [1]}), tmp_path / f"k={value}" / "f.csv")
    error = failure(SchemaError, FileSource.of(tmp_path, schema={"k": pl.Int64}))
    assert "'k'" in error.what and error.found == "'1', 'x'"


@pytest.mark.skipif(pl.__version__ < "2", reason="Polars 1 infers Int64, and the row is refused")
@pytest.mark.parametrize("name", ["f.csv", "f.ndjson", "x=18446744073709551615/f.parquet"])
def test_numbers_too_long_for_arrow_are_told_as_such(name, tmp_path):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".parquet":
        frame_file(pl.DataFrame({"a": [1]}), path)
    else:
        path.write_text(
            "x\n18446744073709551615\n" if path.suffix == ".csv" else '{"x": 18446744073709551615}\n'
        )
    error = failure(SchemaError, FileSource.of(tmp_path))
    assert "'x'" in error.what and "more than 64 bits" in error.what
    assert "schema={'x': pl.String}" in error.hint
    assert drain(FileSource.of(tmp_path, schema={"x": pl.UInt64}))


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_a_file_with_another_delimiter_is_met_with_a_hint(delimiter, tmp_path):
    file = tmp_path / "x.csv"
    file.write_text(f'item{delimiter}"price"\ntea{delimiter}3,5\n')
    wanted = f"from_file(..., delimiter={delimiter!r})"
    assert wanted in failure(UnreadableData, FileSource.of(file)).hint
    assert wanted in failure(SchemaError, FileSource.of(file, schema={"price": pl.Float64})).hint
    with pytest.raises(SchemaError) as caught:
        Pipeline.builder().source(FileSource.of(file)).filter(pl.col("price") > 3).schema()
    assert wanted in caught.value.hint
    other = failure(SchemaError, FileSource.of(file, schema={"cost": pl.Float64})).hint
    assert other.startswith("name the columns as the file does")
    assert "delimiter" not in other


def test_a_file_of_one_column_gets_no_hint_to_a_delimiter(tmp_path):
    file = tmp_path / "x.csv"
    file.write_text("item\ntea,3\n")
    assert "pass delimiter=" in failure(UnreadableData, FileSource.of(file)).hint


@pytest.mark.parametrize("line", ['{"a": 2}, {"a": 3}', '[{"a": 2}]', '{"a": 2} 3', '{"a":\n2}'])
def test_a_line_of_something_else_than_objects_is_an_error_with_the_place(line, tmp_path):
    file = tmp_path / "x.ndjson"
    file.write_text(f'{{"a": 1}}\n{line}\n')
    error = failure(UnreadableData, FileSource.of(file, schema={"a": pl.Int64}))
    assert error.what == f"row 2 (line 2) of {file} cannot be read"
    assert "each object on one line" in error.hint


def test_lines_that_end_in_carriage_returns_alone_are_not_one_long_header(tmp_path):
    path = tmp_path / "old.csv"
    path.write_bytes(b"a,b\r1,2\r3,4\r")
    error = failure(UnreadableData, FileSource.of(path))
    assert error.what == f"the header of {path} cannot be read"
    assert "carriage returns alone" in error.hint


def test_a_new_key_in_a_later_file_is_not_dropped(tmp_path):
    (tmp_path / "1.ndjson").write_text('{"a": 1}\n')
    (tmp_path / "2.ndjson").write_text('{"a": 1, "z": 2}\n')
    error = failure(SchemaError, FileSource.of(tmp_path))
    assert "a column 'z' more" in error.what
    assert str(tmp_path / "2.ndjson") in error.what


@pytest.mark.parametrize(
    "dtype", [pl.Duration("us"), pl.List(pl.Int64), pl.Binary, pl.Struct({"a": pl.Int8})]
)
def test_a_type_that_csv_cannot_hold(dtype, tmp_path):
    path = frame_file(pl.DataFrame({"a": [1]}), tmp_path / "1.csv")
    error = failure(SchemaError, FileSource.of(path, schema={"a": dtype}))
    assert "cannot be read from CSV" in error.what and "pl.String" in error.hint


@pytest.mark.parametrize("name", [b"caf\xe9.csv", b"caf\xe9.ndjson", b"caf\xe9.json", b"caf\xe9.csv.gz"])
def test_an_error_about_a_file_whose_name_is_not_utf8_can_be_printed(name, tmp_path):
    path = tmp_path / os.fsdecode(name)
    path.write_bytes(b'"a')
    error = failure(UnreadableData, FileSource.of(path))
    assert "caf\\udce9" in str(error).encode().decode()


def test_two_columns_of_one_name(tmp_path):
    (tmp_path / "a.csv").write_text("a,b,a\n1,2,3\n")
    error = failure(SchemaError, FileSource.of(tmp_path / "a.csv"))
    assert "'a'" in error.what and error.found == "the header a, b, a"


# Files that cannot be read


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_a_table_file_cut_short_empty_or_of_another_kind(suffix, tmp_path):
    path = frame_file(pl.DataFrame({"a": range(1000)}), tmp_path / f"t{suffix}")
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"hello, world, this is text", whole[:-1]):
        path.write_bytes(content)
        error = failure(UnreadableData, FileSource.of(path))
        assert str(path) in error.what
        assert error.found and error.hint
    assert "an empty file" in (path.write_bytes(b""), failure(UnreadableData, FileSource.of(path)))[1].found


def test_an_arrow_stream_is_told_from_a_file(tmp_path):
    path = tmp_path / "t.arrow"
    pl.DataFrame({"a": [1]}).write_ipc_stream(path)
    error = failure(UnreadableData, FileSource.of(path))
    assert "is an Arrow IPC stream" in error.what and "open_stream" in error.hint


def test_a_table_file_that_breaks_between_two_looks_at_it(tmp_path):
    for look, opened, name in ((row_groups, OpenFile, "t.parquet"), (IpcFile, OpenFile, "t.arrow")):
        (tmp_path / name).write_bytes(b"not any more")
        with pytest.raises(SourceError, match="is not a complete"):
            look(opened(tmp_path / name))


def test_a_damaged_page_is_told_with_its_rows(tmp_path, monkeypatch):
    monkeypatch.setattr("arrowstream.io.files.columnar.parquet_pieces.PIECE_BYTES", 8000)
    path = tmp_path / "t.parquet"
    table = pa.table({"a": [os.urandom(8).hex() for _ in range(1000)]})
    pq.write_table(table, path, row_group_size=100, compression="zstd", use_dictionary=False)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 600] = bytes(600)
    path.write_bytes(content)
    error = failure(UnreadableData, FileSource.of(path))
    assert str(path) in error.what
    assert "rows" in error.position
    monkeypatch.setattr("arrowstream.io.files.columnar.parquet_pieces.PIECE_BYTES", 100)
    monkeypatch.setattr("arrowstream.io.files.columnar.parquet_pieces.HUGE_BYTES", 1)
    assert "rows" in failure(UnreadableData, FileSource.of(path)).position


@pytest.mark.parametrize("huge", [False, True])
def test_a_step_that_fails_inside_the_read_does_not_blame_the_file(huge, tmp_path, monkeypatch):
    if huge:
        monkeypatch.setattr("arrowstream.io.files.columnar.parquet_pieces.PIECE_BYTES", 1)
        monkeypatch.setattr("arrowstream.io.files.columnar.parquet_pieces.HUGE_BYTES", 1)
    path = frame_file(pl.DataFrame({"a": ["1", "x"]}), tmp_path / "t.parquet")
    error = failure(StageError, FileSource.of(path), lambda f: f.with_columns(pl.col("a").cast(pl.Int64)))
    assert "first steps" in error.what
    assert str(path) in error.position


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [(".gz", gzip.compress), (".zst", lambda b: pa.compress(b, codec="zstd", asbytes=True))],
)
def test_a_packed_file_that_is_damaged(suffix, pack, tmp_path):
    path = tmp_path / f"t.csv{suffix}"
    packed = pack(b"a\n" + b"".join(os.urandom(8).hex().encode() + b"\n" for _ in range(10_000)))
    for content in (packed[:-1], packed[:-9], packed[: len(packed) // 2], b"plain text, not packed"):
        path.write_bytes(content)
        error = failure(UnreadableData, FileSource.of(path))
        assert str(path) in error.what
        assert "complete" in error.expected
        assert "damaged" in error.hint


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    csv = frame_file(pl.DataFrame({"a": [1]}), tmp_path / "t.csv")
    parquet = frame_file(pl.DataFrame({"a": [1]}), tmp_path / "t.parquet")
    monkeypatch.setattr("io.FileIO", refuse)
    assert failure(UnreadableData, FileSource.of(csv)).found == "Permission denied"
    monkeypatch.setattr("os.open", refuse)
    assert failure(UnreadableData, FileSource.of(parquet)).found == "Permission denied"


def test_a_file_that_vanishes_between_finding_and_reading(tmp_path, monkeypatch):
    path = frame_file(pl.DataFrame({"a": [1]}), tmp_path / "t.parquet")
    source = FileSource.of(path)
    reader = source.open(context())
    files = source._files()
    reader.close()
    path.unlink()
    monkeypatch.setattr("arrowstream.io.files.reading.selection.find_files", lambda *_, **__: files)
    assert failure(UnreadableData, FileSource.of(path)).found == "No such file or directory"


def test_a_file_that_becomes_shorter_while_it_is_read(tmp_path, tiny_blocks):
    path = tmp_path / "t.csv"
    path.write_text("a\n" + "1\n" * 1000)
    source = FileSource.of(path)
    reader = source.open(context())
    assert reader.read().num_rows
    os.truncate(path, 200)
    with pytest.raises(SourceError, match="became shorter while it was read") as caught:
        while reader.read() is not None:
            pass
    assert caught.value.expected.startswith("2,002 bytes")
    reader.close()


def test_a_line_of_ndjson_without_an_end(tmp_path, tiny_blocks, monkeypatch):
    monkeypatch.setattr("arrowstream.io.files.text.ndjson_format.Ndjson.longest", 200)
    path = tmp_path / "t.ndjson"
    path.write_text('{"a": 1}\n{"a": "' + "x" * 1000 + '"}\n')
    assert "a record without an end" in failure(UnreadableData, FileSource.of(path)).what


def test_empty_text_files(tmp_path):
    for name, content in (("t.csv", ""), ("u.csv", "\n\n")):
        (tmp_path / name).write_text(content)
        error = failure(UnreadableData, FileSource.of(tmp_path / name))
        assert "is empty" in error.what and "header" in error.expected and "skip_empty=True" in error.hint
    for name, content in (("t.ndjson", ""), ("t.json", "[]"), ("u.json", "")):
        (tmp_path / name).write_text(content)
        assert (
            "no rows to learn the columns from" in failure(SchemaError, FileSource.of(tmp_path / name)).what
        )


# Rows that cannot be read


@pytest.mark.untraced
@pytest.mark.parametrize("crlf", [False, True])
@pytest.mark.parametrize("bad", [0, 1, 57, 199])
def test_a_wrong_value_in_csv_is_told_with_row_line_column_and_value(bad, crlf, tmp_path, tiny_blocks):
    lines = [f'{i},"two\nlines, {i}"' for i in range(200)]
    lines[bad] = lines[bad].replace(f"{bad},", "12x,", 1)
    path = tmp_path / "t.csv"
    path.write_bytes("\n".join(["id,text", *lines]).replace("\n", "\r\n" if crlf else "\n").encode())
    error = failure(UnreadableData, FileSource.of(path, schema={"id": pl.Int64}))
    assert error.what == f"row {bad + 1} (line {2 * bad + 2}) of {path} does not fit its column 'id'"
    assert error.position == f"{path} row {bad + 1} (line {2 * bad + 2})"
    assert error.expected == "id: Int64"
    assert error.found == "'12x'"
    assert "pl.String" in error.hint
    # Where nobody needs the column, nobody stumbles over it.
    assert drain(FileSource.of(path, schema={"id": pl.Int64}), lambda f: f.select("text")) == 200


@pytest.mark.untraced
@pytest.mark.parametrize(
    ("dtype", "value"),
    [(pl.Int8, "300"), (pl.UInt16, "-1"), (pl.Float64, "1.5x"), (pl.Boolean, "yes"), (pl.Date, "2020-13-01"),
     (pl.Datetime("us"), "noon"), (pl.Decimal(10, 2), "a"), (pl.Enum(["a"]), "b")],
)  # fmt: skip
def test_every_type_tells_the_value_that_does_not_fit(dtype, value, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(f"n,v\n1,\n2,{value}\n3,\n")
    error = failure(UnreadableData, FileSource.of(path, schema={"v": dtype}))
    assert error.what == f"row 2 (line 3) of {path} does not fit its column 'v'"
    assert error.found == repr(value)


@pytest.mark.untraced
def test_rows_with_too_many_or_too_few_fields(tmp_path, tiny_blocks):
    path = tmp_path / "t.csv"
    good = [f"{i},x" for i in range(100)]
    for bad, fields, many in (
        ("7", 1, "fewer"),
        ("7,x,y", 3, "more"),
        ('"7,x"', 1, "fewer"),
        ('7,"a,b",c', 3, "more"),
    ):
        for at in (0, 50, 99):
            lines = [*good[:at], bad, *good[at + 1 :]]
            path.write_text("\n".join(["a,b", *lines, ""]))
            error = failure(UnreadableData, FileSource.of(path, schema={"a": pl.String}))
            assert (
                error.what
                == f"row {at + 1} (line {at + 2}) of {path} has {many} fields than there are columns"
            )
            assert error.expected == "2 fields"
            assert error.found.startswith(f"{fields} field")
            assert "pass delimiter=" in error.hint


def test_text_that_is_not_utf8(tmp_path, tiny_blocks):
    path = tmp_path / "t.csv"
    path.write_bytes(b"a,b\n" + b"1,x\n" * 50 + b"2,caf\xe9\n" + b"1,x\n" * 50)
    error = failure(UnreadableData, FileSource.of(path))
    assert "row 51 (line 52)" in error.what
    path.write_bytes(b"a,caf\xe9\n1,2\n")
    assert "the header of" in failure(UnreadableData, FileSource.of(path)).what


@pytest.mark.untraced
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("line", "what", "found"),
    [
        ('{"a": "x", "b": 1}', "does not fit its column 'a'", '"x"'),
        ('{"a": 1.5, "b": 1}', "does not fit its column 'a'", "1.5"),
        ('{"a": 1.0, "b": 1}', "does not fit its column 'a'", "1.0"),
        ('{"b": 1, "\\u0061": "1"}', "does not fit its column 'a'", '"1"'),
        ('{"b": {"a": 1}, "a": {"b" : 1.50}, "a": 1}', "does not fit its column 'a'", '{"b" : 1.50}'),
        ('{"a": 1, "b": ', "cannot be read", '\'{"a": 1, "b": \''),
        ('{"a": 1} trailing', "cannot be read", "'{\"a\": 1} trailing'"),
        ("[1, 2]", "cannot be read", "'[1, 2]'"),
    ],
)
def test_a_bad_line_of_ndjson_is_told_with_its_number(line, what, found, packed, tmp_path, tiny_blocks):
    lines = ['{"a": 1, "b": 2}'] * 40 + ["", line] + ['{"a": 1, "b": 2}'] * 40
    path = tmp_path / ("t.ndjson.gz" if packed else "t.ndjson")
    content = "\n".join(lines).encode()
    path.write_bytes(gzip.compress(content) if packed else content)
    error = failure(UnreadableData, FileSource.of(path, schema={"a": pl.Int64, "b": pl.Int64}))
    assert error.what == f"row 41 (line 42) of {path} {what}"
    assert error.found == found if "fit" in what else error.found.startswith(found)
    assert error.hint.endswith("; or pass bad_rows= a sink, or 'skip', to put such rows aside")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.csv", "a,b\n1,2,3\n"),
        ("x.csv", 'a,b\n1,"2"3\n'),
        ("x.csv", 'a,b\n1,"2\n'),
        ("x.csv", "a,b\n1,x\n"),
        ("x.csv", "a,b\n1,\xe9\n"),
        ("x.ndjson", '{"b": "\\ud800"}\n'),
        ("x.ndjson", '{"b": "\xe9"}\n'),
        ("x.json", '[{"b": "\xe9"}]\n'),
        ("x.json", '{"b": "\xe9"}\n'),
        ("x.json", '{"b": tru}\n'),
    ],
)
def test_errors_of_rows_name_the_options_that_read_the_file_all_the_same(name, text, tmp_path):
    path = tmp_path / name
    path.write_bytes(text.encode("cp1252"))
    error = failure(UnreadableData, FileSource.of(path, schema={"b": pl.Int64}))
    assert ("bad_rows=" in error.hint) == (name != "x.json")  # which has no bad rows
    assert ("is not UTF-8" in error.what and "encoding='cp1252'" in error.hint) == ("\xe9" in text)


@pytest.mark.parametrize("suffix", ["csv", "ndjson"])
def test_rows_that_are_bad_for_another_reason_count_in_the_row_of_an_error(suffix, tmp_path):
    path = tmp_path / f"t.{suffix}"
    if suffix == "csv":  # more fields than columns, before text after a closing quote
        path.write_text("a,b\n" + "1,x\n" * 5 + "1,x,y\n\n" + "1,x\n" * 5 + '1,"x" y\n')
        where = "row 13 (line 14)"
    else:  # a blank line, and one that is no JSON, before half of a surrogate pair
        path.write_text('{"a": "x"}\n' * 5 + '\n{"a": \n' + '{"a": "x"}\n' * 5 + '{"a": "\\ud800"}\n')
        where = "row 12 (line 13)"
    error = failure(UnreadableData, FileSource.of(path, schema={"a": pl.String}))
    assert error.position == f"{path} {where}"


def test_a_bad_element_of_a_json_array_is_told_with_its_number(tmp_path, tiny_blocks):
    path = tmp_path / "t.json"
    path.write_text("[" + ",\n".join(['{"a": 1}'] * 30 + ['{"a": "x"}'] + ['{"a": 1}'] * 30) + "]")
    error = failure(UnreadableData, FileSource.of(path))
    assert error.what == f"row 31 of {path} does not fit its column 'a'"
    path.write_text("[1, 2]")
    error = failure(UnreadableData, FileSource.of(path))
    assert error.what == f"row 1 of {path} cannot be read"
    assert error.hint == "repair this row, or check that the file has the format it is read as"


def test_a_bad_first_row_is_told_when_types_are_inferred(tmp_path):
    path = tmp_path / "t.ndjson"
    path.write_text('{"a": 1}\n{"a": \n')
    error = failure(UnreadableData, FileSource.of(path))
    assert error.what == f"row 2 (line 2) of {path} cannot be read"


def test_rows_before_the_bad_one_go_out_first(tmp_path, tiny_blocks):
    path = tmp_path / "t.csv"
    path.write_text("a\n" + "1\n" * 300 + "x\n")
    reader = FileSource.of(path, schema={"a": pl.Int64}).open(context())
    seen = 0
    with pytest.raises(SourceError, match="row 301 "):
        while (batch := reader.read()) is not None:
            seen += batch.num_rows
    reader.close()
    assert seen > 200


def test_a_date_that_is_not_written_with_its_year_first_is_the_one_named(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("id,d\n0,2024-01-02\n1,03/04/2024\n2,05.06.2024\n")
    error = failure(UnreadableData, FileSource.of(path, schema={"d": pl.Date}))
    assert error.what == f"row 2 (line 3) of {path} does not fit its column 'd'"
    assert (error.expected, error.found) == (
        "d: Date, written like 2026-01-31, and no digit lost",
        "'03/04/2024'",
    )


@pytest.mark.parametrize(
    ("dtype", "wider"), [(pl.Int64, "pl.Float64 or pl.String"), (pl.Float64, "pl.String")]
)
def test_a_type_that_takes_more_is_suggested(tmp_path, dtype, wider):
    path = tmp_path / "x.csv"
    path.write_text("x\n1\nsome\n")
    error = failure(UnreadableData, FileSource.of(path, schema={"x": dtype}))
    assert f"{{'x': {wider}}};" in error.hint
