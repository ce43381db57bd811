"""Avro messages: rows as fastavro reads and writes them, one datum a message."""

import datetime as dt
import decimal
import json
import math
import random
import uuid
from collections.abc import Iterator

import polars as pl
import pyarrow as pa
import pytest
from contexts import context
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from messages import datum, messages, record, rows_of
from polars.testing import assert_frame_equal

from arrowstream.connectors.messages import AvroOptions
from arrowstream.errors import BadMessage, PlanError, SchemaError, SinkError
from arrowstream.io.messages.avro import datums
from arrowstream.io.messages.avro.derived import derived_schema
from arrowstream.io.messages.formats import decoder, encoder
from arrowstream.io.messages.wire import byte_ranges, varints

UTC = dt.UTC
MOMENT = dt.datetime(2020, 1, 2, 3, 4, 5, 678000)
COLOR = {"type": "enum", "name": "Color", "symbols": ["red", "blue"]}
POINT = {"type": "record", "name": "Point", "fields": [{"name": "x", "type": "double"}]}
DIGITS = {"logicalType": "decimal", "precision": 9, "scale": 2}


def logical(plain: object, name: str) -> dict[str, object]:
    return {"type": plain, "logicalType": name}


TYPES = {
    "boolean": ("boolean", pl.Boolean(), [True, False]),
    "int": ("int", pl.Int32(), [1, -(2**31)]),
    "long": ("long", pl.Int64(), [2**63 - 1, -(2**63), 300, -65]),
    "float": ("float", pl.Float32(), [1.5, -0.0]),
    "double": ("double", pl.Float64(), [1.1, math.inf]),
    "bytes": ("bytes", pl.Binary(), [b"", b"\xff" * 200]),
    "string": ("string", pl.String(), ["", "é" * 100]),
    "enum": (COLOR, pl.Enum(["red", "blue"]), ["blue", "red"]),
    "fixed": ({"type": "fixed", "name": "F", "size": 3}, pl.Binary(), [b"abc"]),
    "record": (POINT, pl.Struct({"x": pl.Float64()}), [{"x": 1.0}]),
    "date": (logical("int", "date"), pl.Date(), [dt.date(1900, 1, 1)]),
    "time-millis": (logical("int", "time-millis"), pl.Time(), [dt.time(1, 2, 3)]),
    "time-micros": (logical("long", "time-micros"), pl.Time(), [dt.time(23, 59, 59, 999999)]),
    "ms": (logical("long", "timestamp-millis"), pl.Datetime("ms", "UTC"), [MOMENT.replace(tzinfo=UTC)]),
    "us": (logical("long", "timestamp-micros"), pl.Datetime("us", "UTC"), [MOMENT.replace(tzinfo=UTC)]),
    "local ms": (logical("long", "local-timestamp-millis"), pl.Datetime("ms"), [MOMENT]),
    "local us": (logical("long", "local-timestamp-micros"), pl.Datetime("us"), [MOMENT]),
    "uuid": (logical("string", "uuid"), pl.String(), ["2f8b5c0e-7d3c-4d0b-9c6a-0a8c5d1e2f3b"]),
    "decimal": (
        {"type": "bytes", **DIGITS},
        pl.Decimal(9, 2),
        [decimal.Decimal("-9999999.99"), decimal.Decimal(0)],
    ),
    "fixed decimal": (
        {"type": "fixed", "name": "D", "size": 5, **DIGITS},
        pl.Decimal(9, 2),
        [decimal.Decimal("1.25"), decimal.Decimal("-7.00")],
    ),
}
"""Avro types, the types of their columns, and values."""


@pytest.fixture(params=["compiled", "plain"])
def both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run compiled functions as machine code, and as the Python that they are written in."""
    if request.param == "plain":
        monkeypatch.setattr(datums, "read_datums", datums.read_datums.py_func)
        monkeypatch.setattr(byte_ranges, "copy_ranges", byte_ranges.copy_ranges.py_func)
        monkeypatch.setattr(varints, "append_values", varints.append_values.py_func)


def plain(value: object) -> object:
    """The same, with texts in place of UUIDs."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, uuid.UUID) else value


