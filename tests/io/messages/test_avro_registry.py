"""Avro messages with Confluent's header, and schemas in a registry."""

import json
from collections.abc import Iterator

import polars as pl
import pyarrow as pa
import pytest
from contexts import context
from messages import datum, messages, record, rows_of
from registry_server import Registry, schema_registry

from arrowstream.connectors.messages import AvroOptions, SchemaRegistry
from arrowstream.errors import BadMessage, PlanError, SchemaError, SinkError, SourceError
from arrowstream.io.messages.formats import decoder, encoder

OLD = record(("id", "int"), ("name", "string"))
NEW = record(("id", "long"), ("score", ["null", "double"]))


@pytest.fixture
def registry() -> Iterator[Registry]:
    with schema_registry() as found:
        yield found


def options(registry: Registry, schema: object = None, subject: str | None = None) -> AvroOptions:
    return AvroOptions(schema, SchemaRegistry(registry.url, tries=1), subject)


def framed(registry: Registry, schema: object, row: object) -> bytes:
    return b"\0" + registry.add(schema).to_bytes(4, "big") + datum(schema, row)


def decode(
    registry: Registry, values: pa.LargeBinaryArray, columns: object = None, schema: object = None
) -> pl.DataFrame:
    made = decoder("avro", columns, options(registry, schema))
    made = made if made.schema is not None else made.settled(values)
    assert made.waits
    decoding = made.open(context())
    frame = decoding.decode(values).frame
    decoding.close()
    assert frame.schema == made.schema
    return frame


def test_messages_of_several_schemas_come_in_their_order_with_the_declared_columns(registry) -> None:
    old = [framed(registry, OLD, {"id": number, "name": "x"}) for number in range(3)]
    new = [framed(registry, NEW, {"id": 2**40, "score": 0.5})]
    values = messages(b"other", old[0], new[0], None, old[1], *new, old[2])[1:]
    wanted = pl.Schema({"score": pl.Float64(), "id": pl.Int64()})
    rows = [(None, 0), (0.5, 2**40), (None, None), (None, 1), (0.5, 2**40), (None, 2)]
    assert decode(registry, values, wanted).rows() == rows
    assert registry.requests == ["GET /schemas/ids/1", "GET /schemas/ids/2"]
    assert decode(registry, messages(None), wanted).rows() == [(None, None)]


def test_without_columns_the_latest_schema_of_the_first_messages_counts(registry) -> None:
    values = messages(
        framed(registry, OLD, {"id": 1, "name": "x"}), framed(registry, NEW, {"id": 2, "score": None}), None
    )
    assert decode(registry, values).rows() == [(1, None), (2, None), (None, None)]
    assert decode(registry, values[:1]).rows() == [(1, "x")]


def test_missing_fields_have_the_defaults_of_the_readers_schema(registry) -> None:
    inner = {**record(("a", "int")), "name": "Inner"}
    written = record(("id", "int"), ("inner", inner))
    reader = record(
        ("id", "long"),
        ("inner", {**inner, "fields": [*inner["fields"], {"name": "b", "type": "int", "default": 7}]}),
    )
    defaults = {
        "text": ("string", "none"),
        "raw": ("bytes", "\u00ff"),
        "color": ({"type": "enum", "name": "C", "symbols": ["red", "blue"]}, "blue"),
        "day": ({"type": "int", "logicalType": "date"}, 1),
        "items": ({"type": "array", "items": "long"}, []),
        "maybe": (["null", "int"], None),
    }
    reader["fields"] += [
        {"name": name, "type": kind, "default": value} for name, (kind, value) in defaults.items()
    ]
    values = messages(
        *(framed(registry, written, {"id": number, "inner": {"a": number}}) for number in (1, 2))
    )
    frame = decode(registry, values, None, reader)
    more = {"text": "none", "raw": b"\xff", "color": "blue", "items": [], "maybe": None}
    rows = frame.with_columns(pl.col("day").to_physical()).to_dicts()
    assert rows == [{"id": number, "inner": {"a": number, "b": 7}, **more, "day": 1} for number in (1, 2)]
    for kind, value in (("int", "x"), ("bytes", 1), ({"type": "array", "items": "int"}, ["x"])):
        wrong = record(("id", "int"))
        wrong["fields"].append({"name": "d", "type": kind, "default": value})
        with pytest.raises(SchemaError, match="default of the Avro field 'd'"):
            decoder("avro", None, options(registry, wrong))


