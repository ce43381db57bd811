"""Rows of CSV are those of Python's csv module whatever its quotes, or the error names file and row."""

import csv
import gzip
import io
import re
import tracemalloc
from pathlib import Path
from typing import Literal

import hypothesis.strategies as st
import polars as pl
import pytest
from effort import examples
from hypothesis import HealthCheck, example, given, settings

from arrowstream import Pipeline, Sink, Source
from arrowstream.errors import ArrowstreamError, SourceError
from arrowstream.io.files.text.byte_stream import FileBytes
from arrowstream.io.files.text.json.array import JsonLines
from arrowstream.io.files.text.ndjson_format import Ndjson
from arrowstream.io.files.text.quotes import FlawedRecord, checked
from arrowstream.io.files.text.records import blocks, whole

Rows = list[tuple[str, ...]]


def by_the_module(text: str, delimiter: str, width: int) -> Rows:
    """The rows of the csv module under a header of `width` names; a blank line is a row of empty fields."""
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    return [tuple(row) or ("",) * width for row in rows]


def read(file: Path, delimiter: str = ",", schema: dict[str, object] | None = None) -> Rows:
    source = Source.from_file(file, schema=schema).with_delimiter(delimiter)
    frame = Pipeline.builder().source(source).collect_sync()
    return [tuple(value or "" for value in row) for row in frame.rows()]


def texts(alphabet: str) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from([*alphabet, "\r\n", '""', '","', '"\n"', "a,b\n"]), max_size=14).map(
        "".join
    )


