"""JSON messages: each is one object and one row, or a bad message."""

import datetime as dt
import json
from decimal import Decimal
from itertools import pairwise
from typing import Any

import hypothesis.strategies as st
import polars as pl
import pyarrow as pa
import pytest
from contexts import context
from effort import examples
from hypothesis import given, settings
from message_sources import Messages
from message_sources import messages as offered

from arrowstream import ErrorHandler, Pipeline
from arrowstream.errors import BadMessage, SchemaError
from arrowstream.io.messages.formats import decoder, encoder
from arrowstream.io.messages.json import JsonDecoder
from arrowstream.io.messages.lines import LineWriter
from arrowstream.testing import TestSink

SCHEMA = pl.Schema(
    {
        "a": pl.Int64(),
        "s": pl.String(),
        "f": pl.Float32(),
        "o": pl.Struct({"x": pl.Int64(), "t": pl.String()}),
        "l": pl.List(pl.Int8()),
    }
)
DATED = pl.Schema(
    {"d": pl.Date(), "u": pl.UInt64(), "i": pl.Int8(), "e": pl.Enum(["p", "q"]), "b": pl.Boolean()}
)


def messages(*values: bytes | None) -> pa.LargeBinaryArray:
    return pa.array(values, pa.large_binary())


def decoded(schema: pl.Schema, *values: bytes | None) -> list[dict[str, Any]]:
    frame = decoder("json", schema).open(context()).decode(messages(*values)).frame
    assert frame.schema == schema
    return [{name: value for name, value in row.items() if value is not None} for row in frame.to_dicts()]


@pytest.mark.untraced
@pytest.mark.parametrize(
    ("message", "row"),
    [
        (None, {}),
        (b"{}", {}),
        (b' {"a" : 1}\r\n', {"a": 1}),
        (b'{\n  "a": -0,\n  "o": {\n    "x": 2\n  }\n}\n', {"a": 0, "o": {"x": 2, "t": None}}),
        (b'{"a": null, "s": ""}', {"s": ""}),
        (b'{"s": 1.10}', {"s": "1.10"}),
        (b'{"s": {"k": 1.50}}', {"s": '{"k":1.50}'}),
        (b'{"s": "\\ud83d\\ude00\\n"}', {"s": "\U0001f600\n"}),
        (b'{"o": {}}', {"o": {"x": None, "t": None}}),
        (b'{"o": {"t": true}, "z": {"a": 5}}', {"o": {"x": None, "t": "true"}}),
        (b'{"a": 1, "a": 2}', {"a": 1}),  # the first one, as in files
        (b'{"z": 1, "z": 2, "a": 9223372036854775807}', {"a": 2**63 - 1}),
        (b'{"l": [1, null], "f": 0.5}', {"l": [1, None], "f": 0.5}),
    ],
)
def test_a_message_is_a_row(message: bytes | None, row: dict[str, Any]) -> None:
    around = b'{"a": 7}'
    assert decoded(SCHEMA, message) == [row]
    assert decoded(SCHEMA, around, message, message, around) == [{"a": 7}, row, row, {"a": 7}]


