"""Blocks of plain NDJSON that the compiled loop reads, and all others, which Polars reads: the rows are the same."""

import json
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import polars as pl
import pytest
from effort import examples
from hypothesis import given, settings

from arrowstream import Pipeline, Sink, Source
from arrowstream.errors import SourceError
from arrowstream.io.compiled import Compiled
from arrowstream.io.files.text.json import plain_lines as module
from arrowstream.io.files.text.json.plain_lines import PlainLines
from arrowstream.io.files.text.ndjson_rows import NdjsonRows
from arrowstream.io.messages.plain_json import reader as reading
from arrowstream.io.messages.plain_json.lines import find_lines
from arrowstream.io.messages.plain_json.reader import PlainReader, loops, plain_reader

SCHEMA = pl.Schema({"i": pl.Int64(), "f": pl.Float64(), "s": pl.String(), "b": pl.Boolean(), "t": pl.Int8()})

PLAIN = [
    b'{"i":1,"f":2.5,"s":"x","b":true,"t":-128}\n',
    b'{"s":"a text of more than twelve bytes"}\n{"i":-5}\n{}\n{"i":null,"s":null}\n',
    b'{"t":1,"s":"other order","i":3}\r\n{ "i" : 4 }\t\n',
    b'{"i":1}\n{"i":2}',
    '{"s":"äöü \U0001f600"}\n'.encode(),
    rb'{"s":"\"quoted\" \\ \n \u00e9\ud83d\ude00"}' + b"\n",
    b'{"f":0.30000000000000004}\n{"f":12345678901234567890.5}\n{"f":-0.0}\n{"f":1e-3}\n{"f":7}\n',
]
OTHERS = [
    b'{"i":1,"z":2}\n',
    b'{"i":1,"z":null}\n',
    b'{"i":1,"i":2}\n',
    b'{"s":1.10}\n',
    b'{"s":[1, 2]}\n',
    b'{"i":1}\n\n{"i":2}\n',
    b'{"i":1}{"i":2}\n',
    b" \n",
    b"",
    b'{"f":1e999}\n',
    b'{"t":300}\n',
    b'{"i":1.5}\n',
    b'{"i":\n1}\n',
    b'{"s":"\xff"}\n',
    b'{"s":"\\ud800"}\n',
    b'{"i":1\n',
    b"[1]\n",
]


@pytest.fixture(autouse=True)
def ready() -> None:
    for loop in loops():
        loop.load()


def the_lines(schema: pl.Schema = SCHEMA) -> PlainLines:
    reader = plain_reader(schema)
    assert reader is not None
    return PlainLines(reader, schema)


def by_loop(block: bytes, schema: pl.Schema = SCHEMA) -> pl.DataFrame | None:
    return the_lines(schema).read(block, block.count(b"\n"))


def read(file: Path, **options: Any) -> tuple[list[Any], list[str], str]:
    """The rows of a file, what they leave out, and the error."""
    rows: list[Any] = []
    keep = Sink.to_fn(lambda batch: rows.extend(batch.to_pylist()))
    try:
        source = Source.from_file(file, schema=dict(SCHEMA), **options)
        report = Pipeline.builder().source(source).sink(keep).build().run_sync()
    except SourceError as error:
        return rows, [], str(error)
    return rows, [str(note) for note in report.notes], ""


