"""Files that are not the text that their name promises: the error says what they are."""

import bz2
import gzip
import io
import lzma
import sqlite3
import zipfile
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from arrowstream import Pipeline, Source
from arrowstream.errors import SourceError

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


@pytest.mark.parametrize("name", ["x.csv.gz", "x.csv.zst"])
def test_text_under_the_name_of_packed_text(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_bytes(TEXT)
    with pytest.raises(SourceError, match="cannot be read to its end") as caught:
        Source.from_file(file).schema()
    assert caught.value.hint is not None and "not packed as its name says" in caught.value.hint


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