BAD = [
    (b"", "an empty message"),
    (b" \n\t", "nothing but blank space"),
    (b"null", "no object"),
    (b"5", "no object"),
    (b'[{"a": 1}]', "no object"),
    (b'{"a": 1}{"a": 2}', "no JSON: Extra data"),
    (b'{"a": 1}\n{"a": 2}', "no JSON: Extra data"),
    (b'{"a": 1} x', "no JSON: Extra data"),
    (b'{"a": 1,}', "no JSON"),
    (b'{"a"', "no JSON"),
    (b'{"s": "a\nb"}', "no JSON: Invalid control character"),
    (b'{"s": "\xff"}', "invalid UTF-8"),
    (b'{"z": "\xc3("}', "invalid UTF-8"),
    (b'\xef\xbb\xbf{"a": 1}', "no JSON"),
    (b'{"s": "\\ud800"}', "lone surrogate"),
    (b'{"z": "\\udc00"}', "lone surrogate"),
    (b'{"a": "1"}', "column 'a': \"1\" is no Int64"),
    (b'{"a": 1.5}', "column 'a': 1.5 is no Int64"),
    (b'{"a": 9223372036854775808}', "9223372036854775808"),
    (b'{"a": 1\0}', "no JSON"),
    (b'{"a": 1\00}', "no JSON"),
    (b'{"a": null\0}', "no JSON"),
    (b'{"a": 9223372036854775807-1}', "no JSON"),
    (b'{"a": -922337203685477580true8}', "no JSON"),
    (b'{"f": 1.2345678901234567890x}', "no JSON"),
    (b'{"f": 1.2345678901234567890e5x}', "no JSON"),
    (b'{"o": {"x": 9223372036854775807\xef\xbb\xbf}}', "no JSON"),
    (b'{"a": 1e400}', "InvalidNumber"),
    (b'{"z": 1e400}', "InvalidNumber"),
    (b'{"f": 1e39}', "is no Float32"),
    (b'{"f": NaN}', "NaN is no number"),
    (b'{"o": 5}', "column 'o': 5 is no Struct"),
    (b'{"o": 0.5, "o": {"x": 1}}', "column 'o': 0.5 is no Struct"),
    (b'{"l": 5, "l": [1]}', "column 'l': 5 is no List"),
    (b'{"o": {"x": "y"}}', "column 'o'"),
    (b'{"l": 1}', "column 'l'"),
    (b'{"l": [128]}', "column 'l'"),
    (b'{"a": ' + b"[" * 10_000, "too "),
]


@pytest.mark.parametrize(("bad", "reason"), BAD)
def test_the_first_bad_message_is_named(bad: bytes, reason: str) -> None:
    good = b'{"a": 1}'
    decoding = decoder("json", SCHEMA).open(context())
    for values in ([bad, None, good], [good, None, good, bad, bad, b"?"], [good] * 5 + [bad]):
        with pytest.raises(BadMessage, match="cannot be read as JSON") as refused:
            decoding.decode(messages(*values))
        assert refused.value.index == values.index(bad)
        assert refused.value.found is not None
        assert reason in refused.value.found or (reason == "too " and "DepthLimit" in refused.value.found)


@pytest.mark.parametrize(
    ("bad", "column"),
    [('"2020-13-01"', "d"), ("-1", "u"), ("128", "i"), ('"r"', "e"), ("1", "b"), ("5", "d")],
)
def test_values_that_do_not_fit_are_no_nulls(bad: str, column: str) -> None:
    good = b'{"d": "2020-02-29", "u": 18446744073709551615, "i": -128, "e": "q", "b": true}'
    row = {"d": dt.date(2020, 2, 29), "u": 2**64 - 1, "i": -128, "e": "q", "b": True}
    assert decoded(DATED, good, None) == [row, {}]
    with pytest.raises(BadMessage) as refused:
        decoder("json", DATED).open(context()).decode(messages(good, f'{{"{column}": {bad}}}'.encode(), good))
    assert refused.value.index == 1


EXACT = pl.Schema({"m": pl.Decimal(20, 2), "h": pl.Time()})


def test_decimals_and_times_of_day_are_exact() -> None:
    found = decoded(EXACT, b'{"m": 0.10, "h": "01:02:03.5"}', None, b'{"m": "12345678901234567.89"}')
    assert found == [
        {"m": Decimal("0.10"), "h": dt.time(1, 2, 3, 500_000)},
        {},
        {"m": Decimal("12345678901234567.89")},
    ]
    for bad in (b'{"m": 0.125}', b'{"m": "x"}', b'{"h": "25:00:00"}', b'{"h": "x"}', b'{"m": [1]}'):
        with pytest.raises(BadMessage) as refused:
            decoder("json", EXACT).open(context()).decode(messages(b"{}", bad, None))
        assert refused.value.index == 1 and "blank" not in str(refused.value.found)