def decode(schema: object, values: pa.LargeBinaryArray, columns: pl.Schema | None = None) -> pl.DataFrame:
    return decoder("avro", columns, AvroOptions(schema)).open(context()).decode(values).frame


def encode(frame: pl.DataFrame, schema: object = None) -> pa.LargeBinaryArray:
    encoding = encoder("avro", AvroOptions(schema))
    encoding.check(frame.schema)
    return encoding.open(frame.schema, context()).encode(frame)


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.usefixtures("both_ways")
def test_every_type_is_read_and_written_as_fastavro_does(name: str) -> None:
    kind, dtype, values = TYPES[name]
    again = kind.get("name", kind) if isinstance(kind, dict) else kind
    schema = record(
        ("x", kind),
        ("n", ["null", again]),
        ("m", [again, "null"]),
        ("l", {"type": "array", "items": ["null", again]}),
    )
    some = [{"x": value, "n": None, "m": value, "l": []} for value in values]
    full = [{"x": value, "n": value, "m": None, "l": [value, None, *values]} for value in values]
    frame = decode(schema, messages(b"other", *(datum(schema, row) for row in (*some, *full)))[1:])
    assert dict(frame.schema) == {"x": dtype, "n": dtype, "m": dtype, "l": pl.List(dtype)}
    assert frame.to_dicts() == some + full
    written = encode(frame, schema)
    assert plain(rows_of(schema, written)) == some + full
    assert decode(schema, written).equals(frame)
    assert rows_of(schema, encode(frame.head(1)[:0], schema)) == []


@pytest.mark.usefixtures("both_ways")
def test_maps_are_lists_of_keys_and_values_and_blocks_may_say_their_size() -> None:
    schema = record(
        ("m", {"type": "map", "values": ["null", "int"]}), ("l", {"type": "array", "items": "int"})
    )
    by_hand = b"\x01\x08" + b"\x02a\x02\x0e" + b"\x00" + b"\x02\x02\x04\x04\x06\x00"
    frame = decode(schema, messages(by_hand, datum(schema, {"m": {"k": None, "é": 7}, "l": []})))
    assert frame.rows() == [
        ([{"key": "a", "value": 7}], [1, 2, 3]),
        ([{"key": "k", "value": None}, {"key": "é", "value": 7}], []),
    ]
    assert rows_of(schema, encode(frame, schema)) == [
        {"m": {"a": 7}, "l": [1, 2, 3]},
        {"m": {"k": None, "é": 7}, "l": []},
    ]


EVERYTHING = pl.DataFrame(
    {
        "i8": pl.Series([1, -128, None], dtype=pl.Int8),
        "u32": pl.Series([2**32 - 1, 0, None], dtype=pl.UInt32),
        "u64": pl.Series([2**63 - 1, 0, None], dtype=pl.UInt64),
        "spaced": pl.Series(["a b", "b", None], dtype=pl.Enum(["a b", "b"])),
        "category": pl.Series(["x", "y", None], dtype=pl.Categorical),
        "zoned": pl.Series([MOMENT, MOMENT, None], dtype=pl.Datetime("us", "Europe/Paris")),
        "ns": pl.Series([MOMENT, MOMENT, None], dtype=pl.Datetime("ns", "UTC")),
        "local_ns": pl.Series([MOMENT, MOMENT, None], dtype=pl.Datetime("ns")),
        "lists": [[{"a": 1, "b": ["x"]}, None], [], None],
        "struct": [{"a": 1, "b": None}, None, {"a": None, "b": "x"}],
        "enums": pl.Series([["a", None], [], None], dtype=pl.List(pl.Enum(["a", "b"]))),
        "pairs": pl.Series([[1, 2], None, [3, 4]], dtype=pl.Array(pl.Int16, 2)),
        "bytes": pl.Series([[2, 1], None, [3, 4]], dtype=pl.List(pl.UInt8)),
        **{
            name: pl.Series([*values[:2], None][-3:], dtype=dtype).extend_constant(None, 2)[:3]
            for name, (_, dtype, values) in TYPES.items()
            if " " not in name and "-" not in name
        },
    }
)


