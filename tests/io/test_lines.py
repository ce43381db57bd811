"""Any text line by line: the lines are those of Python, which splits the same bytes after each newline."""

import gzip
import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import polars as pl
import pyarrow as pa
import pytest
from effort import examples
from hypothesis import HealthCheck, given, settings

from arrowstream import Pipeline, Sink, Source
from arrowstream.errors import PlanError, SchemaError, SourceError
from arrowstream.io.sink import SinkSpec
from arrowstream.jobs.job import Job


def by_python(content: bytes) -> list[str]:
    """The lines without their ends; a last line needs no end, and an end begins no other line."""
    *ended, last = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    lines = [line.removesuffix(b"\r") for line in ended]
    return [line.decode() for line in [*lines, *([last] if last else [])]]


def read(path: Any, **options: Any) -> pl.DataFrame:
    return Pipeline.builder().source(Source.from_file(path, format="lines", **options)).collect_sync()


def zipped(content: bytes) -> bytes:
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("a.log", content)
        return file.getvalue()


TEXTS = [
    b"",
    b"\n",
    b"one",
    b"one\n",
    b"\n\none\n\n",
    b"one\r\ntwo\r\n\r\n",
    b"\r\n",
    b"one\rtwo\r",
    b"a\r\r\nb\n\rc",
    b'\xef\xbb\xbf"not, a, header\n\x00 and \t\n',
    "ä€😀 and a text of more than twelve bytes\n".encode() * 3,
    b"<html>\n</html>\n",
]


@pytest.mark.untraced
@pytest.mark.parametrize("block", [1, 5, 1 << 20])
@pytest.mark.parametrize("content", TEXTS)
def test_lines_are_those_of_python(
    content: bytes, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arrowstream.io.files.text.file.BLOCK_BYTES", block)
    file = tmp_path / "any.log"
    file.write_bytes(content)
    assert read(file).equals(pl.DataFrame({"line": by_python(content)}, {"line": pl.String}))


@settings(max_examples=examples(40), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    parts=st.lists(
        st.sampled_from(["a", "\n", "\r\n", "\r", "", "some text that is longer", "€"]), max_size=12
    ),
    block=st.integers(1, 9) | st.just(1 << 20),
)
def test_lines_are_those_of_python_wherever_blocks_end(parts: list[str], block: int, tmp_path: Path) -> None:
    content = "".join(parts).encode()
    (tmp_path / "any.log").write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("arrowstream.io.files.text.file.BLOCK_BYTES", block)
        assert read(tmp_path / "any.log")["line"].to_list() == by_python(content)


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [
        (".gz", gzip.compress),
        (".zst", lambda content: pa.compress(content, codec="zstd", asbytes=True)),
        (".zip", zipped),
    ],
)
def test_files_may_be_packed(suffix: str, pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    content = 'first\r\n\nünd, "last"'.encode()
    (tmp_path / f"day.log{suffix}").write_bytes(pack(content))
    assert read(tmp_path / f"day.log{suffix}")["line"].to_list() == by_python(content)


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-8-sig"])
def test_other_encodings_are_read_by_their_name(encoding: str, tmp_path: Path) -> None:
    text = "ä;1\r\n\nß\n"
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))
    assert read(tmp_path / "a.txt", encoding=encoding)["line"].to_list() == ["ä;1", "", "ß"]


def test_a_line_that_is_not_utf8_is_an_error_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.log"
    file.write_bytes(b"one\n\ntwo\n\xffthree\nfour\n")
    for block in (4, 1 << 20):
        monkeypatch.setattr("arrowstream.io.files.text.file.BLOCK_BYTES", block)
        with pytest.raises(SourceError, match=f"row 4 \\(line 4\\) of {file} is not UTF-8") as caught:
            read(file)
        assert caught.value.hint is not None and "encoding='cp1252'" in caught.value.hint
        assert caught.value.found == "'\N{REPLACEMENT CHARACTER}three'"
    assert read(file, encoding="utf8-lossy")["line"][3] == "\N{REPLACEMENT CHARACTER}three"


