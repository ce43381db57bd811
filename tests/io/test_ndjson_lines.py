"""Lines of NDJSON with several objects: each is a row, and places are those of the file's lines."""

import json
import re
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import polars as pl
import pytest
from effort import examples
from hypothesis import HealthCheck, given, settings

from arrowstream import Pipeline, Sink, Source
from arrowstream.errors import SourceError
from arrowstream.io.files.text.json.apart import objects_apart

SCHEMA = {"a": pl.Int64, "t": pl.String, "o": pl.Struct({"q": pl.Int64})}
OBJECTS = [
    '{"a": 1}',
    "{}",
    '{"t": "}{"}',
    '{"t": "\\"} {\\\\"}',
    '{"o":{"q":2},"a":3}',
    '{"o": {}, "t": "[ \\u0041"}',
]
BETWEEN = ["", " ", "\t \r", "\n", "\r\n", "\n\n"]


def read(path: Any, **options: Any) -> pl.DataFrame:
    return Pipeline.builder().source(Source.from_file(path, **options)).collect_sync()


def by_python(text: str) -> list[Any]:
    """The objects, whatever blank space is between them."""
    found, at = [], len(text) - len(text.lstrip())
    while at < len(text):
        value, at = json.JSONDecoder().raw_decode(text, at)
        found.append(value)
        at = len(text) - len(text[at:].lstrip())
    return found


def rows(frame: pl.DataFrame) -> list[Any]:
    return [{name: value for name, value in row.items() if value is not None} for row in frame.to_dicts()]


def as_rows(objects: list[Any]) -> list[Any]:
    return rows(pl.DataFrame(objects, SCHEMA)) if objects else []


TEXTS = [
    '{"a": 1} {"a": 2}',
    '{"a":1}{"a":2}\n',
    "{}{}{}\n{} {}",
    '{"a": 1}\n{"t": "}{"}{"t": "\\\\"}  \t {"a": 2}\r\n\n{"a": 3}\n',
    '{"o": {"q": 1}}{"o": {"q": 2}}\n{"t": "{"}{"t": "]["}',
    " " * 70 + '{"a": 1}' + " " * 70 + '{"a": 2}' + " " * 70,
]