def test_the_parts_of_a_column_of_messages() -> None:
    values = messages(b"?", b'{"a": 1}\n', b'{"a": 2}\n', None, b'{"a": 3}', b"?")
    decoding = decoder("json", SCHEMA).open(context())

    def read(part: pa.LargeBinaryArray) -> list[int | None]:
        return decoding.decode(part).frame["a"].to_list()

    assert read(values[1:5]) == [1, 2, None, 3]
    assert read(values[2:4]) == [2, None]
    without_buffers = pa.Array.from_buffers(pa.large_binary(), 0, [None, None, pa.py_buffer(b"")])
    assert read(values[:0]) == read(pa.array([], pa.large_binary())) == read(without_buffers) == []
    assert read(values[1:3]) == [1, 2]  # their bytes are lines already
    assert LineWriter(b"{}").of(values[1:3]) == b'{"a": 1}\n{"a": 2}\n'
    assert read(messages(b'{"a": 1}\n', b"{}\n")) == [1, None]


def test_what_is_no_fault_of_a_message_is_no_bad_message(monkeypatch: pytest.MonkeyPatch) -> None:
    decoding = decoder("json", SCHEMA).open(context())

    def fail(rows: object, block: bytes) -> Any:
        if b"\n" in block:
            raise MemoryError
        return pl.DataFrame(schema=SCHEMA).clear(1), 0

    monkeypatch.setattr("arrowstream.io.files.text.ndjson_rows.NdjsonRows.read", fail)
    with pytest.raises(MemoryError):
        decoding.decode(messages(b"{}", b"{}"))


@pytest.mark.parametrize("dtype", [pl.Binary(), pl.Duration("us"), pl.Object()])
def test_types_that_json_has_no_values_of_are_refused(dtype: Any) -> None:
    with pytest.raises(SchemaError, match="cannot be read from"):
        decoder("json", pl.Schema({"x": dtype}))
    with pytest.raises(SchemaError, match="not known"):
        decoder("json", pl.Schema({}))


def test_types_are_inferred_from_the_first_messages() -> None:
    unknown = decoder("json")
    assert unknown.schema is None
    values = messages(b'{"a": 1, "l": []}', b"{", None, b'{"a": 2.5, "s": "x"}', b'{"a": "\xff"}')
    assert unknown.settled(values).schema == {"a": pl.Float64, "l": pl.List(pl.String), "s": pl.String}
    for nothing in (messages(), messages(None, b"{}"), messages(b"5", b"")):
        with pytest.raises(SchemaError, match="not known"):
            unknown.settled(nothing)


ROWS = pl.DataFrame(
    {
        "i": [2**63 - 1, None, -(2**63), 0],
        "u": pl.Series([2**64 - 1, None, 0, 1], dtype=pl.UInt64),
        "small": pl.Series([-128, None, 127, 0], dtype=pl.Int8),
        "f": [0.1, None, -0.0, 1e300],
        "short": pl.Series([0.1, None, -0.0, 3e38], dtype=pl.Float32),
        "b": [True, None, False, True],
        "s": ['q"\\\n\t\x00', None, "", "\u2028é\U0001f600"],
        "number": ["1.10", None, "true", "[1]"],
        "c": pl.Series(["x", None, "y", "x"], dtype=pl.Categorical),
        "e": pl.Series(["x", None, "y", "x"], dtype=pl.Enum(["y", "x"])),
        "d": [dt.date(1, 1, 1), None, dt.date(9999, 12, 31), dt.date(2020, 2, 29)],
        "t": pl.Series([0, None, -1, 1_600_000_000_000_001], dtype=pl.Datetime("us")),
        "ms": pl.Series([0, None, -1, 1_600_000_000_001], dtype=pl.Datetime("ms")),
        "ns": pl.Series([0, None, -1, 1_600_000_000_000_000_001], dtype=pl.Datetime("ns")),
        "z": pl.Series([0, None, -1, 1_600_000_000_000_001], dtype=pl.Datetime("us", "UTC")),
        "o": [{"x": 1, "t": "y"}, None, {"x": None, "t": ""}, {"x": 2, "t": "1"}],
        "l": [[1, None], None, [], [2]],
        "lo": [[{"x": "a"}], None, [], [{"x": None}]],
        "a": pl.Series([[1, 2], None, [6, 3], [4, 5]], dtype=pl.Array(pl.Int64, 2)),
        "m": [Decimal("1.50"), None, Decimal("-0.01"), Decimal("99999999999999999999")],
        "h": [dt.time(0), None, dt.time(23, 59, 59, 999_999), dt.time(1)],
        "n": [None] * 4,
    }
)


def parts(frame: pl.DataFrame) -> list[pl.DataFrame]:
    return [frame, frame[1:3], frame[:0]]


