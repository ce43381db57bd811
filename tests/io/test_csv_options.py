"""Options of text files: rows are those of Polars and of the csv module with the same options."""

import csv
import io
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import polars as pl
import pytest
from effort import examples
from hypothesis import HealthCheck, example, given, settings

from arrowstream import Pipeline, Sink, Source
from arrowstream.errors import JobError, PlanError, SchemaError, SourceError
from arrowstream.jobs.assignments import Assignment
from arrowstream.jobs.job import Job

SCHEMA = {"x": pl.String, "y": pl.String}


def read(path: Any, **options: Any) -> pl.DataFrame:
    return Pipeline.builder().source(Source.from_file(path, **options)).collect_sync()


TEXT = "a;b;c\n1;'x;y';2,5\nNA;\"q;-\n;'it''s';-3,25\n"


@pytest.mark.untraced
@pytest.mark.parametrize(
    "options",
    [
        {"quote_char": "'", "null_values": ["NA", "-"]},
        {
            "quote_char": "'",
            "null_values": "NA",
            "decimal_comma": True,
            "schema": {"a": pl.Int64, "b": pl.String},
        },
        {"quote_char": "'", "null_values": {"a": "NA", "c": "-"}, "decimal_comma": True},
        {"quote_char": "'", "has_header": False},
    ],
)
@pytest.mark.parametrize("block", [3, 1 << 20])
def test_rows_are_those_of_polars(
    options: dict[str, Any], block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arrowstream.io.files.text.file.BLOCK_BYTES", block)
    file = tmp_path / "a.csv"
    file.write_text(TEXT)
    schema = options.pop("schema", None)
    first = pl.read_csv(file, separator=";", schema_overrides=schema, **options)
    own = read(file, delimiter=";", schema=first.schema, **options)
    if options.get("has_header", True):
        assert own.equals(first)
    else:
        assert own.rows() == first.rows()  # Polars 2 counts unnamed columns from 0
    several = read([file, file], delimiter=";", schema=first.schema, **options)
    assert several.rows() == first.rows() * 2


def without_comments(text: str) -> str:
    """The text without lines that begin with a # outside of quoted fields, record by record."""
    lines = text.splitlines(keepends=True)
    kept, at = [], 0
    while at < len(lines):
        if lines[at].startswith("#"):
            at += 1
            continue
        records = csv.reader(iter(lines[at:]))
        next(records)
        kept += lines[at : at + records.line_num]
        at += records.line_num
    return "".join(kept)


@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(
        st.sampled_from(
            ["1,a\n", '2,"x\n#y"\n', '# "open, \n', "#\n", "3,#\n", '"#",4\n', '"\n#\n#",5\n', "#,#\n"]
        ),
        max_size=9,
    ),
    block=st.integers(1, 9) | st.just(1 << 20),
    aside=st.booleans(),
    ended=st.booleans(),
)
@example(lines=["#\n", "1,a\n", "#"], block=2, aside=False, ended=False)
def test_comments_are_left_out_unless_they_are_in_quotes(
    lines: list[str], block: int, aside: bool, ended: bool, tmp_path: Path
) -> None:
    text = "# first\nx,y\n" + "".join(lines)
    text = text if ended else text.rstrip("\n")
    file = tmp_path / "a.csv"
    file.write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("arrowstream.io.files.text.file.BLOCK_BYTES", block)
        patch.setattr("arrowstream.io.files.text.bad.sound_records._WINDOW", 4)
        found = read(file, schema=SCHEMA, comment_prefix="#", bad_rows="skip" if aside else "error")
    rows = csv.reader(io.StringIO(without_comments(text), newline=""))
    assert [tuple(row) for row in found.rows()] == [tuple(row) for row in rows][1:]