def test_rows_of_every_column_type_come_back_and_fastavro_reads_them() -> None:
    for start in range(3):
        frame = EVERYTHING[start:]
        written = encode(frame)
        assert_frame_equal(decoder("avro", frame.schema).open(context()).decode(written).frame, frame)
        rows = rows_of(derived_schema(frame.schema), written)
        assert [row["struct"] for row in rows] == frame["struct"].to_list()
        assert [row["category"] for row in rows] == frame["category"].to_list()


@pytest.mark.once
@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize(
    ("kind", "content", "found"),
    [
        ("int", b"", "end within a value"),
        ("int", b"\x80", "end within a value"),
        ("int", b"\x02\x02", "left after the last value"),
        ("int", b"\xff\xff\xff\xff\x7f", "out of the range"),
        ("long", b"\xff" * 9 + b"\x02", "more than 64 bits"),
        ("long", b"\x80" * 11, "more than 64 bits"),
        ("boolean", b"\x02", "neither 0 nor 1"),
        ("boolean", b"", "end within"),
        ("double", b"\x00" * 7, "end within"),
        ("string", b"\x04a", "does not fit the message"),
        ("string", b"\x01", "does not fit the message"),
        ("string", b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", "does not fit the message"),
        ("string", b"\x02\xff", "not UTF-8"),
        (["null", "int"], b"\x04\x02", "index of a union"),
        (["null", "int"], b"\x01\x02", "index of a union"),
        (["null", "int"], b"", "end within"),
        (COLOR, b"\x04", "out of the range"),
        (logical("int", "time-millis"), b"\x01", "out of the range"),
        ({"type": "bytes", **DIGITS}, b"\x22" + b"\x00" * 17, "more than 16 bytes"),
        ({"type": "bytes", **DIGITS}, b"\x0a\x40\x00\x00\x00\x00", "more than 9 digits"),
        ({"type": "fixed", "name": "F", "size": 3}, b"ab", "does not fit the message"),
        ({"type": "array", "items": "int"}, b"\x04\x02\x02", "end within"),
        ({"type": "array", "items": "int"}, b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01\x02", "does not fit"),
        ({"type": "array", "items": "int"}, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x02", "does not fit"),
        ({"type": "array", "items": "int"}, b"\x01\x80", "end within"),
        ({"type": "array", "items": "int"}, b"\x01\x09\x02\x00", "does not fit"),
        ({"type": "array", "items": "string"}, b"\x04\x02a\x02\xff\x00", "not UTF-8"),
    ],
)
def test_a_bad_message_is_named_and_does_not_touch_its_neighbours(kind, content, found) -> None:
    schema = record(("x", kind))
    good = datum(schema, {"x": VALID[str(kind)]})
    rows = decode(schema, messages(good, good))
    for values in ([content], [good, content, content], [content, good], [good, good, None, content, good]):
        with pytest.raises(BadMessage, match=found) as refused:
            decode(schema, messages(*values))
        assert refused.value.index == values.index(content)
    assert decode(schema, messages(good, None, good)).equals(
        pl.concat([rows[:1], rows[:1].clear(1), rows[:1]])
    )


VALID = {
    "int": 1,
    "long": 1,
    "boolean": True,
    "double": 1.0,
    "string": "x",
    str(["null", "int"]): 1,
    str(COLOR): "red",
    str(logical("int", "time-millis")): dt.time(1),
    str({"type": "bytes", **DIGITS}): decimal.Decimal("1.25"),
    str({"type": "fixed", "name": "F", "size": 3}): b"abc",
    str({"type": "array", "items": "int"}): [1],
    str({"type": "array", "items": "string"}): ["x"],
}


def test_the_first_bad_message_is_named_whatever_is_bad_about_it() -> None:
    schema = record(("a", "string"), ("b", "string"))
    good, first, second, cut = b"\x02a\x02b", b"\x02\xff\x02b", b"\x02a\x02\xff", b"\x02a"
    for values in ([good, first, second, cut], [good, second, first, cut]):
        with pytest.raises(BadMessage, match="not UTF-8") as refused:
            decode(schema, messages(*values))
        assert refused.value.index == 1


def test_a_message_with_a_byte_too_many_is_not_made_up_for_by_the_next_one() -> None:
    schema = record(("a", "string"), ("b", "string"))
    whole = messages(b"\x02a\x02b", b"\x02c\x02d")
    assert decode(schema, whole).rows() == [("a", "b"), ("c", "d")]
    cut = messages(b"\x02a\x02b\x02c", b"\x02d")
    with pytest.raises(BadMessage, match="left after") as refused:
        decode(schema, cut)
    assert refused.value.index == 0


def test_fields_become_the_declared_columns() -> None:
    inner = record(("old", "int"), ("gone", "string"))
    written = record(
        *(
            ("i", "int"),
            ("l", "long"),
            ("f", "float"),
            ("s", "string"),
            ("b", "bytes"),
            ("e", COLOR),
            ("dropped", "int"),
        ),
        ("symbol", "Color"),
        ("r", ["null", {**inner, "name": "Inner"}]),
        ("rs", {"type": "array", "items": "Inner"}),
        ("t", logical("long", "timestamp-millis")),
        ("d", {"type": "bytes", **DIGITS}),
    )
    wanted = pl.Schema(
        {
            "missing": pl.List(pl.String()),
            "e": pl.String(),
            "d": pl.Decimal(20, 4),
            "t": pl.Datetime("us", "Europe/Paris"),
            "rs": pl.List(pl.Struct({"new": pl.Int8(), "old": pl.Float64()})),
            "r": pl.Struct({"old": pl.Int64()}),
            "b": pl.String(),
            "s": pl.Enum(["x", "y"]),
            "f": pl.Float64(),
            "l": pl.Float32(),
            "i": pl.Int16(),
            "symbol": pl.Enum(["green", "blue"]),
        }
    )
    row = {
        "i": 7,
        "l": 2,
        "f": 1.5,
        "s": "x",
        "b": b"y",
        "e": "blue",
        "dropped": 0,
        "r": None,
        "symbol": "blue",
    }
    row |= {"rs": [{"old": 1, "gone": ""}], "t": MOMENT, "d": decimal.Decimal("1.25")}
    frame = decode(written, messages(datum(written, row)), wanted)
    assert frame.schema == wanted
    moment = MOMENT.replace(tzinfo=UTC)
    expected = (
        None,
        "blue",
        decimal.Decimal("1.25"),
        moment,
        [{"new": None, "old": 1.0}],
        None,
        "y",
        "x",
        1.5,
        2.0,
        7,
        "blue",
    )
    assert frame.rows() == [expected]
    good, bad = datum(written, row), datum(written, {**row, "i": 2**20})
    with pytest.raises(BadMessage, match="does not fit the declared column") as refused:
        decode(written, messages(good, good, bad, good, bad), wanted)
    assert refused.value.index == 2


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        ("string", pl.Int64()),
        ("double", pl.Int64()),
        ("boolean", pl.Int8()),
        (logical("long", "timestamp-micros"), pl.Datetime("ms", "UTC")),
        (logical("long", "timestamp-micros"), pl.Datetime("us")),
        ({"type": "bytes", **DIGITS}, pl.Decimal(9, 1)),
        ({"type": "array", "items": "string"}, pl.List(pl.Int64())),
        ("bytes", pl.List(pl.UInt8())),
    ],
)
def test_types_that_do_not_become_the_declared_ones_are_refused_at_once(kind, dtype) -> None:
    with pytest.raises(SchemaError, match="does not become") as refused:
        decoder("avro", pl.Schema({"x": dtype}), AvroOptions(record(("x", kind))))
    assert refused.value.found.startswith("x: ")


@pytest.mark.parametrize(
    "schema",
    [
        "no.avsc",
        "{",
        "[" * 100_000,
        '"int"',
        record(),
        record(("x", ["int", "string"])),
        record(("x", "null")),
        record(("x", "Elsewhere")),
        {"type": "record", "name": "R", "fields": [{"type": "int"}]},
        {"type": "record", "name": "R", "fields": [1]},
    ],
)
def test_schemas_that_no_columns_have_are_refused(schema) -> None:
    for made in (
        lambda: decoder("avro", None, AvroOptions(schema)),
        lambda: encoder("avro", AvroOptions(schema)),
    ):
        with pytest.raises(SchemaError):
            made()


def test_a_schema_may_be_text_a_path_or_a_dict(tmp_path) -> None:
    path = tmp_path / "row.avsc"
    path.write_text(json.dumps(record(("x", "int"))))
    for schema in (path, str(path), path.read_text(), record(("x", "int"))):
        assert decoder("avro", None, AvroOptions(schema)).schema == {"x": pl.Int32}
    with pytest.raises(PlanError, match="schema that they were written with"):
        decoder("avro")
    assert decoder("avro", pl.Schema({"x": pl.Int32()})).label == encoder("avro").label == "avro"


@pytest.mark.parametrize(
    "schema",
    [
        {"a b": pl.Int64()},
        {"x": pl.Duration()},
        {"x": pl.Struct({"1": pl.Int64()})},
        {"x": pl.Struct({})},
        {"x": pl.List(pl.Null())},
        {},
    ],
)
def test_columns_that_avro_does_not_have_are_refused(schema) -> None:
    with pytest.raises(SchemaError):
        encoder("avro").check(pl.Schema(schema))


def test_columns_must_fit_the_given_schema() -> None:
    schema = record(("x", "int"), ("n", ["null", "int"]), ("e", COLOR))
    schema["fields"].append({"name": "d", "type": "string", "default": "none"})
    frame = pl.DataFrame({"e": ["red", "blue"], "x": pl.Series([1, 2], dtype=pl.Int64)})
    expected = [{"x": 1, "n": None, "e": "red", "d": "none"}, {"x": 2, "n": None, "e": "blue", "d": "none"}]
    assert rows_of(schema, encode(frame, schema)) == expected
    for columns, found in (
        ({"x": pl.Int64()}, "'e' has no column"),
        ({**frame.schema, "xx": pl.Int8()}, "no field 'xx'"),
    ):
        with pytest.raises(SchemaError, match=found):
            encoder("avro", AvroOptions(schema)).check(pl.Schema(columns))
    with pytest.raises(SchemaError, match="does not have the type of its field"):
        encoder("avro", AvroOptions(schema)).check(pl.Schema({"x": pl.String(), "e": pl.String()}))


@pytest.mark.parametrize(
    ("kind", "values", "found"),
    [
        ("int", pl.Series([1, None], dtype=pl.Int32), "a null"),
        ("int", pl.Series([1, 2**40]), "conversion"),
        (COLOR, pl.Series(["red", "green"]), "conversion"),
        (
            logical("int", "time-millis"),
            pl.Series([dt.time(1), dt.time(1, 2, 3, 4)]),
            "less than 1,000,000 ns",
        ),
        ({"type": "fixed", "name": "F", "size": 1}, pl.Series([b"a", b"bc"]), "2 bytes, where Avro has 1"),
        (
            {"type": "fixed", "name": "F", "size": 1, "logicalType": "decimal", "precision": 3, "scale": 0},
            pl.Series([decimal.Decimal(1), decimal.Decimal(200)], dtype=pl.Decimal(3, 0)),
            "fit",
        ),
        ({"type": "array", "items": "int"}, pl.Series([[1], [None]], dtype=pl.List(pl.Int32)), "a null"),
    ],
)
def test_a_value_that_avro_does_not_have_is_named_by_its_row(kind, values, found) -> None:
    frame = pl.DataFrame({"x": values})
    with pytest.raises(SinkError, match="row 2 of a batch") as refused:
        encode(frame, record(("x", kind)))
    assert found in refused.value.found
    with pytest.raises(SinkError, match="row 1 of a batch"):
        encode(frame[::-1], record(("x", kind)))
    assert len(encode(frame[:1], record(("x", kind)))) == 1


def test_a_large_unsigned_number_is_not_written_as_another_one() -> None:
    with pytest.raises(SinkError, match="row 1 of a batch"):
        encode(pl.DataFrame({"x": pl.Series([2**63], dtype=pl.UInt64)}))


def test_messages_without_a_value_are_rows_of_nulls() -> None:
    frame = decode(record(("x", "int")), messages(None, None))
    assert frame.rows() == [(None,), (None,)]
    assert decode(record(("x", "int")), messages()).height == 0


@settings(max_examples=examples(20))
@given(st.data())
def test_the_cuts_of_a_stream_change_nothing(data) -> None:
    texts = st.one_of(st.none(), st.text(max_size=70))
    rows = data.draw(
        st.lists(
            st.fixed_dictionaries(
                {
                    "s": texts,
                    "i": st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
                    "l": st.one_of(st.none(), st.lists(texts, max_size=3)),
                }
            ),
            max_size=8,
        )
    )
    frame = pl.DataFrame(rows, schema={"s": pl.String(), "i": pl.Int64(), "l": pl.List(pl.String())})
    schema = derived_schema(frame.schema)
    values = encode(frame)
    assert values.to_pylist() == [datum(schema, row) for row in rows]
    start = data.draw(st.integers(0, len(rows)))
    end = data.draw(st.integers(start, len(rows)))
    assert encode(frame[start:end]).equals(values[start:end])
    assert decode(schema, values[start:end]).equals(frame[start:end])


def mutated(number: int) -> Iterator[tuple[bytes, bytes]]:
    """Good messages, and each with a change."""
    chance = random.Random(number)
    schema = record(*MUTATED)
    for _ in range(number):
        row = {
            "i": chance.randrange(-500, 500),
            "s": chance.choice([None, "x" * chance.randrange(80)]),
            "l": [chance.choice([None, "a", "é"]) for _ in range(chance.randrange(4))],
            "m": {"k": chance.random()},
            "b": chance.random() < 0.5,
            "d": decimal.Decimal(chance.randrange(-999, 999)).scaleb(-2),
        }
        good = datum(schema, row)
        bad = bytearray(good)
        match chance.randrange(4):
            case 0:
                bad[chance.randrange(len(bad))] = chance.randrange(256)
            case 1:
                del bad[chance.randrange(len(bad)) :]
            case 2:
                bad += chance.randbytes(chance.randrange(1, 9))
            case _:
                place = chance.randrange(len(bad))
                bad[place : place + chance.randrange(3)] = chance.randbytes(chance.randrange(12))
        yield good, bytes(bad)


MUTATED = (
    ("i", "long"),
    ("s", ["null", "string"]),
    ("l", {"type": "array", "items": ["string", "null"]}),
    ("m", {"type": "map", "values": "double"}),
    ("b", "boolean"),
    ("d", {"type": "bytes", **DIGITS}),
)


@pytest.mark.once
def test_mutated_messages_are_read_as_fastavro_reads_them_or_named() -> None:
    schema = record(*MUTATED)
    outcomes = []
    for good, bad in mutated(200):
        try:
            frame = decode(schema, messages(good, bad, good))
        except BadMessage as error:
            assert error.index == 1
            outcomes.append(False)
            continue
        outcomes.append(True)
        (row,) = rows_of(schema, messages(bad))
        found = frame.to_dicts()[1]
        assert [each["key"] for each in {each["key"]: each for each in found["m"]}.values()] == list(row["m"])
        assert {**found, "m": 0} == {**row, "m": 0}
    assert 10 < sum(outcomes) < 190
