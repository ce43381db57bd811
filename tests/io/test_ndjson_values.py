"""No value of NDJSON or JSON is lost or changed without a word, at any depth: Python's json module is the judge."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import polars as pl
import pytest
from contexts import context
from effort import examples
from hypothesis import HealthCheck, given, settings

from arrowstream import Pipeline, Sink, Source
from arrowstream.core.notes import ReaderNote
from arrowstream.errors import ArrowstreamError, SourceError
from arrowstream.io.files.source import FileSource
from arrowstream.io.files.text.formats import FlawedRecord
from arrowstream.io.files.text.json.kept_texts import keeps_texts
from arrowstream.io.files.text.json.restated import Restated
from arrowstream.io.files.text.json.tokens import agrees, counted
from arrowstream.io.files.text.ndjson_format import Ndjson, is_blank
from arrowstream.io.files.text.ndjson_rows import NdjsonRows, is_flat, tokens
from arrowstream.io.files.text.record_errors import BadRecord

NUMBERS = [
    "1",
    "-0",
    "7",
    "1.10",
    "1e5",
    "2.50",
    "0.30000000000000004",
    "9007199254740993",
    "12345678901234567.123",
]
STRINGS = ["x", "1.10", "", ":", "{[", 'q"', "b\\", '\\":1', ' ":n', "null", "é😀", "a:b"]


class Number(str):
    """A number as it is written."""


class Object(list[tuple[str, Any]]):
    """Keys and values, in order."""


def written(value: Any, colon: str, comma: str, ascii_only: bool) -> str:
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, Object):
        pairs = (f"{json.dumps(k)}{colon}{written(v, colon, comma, ascii_only)}" for k, v in value)
        return "{" + comma.join(pairs) + "}"
    if isinstance(value, list):
        return "[" + comma.join(written(item, colon, comma, ascii_only) for item in value) + "]"
    return json.dumps(value, ensure_ascii=ascii_only)


def objects(values: st.SearchStrategy[Any], size: int) -> st.SearchStrategy[Object]:
    return st.lists(st.tuples(st.sampled_from(["a", "b", "c:", 'd"']), values), max_size=size).map(Object)


SCALARS = st.none() | st.booleans() | st.sampled_from(NUMBERS).map(Number) | st.sampled_from(STRINGS)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | objects(inner, 3), max_leaves=5)


def expected(value: Any, dtype: Any) -> tuple[Any, int]:
    """What a column of this type makes of a value, and how many values have no place in that."""
    if value is None:
        return None, 0
    if isinstance(dtype, pl.Struct):
        fields = {field.name: field.dtype for field in dtype.fields}
        found: dict[str, tuple[Any, int]] = {}
        lost = 0
        for key, item in value:
            if key in fields and key not in found:
                found[key] = expected(item, fields[key])
            else:
                lost += inside(Object([(key, item)]))
        row = {name: (found.get(name) or expected(None, dtype))[0] for name, dtype in fields.items()}
        return row, lost + sum(count for _, count in found.values())
    if isinstance(dtype, pl.List):
        items = [expected(item, dtype.inner) for item in value]
        return [item for item, _ in items], sum(count for _, count in items)
    if dtype == pl.String:
        return value if isinstance(value, str) and not isinstance(value, Number) else Text(value), 0
    if isinstance(value, Number):
        return (int if dtype.is_integer() else float)(value), 0
    return value, 0


class Text:
    """A value that became text: equal to a text that says the same with the same digits."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        digits = json.JSONDecoder(object_pairs_hook=Object, parse_int=Number, parse_float=Number)
        return isinstance(other, str) and digits.decode(other) == self.value

    def __repr__(self) -> str:
        return f"Text({self.value!r})"


def inside(value: Any) -> int:
    if isinstance(value, Object):
        return sum((item is not None) + inside(item) for _, item in value)
    return sum(map(inside, value)) if isinstance(value, list) else 0


def read(source: FileSource) -> tuple[list[dict[str, Any]], tuple[ReaderNote, ...]]:
    reader = source.open(context())
    try:
        rows = [row for batch in iter(reader.read, None) for row in batch.polars().to_dicts()]
        return rows, reader.notes
    finally:
        reader.close()