@pytest.mark.parametrize(
    "rows",
    # Polars 1.35 writes rows of arrays after a null wrongly if the column had several chunks.
    [*parts(ROWS), pl.concat([ROWS.drop("a"), ROWS.drop("a")[:2]], rechunk=False)],
)
def test_what_is_encoded_is_decoded(rows: pl.DataFrame) -> None:
    coder, decoding = encoder("json"), decoder("json", rows.schema)
    assert coder.label == decoding.label == "json"
    coder.check(rows.schema)
    values = coder.open(rows.schema, context()).encode(rows)
    assert values.type == pa.large_binary() and len(values) == rows.height
    assert all(b"\n" not in value and json.loads(value) for value in values.to_pylist())
    assert decoding.open(context()).decode(values).frame.equals(rows)


def test_values_that_json_lacks_are_written_as_in_files() -> None:
    frame = pl.DataFrame({"f": [float("nan"), float("inf"), 1.5]})
    written = encoder("json").open(frame.schema, context()).encode(frame)
    assert written.to_pylist() == [b'{"f":null}', b'{"f":null}', b'{"f":1.5}']
    with pytest.raises(SchemaError, match="JSON has no such values"):
        encoder("json").check(pl.Schema({"x": pl.Binary}))


VALUES = st.one_of(
    st.none(),
    st.sampled_from([value for value, _ in BAD[:22]]),
    st.fixed_dictionaries(
        {},
        optional={
            "a": st.none() | st.integers(-(2**63), 2**63 - 1),
            "s": st.none() | st.text() | st.integers(-99, 99),
            "o": st.none() | st.fixed_dictionaries({"t": st.text()}),
            "z": st.lists(st.text()),
        },
    ).flatmap(
        lambda value: st.sampled_from(
            [json.dumps(value).encode(), json.dumps(value, ensure_ascii=False, indent=1).encode()]
        )
    ),
)


def good_row(value: bytes | None) -> bool:
    return value is None or value not in {bad for bad, _ in BAD}


@given(st.lists(VALUES, max_size=12), st.lists(st.integers(0, 12), max_size=3))
@settings(max_examples=examples(40))
def test_the_rows_are_the_same_wherever_messages_are_cut(values: list[bytes | None], cuts: list[int]) -> None:
    decoding = decoder("json", SCHEMA).open(context())
    column = messages(*values)
    bounds = sorted({0, len(values), *(min(cut, len(values)) for cut in cuts)})
    bad = [index for index, value in enumerate(values) if not good_row(value)]
    parts = []
    for start, stop in pairwise(bounds):
        inside = [index for index in bad if start <= index < stop]
        if not inside:
            parts.append(decoding.decode(column[start:stop]).frame)
            continue
        with pytest.raises(BadMessage) as refused:
            decoding.decode(column[start:stop])
        assert refused.value.index == inside[0] - start
    alone = [decoding.decode(messages(value)).frame for value in values if good_row(value)]
    if not bad and values:
        assert pl.concat(parts).equals(pl.concat(alone))


@pytest.mark.parametrize("at", [0, 2, 4])
def test_handlers_keep_the_neighbours_of_bad_messages(at: int) -> None:
    values = [f'{{"a": {number}}}'.encode() for number in range(5)]
    values[at] = b'{"a": "x"}'
    good = [number for number in range(5) if number != at]
    bad, kept = TestSink(), TestSink()
    coder: Any = JsonDecoder(pl.Schema({"a": pl.Int64}))
    source = Messages((offered("t[0]", 10, *values),), coder)
    Pipeline.builder().source(source).on_error(ErrorHandler.dead_letter(bad)).sink(kept).build().run_sync()
    assert kept.received() == good
    assert bad.frame().select("value", "position").rows() == [
        (values[at], f"t[0] offsets {10 + at}-{11 + at}")
    ]
    skipped = Pipeline.builder().source(source).on_error(ErrorHandler.skip()).collect_sync()
    assert skipped["a"].to_list() == good
    with pytest.raises(BadMessage) as refused:
        Pipeline.builder().source(source).collect_sync()
    assert refused.value.position == f"t[0] offsets {10 + at}-{11 + at}"
