"""Rows of pipes: CSV, NDJSON and JSON come whole, whatever is read of them to learn the columns."""

import gzip
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from command_line import invoke

from arrowstream import Pipeline, Sink, Source
from arrowstream.errors import PlanError, SchemaError, SourceError
from arrowstream.io.files.text.pipes import PipeBytes

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


@pytest.mark.untraced
@pytest.mark.parametrize("format", TEXTS)
@pytest.mark.parametrize("block", [100, 8 << 20])
def test_its_rows_are_those_of_a_file(format: str, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arrowstream.io.files.text.file.BLOCK_BYTES", block)
    with anonymous(text(format)) as path:
        builder = Pipeline.builder().source(Source.from_file(path, format=format))
        assert builder.schema() == FRAME.schema
        assert builder.collect_sync().equals(FRAME)


@pytest.mark.untraced
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


def test_only_one_of_two_sources_gets_it_that_open_it_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with anonymous(b"1\n") as path:
        first: list[PipeBytes] = []
        real = os.open

        def slow(*args: Any) -> int:
            monkeypatch.undo()
            first.append(PipeBytes(Path(path), keep=False))
            return real(*args)

        monkeypatch.setattr(os, "open", slow)
        with pytest.raises(SourceError, match="was read already"):
            PipeBytes(Path(path), keep=False)
        assert first[0].read(10) == b"1\n"
        first[0].close()


def test_a_named_one_can_be_opened_again_by_another_writer(tmp_path: Path) -> None:
    path = tmp_path / "fifo.csv"
    os.mkfifo(path)
    for rows in (FRAME, FRAME.head(3)):
        with fed(text("csv", rows), path):
            assert Pipeline.builder().source(Source.from_file(path)).collect_sync().equals(rows)


@pytest.mark.parametrize(
    ("format", "schema", "parts"),
    [
        ("lines", None, [b"1,x\n", b"2,y", b"\n3,z\n"]),
        ("csv", {"line": pl.String}, [b"line\n1\n", b"2", b"\n3\n"]),
    ],
)
def test_rows_flow_as_they_are_written(format: Any, schema: Any, parts: list[bytes]) -> None:
    came = threading.Event()
    rows: list[str] = []
    first: list[str] = []

    def take(batch: Any) -> None:
        rows.extend(pl.DataFrame(batch)["line"])
        came.set()

    def feed() -> None:
        os.write(start, parts[0])
        came.wait(60)
        first.extend(rows)
        os.write(start, parts[1])
        os.write(start, parts[2])
        os.close(start)

    end, start = os.pipe()
    thread = threading.Thread(target=feed)
    thread.start()
    source = Source.from_file(f"/dev/fd/{end}", format=format, schema=schema)
    report = Pipeline.builder().source(source).sink(Sink.to_fn(take)).build().run_sync()
    thread.join()
    os.close(end)
    assert len(first) == 1 and report.rows_out == 3 and [row[0] for row in rows] == ["1", "2", "3"]


CSV: dict[str, Any] = {"format": "csv", "schema": {"t": pl.String}}
JSON: dict[str, Any] = {"format": "json", "schema": {"t": pl.String}}
WRITTEN: dict[str, tuple[dict[str, Any], bytes]] = {
    "lines": ({"format": "lines"}, "1\né\n3\n".encode()),
    "csv": (CSV, "t\n1\né\n3\n".encode()),
    "quotes": (CSV, 't\n"1"\n"é"\n"3"\n'.encode()),
    "bad rows": (CSV | {"bad_rows": "skip"}, 't\n1,2\n"1"\n"é"\n"3"\n'.encode()),
    "latin-1": (CSV | {"encoding": "latin-1"}, "t\n1\né\n3\n".encode("latin-1")),
    "utf-16": (CSV | {"encoding": "utf-16"}, "t\n1\né\n3\n".encode("utf-16")),
    "lossy": ({"format": "lines", "encoding": "utf8-lossy"}, "1\né\n3\n".encode()),
    "lines to skip": (CSV | {"skip_lines": 3}, "a\nb\n\nt\n1\né\n3\n".encode()),
    "ndjson": (JSON | {"format": "ndjson"}, '{"t": "1"}{"t": "é"}\n{"t": "3"}\n'.encode()),
    "json": (JSON, '{"t": "1"}\n{"t": "é"}\n{"t": "3"}\n'.encode()),
    "array": (JSON, ' \n[{"t": "1"}, {"t": "é"},\n{"t": "3"} ,'.encode()),
    "whole array": (JSON, '[{"t": "1"}, {"t": "é"},\n{"t": "3"}] \n'.encode()),
    "gzip": (CSV, gzip.compress(b"t\n1\n") + gzip.compress("é\n".encode()) + gzip.compress(b"3\n")),
}


@pytest.fixture
def silences(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Released each time a pipe is found silent, which is after 1 ms."""
    monkeypatch.setattr("arrowstream.io.files.text.byte_stream._WAIT_S", 0.001)
    monkeypatch.setattr("arrowstream.io.files.text.byte_stream._SILENCE_S", 0.001)
    found, has_more = threading.Semaphore(0), PipeBytes.has_more

    def noted(pipe: PipeBytes, seconds: float) -> bool:
        if has_more(pipe, seconds):
            return True
        found.release()
        return False

    monkeypatch.setattr(PipeBytes, "has_more", noted)
    return found


@pytest.mark.parametrize("written", WRITTEN)
def test_a_silent_pipe_goes_on_and_a_run_stops_while_it_is_silent(
    written: str, silences: threading.Semaphore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options, content = WRITTEN[written]
    monkeypatch.setattr("arrowstream.io.files.text.file.BLOCK_BYTES", 8)
    path = tmp_path / ("fifo.csv.gz" if written == "gzip" else "fifo")
    os.mkfifo(path)
    pipe = os.open(path, os.O_RDWR)

    def feed() -> None:
        for at in range(len(content)):  # each character is cut, and each member of gzip
            if at:
                silences.acquire(timeout=0.05)
            os.write(pipe, content[at : at + 1])

    thread = threading.Thread(target=feed)
    thread.start()
    rows = Pipeline.builder().source(Source.from_file(path, **options)).collect_sync(limit=3)
    assert rows.rows() == [("1",), ("é",), ("3",)]
    thread.join()
    os.close(pipe)


def test_a_source_of_a_silent_pipe_waits_and_does_not_work(
    silences: threading.Semaphore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arrowstream.io.files.text.byte_stream._SILENCE_S", 0.02)
    came = threading.Event()
    end, start = os.pipe()

    def feed() -> None:
        os.write(start, b"1\n")
        came.wait(60)
        while silences.acquire(blocking=False):
            pass
        for _ in range(5):
            silences.acquire(timeout=60)
        os.write(start, b"2\n")
        os.close(start)

    thread = threading.Thread(target=feed)
    thread.start()
    source = Source.from_file(f"/dev/fd/{end}", format="lines")
    report = Pipeline.builder().source(source).sink(Sink.to_fn(lambda _: came.set())).build().run_sync()
    thread.join()
    os.close(end)
    read = report.stages[0]
    assert read.rows_out == 2 and read.waiting_seconds > 0.05
    assert read.busy_seconds + read.waiting_seconds <= report.seconds


def test_a_run_stops_in_the_middle_of_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arrowstream.io.files.text.byte_stream._WAIT_S", 0.001)
    has_more, (end, start) = PipeBytes.has_more, os.pipe()
    os.write(start, b"1\n")

    def goes_on(pipe: PipeBytes, seconds: float) -> bool:
        if seconds > 0:
            os.write(start, b".")
        return has_more(pipe, seconds)

    monkeypatch.setattr(PipeBytes, "has_more", goes_on)
    source = Source.from_file(f"/dev/fd/{end}", format="lines")
    assert Pipeline.builder().source(source).collect_sync(limit=1).rows() == [("1",)]
    os.close(start)
    os.close(end)


def test_text_after_an_array_is_an_error_however_late_it_comes(
    silences: threading.Semaphore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arrowstream.io.files.text.file.BLOCK_BYTES", 8)
    end, start = os.pipe()

    def feed() -> None:
        os.write(start, b'[{"t": 1}]')
        for _ in range(4):
            silences.acquire(timeout=0.05)
        os.write(start, b'\n[{"t": 2}]')
        os.close(start)

    thread = threading.Thread(target=feed)
    thread.start()
    with pytest.raises(SourceError, match="is not one JSON array") as caught:
        Pipeline.builder().source(Source.from_file(f"/dev/fd/{end}", format="json")).collect_sync()
    assert caught.value.found == """'[{"t"'"""
    thread.join()
    os.close(end)


@pytest.mark.parametrize(
    ("packed", "found"),
    [
        (gzip.compress(b"t\n1\n")[:-3], "ends too early"),
        (gzip.compress(b"t\n1\n") + b"?!", "incorrect header"),
    ],
    ids=["cut short", "followed by something else"],
)
def test_a_damaged_packed_one_is_an_error(packed: bytes, found: str, tmp_path: Path) -> None:
    path = tmp_path / "fifo.csv.gz"
    os.mkfifo(path)
    with fed(packed, path), pytest.raises(SourceError, match="cannot be read to its end") as caught:
        Pipeline.builder().source(Source.from_file(path)).collect_sync()
    assert caught.value.found is not None and found in caught.value.found


@pytest.mark.parametrize("format", ["csv", "ndjson"])
def test_types_are_those_of_a_whole_block_however_it_comes(
    format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_more = PipeBytes.has_more
    monkeypatch.setattr(PipeBytes, "has_more", lambda pipe, seconds: seconds > 0.2 and has_more(pipe, 60))
    frame = pl.DataFrame({"a": [1.0] * 6_000 + [2.5], "t": ["some more text"] * 6_001})
    content = text(format, frame).replace(b"1.0", b"1")
    assert len(content) > 65_536  # more than a pipe holds
    with anonymous(content) as path:
        assert Pipeline.builder().source(Source.from_file(path, format=format)).collect_sync().equals(frame)


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


@contextmanager
def standard_input(content: bytes | Path) -> Iterator[None]:
    """Standard input that is a pipe with this content, or a redirected file."""
    before = os.dup(0)
    end, start = os.pipe()
    try:
        if isinstance(content, Path):
            os.close(start)
            os.dup2(file := os.open(content, os.O_RDONLY), 0)
            os.close(file)
            yield
        else:
            os.dup2(end, 0)
            with fed(content, start):
                yield
    finally:
        os.dup2(before, 0)
        os.close(before)
        os.close(end)


@pytest.mark.untraced
@pytest.mark.parametrize("format", TEXTS)
def test_a_dash_is_standard_input(format: Any, tmp_path: Path) -> None:
    (tmp_path / "redirected").write_bytes(text(format))
    for content in (text(format), tmp_path / "redirected"):
        with standard_input(content):
            builder = Pipeline.builder().source(Source.from_file("-", format=format))
            assert builder.schema() == FRAME.schema
            assert builder.collect_sync().equals(FRAME)
    with standard_input(text(format)):
        given = Source.from_file(["-"], format=format, schema={"a": pl.Float64}, include_file_paths="file")
        found = Pipeline.builder().source(given).collect_sync(limit=1)
        assert found.rows() == [(0.0, "some text 0", "/dev/stdin")]


def test_standard_input_may_be_a_file_of_any_format(tmp_path: Path) -> None:
    FRAME.write_parquet(tmp_path / "redirected")
    with standard_input(tmp_path / "redirected"):
        builder = Pipeline.builder().source(Source.from_file("-", format="parquet"))
        assert builder.filter(pl.col("a") < 2).collect_sync().equals(FRAME.head(2))
    with (
        standard_input(b"PAR1"),
        pytest.raises(SourceError, match="/dev/stdin cannot be read as parquet") as caught,
    ):
        Source.from_file("-", format="parquet").schema()
    assert caught.value.hint is not None and "standard input: '< data'" in caught.value.hint


def test_the_format_of_standard_input_is_given() -> None:
    with pytest.raises(PlanError, match="standard input has no name that tells its format") as caught:
        Source.from_file(["a.csv", "-"])
    assert caught.value.hint == "pass format=; a file of this name is './-'"


def test_a_closed_standard_input_is_a_link_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to("gone.csv")
    with pytest.raises(SourceError, match=r"there is no file .*link\.csv") as caught:
        Source.from_file(tmp_path / "link.csv").schema()
    assert caught.value.found == "a link to gone.csv, which does not exist"


def test_the_command_line_shows_the_columns_of_standard_input() -> None:
    with standard_input(b"a;t\n1;x\n"):
        assert invoke("schema", "-", "--format", "csv", "--delimiter", ";") == (
            0,
            '# -\na = "Int64"\nt = "String"\n',
            "",
        )
    code, _, error = invoke("schema", "-")
    assert code == 2 and "standard input has no name" in error
    code, _, error = invoke("schema", "-", "--format", "cvs")
    assert code == 2 and "did you mean 'csv'?" in error


def command(tmp_path: Path, format: str, stdin: bytes) -> subprocess.CompletedProcess[bytes]:
    job = tmp_path / "job.toml"
    job.write_text(
        f'[pipeline]\nname = "p"\n[source]\nkind = "file"\npath = "-"\nformat = "{format}"\n'
        f'[sink]\nkind = "file"\npath = "{tmp_path}/out.csv"\n'
    )
    line = [sys.executable, "-m", "arrowstream", "run", "--quiet", str(job)]
    return subprocess.run(line, input=stdin, capture_output=True, check=False)


@pytest.mark.once
@pytest.mark.untraced
def test_standard_input_is_a_source_of_jobs(tmp_path: Path) -> None:
    assert command(tmp_path, "csv", text("csv")).returncode == 0
    assert pl.read_csv(tmp_path / "out.csv").equals(FRAME)


@pytest.mark.once
@pytest.mark.untraced
def test_a_job_that_cannot_read_standard_input_is_refused_on_one_line(tmp_path: Path) -> None:
    ended = command(tmp_path, "parquet", b"PAR1")
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert b"/dev/stdin cannot be read as parquet" in ended.stderr