@settings(max_examples=examples(120), suppress_health_check=list(HealthCheck))
@given(
    rows=st.lists(objects(VALUES, 4), min_size=1, max_size=5),
    block=st.sampled_from([1, 30, 1 << 20]),
    spaces=st.sampled_from([(":", ","), (": ", ", "), (" : ", " ,"), (":  ", ",")]),
    suffix=st.sampled_from(["ndjson", "json"]),
    ascii_only=st.booleans(),
)
def test_every_value_comes_as_it_is_or_is_counted_or_is_an_error(
    rows: list[Object],
    block: int,
    spaces: tuple[str, str],
    suffix: str,
    ascii_only: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    lines = [written(row, *spaces, ascii_only) for row in rows]
    file = tmp_path_factory.mktemp("any") / f"x.{suffix}"
    file.write_text("[" + ",".join(lines) + "]" if suffix == "json" else "\n".join(lines) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("arrowstream.io.files.text.file.BLOCK_BYTES", block)
        try:
            source = FileSource.of(file)
            found, notes = read(source)
        except ArrowstreamError as error:
            assert str(file) in str(error)
            return
    if pl.__version__ < "2" and "Struct({})" in str(source.schema()):
        return  # Polars 1 makes objects of the nulls among objects without fields
    wanted = [expected(row, pl.Struct(source.schema())) for row in rows]
    assert [row for row, _ in wanted] == found
    lost = sum(count for _, count in wanted)
    assert sum(note.count for note in notes) == lost
    if lost:
        first = next(number for number, (_, count) in enumerate(wanted) if count) + 1
        where = f"row {first} (line {first})" if suffix == "ndjson" else f"row {first}"
        assert notes[0].first.startswith(f"{where} of {file}, key ")


@pytest.mark.parametrize(
    ("block", "found", "lost"),
    [
        (b'{"a":"x","zz":null}\n{"zz":null}\n', [{"a": "x"}, {"a": None}], 0),
        (b'{"a":"x","zz":null}\n{"zz":[1]}\n', [{"a": "x"}, {"a": None}], 1),
        (b'{"a":1.10,"a":2}\n', [{"a": "1.10"}], 1),
        (b'{"a":[1 , true]}\n', [{"a": "[1,true]"}], 0),
    ],
)
def test_what_is_lost_where_a_block_is_rewritten(
    block: bytes, found: list[dict[str, Any]], lost: int
) -> None:
    again = restated(block, pl.Schema({"a": pl.String}))
    assert again is not None
    rows, result = again
    assert rows == found
    assert result.lost == lost


@settings(max_examples=examples(60))
@given(rows=st.lists(objects(VALUES, 4), min_size=1, max_size=5), colon=st.sampled_from([":", ": ", " : "]))
def test_tokens_are_counted_right(rows: list[Object], colon: str) -> None:
    block = "".join(written(row, colon, ",", False) + "\n" for row in rows).encode()

    def kinds(value: Any) -> tuple[int, int, int]:
        if isinstance(value, list):
            parts = [kinds(item[1] if isinstance(value, Object) else item) for item in value]
            own = (0, 1, 0) if isinstance(value, Object) else (0, 0, 1)
            return tuple(map(sum, zip(own, *parts, strict=True)))  # type: ignore[return-value]
        return int(isinstance(value, str) and not isinstance(value, Number)), 0, 0

    strings, all_objects, lists = kinds(rows)
    there = counted(block, len(rows))
    assert there == (sum(map(inside, rows)), strings, all_objects - len(rows), lists - 1)
    assert not agrees(block, len(rows), there._replace(values=there.values - 1))
    assert not agrees(block, len(rows), there._replace(strings=there.strings + 1))


TYPES = st.recursive(
    st.just(pl.String()),
    lambda inner: (
        inner.map(pl.List)
        | st.dictionaries(st.sampled_from(["a", "b", 'd"']), inner, min_size=1).map(pl.Struct)
    ),
    max_leaves=5,
)


@settings(max_examples=examples(80))
@given(
    rows=st.lists(objects(VALUES, 4), min_size=1, max_size=5),
    schema=st.dictionaries(st.sampled_from(["a", "b", "c:", 'd"']), TYPES, min_size=1).map(pl.Schema),
    spaces=st.sampled_from([(":", ","), (" : ", " ,"), (":  ", ", ")]),
    ascii_only=st.booleans(),
)
def test_a_block_rewritten_has_the_values_that_the_schema_has_a_place_for(
    rows: list[Object], schema: pl.Schema, spaces: tuple[str, str], ascii_only: bool
) -> None:
    block = "".join(written(row, *spaces, ascii_only) + "\n" for row in rows).encode()
    try:
        wanted = [expected(row, pl.Struct(schema)) for row in rows]
    except (TypeError, ValueError):  # a value that is no list, or no object, for a type that is
        return
    if (again := restated(block, schema)) is None:
        return
    found, result = again
    assert found == [row for row, _ in wanted]
    assert result.lost == sum(lost for _, lost in wanted)
    first = next((number for number, (_, lost) in enumerate(wanted) if lost), None)
    assert first == (None if result.first is None else result.first[0])


def restated(block: bytes, schema: pl.Schema) -> tuple[list[dict[str, Any]], Restated] | None:
    try:
        result = Restated(block, schema)
        return Ndjson().scan(result.data, schema).collect().to_dicts(), result
    except (FlawedRecord, pl.exceptions.PolarsError):
        return None


def test_blanks_around_colons_lose_nothing_and_hide_no_late_key() -> None:
    reader = NdjsonRows(pl.Schema({"a": pl.Int64}))
    for block, lost in (
        (b'{"a" : 1}\n', 0),
        (b'{"a": 1, "late": 2}\n', 1),
        (b'{"a" : 1, "late" : 2}\n', 1),
        (b'{"a" : 1, "late" : null}\n', 0),
    ):
        rows, found = reader.read(block)
        assert (rows["a"].to_list(), found) == ([1], lost)


def test_digits_are_kept_without_rewriting_where_quotes_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arrowstream.io.files.text.ndjson_rows.Restated", None)
    reader = NdjsonRows(pl.Schema({"a": pl.String, "b": pl.Float64, "of": pl.Struct({'q"': pl.String})}))
    block = b'{"a": 1.10, "b": 2.50, "of": {"q\\"": true}}\n{"a": "x", "b": 1, "of": {"q\\"": -0}}\n'
    for _ in range(2):  # the second block is known to need quotes
        rows, lost = reader.read(block)
        assert rows["a"].to_list() == ["1.10", "x"]
        assert rows["of"].struct.field('q"').to_list() == ["true", "-0"]
        assert lost == 0
    rows, _ = reader.read(b'{"a": "y", "b": 1}\n')
    assert rows["a"].to_list() == ["y"]


@pytest.mark.parametrize(
    "row",
    [
        b'{"a": [1.10], "b": 5}',  # no number after the key
        b'{"c": {"b": 1.10}, "b": 5, "a": 7.0}',  # a key that is text here and a number there
        b'{"\\u0061": 1.10, "a": 1}',  # a key that is written in another way
    ],
)
def test_blocks_that_quotes_do_not_help_are_rewritten(row: bytes) -> None:
    schema = pl.Schema({"a": pl.String, "c": pl.Struct({"b": pl.String}), "b": pl.Int64})
    reader = NdjsonRows(schema)
    assert reader.read(b'{"a": 1.0}\n')[0]["a"].to_list() == ["1.0"]
    rows, lost = reader.read(row + b"\n")
    (found,) = [expected(list(loaded(row)), pl.Struct(schema))]
    assert (rows.to_dicts(), lost) == ([found[0]], found[1])


def test_elements_of_lists_keep_their_digits_where_no_key_is_text() -> None:
    rows, lost = NdjsonRows(pl.Schema({"l": pl.List(pl.String)})).read(b'{"l": [1.10, "x"]}\n')
    assert (rows["l"].to_list(), lost) == ([["1.10", "x"]], 0)


def loaded(text: bytes) -> Object:
    found: Object = json.JSONDecoder(object_pairs_hook=Object, parse_int=Number, parse_float=Number).decode(
        text.decode()
    )
    return found


def test_a_broken_line_after_numbers_as_text_is_an_error() -> None:
    reader = NdjsonRows(pl.Schema({"a": pl.String}))
    assert reader.read(b'{"a": 1.0}\n')[0]["a"].to_list() == ["1.0"]
    for broken in (b'{"a": 1.0 2}\n', b'{"a": 01}\n', b'{"a": "\xff"}\n'):
        with pytest.raises(pl.exceptions.PolarsError):
            reader.read(broken)


def test_losses_are_not_hidden_by_white_space_before_a_colon() -> None:
    # One key less is counted, one value is lost, and a number became a string: two errors would cancel.
    rows, lost = NdjsonRows(pl.Schema({"s": pl.String, "a": pl.Int64})).read(b'{"s": 5, "a" :1, "a":2}\n')
    assert (rows.rows(), lost) == ([("5", 1)], 1)


@pytest.mark.untraced
def test_rows_are_flat_unless_a_text_begins_as_an_object_or_a_list_does() -> None:
    for first in map(chr, range(1, 256)):
        for tail in ("", "[", " and more than twelve bytes {"):
            rows = pl.DataFrame({"n": [1, 2, 3], "t": ["{", "x", first + tail]})
            assert not is_flat(rows)
            assert is_flat(rows[1:]) == (first not in "[{")


@pytest.mark.parametrize("block", [b"", b" \r\n\t\n", b"\n" * 70_000])
def test_blank_blocks_have_no_rows(block: bytes) -> None:
    assert is_blank(block)
    assert not is_blank(block + b"\v")
    assert NdjsonRows(pl.Schema({"a": pl.Int64})).read(block)[0].height == 0


@pytest.mark.parametrize("text", ["[x] {y}", "a: [b", "a, {b", "}{", ", [", "x :y", ":"])
def test_texts_with_brackets_and_colons_are_counted_right(text: str) -> None:
    block = (json.dumps({"t": text, "l": [[1], []], "of": {"k": [{"z": text}]}}) + "\n").encode() * 3
    rows = Ndjson().scan(block, Ndjson().infer(block, pl.Schema())).collect()
    held = tokens(rows)
    assert counted(block, 3) == held
    assert agrees(block, 3, held) == (text == "[x] {y}")
    assert not agrees(block, 3, held._replace(lists=held.lists - 1))
    assert not agrees(block, 3, held._replace(objects=held.objects - 1))


@pytest.mark.parametrize("spaces", [(":", ","), (": ", ", ")])
@pytest.mark.parametrize(
    ("values", "quick"),
    [
        (["a [b", "{c", "d:e"], True),  # brackets inside texts of flat rows
        (["[a", "{x"], True),
        (["[a, [b"], False),  # as a list of lists
        ([None, "n", "null"], True),
        (['a\\"b', "c\\d"], True),
        (["\\"], False),  # the quote after it is not escaped
        (["a :b", "x"], False),
    ],
)
def test_flat_rows_are_counted_quickly(
    values: list[str | None], quick: bool, spaces: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    exact: list[bytes] = []
    monkeypatch.setattr(
        "arrowstream.io.files.text.ndjson_rows.counted",
        lambda block, rows: (exact.append(block), counted(block, rows))[1],
    )
    rows = [{"id": number, "text": value, "f": 1.5} for number, value in enumerate(values * 3)]
    block = "".join(json.dumps(row, separators=spaces[::-1]) + "\n" for row in rows).encode()
    found, lost = NdjsonRows(pl.Schema({"id": pl.Int64, "text": pl.String, "f": pl.Float64})).read(block)
    assert (found.to_dicts(), lost) == (rows, 0)
    assert (not exact) == quick


@pytest.mark.parametrize(
    ("value", "text"), [('["x"]', '["x"]'), ("[1.50]", "[1.50]"), ("{}", "{}"), ("[]", "[]")]
)
def test_a_list_in_a_column_of_text_is_not_taken_for_a_text(value: str, text: str) -> None:
    block = f'{{"a":"[y]","b":1}}\n{{"a":{value},"b":2}}\n'.encode()
    rows, lost = NdjsonRows(pl.Schema({"a": pl.String, "b": pl.Int64})).read(block)
    assert (rows["a"].to_list(), lost) == (["[y]", text], 0)
    counts = tokens(Ndjson().scan(block, rows.schema).collect())
    assert agrees(block, 2, counts, lambda: False) == (counted(block, 2) == counts)


def lines(path: Path, *rows: str) -> FileSource:
    path.write_text("\n".join(rows) + "\n")
    return FileSource.of(path)


def note(source: FileSource) -> ReaderNote:
    (found,) = read(source)[1]
    return found


def test_a_late_key_is_counted_over_all_blocks_and_files_and_named_where_it_is_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arrowstream.io.files.text.file.BLOCK_BYTES", 64)
    plain = ['{"a": 1, "of": {"k": null}}'] * 20
    lines(tmp_path / "1.ndjson", *plain, '{"a": 2, "of": {"k": null, "z": [1, 2]}}', *plain)
    lines(tmp_path / "2.ndjson", *plain, *['{"a": 3, "q": "x"}'] * 5, '{"a": 4, "q": 5}', *plain)
    found = note(FileSource.of(tmp_path, schema={"of": pl.Struct({"k": pl.Int64})}))
    assert found.count == 7
    assert found.first == f"row 21 (line 21) of {tmp_path / '1.ndjson'}, key 'of.z'"
    assert "keys that are not columns" in found.what


@pytest.mark.parametrize("at", [0, 1, 499, 500, 998])
def test_the_first_of_many_places_is_found_in_a_large_block(at: int, tmp_path: Path) -> None:
    rows = ['{"a": "x"}'] * 1000
    for late in range(at, 1000, 7):
        rows[late] = '{"a": "x", "z": 1}'
    source = lines(tmp_path / "x.ndjson", '{"a": "x"}', *rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("arrowstream.io.files.text.file.TextFile.infer", lambda *_: pl.Schema({"a": pl.String}))
        found = note(source)
    assert found.first == f"row {at + 2} (line {at + 2}) of {tmp_path / 'x.ndjson'}, key 'z'"


@pytest.mark.untraced
@pytest.mark.parametrize(
    ("row", "count", "key"),
    [
        ('{"a": 1, "a": 2}', 1, "key 'a', which comes twice"),
        ('{"a": 1, "z": {"y": 1, "x": [{"w": 2}, null]}}', 4, "key 'z'"),
        ('{"a": 1, "of": [{"k": 1, "k": 2, "q": 3}]}', 2, "key 'of.k', which comes twice"),
        ('{"a": 1, "z": 1, "s": {"not": ["a", "list"]}}', 1, "key 'z'"),
    ],
)
def test_what_is_left_out_is_named(row: str, count: int, key: str, tmp_path: Path) -> None:
    schema = pl.Schema({"a": pl.Int64, "of": pl.List(pl.Struct({"k": pl.Int64})), "s": pl.String})
    rows, lost = NdjsonRows(schema).read(row.encode())
    assert (rows.schema, rows["a"].item(), lost) == (schema, 1, count)
    monkey = lines(tmp_path / "x.ndjson", '{"a": 1, "of": [], "s": "x"}', row)
    source = FileSource(monkey.paths, given=schema)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("arrowstream.io.files.text.file.BLOCK_BYTES", 1)
        assert note(source) == ReaderNote(
            note(source).what, count, f"row 2 (line 2) of {monkey.paths[0]}, {key}"
        )


def test_keys_known_to_be_late_need_no_second_look(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = NdjsonRows(pl.Schema({"a": pl.Int64}))
    block = b'{"a": 1, "z": 2}\n'
    assert reader.read(block)[1] == 1
    monkeypatch.setattr("arrowstream.io.files.text.ndjson_format.Ndjson.infer", None)
    assert reader.read(block * 3)[1] == 3


def test_objects_without_fields_hide_no_loss_and_are_none() -> None:
    reader = NdjsonRows(pl.Schema({"c": pl.Struct({}), "a": pl.Int64}))
    blocks = b'{"c": {}, "a": 1}\n', b"{}\n", b'{"c": {"b": []}, "a": 1}\n', b"{}\n"
    assert [reader.read(block)[1] for block in blocks] == [0, 0, 1, 0]


def test_keys_of_values_without_a_common_type_are_counted() -> None:
    reader = NdjsonRows(pl.Schema({"a": pl.Int64}))
    block = b'{"a": 1, "z": [1]}\n{"a": 2, "z": {"y": 1}}\n'
    rows, lost = reader.read(block)
    assert (rows["a"].to_list(), lost) == ([1, 2], 3)
    assert reader.read(b'{"a": 3, "z": 1}\n')[1] == 1
    assert reader.read(b'{"a": 3, "z": {"y": 1}}\n')[1] == 2


@pytest.mark.parametrize("digits", ["1.10", "-0", "1e400", "1E5", "9223372036854775809", "0." + "1" * 30])
def test_numbers_read_as_text_keep_their_digits_or_are_an_error(digits: str, tmp_path: Path) -> None:
    file = tmp_path / "x.ndjson"
    file.write_text(
        '{"a": "x", "l": [], "s": {"t": "1.1"}}\n'
        f'{{"a": {digits}, "l": [{digits}], "s": {{"t": {digits}}}}}\n'
    )
    types = {"a": pl.String, "l": pl.List(pl.String), "s": pl.Struct({"t": pl.String})}
    try:
        rows, notes = read(FileSource.of(file, schema=types))
    except SourceError as error:
        assert digits == "1e400" and f"row 2 (line 2) of {file}" in error.what
        return
    assert rows[1] == {"a": digits, "l": [digits], "s": {"t": digits}}
    assert notes == ()


def test_what_is_read_as_another_kind_of_text_is_told_from_numbers(tmp_path: Path) -> None:
    source = lines(tmp_path / "x.ndjson", '{"a": ["x", 1.10], "b": "y"}', '{"a": "z", "b": 2.50}')
    rows, _ = read(FileSource(source.paths, given=pl.Schema({"a": pl.String, "b": pl.String})))
    assert rows == [{"a": '["x",1.10]', "b": "y"}, {"a": "z", "b": "2.50"}]


@pytest.mark.parametrize("text", [r"\ud800", r"\uDFFF x", r"\ud83d\u0041", r"\\\ud800", r"\udc00\ud800"])
def test_half_of_a_surrogate_pair_is_an_error(text: str, tmp_path: Path) -> None:
    source = lines(tmp_path / "x.ndjson", '{"a": "x"}', rf'{{"a": "\ud83d\ude00", "b": "{text}"}}')
    with pytest.raises(SourceError, match=r"row 2 \(line 2\) of .* has half of a surrogate pair"):
        read(source)


@pytest.mark.parametrize("block", [1, 30])
def test_a_late_key_inside_of_objects_in_many_blocks_is_counted_in_each(block: int, tmp_path: Path) -> None:
    first, late = '{"a": {"x": 1}}', '{"a": {"x": 2, "y": [3]}}'
    source = lines(tmp_path / "x.ndjson", *[first] * 9, *[late] * 6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("arrowstream.io.files.text.file.BLOCK_BYTES", block)
        source = FileSource(source.paths, given=pl.Schema({"a": pl.Struct({"x": pl.Int64})}))
        rows, notes = read(source)
    assert rows == [{"a": {"x": 1}}] * 9 + [{"a": {"x": 2}}] * 6
    assert sum(note.count for note in notes) == 6


@pytest.mark.parametrize("block", [1, 30])
def test_a_late_key_in_many_blocks_is_counted_in_each(block: int, tmp_path: Path) -> None:
    source = lines(tmp_path / "x.ndjson", *['{"a": "xxxxxxxxxxxx"}'] * 9, *['{"a": "y", "z": [1, 2]}'] * 6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("arrowstream.io.files.text.file.BLOCK_BYTES", block)
        source = FileSource(source.paths, given=pl.Schema({"a": pl.String}))
        rows, notes = read(source)
    assert rows == [{"a": "xxxxxxxxxxxx"}] * 9 + [{"a": "y"}] * 6
    assert sum(note.count for note in notes) == 6


@pytest.mark.parametrize("key", [r'"b\ud800": 1', r'"b": {"\udc00": 1}', r'"b": [{"x\ud800": null}]'])
def test_half_of_a_surrogate_pair_in_a_name_is_an_error(key: str, tmp_path: Path) -> None:
    for name in ("x.ndjson", "x.json"):
        (tmp_path / name).write_text(f'{{"a": "x"}}\n{{{key}}}\n')
        with pytest.raises(SourceError, match=r"row 2 \(line 2\) of .* has half of a surrogate pair"):
            FileSource.of(tmp_path / name).schema()
    (tmp_path / "x.ndjson").write_text(r'{"b\u0000": 1}')
    assert FileSource.of(tmp_path / "x.ndjson").schema().names() == ["b\0"]


@pytest.mark.parametrize("text", [r"\ud83d\ude00", r"\\ud800", r"\uD83D\uDE00\u00e9", r"\\\\udc00"])
def test_whole_pairs_and_backslashes_are_text(text: str, tmp_path: Path) -> None:
    rows, _ = read(lines(tmp_path / "x.ndjson", f'{{"a": "{text}"}}'))
    assert rows == [{"a": json.loads(f'"{text}"')}]


@pytest.mark.parametrize("line", [r'{"a": "\ud83d\ude00" \\', r'{"a": "\ud83d\ude00\u'])
def test_a_broken_line_with_surrogates_is_a_broken_line(line: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"row 1 \(line 1\) of .* cannot be read"):
        read(FileSource(lines(tmp_path / "x.ndjson", line).paths, given=pl.Schema({"a": pl.String})))


def test_lists_that_are_empty_at_first_are_lists_of_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arrowstream.io.files.text.file.BLOCK_BYTES", 1)
    source = lines(
        tmp_path / "x.ndjson", '{"l": [], "s": {"m": [[]]}}', '{"l": [1.50, "x"], "s": {"m": [[true]]}}'
    )
    assert source.schema() == {"l": pl.List(pl.String), "s": pl.Struct({"m": pl.List(pl.List(pl.String))})}
    assert read(source)[0][1] == {"l": ["1.50", "x"], "s": {"m": [["true"]]}}


@pytest.mark.parametrize("value", ["5", '"x"', "[1]"])
def test_a_value_in_place_of_an_object_is_an_error(value: str, tmp_path: Path) -> None:
    source = lines(tmp_path / "x.ndjson", '{"a": {"b": 1}}', f'{{"a": {value}}}')
    with pytest.raises(SourceError, match=r"row 2 \(line 2\) of "):
        read(FileSource(source.paths, given=pl.Schema({"a": pl.Struct({"b": pl.Int64})})))


def test_a_value_in_place_of_an_object_is_noticed_where_polars_makes_an_object_of_it() -> None:
    with pytest.raises(FlawedRecord) as caught:
        Restated(b'{"a": {"b": 1}}\n{"a": 5}\n', pl.Schema({"a": pl.Struct({"b": pl.Int64})}))
    error = BadRecord("x.ndjson", "row 2 (line 2)", b'{"a": 5}').flawed(caught.value, 2)
    assert error.what == "row 2 (line 2) of x.ndjson has another value where an object is expected"


WRONG: Sequence[tuple[Any, str]] = [
    (pl.Int64, '"1"'),
    (pl.Int64, "1.5"),
    (pl.Int64, "9223372036854775808"),
    (pl.Int8, "200"),
    (pl.UInt32, "-1"),
    (pl.Float64, '"x"'),
    (pl.Float64, "true"),
    (pl.Boolean, "1"),
    (pl.Date, '"x"'),
    (pl.Date, "5"),
    (pl.List(pl.Int64), '["x"]'),
    (pl.List(pl.Int64), "[1.5]"),
    (pl.List(pl.Int64), "[9223372036854775808]"),
    (pl.Struct({"b": pl.Int64}), '{"b": "x"}'),
    (pl.Struct({"b": pl.Int8}), '{"b": 200}'),
    (pl.List(pl.Struct({"b": pl.Boolean})), '[{"b": 1}]'),
    (pl.Float32, "1e39"),
    (pl.List(pl.Float32), "[0, -1e300]"),
    (pl.Struct({"b": pl.Float32}), '{"b": 4e38}'),
]


@pytest.mark.untraced
@pytest.mark.parametrize(("dtype", "value"), WRONG)
def test_a_value_that_does_not_fit_its_type_is_an_error(dtype: Any, value: str, tmp_path: Path) -> None:
    source = lines(tmp_path / "x.ndjson", '{"a": null}', f'{{"a": {value}}}')
    with pytest.raises(SourceError, match=r"row 2 \(line 2\) of .*"):
        read(FileSource(source.paths, given=pl.Schema({"a": dtype})))


def test_the_report_of_a_run_counts_what_was_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arrowstream.io.files.text.file.BLOCK_BYTES", 1)
    source = lines(tmp_path / "x.ndjson", '{"a": 1}', '{"a": 2, "z": 3}')
    # Though only a few columns are asked for, and so few are read.
    pipeline = Pipeline.builder().source(source).select("a").sink(Sink.to_file(tmp_path / "o.csv")).build()
    report = pipeline.run_sync()
    assert [note.count for note in report.notes] == [1]
    assert str(report).splitlines()[-1] == f"lost: {report.notes[0]}"
    assert f"row 2 (line 2) of {tmp_path / 'x.ndjson'}, key 'z'" in str(report)
    plain = (
        Pipeline.builder().source(Source.from_frame(pl.DataFrame({"a": [1]}))).sink(Sink.to_fn(print)).build()
    )
    assert plain.run_sync().notes == ()


def test_numbers_too_large_for_a_short_float_are_bad_rows(tmp_path: Path) -> None:
    file = tmp_path / "x.ndjson"
    file.write_text('{"a": 1e38}\n{"a": 1e39}\n{"l": [1e39]}\n{"l": [1]}\n')
    bad: list[Any] = []
    source = Source.from_file(
        file,
        schema={"a": pl.Float32, "l": pl.List(pl.Float32)},
        bad_rows=Sink.to_fn(lambda batch: bad.extend(batch.to_pylist())),
    )
    good = Pipeline.builder().source(source).collect_sync()
    assert [row["row"] for row in bad] == [2, 3]
    assert good.rows() == [(pl.Series([1e38], dtype=pl.Float32)[0], None), (None, [1.0])]


@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_too_many_objects_inside_of_each_other_are_an_error(
    brackets: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arrowstream.io.files.text.ndjson_format.OVERFLOWS", True)
    opened, closed = {"[]": ("[", "]"), "{}": ('{"x":', "}")}[brackets]

    def value(depth: int) -> str:
        return opened * depth + "1" + closed * depth

    late = f'{{"t": "a", "z": {value(900)}}}'.encode()
    rows, lost = NdjsonRows(pl.Schema({"t": pl.String})).read(late)
    assert rows.rows() == [("a",)] and lost == late.count(b":") - 1
    flat = ['{"a": [' + "[]," * 2000 + "[]]}", '{"t": "' + "[]" * 2000 + '"}']
    schema = pl.Schema({"t": pl.String})
    source = lines(tmp_path / "x.ndjson", *flat, f'{{"z": {value(100)}}}')
    rows, _ = read(FileSource(source.paths, given=schema))
    assert [row["t"] for row in rows] == [None, "[]" * 2000, None]
    source = lines(tmp_path / "x.ndjson", *flat, f'{{"z": {value(10_000)}}}')
    for given_types in (schema, pl.Schema()):
        with pytest.raises(SourceError, match=r"row 3 \(line 3\) of .* has too many objects"):
            read(FileSource(source.paths, given=given_types))


@pytest.mark.parametrize(
    "stuck", ['{"a": 7\0}', '{"a": 9223372036854775807+}', '{"f": 1.5000000000000000000e1x}']
)
def test_signs_after_a_number_are_an_error(
    stuck: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arrowstream.io.files.text.ndjson_format.LENIENT", True)
    sound = [
        '{"a": -9223372036854775808, "t": "9223372036854775807+"}',
        '{"f": 1.5000000000000000000e1, "t": "1.5000000000000000000e1x \\" 2"}',
    ]
    schema = pl.Schema({"a": pl.Int64, "f": pl.Float64, "t": pl.String})
    rows, _ = read(FileSource(lines(tmp_path / "x.ndjson", *sound).paths, given=schema))
    assert [(row["a"], row["f"]) for row in rows] == [(-(2**63), None), (None, 15.0)]
    bad = lines(tmp_path / "x.ndjson", *sound, stuck, "{}", stuck)
    for given_types in (schema, pl.Schema()):
        with pytest.raises(SourceError, match=r"row 3 \(line 3\)"):
            read(FileSource(bad.paths, given=given_types))


ROWS_OF_TEXT = pl.Schema(
    {
        "t": pl.String(),
        "l": pl.List(pl.String()),
        "o": pl.Struct({"t": pl.String(), "x": pl.Int64()}),
        "n": pl.Int64(),
    }
)


@pytest.mark.untraced
@pytest.mark.parametrize(
    "line",
    [
        '{"t": "x", "z": 1}',
        '{"t": "9E", "l": ["-", "t", "f "], "n": 1}',
        '{"t": 1.10, "z": 1}',
        '{"l": ["a", 1e5]}',
        '{"l": [[1.0]], "z": "y"}',
        '{"o": {"t": true}}',
        '{"o": {"x": 1}, "z": {"t": 1.0}}',
        '{"o": {}}',
        '{"o": {"z": 1}, "n": 5}',
        '{"t": {"k": 1.50}}',
        '{"t": "1.10", "n": 3, "n": 4}',
        '{"t": "false", "l": null}',
        "{}",
    ],
)
def test_without_a_count_of_what_is_lost_the_rows_are_the_same(line: str) -> None:
    block = f'{{"t": "a"}}\n{line}\n'.encode()
    rows, _ = NdjsonRows(ROWS_OF_TEXT).read(block)
    found, lost = NdjsonRows(ROWS_OF_TEXT, counts=False).read(block)
    assert found.equals(rows) and (lost == 0 or not keeps_texts(rows))


def test_another_value_is_no_object_without_a_count() -> None:
    for value in ("5", '"x"', "[1]"):
        with pytest.raises((FlawedRecord, pl.exceptions.PolarsError)):
            NdjsonRows(ROWS_OF_TEXT, counts=False).read(f'{{"o": {value}}}\n'.encode())
