"""Rows of pipes: CSV, NDJSON and JSON come whole, whatever is read of them to learn the columns."""

import gzip
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from arrowstream import Pipeline, Source
from arrowstream.errors import SchemaError, SourceError

FRAME = pl.DataFrame({"a": range(1500), "t": [f"some text {i}" for i in range(1500)]})
TEXTS: dict[str, Callable[[pl.DataFrame], str | None]] = {
    "csv": pl.DataFrame.write_csv,
    "ndjson": pl.DataFrame.write_ndjson,
    "json": pl.DataFrame.write_json,
}


def text(format: str, frame: pl.DataFrame = FRAME) -> bytes:
    written = TEXTS[format](frame)
    assert written is not None
    return written.encode()


@contextmanager
def fed(content: bytes, pipe: int | Path) -> Iterator[None]:
    """Something that writes into a pipe meanwhile, and closes it."""

    def feed() -> None:
        with os.fdopen(pipe, "wb") if isinstance(pipe, int) else pipe.open("wb") as out:
            out.write(content)

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        yield
    finally:
        thread.join()


@contextmanager
def anonymous(content: bytes, name: str = "/dev/fd/{}") -> Iterator[str]:
    end, start = os.pipe()
    try:
        with fed(content, start):
            yield name.format(end)
    finally:
        os.close(end)


@pytest.mark.parametrize("format", TEXTS)
@pytest.mark.parametrize("block", [100, 8 << 20])
def test_its_rows_are_those_of_a_file(format: str, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arrowstream.io.files.text.file.BLOCK_BYTES", block)
    with anonymous(text(format)) as path:
        builder = Pipeline.builder().source(Source.from_file(path, format=format))
        assert builder.schema() == FRAME.schema
        assert builder.collect_sync().equals(FRAME)


def test_more_than_a_block_comes_whole() -> None:
    frame = pl.DataFrame({"a": range(600_000), "t": ["some text"] * 600_000})
    content = text("ndjson", frame)
    assert len(content) > 2 * (8 << 20)
    with anonymous(content) as path:
        assert Pipeline.builder().source(Source.from_file(path, format="ndjson")).collect_sync().equals(frame)


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [(".gz", gzip.compress), (".zst", lambda b: pa.compress(b, codec="zstd", asbytes=True))],
)
def test_it_may_be_packed(suffix: str, pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = tmp_path / f"fifo.csv{suffix}"
    os.mkfifo(path)
    with fed(pack(text("csv")), path):
        assert Pipeline.builder().source(Source.from_file(path)).collect_sync().equals(FRAME)


def test_its_columns_may_be_asked_for_by_any_name_and_how_often_one_likes() -> None:
    with anonymous(text("csv")) as path:
        descriptor = path.rsplit("/", 1)[-1]
        for _ in range(2):
            assert Source.from_file(path, format="csv").schema() == FRAME.schema
        with pytest.raises(SchemaError, match="'z'"):
            Source.from_file(path, format="csv", schema={"z": pl.Int64}).schema()
        again = Source.from_file(f"/proc/self/fd/{descriptor}", format="csv")
        assert Pipeline.builder().source(again).collect_sync().equals(FRAME)


def test_its_rows_can_be_read_once() -> None:
    with anonymous(text("csv")) as path:
        builder = Pipeline.builder().source(Source.from_file(path, format="csv"))
        assert builder.collect_sync(limit=3).height == 3
        with pytest.raises(SourceError, match=f"{path} was read already"):
            builder.collect_sync()
        with pytest.raises(SourceError, match=f"{path} was read already"):
            Source.from_file(path, format="csv").schema()


def test_a_named_one_can_be_opened_again_by_another_writer(tmp_path: Path) -> None:
    path = tmp_path / "fifo.csv"
    os.mkfifo(path)
    for rows in (FRAME, FRAME.head(3)):
        with fed(text("csv", rows), path):
            assert Pipeline.builder().source(Source.from_file(path)).collect_sync().equals(rows)


def test_an_empty_one_is_an_error_as_an_empty_file_is() -> None:
    with pytest.raises(SourceError, match="/dev/null is empty"):
        Source.from_file("/dev/null", format="csv").schema()
    with anonymous(b"") as path, pytest.raises(SchemaError, match="no rows to learn the columns from"):
        Source.from_file(path, format="ndjson").schema()


@pytest.mark.parametrize("format", ["parquet", "ipc"])
def test_formats_that_need_a_file_say_so(format: str) -> None:
    with (
        anonymous(b"") as path,
        pytest.raises(SourceError, match=f"{path} cannot be read as {format}") as caught,
    ):
        Source.from_file(path, format=format).schema()
    assert caught.value.hint is not None and "write it into a file first" in caught.value.hint


def command(tmp_path: Path, format: str, stdin: bytes) -> subprocess.CompletedProcess[bytes]:
    job = tmp_path / "job.toml"
    job.write_text(
        f'[pipeline]\nname = "p"\n[source]\nkind = "file"\npath = "/dev/stdin"\nformat = "{format}"\n'
        f'[sink]\nkind = "file"\npath = "{tmp_path}/out.csv"\n'
    )
    line = [sys.executable, "-m", "arrowstream", "run", "--quiet", str(job)]
    return subprocess.run(line, input=stdin, capture_output=True, check=False)


def test_standard_input_is_a_source_of_jobs(tmp_path: Path) -> None:
    assert command(tmp_path, "csv", text("csv")).returncode == 0
    assert pl.read_csv(tmp_path / "out.csv").equals(FRAME)


def test_a_job_that_cannot_read_standard_input_is_refused_on_one_line(tmp_path: Path) -> None:
    ended = command(tmp_path, "parquet", b"PAR1")
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert b"/dev/stdin cannot be read as parquet" in ended.stderr