@pytest.mark.parametrize("how", ["compiled", "plain"])
def test_plain_blocks_are_read_as_polars_reads_them(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if how == "plain":
        monkeypatch.setattr(Compiled, "__call__", lambda self, *arguments: self.py_func(*arguments))
    for block in PLAIN:
        expected, lost = NdjsonRows(SCHEMA).read(block)
        found = by_loop(block)
        assert found is not None and found.schema == SCHEMA
        # As texts, because 0.0 and -0.0 are equal.
        assert (repr(found.rows()), lost) == (repr(expected.rows()), 0), block
    for block in OTHERS:
        assert by_loop(block) is None, block


@pytest.mark.untraced
def test_files_have_the_same_rows_losses_and_errors_without_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "rows.ndjson"
    how: list[dict[str, Any]] = [{}, {"strict_keys": True}, {"bad_rows": "skip"}]
    for content in [*PLAIN, *(PLAIN[0] + other + PLAIN[0] for other in OTHERS)]:
        file.write_bytes(content)
        found = [read(file, **options) for options in how]
        with monkeypatch.context() as patched:
            patched.setattr(PlainLines, "read", lambda self, block, newlines: None)
            by_polars = [read(file, **options) for options in how]
        assert repr(found) == repr(by_polars), content


def test_a_plain_file_is_read_by_the_loop_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "rows.ndjson"
    file.write_bytes(b'{"i":1,"s":"x"}\n' * 3)
    monkeypatch.setattr(NdjsonRows, "read", lambda self, block: pytest.fail("Polars reads"))
    rows, notes, error = read(file)
    assert (notes, error) == ([], "")
    assert [(row["i"], row["s"], row["f"]) for row in rows] == [(1, "x", None)] * 3


def test_the_loop_is_given_up_after_two_other_blocks_in_a_row() -> None:
    lines = the_lines()
    blocks = (OTHERS[0], PLAIN[0], OTHERS[0], OTHERS[1], PLAIN[0])
    assert [lines.read(block, 1) is None for block in blocks] == [True, False, True, True, True]


def test_a_text_that_is_no_category_is_left_to_polars() -> None:
    schema = pl.Schema({"e": pl.Enum(["p", "q"])})
    found = by_loop(b'{"e":"q"}\n', schema)
    assert found is not None and found["e"].to_list() == ["q"]
    assert by_loop(b'{"e":"r"}\n', schema) is None


def test_too_many_bytes_of_texts_are_left_to_polars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_MOST_BYTES", 2 * len(PLAIN[0]))
    assert by_loop(PLAIN[0]) is not None
    assert by_loop(PLAIN[0] + b" ") is None


def test_threads_have_readers_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    lines, used = the_lines(), list[PlainReader]()
    honest = PlainReader.read_lines

    def meanwhile(self: PlainReader, text: bytes, newlines: int) -> Any:
        used.append(self)
        if len(used) == 1:
            assert lines.read(PLAIN[0], 1) is not None  # as another thread would
        return honest(self, text, newlines)

    monkeypatch.setattr(PlainReader, "read_lines", meanwhile)
    assert lines.read(PLAIN[0], 1) is not None
    assert lines.read(PLAIN[0], 1) is not None
    assert used[0] is not used[1] and used[2] in used[:2]


def test_columns_that_are_not_plain_have_no_reader() -> None:
    assert module.plain_lines(pl.Schema({"a": pl.List(pl.Int64())}), 1) is None


@given(st.binary(max_size=40) | st.text(alphabet="a\n\N{EURO SIGN}", max_size=40).map(str.encode))
@settings(max_examples=examples(50))
def test_lines_are_found_as_python_finds_them(text: bytes) -> None:
    expected = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n")) + 1
    for find in (find_lines, find_lines.py_func):
        ends = np.zeros(len(expected), np.int64)
        assert find(np.frombuffer(text, np.uint8), ends) == text.isascii()
        assert ends.tolist() == expected.tolist()


VALUES = st.none() | st.booleans() | st.integers(-(10**19), 10**19) | st.floats(allow_nan=False) | st.text()
OBJECTS = st.dictionaries(st.sampled_from(list(SCHEMA)), VALUES, max_size=4)


@given(
    st.lists(OBJECTS, min_size=1, max_size=3), st.integers(0), st.sampled_from([*b'"\\{}:, 0x\n\xff', None])
)
@settings(max_examples=examples(100))
def test_what_the_loop_reads_is_what_polars_reads(rows: list[Any], at: int, byte: int | None) -> None:
    block = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode(
        "utf-8", "surrogatepass"
    )
    if byte is not None:
        at %= len(block)
        block = block[:at] + bytes([byte]) + block[at + 1 :]
    found = by_loop(block)
    if found is not None:
        expected, lost = NdjsonRows(SCHEMA).read(block)
        assert (repr(found.rows()), lost) == (repr(expected.rows()), 0)


def test_without_machine_code_polars_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Compiled, "is_ready", False)
    assert by_loop(PLAIN[0]) is None


def test_many_rows_outlive_the_block_and_the_reader() -> None:
    for loop in loops():
        loop.load()
    rows = pl.DataFrame({"x": range(140_000)})
    block = rows.write_ndjson().encode()
    reader = plain_reader(rows.schema)
    found = reader and reader.read_lines(block, rows.height)
    del reader, block
    assert found is not None
    assert found.equals(rows)
