"""Files that are not the text that their name promises: the error says what they are."""

import bz2
import gzip
import io
import lzma
import os
import sqlite3
import zipfile
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from arrowstream import Pipeline, Sink, Source
from arrowstream.errors import PlanError, SourceError

pytestmark = pytest.mark.once

TEXT = b"a,b\n1,2\n" * 100


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("x.csv", TEXT)
    return out.getvalue()


def tabular(write: str) -> bytes:
    out = io.BytesIO()
    getattr(pl.DataFrame({"a": [1]}), write)(out)
    return out.getvalue()


def database() -> bytes:
    with sqlite3.connect(":memory:") as connection:
        connection.execute("create table t (a)")
    content = connection.serialize()
    connection.close()
    return content


CONTENTS = {
    "gzip data": gzip.compress(TEXT),
    "zstd data": pa.compress(TEXT, codec="zstd", asbytes=True),
    "bzip2 data": bz2.compress(TEXT),
    "xz data": lzma.compress(TEXT),
    "lz4 data": pa.compress(TEXT, codec="lz4", asbytes=True),
    "a zip archive": zipped(),
    "a Parquet file": tabular("write_parquet"),
    "an Arrow file": tabular("write_ipc"),
    "an SQLite database": database(),
    "UTF-16 text": TEXT.decode().encode("utf-16"),
    "UTF-32 text": TEXT.decode().encode("utf-32"),
    "an HTML page": b"\n<!DOCTYPE html>\n<html><body>404 Not Found</body></html>\n",
    "an XML document": b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
}