@pytest.mark.parametrize("block", [1, 6, 1 << 20])
def test_bad_rows_are_lines_that_are_not_utf8(
    block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arrowstream.io.files.text.file.BLOCK_BYTES", block)
    file = tmp_path / "a.log"
    file.write_bytes(b"\xff\none\n\n\xed\xa0\x80 two\r\nthree\r\n\xc3")
    bad: list[pl.DataFrame] = []
    sink = Sink.to_fn(lambda rows: bad.append(pl.DataFrame(rows)))
    assert read(file, bad_rows=sink)["line"].to_list() == ["one", "", "three"]
    assert pl.concat(bad).rows() == [
        (str(file), 1, 1, "invalid UTF-8", "\\xff"),
        (str(file), 4, 4, "invalid UTF-8", "\\xed\\xa0\\x80 two"),
        (str(file), 6, 6, "invalid UTF-8", "\\xc3"),
    ]
    skipping = Source.from_file(file, format="lines", bad_rows="skip")
    report = Pipeline.builder().source(skipping).sink(sink).build().run_sync()
    assert (report.rows_out, report.lost_rows) == (3, 3)
    file.write_bytes(b"\xff\n\xfe")
    assert read(file, bad_rows="skip").rows() == []


def test_partitions_and_paths_are_columns(tmp_path: Path) -> None:
    for day in (1, 2):
        (tmp_path / f"day={day}").mkdir()
        (tmp_path / f"day={day}" / "a.log").write_text(f"x{day}\n\ny{day}")
    found = read(tmp_path, include_file_paths="path")
    paths = [str(tmp_path / f"day={day}" / "a.log") for day in (1, 2)]
    assert found.columns == ["line", "day", "path"]
    expected = [(f"{x}{day}" if x else "", day, paths[day - 1]) for day in (1, 2) for x in ("x", "", "y")]
    assert found.rows() == expected
    source = Source.from_file(tmp_path, format="lines", include_file_paths="path")
    assert Pipeline.builder().source(source).select("day").collect_sync()["day"].to_list() == [
        1,
        1,
        1,
        2,
        2,
        2,
    ]
    only = Pipeline.builder().source(source).filter(pl.col("day") == 2, pl.col("line") != "")
    assert only.collect_sync()["line"].to_list() == ["x2", "y2"]


def test_no_other_column_is_called_line(tmp_path: Path) -> None:
    (tmp_path / "line=1").mkdir()
    file = tmp_path / "line=1" / "a.log"
    file.write_text("x\n")
    with pytest.raises(SchemaError, match="two columns 'line'"):
        read(tmp_path)
    with pytest.raises(SchemaError, match="two columns 'line'"):
        read(file, include_file_paths="line")


def test_the_only_type_is_text(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    file.write_text("1\n")
    assert read(file, schema={"line": pl.String}).rows() == [("1",)]
    with pytest.raises(SchemaError, match="'line' cannot be read as Int64"):
        read(file, schema={"line": pl.Int64})
    with pytest.raises(SchemaError, match=r"names a column that .* does not have: 'text'"):
        read(file, schema={"text": pl.String})
    assert read(file, schema={"text": pl.String}, missing_columns="insert").rows() == [("1", None)]
    with pytest.raises(PlanError, match="only CSV files have delimiter"):
        read(file, delimiter=";")
    with pytest.raises(PlanError, match="only JSON or NDJSON files have strict_keys"):
        read(file, strict_keys=True)


@pytest.mark.parametrize("rows", [1, 2, 3, 10])
def test_batches_have_the_rows_that_are_asked_for(rows: int, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("a\nb\nc\nd\ne\n")
    source = Source.from_file(tmp_path / "a.log", format="lines", batch_rows=rows)
    heights: list[int] = []
    sink = Sink.to_fn(lambda batch: heights.append(pl.DataFrame(batch).height))
    Pipeline.builder().source(source).sink(sink).build().run_sync()
    assert max(heights) <= rows and sum(heights) == 5
    assert Pipeline.builder().source(source).collect_sync(limit=3)["line"].to_list() == ["a", "b", "c"]


def test_thousands_of_small_files_are_read_as_one_text(tmp_path: Path) -> None:
    contents = [
        b"one",
        b"",
        b"one\ntwo\r\n",
        b"\n\n",
        b"\xef\xbb\xbfbom\n",
        b"return\r",
        b"<html>",
        b"\xff\n",
        b"end",
    ]
    for number, content in enumerate(contents * 3):
        (tmp_path / f"{number:03}.log").write_bytes(content)
    good = [content for content in contents if content != b"\xff\n"] * 3
    bad: list[pl.DataFrame] = []
    found = read(tmp_path, bad_rows=Sink.to_fn(lambda rows: bad.append(pl.DataFrame(rows))))
    assert found["line"].to_list() == [line for content in good for line in by_python(content)]
    assert pl.concat(bad).select("row", "line").rows() == [(1, 1)] * 3
    with pytest.raises(SourceError, match=r"row 1 \(line 1\) of .*007\.log is not UTF-8"):
        read(tmp_path)


def test_an_error_of_a_small_file_names_it(tmp_path: Path) -> None:
    for number, content in enumerate([b"a\n", b"b\n", gzip.compress(b"c\n")]):
        (tmp_path / f"{number}.log").write_bytes(content)
    with pytest.raises(SourceError, match=r"2\.log is not text") as caught:
        read(tmp_path)
    assert "gzip data" in str(caught.value.found)


def test_blank_files_are_content(tmp_path: Path) -> None:
    for name, content in (("a", b""), ("b", b"\n \n"), ("c", b"x\n")):
        (tmp_path / f"{name}.log").write_bytes(content)
    source = Source.from_file(tmp_path, format="lines", skip_empty=True)
    report = Pipeline.builder().source(source).sink(Sink.to_fn(lambda rows: None)).build().run_sync()
    assert report.rows_out == 3
    assert [str(note) for note in report.notes] == [
        f"1 file without content left out, first in {tmp_path}/a.log"
    ]


def test_a_pipe_is_read_line_by_line() -> None:
    end, start = os.pipe()
    with os.fdopen(start, "wb") as out:
        out.write(b"one\ntwo")
    try:
        assert read(f"/dev/fd/{end}").rows() == [("one",), ("two",)]
    finally:
        os.close(end)


def test_a_job_reads_lines(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    with gzip.open(tmp_path / "logs" / "a.log.gz", "wt") as file:
        file.write("GET /\nPOST /\n")
    (tmp_path / "job.toml").write_text(
        '[source]\nkind = "file"\npath = "logs/*.gz"\nformat = "lines"\n'
        "[[steps]]\nfilter = \"line LIKE 'GET %'\"\n"
        '[sink]\nkind = "file"\npath = "out.csv"\n'
    )
    job = Job.load(tmp_path / "job.toml")
    assert job.pipeline().run_sync().rows_out == 1
    assert pl.read_csv(tmp_path / "out.csv").rows() == [("GET /",)]


def sinks() -> list[Callable[[str], SinkSpec]]:
    return [
        lambda path: Sink.to_file(path, format="lines"),
        lambda path: Sink.to_file(f"{path}/", format="lines"),
    ]


@pytest.mark.parametrize("sink", sinks())
def test_lines_are_not_written(sink: Callable[[str], SinkSpec], tmp_path: Path) -> None:
    builder = Pipeline.builder().source(Source.from_frame(pl.DataFrame({"line": ["x"]})))
    with pytest.raises(PlanError, match="lines files are only read") as caught:
        builder.sink(sink(str(tmp_path / "out.txt"))).build()
    assert caught.value.hint is not None and "Sink.to_fn" in caught.value.hint


def test_a_file_without_a_known_name_hints_at_lines(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("x\n")
    for path in (tmp_path / "a.log", tmp_path):
        with pytest.raises((PlanError, SourceError)) as caught:
            Source.from_file(path).schema()
        assert caught.value.hint is not None and "'lines' reads any text" in caught.value.hint