def test_a_schema_of_several_subjects_is_put_together(registry) -> None:
    inner = {"type": "record", "name": "Inner", "namespace": "n", "fields": [{"name": "a", "type": "int"}]}
    registry.add(inner, "inner")
    outer = record(("one", "n.Inner"), ("more", {"type": "array", "items": ["null", "n.Inner"]}))
    number = registry.add(outer, references=[{"name": "n.Inner", "subject": "inner", "version": 1}])
    whole = record(("one", inner), ("more", {"type": "array", "items": ["null", "n.Inner"]}))
    value = b"\0" + number.to_bytes(4, "big") + datum(whole, {"one": {"a": 1}, "more": [None, {"a": 2}]})
    assert decode(registry, messages(value)).rows() == [({"a": 1}, [None, {"a": 2}])]


def test_the_first_bad_message_is_named_whatever_its_schema(registry) -> None:
    old = framed(registry, OLD, {"id": 1, "name": "x"})
    new = framed(registry, NEW, {"id": 2, "score": 0.5})
    unfit = framed(registry, record(("id", "string")), {"id": "x"})
    odd = [
        b"\0" + registry.add(text, schemaType=kind).to_bytes(4, "big")
        for text, kind in (("x", "PROTOBUF"), ("x", "AVRO"), ('"int"', "AVRO"))
    ]
    wanted = pl.Schema({"id": pl.Int64()})
    for bad, found in (
        (b"", "no header"),
        (b"\0\0\0\0", "no header"),
        (b"\1\0\0\0\1\2\2x", "no header"),
        (b"\0\0\0\1\0", "schema that the registry does not have"),
        (old + b"x", "not an Avro record"),
        (new[:-1], "not an Avro record"),
        (unfit, "cannot have the declared columns"),
        *((value, "cannot have the declared columns") for value in odd),
    ):
        for values in (
            [bad],
            [bad, new, old],
            [old, new, bad, old + b"y", new],
            [new, None, bad, new[:-1], b"", old],
        ):
            with pytest.raises(BadMessage, match=found) as refused:
                decode(registry, messages(*values), wanted)
            assert refused.value.index == values.index(bad)


def test_first_messages_that_show_no_columns_are_errors(registry) -> None:
    for values, found in (
        (messages(None), "show no columns"),
        (messages(b"\0\0\0\0\7"), "registry does not have: id 7"),
    ):
        with pytest.raises((SchemaError, SourceError), match=found):
            decode(registry, values)


def test_a_registry_that_fails_is_no_bad_message(registry) -> None:
    value = framed(registry, OLD, {"id": 1, "name": "x"})
    registry.answers = [(500, b"down")]
    with pytest.raises(SourceError, match="status 500") as refused:
        decode(registry, messages(value), pl.Schema({"id": pl.Int64()}))
    assert not isinstance(refused.value, BadMessage)


def test_a_sink_registers_its_schema_once_and_writes_its_id(registry) -> None:
    frame = pl.DataFrame({"id": [1, 2], "name": ["x", None]})
    registry.add("taken")
    made = encoder("avro", options(registry))
    with pytest.raises(PlanError, match="registered under a subject"):
        made.check(frame.schema)
    made = made.for_topic("flights")
    made.check(frame.schema)
    assert made.for_topic("other") is made
    assert made.label == f"avro, subject flights-value of {registry.url}"
    encoding = made.open(frame.schema, context())
    values = [encoding.encode(frame) for _ in range(2)][1]
    assert registry.requests == ["POST /subjects/flights-value/versions"]
    assert all(value[:5] == b"\0\0\0\0\2" for value in values.to_pylist())
    schema = json.loads(registry.schemas[2]["schema"])
    assert rows_of(schema, messages(*(value[5:] for value in values.to_pylist()))) == frame.to_dicts()
    assert decode(registry, values).equals(frame)
    assert decoder("avro", None, options(registry)).label == f"avro, schemas from {registry.url}"
    registry.answers = [(409, b"incompatible")]
    with pytest.raises(SinkError, match="incompatible"):
        made.open(frame.schema, context()).encode(frame)
    assert [encoder(name).for_topic("t").label for name in ("avro", "raw")] == ["avro", "raw"]