@pytest.mark.parametrize("name", ["x.csv", "x.tsv", "x.ndjson", "x.json", "x.csv.gz"])
@pytest.mark.parametrize(("kind", "content"), CONTENTS.items(), ids=CONTENTS)
def test_what_a_file_is_instead_is_named(name: str, kind: str, content: bytes, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_bytes(gzip.compress(content) if file.suffix == ".gz" else content)
    with pytest.raises(SourceError) as caught:
        Pipeline.builder().source(Source.from_file(file)).collect_sync()
    error = caught.value
    assert error.what == f"{file} is not text"
    assert error.found is not None and error.found.startswith(kind)
    assert error.hint


@pytest.mark.parametrize("name", ["x.csv.gz", "x.csv.zst", "x.csv.zip"])
def test_text_under_the_name_of_packed_text(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_bytes(TEXT)
    with pytest.raises(SourceError, match="cannot be read to its end") as caught:
        Source.from_file(file).schema()
    assert caught.value.hint is not None and "not packed as its name says" in caught.value.hint


@pytest.mark.parametrize(
    ("kind", "hint"),
    [
        ("gzip data", "gzip -dc FILE | ..."),
        ("zstd data", "zstd -dc FILE | ..."),
        ("a zip archive", "unzip -p FILE | ..."),
        ("xz data", "xz -dc FILE | ..."),
        ("a Parquet file", "pass the path of the file: only text"),
        ("an SQLite database", "export the table as CSV"),
    ],
)
def test_bytes_of_a_stream_are_unpacked_on_the_way(kind: str, hint: str) -> None:
    """Nobody can rename standard input."""
    reading, writing = os.pipe()
    os.write(writing, CONTENTS[kind])
    os.close(writing)
    with pytest.raises(SourceError, match="is not text") as caught:
        Source.from_file(f"/dev/fd/{reading}", format="csv").schema()
    os.close(reading)
    assert caught.value.hint is not None and hint in caught.value.hint
    assert "name the file" not in caught.value.hint


@pytest.mark.untraced
@pytest.mark.parametrize("name", ["x.parquet", "x.arrow"])
@pytest.mark.parametrize("content", [TEXT, *CONTENTS.values()], ids=["text", *CONTENTS])
def test_no_other_file_is_taken_for_parquet_or_arrow(name: str, content: bytes, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    if content in (CONTENTS["a Parquet file"], CONTENTS["an Arrow file"]) and (
        content[:3].lower() == file.suffix[1:4].encode()
    ):
        assert Source.from_file(file).schema() == {"a": pl.Int64}
        return
    with pytest.raises(SourceError) as caught:
        Source.from_file(file).schema()
    assert str(file) in caught.value.what


@pytest.mark.parametrize(
    "content", [b"PAR1,PAR2\n1,2\n", b"PK,BZh\n1,2\n", b"html,xml\n1,2\n", b"<a>,b\n1,2\n"]
)
def test_names_that_resemble_signatures_are_names(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_bytes(content)
    assert Pipeline.builder().source(Source.from_file(file)).collect_sync().rows() == [(1, 2)]


@pytest.mark.parametrize("names", [[], ["a.csv", "b.csv"]])
def test_an_archive_of_none_or_several_files_is_an_error_that_names_them(
    tmp_path: Path, names: list[str]
) -> None:
    file = tmp_path / "x.csv.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, TEXT)
    with pytest.raises(SourceError, match="cannot be read to its end") as caught:
        Source.from_file(file).schema()
    assert caught.value.found == f"an archive of {len(names)} files ({', '.join(names)}), not of one"
    assert caught.value.hint is not None and caught.value.hint.startswith("unpack the archive")


def test_a_damaged_archive_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "x.csv.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x.csv", "a\n" + "1\n" * 100)
    content = file.read_bytes()
    at = content.index(b"1\n1\n")
    file.write_bytes(content[:at] + b"2" + content[at + 1 :])
    with pytest.raises(SourceError, match="cannot be read to its end") as caught:
        Pipeline.builder().source(Source.from_file(file)).collect_sync()
    assert caught.value.found is not None and "CRC" in caught.value.found
    file.write_bytes(content[:-30])
    with pytest.raises(SourceError, match="cannot be read to its end"):
        Source.from_file(file).schema()


def test_no_archive_is_written(tmp_path: Path) -> None:
    steps = Pipeline.builder().source(Source.from_frame(pl.DataFrame({"a": [1]})))
    with pytest.raises(PlanError, match="cannot be compressed with 'zip'") as caught:
        steps.sink(Sink.to_file(tmp_path / "x.csv.zip")).build()
    assert caught.value.hint == "choose another name"


def test_the_files_that_macos_adds_to_an_archive_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "x.csv.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x.csv", "a\n1\n")
        archive.writestr("__MACOSX/._x.csv", b"\x00\x05\x16\x07")
    assert Pipeline.builder().source(Source.from_file(file)).collect_sync().rows() == [(1,)]


def test_an_array_of_objects_that_is_read_by_line_is_named(tmp_path: Path) -> None:
    file = tmp_path / "x.ndjson"
    file.write_text('[\n{"a": 1},\n{"a": 2}\n]\n')
    with pytest.raises(SourceError) as caught:
        Source.from_file(file).schema()
    assert caught.value.hint is not None and "format='json'" in caught.value.hint
    assert Pipeline.builder().source(Source.from_file(file, format="json")).collect_sync().height == 2


@pytest.mark.parametrize(("name", "value"), [("x.csv", "y" * 5000), ("x.ndjson", '"' + "y" * 5000 + '"')])
def test_a_long_value_is_not_repeated_in_full(name: str, value: str, tmp_path: Path) -> None:
    file, bad = tmp_path / name, tmp_path / "bad.parquet"
    file.write_text(f"a\n{value}\n" if name == "x.csv" else f'{{"a": {value}}}\n')
    with pytest.raises(SourceError) as caught:
        Pipeline.builder().source(Source.from_file(file, schema={"a": int})).collect_sync()
    assert "does not fit" in caught.value.what and len(str(caught.value)) < 1200
    assert caught.value.found is not None and caught.value.found.endswith("… (5,002 characters)")
    steps = Pipeline.builder().source(Source.from_file(file, schema={"a": int}, bad_rows=Sink.to_file(bad)))
    assert steps.sink(Sink.to_file(tmp_path / "out.parquet")).build().run_sync().rows_out == 0
    (row,) = pl.read_parquet(bad).rows(named=True)
    assert len(row["error"]) < 300 and value in row["text"]