def test_places_count_comments_and_skipped_lines(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text('title "1\n\nx,y\n#\n1,2\n# "a"\nz,4\n#\n5,"6"x\n7\n')
    bad: list[pl.DataFrame] = []
    options: dict[str, Any] = {
        "skip_lines": 2,
        "comment_prefix": "#",
        "schema": {"x": pl.Int64, "y": pl.String},
    }
    kept = read(file, bad_rows=Sink.to_fn(lambda rows: bad.append(pl.DataFrame(rows))), **options)
    assert kept.rows() == [(1, "2")]
    assert pl.concat(bad).select("row", "line").rows() == [(2, 7), (3, 9), (4, 10)]
    lines = file.read_text().splitlines(keepends=True)
    for text, place in (
        ("".join(lines[:7]), "row 2 (line 7)"),
        ("".join([*lines[:6], *lines[8:9]]), "row 2 (line 7)"),
        ("".join([*lines[:6], *lines[7:8], *lines[9:]]), "row 2 (line 8)"),
    ):
        file.write_text(text)
        with pytest.raises(SourceError) as caught:
            read(file, **options)
        assert place in caught.value.what


@pytest.mark.parametrize("block", [1, 1 << 20])
def test_columns_without_a_header_have_names(
    block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arrowstream.io.files.text.file.BLOCK_BYTES", block)
    file = tmp_path / "a.csv"
    file.write_text("1,a\n2,b\n")
    assert read(file, has_header=False).to_dict(as_series=False) == {
        "column_1": [1, 2],
        "column_2": ["a", "b"],
    }
    named = read([file] * 3, has_header=False, schema={"n": pl.Int8, "s": pl.String})
    assert named.schema == pl.Schema({"n": pl.Int8, "s": pl.String}) and named["n"].to_list() == [1, 2] * 3
    typed = read(file, has_header=False, schema={"column_1": pl.Float64})
    assert typed.rows() == [(1.0, "a"), (2.0, "b")]
    file.write_text("")
    assert read(file, has_header=False, schema={"n": pl.Int8, "s": pl.String}).rows() == []


@pytest.mark.parametrize("missing", ["error", "insert"])
def test_files_without_a_header_have_as_many_columns_as_the_schema_names(
    missing: str, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text("1,2\n")
    (tmp_path / "b.csv").write_text("1\n")
    options: dict[str, Any] = {"has_header": False, "missing_columns": missing, "extra_columns": "ignore"}
    for schema, path, count in (
        ({"x": int}, "a.csv", 2),
        ({"x": int, "y": int, "z": int}, "a.csv", 2),
        ({"x": int, "column_1": int, "column_2": int}, "a.csv", 2),
        ({"x": int, "y": int}, "b.csv", 1),
    ):
        paths = list(dict.fromkeys([tmp_path / "a.csv", tmp_path / path]))
        with pytest.raises(SchemaError, match=f"schema= names {len(schema)} columns, and .*{path}") as caught:
            read(paths, schema=schema, **options)
        assert caught.value.found == ", ".join(schema) and f"{count} names" in str(caught.value.expected)


def test_null_values_of_a_column_that_is_not_there_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,NA\n")
    assert read(tmp_path / "a.csv", null_values={"y": "NA"}).rows() == [(1, None)]
    with pytest.raises(
        SchemaError, match=r"null_values= names a column that .* does not have: 'yy'"
    ) as caught:
        read(tmp_path / "a.csv", null_values={"x": "-", "yy": "NA"})
    assert caught.value.hint == "did you mean 'y'?" and caught.value.expected == "some of x, y"
    with pytest.raises(SchemaError, match="null_values= names") as caught:
        read(tmp_path / "a.csv", null_values={"total": "NA"})
    assert caught.value.hint == "name the columns as the file does"
    # A column of nulls, which files may have, is one.
    given = {"schema": {"z": str}, "missing_columns": "insert"}
    assert read(tmp_path / "a.csv", null_values={"z": "NA"}, **given).rows() == [(1, "NA", None)]


def test_lines_before_the_header_are_skipped_whatever_they_hold(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(b'"\xff\n,,,\nx\n1\n')
    assert read(file, skip_lines=2).rows() == [(1,)]
    assert read(file, skip_lines=2, has_header=False).rows() == [("x",), ("1",)]
    with pytest.raises(SourceError, match="is empty"):
        read(file, skip_lines=9)


@pytest.mark.untraced
@pytest.mark.parametrize(
    "encoding", ["latin-1", "cp1252", "utf-16", "utf-16-le", "utf-8-sig", "utf-32", "shift_jis"]
)
@pytest.mark.parametrize("chunk", [3, 1 << 18])
def test_text_of_other_encodings_is_that_of_python(
    encoding: str, chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arrowstream.io.files.text.options.transcode._CHUNK", chunk)
    word = "日本" if encoding == "shift_jis" else "Größe"
    for name, text in (("a.csv", f"x,y\n1,{word}\n"), ("a.ndjson", f'{{"x": 1, "y": "{word}"}}\n')):
        (tmp_path / name).write_bytes(text.encode(encoding))
        assert read([tmp_path / name] * 3, encoding=encoding).rows() == [(1, word)] * 3


def test_invalid_bytes_of_an_encoding_have_a_place_or_are_replaced(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(b"\xef\xbb\xbfx,y\n1,a\x81b\n")
    with pytest.raises(SourceError, match="is not cp1252") as caught:
        read(file, encoding="cp1252")
    assert caught.value.position == f"{file} byte 10"
    assert "latin-1" in caught.value.hint
    assert read(file, encoding="utf8-lossy").rows() == [(1, "a\ufffdb")]
    file.write_bytes("x,y\n1,ab\n".encode("utf-16-le"))
    with pytest.raises(SourceError, match="is not utf-16") as caught:
        read(file, encoding="utf-16")
    assert caught.value.position == f"{file} byte 0" and "'utf-16-le'" in caught.value.hint
    assert read(file, encoding="utf-16-le").rows() == [(1, "ab")]
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(SourceError, match="is not text") as caught:
        read(file)
    assert "encoding='utf-16'" in caught.value.hint


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delimiter": "'", "quote_char": "'"}, "cannot be a delimiter"),
        ({"quote_char": "''"}, "cannot be a quote_char"),
        ({"comment_prefix": ""}, "cannot be a comment_prefix"),
        ({"comment_prefix": '"#'}, "cannot be a comment_prefix"),
        ({"skip_lines": -1}, "skip_lines is too small"),
        ({"skip_lines": "2"}, "skip_lines takes a whole number"),
        ({"delimiter": 3}, "cannot be a delimiter"),
        ({"quote_char": 3}, "cannot be a quote_char"),
        ({"comment_prefix": 3}, "cannot be a comment_prefix"),
        ({"encoding": 3}, "encoding has no choice 3"),
        *(
            ({flag: "no"}, f"{flag} takes True or False")
            for flag in ("has_header", "decimal_comma", "widen", "skip_empty", "strict_keys")
        ),
        ({"decimal_comma": True, "delimiter": ","}, "cannot be in numbers and between fields"),
        ({"decimal_comma": True}, "cannot be in numbers and between fields"),
        *(
            ({"encoding": name}, "encoding has no choice")
            for name in ("utf-99", "base64", "rot13", "zlib", "idna", "punycode", "undefined", "a\0b")
        ),
        *(
            ({"null_values": nulls}, "null_values are texts")
            for nulls in (0, [0], {"x": 0}, {0: "x"}, {"x": ["NA"]}, {"NA"})
        ),
        ({"include_file_paths": 3}, "include_file_paths takes the name of a column"),
        ({"include_file_paths": ""}, "include_file_paths takes the name of a column"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x\n1\n")
    with pytest.raises(PlanError, match=message):
        Source.from_file(tmp_path / "a.csv", **options).schema()


def test_lines_after_the_header_are_left_out_with_it(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("name,height\n-,m\nAda,1.7\nBob,\n")
    found = read(
        tmp_path / "a.csv", skip_lines=2, has_header=False, schema={"name": pl.String, "height": pl.Float64}
    )
    assert found.equals(pl.read_csv(tmp_path / "a.csv", skip_rows_after_header=1))
    (tmp_path / "job.toml").write_text(
        '[source]\nkind = "file"\npath = "a.csv"\nskip_rows_after_header = 1\n'
        '[sink]\nkind = "file"\npath = "b.csv"\n'
    )
    with pytest.raises(JobError, match="leave out the header, too, by a skip_lines of 2"):
        Job.load(tmp_path / "job.toml")


def test_a_misspelt_encoding_gets_the_nearest_one() -> None:
    for name, hint in (("UTF8-Lossy", "'utf8-lossy'"), ("cp 1252", "'cp1252'"), ("utf_l6", "'utf_16'")):
        with pytest.raises(PlanError, match="encoding has no choice") as caught:
            Source.from_file("a.csv", encoding=name)
        assert hint in str(caught.value.hint)


def test_options_of_csv_and_text_are_refused_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "a.ndjson").write_text('{"x": 1}\n')
    with pytest.raises(PlanError, match="only CSV files have quote_char"):
        Source.from_file(tmp_path / "a.ndjson", quote_char=None).schema()
    pl.DataFrame({"x": [1]}).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(PlanError, match="only CSV or JSON or LINES or NDJSON files have encoding"):
        Source.from_file(tmp_path / "a.parquet", encoding="cp1252").schema()


def test_quotes_are_text_without_a_quote_char(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text('"x",y\n"1",5" pipe\n')
    assert read(file, quote_char="").equals(read(file, quote_char=None))
    assert read(file, quote_char=None).to_dict(as_series=False) == {'"x"': ['"1"'], "y": ['5" pipe']}


def test_jobs_have_the_same_options(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("junk\n1;2,5;'ä'\n#\nNA;;-\n".encode("cp1252"))
    (tmp_path / "job.toml").write_text(
        f"""
[source]
kind = "file"
path = "{tmp_path}/a.csv"
delimiter = ";"
has_header = false
quote_char = "'"
null_values = {{ column_1 = "NA", column_3 = "-" }}
comment_prefix = "#"
skip_lines = 1
decimal_comma = true
encoding = "cp1252"
[sink]
kind = "file"
path = "{tmp_path}/out.parquet"
"""
    )
    Job.load(tmp_path / "job.toml").pipeline().run_sync()
    assert pl.read_parquet(tmp_path / "out.parquet").rows() == [(1, 2.5, "ä"), (None, None, None)]


def test_a_job_may_leave_out_no_lines(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x\n1\n")
    (tmp_path / "job.toml").write_text(
        '[source]\nkind = "file"\npath = "a.csv"\nskip_lines = 0\n[sink]\nkind = "file"\npath = "b.csv"\n'
    )
    assert Job.load(tmp_path / "job.toml").pipeline().run_sync().rows_out == 1
    fewer = Assignment.written("source.skip_lines=-1")
    with pytest.raises(JobError, match="at least 0, found the integer -1"):
        Job.load(tmp_path / "job.toml", assignments=[fewer])


def test_two_columns_of_one_name_are_read_as_the_hint_says(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("a,b,a\n1,2,3\n")
    with pytest.raises(SchemaError, match=r"two columns of .* have the name 'a'") as caught:
        Source.from_file(file).schema()
    assert caught.value.hint is not None and "has_header=False and skip_lines=1" in caught.value.hint
    source = Source.from_file(file, has_header=False, skip_lines=1, schema={"a": int, "b": int, "a_2": int})
    assert Pipeline.builder().source(source).collect_sync().rows(named=True) == [{"a": 1, "b": 2, "a_2": 3}]
