"""JSON objects that the compiled loop reads, and those that it leaves to Polars: the rows are the same."""

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

import hypothesis.strategies as st
import polars as pl
import pyarrow as pa
import pytest
from contexts import context
from effort import examples
from hypothesis import given, settings

from arrowstream.errors import BadMessage
from arrowstream.io.compiled import Compiled
from arrowstream.io.messages import json as decoding_of_json
from arrowstream.io.messages.json import JsonDecoder
from arrowstream.io.messages.plain_json import reader as module
from arrowstream.io.messages.plain_json.reader import PlainReader, plain_reader

UTC = dt.UTC
SCHEMA = pl.Schema(
    {
        "i": pl.Int64(),
        "small": pl.Int8(),
        "u": pl.UInt64(),
        "f": pl.Float64(),
        "short": pl.Float32(),
        "s": pl.String(),
        "b": pl.Boolean(),
        "d": pl.Date(),
        "t": pl.Datetime("us", "UTC"),
        "n": pl.Datetime("ns"),
        "e": pl.Enum(["p", "q"]),
        "a key of more than 16 bytes": pl.Int32(),
    }
)
PLAIN: list[tuple[str, dict[str, Any]]] = [
    ("{}", {}),
    (' \t\r\n{ "i" :\n1 , "s" : "x" } ', {"i": 1, "s": "x"}),
    ('{"i":-0,"small":-128,"u":123456789012345678}', {"i": 0, "small": -128, "u": 123456789012345678}),
    ('{"a key of more than 16 bytes":5,"i":null}', {"a key of more than 16 bytes": 5}),
    ('{"e":"q","b":true,"s":"","i":7}', {"i": 7, "s": "", "b": True, "e": "q"}),
    ('{"b":false,"s":"abc"}', {"s": "abc", "b": False}),
    ('{"s":"abcd"}', {"s": "abcd"}),
    ('{"s":"twelve bytes","i":1}', {"i": 1, "s": "twelve bytes"}),
    ('{"s":"thirteen byte"}', {"s": "thirteen byte"}),
    ('{"s":"\U0001f600é"}', {"s": "\U0001f600é"}),
    (r'{"s":"\"\\\/\b\f\n\r\t"}', {"s": '"\\/\b\f\n\r\t'}),
    (r'{"s":"\u0041\u00e9\u20AC\ud83d\ude00 and more"}', {"s": "Aé€\U0001f600 and more"}),
    ('{"f":1.5,"short":0.1}', {"f": 1.5, "short": 0.10000000149011612}),
    ('{"f":-0}', {"f": 0.0}),
    ('{"f":-0.0}', {"f": -0.0}),
    ('{"f":1e5}', {"f": 1e5}),
    ('{"f":1.25E+2}', {"f": 125.0}),
    ('{"f":-2e-3}', {"f": -0.002}),
    ('{"f":0.30000000000000004}', {"f": 0.1 + 0.2}),
    ('{"f":1e23}', {"f": 1e23}),
    ('{"f":9007199254740993}', {"f": 2.0**53}),
    ('{"f":0.12345678901234567890123}', {"f": 0.12345678901234568}),
    ('{"d":"2024-02-29"}', {"d": dt.date(2024, 2, 29)}),
    ('{"d":"0001-01-01"}', {"d": dt.date(1, 1, 1)}),
    ('{"d":"9999-12-31"}', {"d": dt.date(9999, 12, 31)}),
    ('{"d":"2026-04-30"}', {"d": dt.date(2026, 4, 30)}),
    ('{"t":"1969-12-31T23:59:59Z"}', {"t": dt.datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)}),
    ('{"t":"2000-02-29 00:00:00.25+05:30"}', {"t": dt.datetime(2000, 2, 28, 18, 30, 0, 250_000, UTC)}),
    ('{"t":"2026-01-31T12:00:00.123456-01:00"}', {"t": dt.datetime(2026, 1, 31, 13, 0, 0, 123_456, UTC)}),
    ('{"n":"2026-08-31T12:00:00.123456000"}', {"n": dt.datetime(2026, 8, 31, 12, 0, 0, 123_456)}),
    ('{"z":[],"y":{},"x":[1,"a",{"b":[{}]},null,true,false , -1.5e3],"w":"\\n","v":0,"i":1}', {"i": 1}),
    ('{"z":{"a" : 1, "b":[[]] , "\\"":2},"i":1}', {"i": 1}),
    ('{"prices":1,"I":2,"i":3}', {"i": 3}),
    ('{"s":"the end"}', {"s": "the end"}),  # the last bytes of all messages
]
"""Messages that the loop reads, and their rows without nulls."""