@settings(max_examples=examples(150), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=texts('"\\,;\r\nab'), delimiter=st.sampled_from(",;"), block=st.integers(1, 9) | st.just(1 << 20))
@example(text='1,"says \\" once"\n2,plain\n3,"again \\" here"\n', delimiter=",", block=1 << 20)
@example(text='5",7"\n', delimiter=",", block=3)
@example(text='1,O"Brian\n2,L"Etoile\n', delimiter=",", block=1)
@example(text='1,"never closed\n2,x\n', delimiter=",", block=4)
@example(text='1,"x"\r\r\n', delimiter=",", block=2)
def test_rows_are_those_of_the_csv_module_or_there_is_an_error(
    text: str, delimiter: str, block: int, tmp_path: Path
) -> None:
    file = tmp_path / "any.csv"
    file.write_bytes(f"x{delimiter}y\n{text}".encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("arrowstream.io.files.text.file.BLOCK_BYTES", block)
        try:
            found = read(file, delimiter, {"x": pl.String, "y": pl.String})
        except SourceError as error:
            assert re.match(r"row \d+ \(line \d+\) of " + re.escape(str(file)), error.what)
            return
    try:
        expected = by_the_module(text, delimiter, 2)
    except csv.Error:
        pytest.fail(f"the csv module refuses what was read as {found}")
    assert found == expected


@settings(max_examples=examples(100), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=texts('"\\,\r\nab'))
@example(text='"""name""",b')
@example(text='"two\nlines",b')
def test_names_are_those_of_the_csv_module_or_there_is_an_error(text: str, tmp_path: Path) -> None:
    file = tmp_path / "any.csv"
    file.write_bytes(text.encode())
    try:
        names = Source.from_file(file).schema().names()
    except ArrowstreamError as error:
        assert str(file) in error.what
        return
    assert names == next(csv.reader(io.StringIO(text.lstrip("\r\n"), newline="")))


@settings(max_examples=examples(75))
@given(text=texts('"\\,\r\nab'))
def test_a_checked_block_has_the_same_rows_and_every_quote_encloses_a_field(text: str) -> None:
    try:
        block = checked(text.encode(), ord(","))
    except FlawedRecord:
        return
    assert checked(block, ord(",")) == block
    assert by_the_module(block.decode(), ",", 1) == by_the_module(text, ",", 1)
    strict = csv.reader(io.StringIO(block.decode(), newline=""), strict=True)
    assert [tuple(row) or ("",) for row in strict] == by_the_module(text, ",", 1)


def failure(file: Path) -> SourceError:
    with pytest.raises(SourceError) as caught:
        read(file)
    assert caught.value.position is not None and str(file) in caught.value.position
    return caught.value


@pytest.mark.parametrize(
    ("rows", "where", "what", "hint"),
    [
        (
            '1,x\n2,"says \\" once"\n3,"so \\" too"\n',
            "row 2 (line 3)",
            "after a closing quote (line 3)",
            "backslash",
        ),
        (
            '1,"LAND " CO."\n2,"OIL " GAS"\n',
            "row 1 (line 2)",
            "after a closing quote (line 2)",
            "written twice",
        ),
        ('1,"two\nlines" "\n', "row 1 (line 2)", "after a closing quote (line 3)", "written twice"),
        ('1,"" x\n', "row 1 (line 2)", "after a closing quote (line 2)", "written twice"),
        ('1,x\n2,"y\n3,z\n', "row 2 (line 3)", "opened on line 3 and never closed", "written twice"),
        ("1,x\n2,y\rz\n", "row 2 (line 3)", "a carriage return that ends no line", "in quotes"),
        ("1,x\r\r\n2,y\r\r\n", "row 1 (line 2)", "a carriage return that ends no line", "in quotes"),
    ],
)
def test_what_is_wrong_with_a_record_is_named(
    rows: str, where: str, what: str, hint: str, tmp_path: Path
) -> None:
    file = tmp_path / "x.csv"
    file.write_bytes(f"a,b\n{rows}".encode())
    error = failure(file)
    assert error.what.startswith(f"{where} of {file} ")
    assert what in error.what
    assert error.hint is not None and hint in error.hint


def test_an_error_in_a_block_whose_quotes_are_text_names_its_row(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text('a,b\n1,5"\n2,6"\nthree,7"\n')
    with pytest.raises(SourceError, match=r"row 3 \(line 4\) of .* does not fit its column 'a'") as caught:
        read(file, schema={"a": pl.Int64})
    assert caught.value.found == "'three'"
    file.write_text('a,b\n1,5"\n2,6",x\n')
    with pytest.raises(SourceError, match=r"row 2 \(line 3\) of .* has more fields"):
        read(file, schema={"a": pl.Int64})


def test_a_quote_that_is_never_closed_is_an_error_after_a_few_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arrowstream.io.files.text.file.BLOCK_BYTES", 1 << 16)
    monkeypatch.setattr("arrowstream.io.files.text.csv_format.Csv.longest", 1 << 18)
    file = tmp_path / "x.csv"
    with file.open("w") as out:
        out.write('a,b\n1,x\n2,"never closed\n')
        out.writelines(f"{i},some text\n" for i in range(500_000))
    tracemalloc.start()
    try:
        error = failure(file)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
    assert error.what == f"row 2 (line 3) of {file} has a quote that is opened on line 3 and never closed"
    assert error.found is not None and len(error.found) < 100


def test_a_record_that_is_too_long_and_well_formed_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arrowstream.io.files.text.file.BLOCK_BYTES", 100)
    monkeypatch.setattr("arrowstream.io.files.text.csv_format.Csv.longest", 1000)
    file = tmp_path / "x.csv"
    file.write_text(f"a,b\n1,x\n2,{'y' * 5000}\n")
    assert "a record without an end" in failure(file).what


@pytest.mark.parametrize("end", ["", "\n"])
def test_a_quote_that_is_never_closed_is_put_aside_alone(
    end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arrowstream.io.files.text.file.BLOCK_BYTES", 100)
    monkeypatch.setattr("arrowstream.io.files.text.csv_format.Csv.longest", 400)
    file = tmp_path / "x.csv"
    file.write_text('a,b\n0,x\n1,"open\n' + "".join(f"{i},x\n" for i in range(2, 300)) + "300,x" + end)
    source = Source.from_file(file, bad_rows="skip")
    found = Pipeline.builder().source(source).collect_sync()
    assert found.rows() == [(0, "x"), *((i, "x") for i in range(2, 301))]


def test_names_with_quotes_come_back_from_a_file_that_the_sink_wrote(tmp_path: Path) -> None:
    frame = pl.DataFrame({'size 5"': [1], '"all"': ["x"], "two\nlines": [1.5], "": [True], "plain": ["y"]})
    file = tmp_path / "own.csv"
    Pipeline.builder().source(Source.from_frame(frame)).sink(Sink.to_file(file)).build().run_sync()
    assert Pipeline.builder().source(Source.from_file(file)).collect_sync().equals(frame)
    typed = Source.from_file(file, schema={'size 5"': pl.Float64})
    chosen = Pipeline.builder().source(typed).select('size 5"').collect_sync()
    assert chosen.rows() == [(1.0,)]


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (b'"a" x,b', "text after a quote"),
        (b'a,"b', "unclosed quote"),
        (b"a\x00b,c", "a NUL byte"),
        (b"caf\xe9,b", "codec can't decode"),
        (b"x" * 200_000, "field larger than field limit"),
    ],
)
def test_a_header_that_cannot_be_read(header: bytes, found: str, tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_bytes(header + b"\n1,2\n")
    error = failure(file)
    assert error.what == f"the header of {file} cannot be read"
    assert error.found is not None and found in error.found
    assert error.hint is not None and ("pass encoding=" in error.hint) == ("codec" in found)


def test_types_are_inferred_from_the_first_rows_whatever_comes_after_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arrowstream.io.files.text.csv_format.INFER_ROWS", 2)
    file = tmp_path / "x.csv"
    file.write_text('a,b\n1,5"\n2,x\n3,"y" z\n')
    source = Source.from_file(file)
    assert source.schema() == {"a": pl.Int64, "b": pl.String}
    assert failure(file).what.startswith("row 3 (line 4)")


@pytest.mark.untraced
@pytest.mark.parametrize("block", [1, 8, 1 << 20])
@pytest.mark.parametrize("first", ["\ufeffa,b", "", "\r", "\n\n1,2", '"a\nb",c', '"a",b', " ,b", ","])
def test_a_block_may_begin_with_any_row(first: str, block: int, tmp_path: Path) -> None:
    text = f"{first}\n1,2\n" * 3
    file = tmp_path / "x.csv"
    file.write_text("c,d\n" + text, newline="")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("arrowstream.io.files.text.file.BLOCK_BYTES", block)
        assert read(file, schema={"c": pl.String, "d": pl.String}) == by_the_module(text, ",", 2)


@pytest.mark.untraced
@pytest.mark.parametrize("first_bytes", [4, 14, 1 << 16])
@pytest.mark.parametrize("before", ["", "\n", "\n\r\n\n\n\n"])
def test_rows_and_lines_do_not_depend_on_how_much_of_a_file_is_searched_for_its_header(
    before: str, first_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("csv_format", "file"):
        monkeypatch.setattr(f"arrowstream.io.files.text.{module}.HEADER_BYTES", first_bytes)
    file = tmp_path / "x.csv"
    file.write_text(f'{before}a,"b\nc"\n1,2\n3,4\n')
    rows = Pipeline.builder().source(Source.from_file(file)).collect_sync()
    assert rows.to_dict(as_series=False) == {"a": [1, 3], "b\nc": [2, 4]}
    line = before.count("\n") + 4
    file.write_text(f'{before}a,"b\nc"\n1,2\n3\n')
    with pytest.raises(SourceError, match=rf"row 2 \(line {line}\)"):
        Pipeline.builder().source(Source.from_file(file)).collect_sync()


def test_the_end_of_a_long_header_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("csv_format", "file"):
        monkeypatch.setattr(f"arrowstream.io.files.text.{module}.HEADER_BYTES", 4)
    file = tmp_path / "x.csv"
    for header in ("a", "abcdefgh,b", '"a\nb",c', "long name"):
        file.write_text(f"{header}\n")
        assert tuple(Source.from_file(file).schema()) == tuple(
            next(csv.reader(io.StringIO(header, newline="")))
        )


@pytest.mark.parametrize("compression", [None, "gzip", "json"])
def test_blocks_that_are_kept_do_not_change_when_their_memory_is_used_again(
    compression: Literal["gzip", "json"] | None, tmp_path: Path
) -> None:
    lines = [b"%d" % (number % 7) * (number % 50) + b"\n" for number in range(1, 500)]
    text = b"".join([*lines, b"x" * 400, b"\n", *lines, b"the end"])
    file = tmp_path / "x"
    file.write_bytes(gzip.compress(text) if compression == "gzip" else text)
    stream = FileBytes(file, "gzip" if compression == "gzip" else None)
    rows = JsonLines(stream, "x") if compression == "json" else stream
    found = list(blocks(rows, whole(Ndjson().cut), name="x", size=100, longest=1000, partial=False))
    stream.close()
    assert b"".join(block.data for block in found) == text
    assert all(block.data.endswith(b"\n") for block in found[:-1])
    assert len(found) > 100


@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize("lead", [0, 40])
def test_a_line_that_is_too_long_is_called_so(
    quote: str, lead: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arrowstream.io.files.text.file.BLOCK_BYTES", 100)
    monkeypatch.setattr("arrowstream.io.files.text.csv_format.Csv.longest", 1000)
    file = tmp_path / "x.csv"
    file.write_text("a,b\n" + "x,1\n" * lead + f"{quote}{'y' * 5000}{quote},1\nz,3\n")
    error = failure(file)
    assert error.what == f"row {lead + 1} (line {lead + 2}) of {file} is too long"
    assert error.found is not None and len(error.found) < 120


@pytest.mark.parametrize("quote", ["", '"'])
def test_a_line_that_is_too_long_is_put_aside_as_that(
    quote: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arrowstream.io.files.text.csv_format.Csv.longest", 1000)
    file, bad = tmp_path / "x.csv", tmp_path / "bad.ndjson"
    file.write_text(f'a,b\n{quote}{"y" * 1500}{quote},1\nz,3\n"never,4\n')
    steps = Pipeline.builder().source(Source.from_file(file, bad_rows=Sink.to_file(bad)))
    steps.sink(Sink.to_file(tmp_path / "out.csv")).build().run_sync()
    assert (tmp_path / "out.csv").read_text() == "a,b\nz,3\n"
    found = pl.read_ndjson(bad)["error"].to_list()
    assert found == ["a record that is too long", "a quote that is opened and never closed"]