@pytest.mark.parametrize("block", [9, 1 << 20])
@pytest.mark.parametrize("text", TEXTS)
def test_each_object_is_a_row(text: str, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arrowstream.io.files.text.file.BLOCK_BYTES", block)
    for name in ("a.ndjson", "a.json"):
        (tmp_path / name).write_text(text)
        others: list[dict[str, Any]] = [
            {"strict_keys": True},
            {"bad_rows": "skip"} if name == "a.ndjson" else {},
        ]
        for options in ({}, *others):
            found = read(tmp_path / name, schema=SCHEMA, missing_columns="insert", **options)
            assert rows(found) == as_rows(by_python(text))


@settings(max_examples=examples(40), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    parts=st.lists(st.tuples(st.sampled_from(OBJECTS), st.sampled_from(BETWEEN)), max_size=8),
    block=st.integers(1, 40) | st.just(1 << 20),
)
def test_each_object_is_a_row_wherever_blocks_end(
    parts: list[tuple[str, str]], block: int, tmp_path: Path
) -> None:
    text = "".join(map("".join, parts))
    (tmp_path / "a.ndjson").write_text(text, newline="")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("arrowstream.io.files.text.file.BLOCK_BYTES", block)
        found = read(tmp_path / "a.ndjson", schema=SCHEMA, missing_columns="insert")
    assert rows(found) == as_rows(by_python(text))


def test_types_are_those_of_all_objects(tmp_path: Path) -> None:
    (tmp_path / "a.ndjson").write_text('{"a": 1}{"a": 2.5, "b": [1]}\n{"c": "x"}\n')
    expected = pl.DataFrame({"a": [1.0, 2.5, None], "b": [None, [1], None], "c": [None, None, "x"]})
    assert read(tmp_path / "a.ndjson").equals(expected)
    assert read(tmp_path / "a.ndjson", bad_rows="skip").equals(expected)
    (tmp_path / "b.ndjson").write_text('{"a": 1}\n' * 10_000 + '{"a": 2} {"a": 3}\n')
    assert read(tmp_path / "b.ndjson")["a"].to_list() == [1] * 10_000 + [2, 3]


@pytest.mark.parametrize(
    ("line", "cut"),
    [
        ('{"a": 1}', None),
        ("", None),
        ("}", None),
        ("} ", None),
        ('{"a": "}{"}', None),
        ('{"a": [{} {}]}', None),
        ('{"a": 1}} {"a": 2}', None),
        ('{"a": 1}, {"a": 2}', None),
        ('{"a": 1} x {"a": 2}', None),
        ('"{"a": 1}{"a": 2}', None),
        ('{"a": 1}{"a":', ['{"a": 1}', '{"a":']),
        ('{"a": 1} {"a": 2} x', ['{"a": 1} ', '{"a": 2} x']),
    ],
)
def test_lines_are_cut_only_between_objects(line: str, cut: list[str] | None) -> None:
    """Alone, and between lines that are broken in any way."""
    for before, after in (("", ""), ('{"\n', '\n}{"\\'), ("[[{\n", "\n}]"), ('\\"\\\n', "\n")):
        apart = objects_apart(f"{before}{line}{after}".encode())
        if cut is None:
            assert apart is None
        else:
            assert apart is not None
            assert apart.data.decode() == before + "\n".join(cut) + after
            first = before.count("\n")
            assert [apart.line(first + number) for number in range(3)] == [first, first, first + 1]


PLACES = '{"a": 1}{"a": 2}\n\n{"a": 3} {"a": "x"} {"a": 4}{"a":\n{"a": 5}\n5\n{"a": 6}{"t": "\\ud800"}\n'


def test_bad_rows_have_the_lines_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.ndjson").write_text(PLACES)
    bad: list[pl.DataFrame] = []
    sink = Sink.to_fn(lambda frame: bad.append(pl.DataFrame(frame)))
    found = read(tmp_path / "a.ndjson", schema={"a": pl.Int64}, bad_rows=sink)
    assert found["a"].to_list() == [1, 2, 3, 4, 5, 6]
    assert pl.concat(bad).select("row", "line", "text").rows() == [
        (4, 3, '{"a": "x"} '),
        (6, 3, '{"a":'),
        (8, 5, "5"),
        (10, 6, '{"t": "\\ud800"}'),
    ]


@pytest.mark.parametrize(
    ("text", "options", "place", "what"),
    [
        ('{"a": 1}{"a": 2}\n\n{"a": 3}\t{"t": "\\ud800"}\n', {}, "row 4 (line 3)", "half of a surrogate"),
        ('{"a": 1}{"a": 2}\n{"a": 3} {"a": "x"}\n', {}, "row 4 (line 2)", "does not fit its column 'a'"),
        ('{"a": 1}{"a": 2}\n\n{"a": 3} {"a":\n', {}, "row 4 (line 3)", "cannot be read"),
        (
            '{"a": 1}{"a": 2}\n' * 5_000 + '{"a": 3} {"z": 4}\n',
            {"strict_keys": True},
            "row 10002 (line 5001)",
            "has a key that is no column: 'z'",
        ),
        (
            '{"o": {"q": 1}}{"o": {"q": 2}}\n{} {"o": 5}',
            {},
            "row 4 (line 2)",
            "another value where an object is expected|does not fit its column 'o'",
        ),
    ],
)
def test_errors_have_the_lines_of_the_file(
    text: str, options: dict[str, Any], place: str, what: str, tmp_path: Path
) -> None:
    file = tmp_path / "a.ndjson"
    file.write_text(text)
    schema = {name: dtype for name, dtype in SCHEMA.items() if name in ("a", "o")}
    with pytest.raises(SourceError) as caught:
        read(file, schema=schema, missing_columns="insert", **options)
    assert str(caught.value).startswith(f"{place} of {file} ")
    assert re.search(what, str(caught.value))


@pytest.mark.untraced
@pytest.mark.parametrize("bad_rows", ["error", "skip"])
def test_values_that_are_left_out_have_the_lines_of_the_file(bad_rows: Any, tmp_path: Path) -> None:
    file = tmp_path / "a.ndjson"
    file.write_text('{"a": 1}\n' * 10_000 + '{"a": 2}{"a": 3}\n{"a": 4} {"a": 5, "late": 1}\n')
    if bad_rows == "skip":
        file.write_text(file.read_text() + '{"a":\n')
    source = Source.from_file(file, bad_rows=bad_rows)
    report = Pipeline.builder().source(source).sink(Sink.to_fn(lambda rows: None)).build().run_sync()
    assert report.rows_out == 10_004
    assert any(f"row 10004 (line 10002) of {file}" in str(note) for note in report.notes), report.notes


def test_small_files_may_hold_several_objects_on_a_line(tmp_path: Path) -> None:
    for number, text in enumerate(
        ['{"a": 1}', '{"a": 2}\n', '{"a": 3}{"a": 4}\n{"a": 5}', '{"a": 6} {"a": 7}']
    ):
        (tmp_path / f"{number}.ndjson").write_text(text)
    found = read(tmp_path, include_file_paths="path")
    assert found["a"].to_list() == [1, 2, 3, 4, 5, 6, 7]
    assert [Path(path).stem for path in found["path"]] == ["0", "1", "2", "2", "2", "3", "3"]


def test_the_elements_of_an_array_are_between_commas(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"a": 1}, {"a": 2} {"a": 3}]')
    with pytest.raises(SourceError, match=r"row 2 of .* cannot be read"):
        read(tmp_path / "a.json")
    with pytest.raises(SourceError, match=r"row 2 of .* cannot be read"):
        read(tmp_path / "a.json", schema={"a": pl.Int64})