LEFT = [
    "",
    " ",
    "null",
    "5",
    "[]",
    "{",
    "{]",
    "{}}",
    "{} {}",
    '{"i"',
    '{"i" ',
    '{"i":',
    '{"i": ',
    '{"i"=1}',
    '{"i":1',
    '{"i":1,',
    '{"i":1,}',
    '{"i":1;}',
    '{"i":1 "s":"x"}',
    '{"i":1,"i":2}',
    r'{"\u0069":1}',
    "{'i':1}",
    '{"i":nul}',
    '{"i":nulls}',
    '{"b":t}',
    '{"b":1}',
    '{"b":fals',
    '{"i":1.0}',
    '{"i":1e2}',
    '{"i":"1"}',
    '{"i":01}',
    '{"i":-}',
    '{"i":+1}',
    '{"i":1234567890123456789}',
    '{"small":128}',
    '{"u":-1}',
    '{"f":.5}',
    '{"f":1.}',
    '{"f":1e}',
    '{"f":1e400}',
    '{"f":1e-400}',
    '{"f":1e99999}',
    '{"f":NaN}',
    '{"s":1}',
    '{"s":"a',
    '{"s":"abc\nd"}',
    '{"s":"\\n\n"}',
    r'{"s":"\x"}',
    '{"s":"\\',
    r'{"s":"\u12"}',
    r'{"s":"\u1',
    r'{"s":"\u00g0"}',
    r'{"s":"\u0000"}',
    r'{"s":"\ud800"}',
    r'{"s":"\ud800\u0041"}',
    r'{"s":"\ud800\uffff"}',
    r'{"s":"\udc00"}',
    '{"d":20260131}',
    '{"d":"2026-01-3"}',
    '{"d":"2026-01-311"}',
    '{"d":"2026/01/31"}',
    '{"d":"2026-1-310"}',
    '{"d":"2026-13-01"}',
    '{"d":"2026-00-01"}',
    '{"d":"2026-01-00"}',
    '{"d":"2026-01-32"}',
    '{"d":"2026-04-31"}',
    '{"d":"2026-02-29"}',
    '{"d":"1900-02-29"}',
    '{"d":"0000-01-01"}',
    '{"t":"2026-01-31"}',
    '{"t":"2026-01-31T12:00:00"}',
    '{"t":"2026-01-31X12:00:00Z"}',
    '{"t":"2026-01-31T12-00:00Z"}',
    '{"t":"2026-01-31T24:00:00Z"}',
    '{"t":"2026-01-31T12:60:00Z"}',
    '{"t":"2026-01-31T12:00:60Z"}',
    '{"t":"2026-01-31T12:00:00.Z"}',
    '{"t":"2026-01-31T12:00:00.1234567Z"}',
    '{"t":"2026-01-31T12:00:00+0530"}',
    '{"t":"2026-01-31T12:00:00+24:00"}',
    '{"n":"2026-01-31T12:00:00Z"}',
    '{"n":"2263-01-01T00:00:00"}',
    '{"z":' + "[" * 61 + "]" * 61 + "}",
    '{"z":[1',
    '{"z":[1}',
    '{"z":[',
    '{"z":{"a"}}',
    '{"z":{"a":1,2}}',
    '{"z":{1:2}}',
    '{"z":{"a":1e400}}',
    '{"z":{"a',
    '{"z":tru}',
    '{"z":"\\q"}',
]
"""Messages that the loop leaves to Polars, some of which are sound."""


@pytest.fixture(params=["compiled", "plain"])
def both(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test runs with machine code, and with the plain functions that it is made of."""
    if request.param == "plain":
        monkeypatch.setattr(Compiled, "__call__", lambda self, *arguments: self.py_func(*arguments))


@pytest.fixture
def ready() -> None:
    """The loop is compiled or loaded."""
    read([b"{}"])
    assert the_reader().is_ready


def the_reader(schema: pl.Schema = SCHEMA) -> PlainReader:
    found = plain_reader(schema)
    assert found is not None
    return found


def column(messages: list[bytes | None]) -> pa.LargeBinaryArray:
    return pa.array(messages, pa.large_binary())


def read(messages: list[bytes | None], schema: pl.Schema = SCHEMA) -> tuple[pl.DataFrame, list[int]]:
    found = the_reader(schema).read(column(messages))
    assert found is not None
    assert found[0].schema == schema
    return found[0], found[1].tolist()


def by_polars(messages: list[bytes | None], monkeypatch: pytest.MonkeyPatch) -> pl.DataFrame:
    with monkeypatch.context() as patched:
        patched.setattr(decoding_of_json, "plain_reader", lambda schema: None)
        decoding = JsonDecoder(SCHEMA).open(context())
    return decoding.decode(column(messages)).frame


def test_plain_messages_are_read_as_polars_reads_them(both: None, monkeypatch: pytest.MonkeyPatch) -> None:
    values = [message.encode() for message, _ in PLAIN]
    frame, left = read([None, *values])
    assert left == []
    assert frame.row(0) == (None,) * frame.width
    for (message, row), found in zip(PLAIN, frame[1:].to_dicts(), strict=True):
        # As texts, because 0.0 and -0.0 are equal.
        there = {name: str(value) for name, value in found.items() if value is not None}
        assert there == {name: str(value) for name, value in row.items()}, message
    assert frame.equals(by_polars([None, *values], monkeypatch))
    part = the_reader().read(column([b"?", None, *values, b"?"])[1:-1])
    assert part is not None and part[0].equals(frame)


@pytest.mark.parametrize("around", [[], [b'{"s":"x"}'] * 9])
def test_other_messages_are_left(around: list[bytes], both: None) -> None:
    for message in LEFT:
        frame, left = read([*around, message.encode(), *around])
        assert left == [len(around)], message
        assert frame["s"].to_list() == ["x"] * len(around) + [None] + ["x"] * len(around)
    others = [message.encode() for message in LEFT]
    assert the_reader().read(column([*others, *around])) is None


def test_a_key_may_be_empty() -> None:
    frame, _ = read([b'{"":1,"s":"x"}'], pl.Schema({"": pl.Int64(), "s": pl.String()}))
    assert frame.to_dicts() == [{"": 1, "s": "x"}]


def test_what_is_no_utf8_or_too_much_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    assert the_reader().read(column([b'{"s":"\xff"}', b"{}"])) is None
    assert the_reader().read(column([b'{"short":1e39}', b"{}"])) is None
    monkeypatch.setattr(module, "_MOST_BYTES", 20)
    assert the_reader().read(column([b"{}"])) is not None
    assert the_reader().read(column([b'{"s":"xxxxxxxxxxxx"}', b"{}"])) is None


def test_memory_of_texts_is_used_again_and_rows_keep_theirs() -> None:
    reader = the_reader(pl.Schema({"s": pl.String()}))
    first = reader.read(column([b'{"s":"the first long text"}']))
    second = reader.read(column([b'{"s":"another long text"}']))
    assert first is not None and second is not None
    assert [first[0].item(), second[0].item()] == ["the first long text", "another long text"]


@pytest.mark.parametrize(
    "schema",
    [
        {"a": pl.List(pl.Int64)},
        {"a": pl.Int64, "b": pl.Struct({"x": pl.Int64})},
        {"a": pl.Datetime("us", "Europe/Berlin")},
        {"a": pl.Null},
        {"a": pl.Int128},
        {'a"': pl.Int64},
        {"a\n": pl.Int64},
    ],
)
def test_columns_that_are_not_plain_have_no_reader(schema: dict[str, Any]) -> None:
    assert plain_reader(pl.Schema(schema)) is None


def test_without_numba_polars_reads_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert plain_reader(SCHEMA) is None
    assert JsonDecoder(SCHEMA).open(context()).decode(column([b'{"i":1}'])).frame["i"].item() == 1


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the batches that the loop is called with."""
    sizes: list[int] = []
    honest = PlainReader.read

    def noted(self: PlainReader, values: pa.LargeBinaryArray) -> Any:
        sizes.append(len(values))
        return honest(self, values)

    monkeypatch.setattr(PlainReader, "read", noted)
    return sizes


def test_the_loop_is_loaded_for_many_messages_only(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = counted(monkeypatch)
    monkeypatch.setattr(decoding_of_json, "_MANY", 3)
    monkeypatch.setattr(PlainReader, "is_ready", property(lambda self: 3 in sizes))
    decoding = JsonDecoder(SCHEMA).open(context())
    for count in (2, 3, 1):
        assert decoding.decode(column([b'{"i":1}'] * count)).frame["i"].to_list() == [1] * count
    assert sizes == [3, 1]


def test_messages_that_are_unusual_are_read_by_polars(ready: None) -> None:
    schema = pl.Schema({"s": pl.String(), "m": pl.Decimal(9, 2), "i": pl.Int64()})
    decoding = JsonDecoder(schema).open(context())
    usual = b'{"s":"a long text, a long text","m":"1.50"}'
    unusual = [b'{"s":1.10,"m":2,"i":1234567890123456789}', b'{"s":[1.10]}']
    found = decoding.decode(column([*[usual] * 20, *unusual, None, usual])).frame
    assert found.schema == schema
    text = "a long text, a long text"
    assert found["s"].to_list() == [text] * 20 + ["1.10", "[1.10]", None, text]
    assert found["m"].cast(pl.String).to_list() == ["1.50"] * 20 + ["2.00", None, None, "1.50"]
    assert found["i"].to_list() == [None] * 20 + [1234567890123456789, None, None, None]


@pytest.mark.parametrize(
    "bad", [b'{"m":"x"}', b'{"e":"r"}', b'{"i":"1"}', b"{}{}", b'{"s":"\xff"}', b'{"f":1e39}']
)
def test_the_first_bad_message_is_named_among_plain_ones(bad: bytes, ready: None) -> None:
    schema = pl.Schema(
        {"m": pl.Decimal(9, 2), "e": pl.Enum(["q"]), "i": pl.Int64(), "s": pl.String(), "f": pl.Float32()}
    )
    values = [b'{"m":"1.5","e":"q","i":1,"s":"x"}'] * 30
    values[20] = values[25] = bad
    with pytest.raises(BadMessage) as refused:
        JsonDecoder(schema).open(context()).decode(column(values))
    assert refused.value.index == 20


def test_the_loop_is_given_up_where_most_messages_are_unusual(
    ready: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = counted(monkeypatch)
    monkeypatch.setattr(decoding_of_json, "_TRIES", 2)
    decoding = JsonDecoder(pl.Schema({"s": pl.String()})).open(context())
    usual, unusual = column([b'{"s":"x"}'] * 4), column([b'{"s":1}'] * 4)
    for values, text in ((unusual, "1"), (usual, "x"), (unusual, "1"), (unusual, "1"), (usual, "x")):
        assert decoding.decode(values).frame["s"].to_list() == [text] * 4
    assert sizes == [4] * 4


def drawn(names: list[str]) -> Iterator[st.SearchStrategy[bytes]]:
    """Messages: objects with values of any kind, and the same with one byte changed."""
    numbers = st.integers(-(2**65), 2**65) | st.floats(allow_nan=False, allow_infinity=False)
    times = st.datetimes().map(dt.datetime.isoformat) | st.dates().map(dt.date.isoformat)
    zoned = st.datetimes(timezones=st.just(UTC)).map(dt.datetime.isoformat)
    plain = st.none() | st.booleans() | numbers | st.text() | times | zoned
    nested = st.recursive(plain, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
    objects = st.dictionaries(st.sampled_from(names) | st.text(), plain | nested)
    texts = st.tuples(objects, st.booleans()).map(lambda drawn: json.dumps(drawn[0], ensure_ascii=drawn[1]))
    whole = texts.map(lambda text: text.encode("utf-8", "surrogatepass"))
    yield whole
    yield st.tuples(whole, st.integers(0), st.sampled_from(list(b'"\\{}[]:,0x \n\xff'))).map(
        lambda drawn: (lambda at: drawn[0][:at] + bytes([drawn[2]]) + drawn[0][at + 1 :])(
            drawn[1] % len(drawn[0])
        )
    )


@given(st.lists(st.one_of(*drawn(list(SCHEMA))), min_size=1, max_size=4))
@settings(max_examples=examples(100))
def test_what_is_read_is_what_polars_reads(messages: list[bytes | None]) -> None:
    with pytest.MonkeyPatch.context() as patched:
        for message in messages:
            try:
                found = the_reader().read(column([message]))
            except pl.exceptions.PolarsError:
                continue  # a category that there is not
            if found is not None and not len(found[1]):
                assert repr(found[0].rows()) == repr(by_polars([message], patched).rows())
