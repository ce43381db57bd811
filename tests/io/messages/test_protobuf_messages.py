"""Messages of Protocol Buffers: rows as the library itself reads and writes them."""

import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from contexts import context
from effort import examples
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from messages import messages
from protobuf_messages import ALL, OTHER, POINT, classes, described
from registry_server import Registry, schema_registry

from arrowstream.connectors.messages import ProtobufOptions, SchemaRegistry
from arrowstream.errors import BadMessage, MissingExtra, PlanError, SchemaError, SinkError
from arrowstream.io.messages.formats import decoder, encoder
from arrowstream.io.messages.protobuf import wire
from arrowstream.io.messages.wire import byte_ranges, varints

FULL = ALL(
    **{
        "double": -0.0,
        "float": 1.5,
        "int64": -(2**63),
        "uint64": 2**64 - 1,
        "int32": -5,
        "fixed64": 2**64 - 1,
    },
    **{
        "fixed32": 2**32 - 1,
        "bool": True,
        "string": "é",
        "bytes": b"\xff",
        "uint32": 2**32 - 1,
        "sfixed32": -1,
    },
    **{"sfixed64": -(2**63), "sint32": -(2**31), "sint64": -(2**63), "enum": -3, "enums": [1, 0, 9]},
    **{
        "doubles": [1.5, 0.0],
        "int32s": [1, -2, 300],
        "bools": [True, False],
        "fixed32s": [1],
        "sint64s": [2**62],
    },
    **{
        "strings": ["", "b"],
        "bytess": [b"", b"x" * 300],
        "maybe_int32": 0,
        "maybe_string": "",
        "maybe_enum": 1,
    },
    point=POINT(x=1, tags=["q"]),
    points=[POINT(), POINT(x=-4, tags=["a", "b"])],
    choice_string="",
    map_int32={"k": 3, "": 0},
    map_point={"z": POINT(x=4)},
)
ROWS = [ALL(), FULL, ALL(choice_point=POINT()), ALL(choice_int32=7)]


@pytest.fixture(params=["compiled", "plain"])
def both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run compiled functions as machine code, and as the Python that they are written in."""
    if request.param == "plain":
        monkeypatch.setattr(wire, "read_fields", wire.read_fields.py_func)
        monkeypatch.setattr(byte_ranges, "copy_ranges", byte_ranges.copy_ranges.py_func)
        monkeypatch.setattr(varints, "append_values", varints.append_values.py_func)


def decode(
    values: pa.LargeBinaryArray, message: Any = ALL, schema: Any = None, **options: Any
) -> pl.DataFrame:
    made = decoder("protobuf", schema, ProtobufOptions(message, **options))
    frame = made.open(context()).decode(values).frame
    assert frame.schema == made.schema
    return frame


def encode(frame: pl.DataFrame, message: Any = ALL, **options: Any) -> pa.LargeBinaryArray:
    made = encoder("protobuf", ProtobufOptions(message, **options))
    made.check(frame.schema)
    return made.open(frame.schema, context()).encode(frame)


def expected(message: Any) -> dict[str, Any]:
    """The values of a message, by the library."""
    row: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            is_message = field.message_type.fields_by_name["value"].message_type is not None
            row[field.name] = [
                {"key": key, "value": expected(value[key]) if is_message else value[key]} for key in value
            ]
            continue
        items = [_plain(field, item) for item in (value if field.is_repeated else [value])]
        row[field.name] = items if field.is_repeated else items[0]
        if not field.is_repeated and field.has_presence and not message.HasField(field.name):
            row[field.name] = None
    return row


def _plain(field: Any, value: Any) -> Any:
    if field.message_type is not None:
        return expected(value)
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return str(value) if known is None else known.name
    return value


def sorted_maps(row: dict[str, Any]) -> dict[str, Any]:
    for name in ("map_int32", "map_point"):
        row[name] = sorted({each["key"]: each for each in row[name]}.values(), key=lambda each: each["key"])
    return row


def by_library(content: bytes) -> dict[str, Any] | None:
    message = ALL()
    try:
        message.ParseFromString(content)
    except DecodeError:
        return None
    return sorted_maps(expected(message))


@pytest.mark.usefixtures("both_ways")
def test_all_kinds_of_fields_are_read_and_written_as_the_library_does() -> None:
    values = messages(b"other", *(row.SerializeToString() for row in ROWS))[1:]
    frame = decode(values)
    assert [sorted_maps(row) for row in frame.to_dicts()] == [sorted_maps(expected(row)) for row in ROWS]
    assert str(frame["double"][1]) == "-0.0"
    for start in range(len(ROWS)):
        for content, row in zip(encode(frame[start:]).to_pylist(), ROWS[start:], strict=True):
            assert ALL.FromString(content) == row
    # A value of a field with presence is written if it is a default, too.
    assert encode(frame[3:].select("choice_int32")).to_pylist() == [ALL(choice_int32=7).SerializeToString()]
    numbers = decode(values, enums="number")
    assert numbers["enums"].to_list()[1] == [1, 0, 9]
    for content, row in zip(encode(numbers, enums="number").to_pylist(), ROWS, strict=True):
        assert ALL.FromString(content) == row
    assert decode(messages(None, values[1].as_py(), None)).rows() == [
        (None,) * frame.width,
        frame.row(1),
        (None,) * frame.width,
    ]
    assert decode(messages(None)).height == 1
    assert encode(frame[:0]).to_pylist() == []


INT32, INT32S, POINT_TAG, DOUBLES, STRING, CHOICE_STRING, CHOICE_POINT = (
    ALL.DESCRIPTOR.fields_by_name[name].number
    for name in ("int32", "int32s", "point", "doubles", "string", "choice_string", "choice_point")
)


def tag(number: int, kind: int) -> bytes:
    bits, out = number << 3 | kind, b""
    while bits > 127:
        out += bytes([bits & 127 | 128])
        bits >>= 7
    return out + bytes([bits])


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize(
    "content",
    [
        tag(INT32, 0) + b"\x01" + tag(INT32, 0) + b"\x02",
        tag(INT32, 0) + b"\xff" * 9 + b"\x01",
        tag(INT32, 5) + b"\x01\x00\x00\x00",
        tag(INT32, 2) + b"\x01\x01",
        tag(INT32S, 0) + b"\x07" + tag(INT32S, 2) + b"\x02\x01\x02" + tag(INT32S, 0) + b"\x09",
        tag(DOUBLES, 2) + b"\x08" + b"\x00" * 8 + tag(DOUBLES, 1) + b"\x00" * 7 + b"\x40",
        tag(POINT_TAG, 2)
        + b"\x02\x08\x02"
        + tag(POINT_TAG, 2)
        + b"\x03\x12\x01a"
        + tag(POINT_TAG, 2)
        + b"\x02\x08\x04",
        ALL(choice_string="x").SerializeToString() + ALL(choice_int32=1).SerializeToString(),
        ALL(choice_point=POINT(x=1)).SerializeToString()
        + ALL(choice_int32=1).SerializeToString()
        + ALL(choice_point=POINT(tags=["a"])).SerializeToString(),
        ALL(choice_point=POINT(x=1)).SerializeToString()
        + ALL(choice_point=POINT(tags=["a"])).SerializeToString(),
        tag(9000, 3)
        + tag(5, 3)
        + tag(INT32, 0)
        + b"\x07"
        + tag(5, 4)
        + tag(9000, 4)
        + tag(INT32, 0)
        + b"\x03",
        tag(9000, 2) + b"\x03abc" + tag(9001, 0) + b"\x80\x01" + tag(9002, 1) + b"\x00" * 8,
    ],
)
def test_unusual_messages_are_read_as_the_library_reads_them(content: bytes) -> None:
    assert by_library(content) is not None
    full = FULL.SerializeToString()
    frame = decode(messages(full, content, full))
    assert [sorted_maps(row) for row in frame.to_dicts()] == [
        by_library(each) for each in (full, content, full)
    ]


@pytest.mark.once
@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"\x80", "end within a value"),
        (tag(INT32, 0), "end within a value"),
        (tag(INT32, 0) + b"\xff" * 10, "more than 64 bits"),
        (tag(INT32S, 2) + b"\x0a" + b"\xff" * 10, "more than 64 bits"),
        (tag(DOUBLES, 1) + b"\x00" * 7, "end within a value"),
        (tag(DOUBLES, 2) + b"\x09" + b"\x00" * 9, "end within a number"),
        (tag(INT32S, 2) + b"\x01\x80", "end within a number"),
        (b"\x00\x00", "no valid number"),
        (tag(INT32, 6), "no valid number"),
        (tag(STRING, 2) + b"\x05ab", "does not fit"),
        (tag(STRING, 2) + b"\x80", "end within"),
        (tag(STRING, 2) + b"\xff" * 9 + b"\x01", "does not fit"),
        (tag(STRING, 2) + b"\x01\xff", "not UTF-8"),
        (tag(9, 4), "a group ends"),
        (tag(9000, 3), "a group ends"),
        (tag(9000, 3) + tag(9001, 4), "a group ends"),
        (tag(9000, 3) * 101, "a group ends"),
        (ALL(points=[POINT(), POINT()]).SerializeToString()[:-1] + b"\x01\x08", "end within a value"),
        (tag(POINT_TAG, 2) + b"\x01\x80", "end within"),
        # Others replace these values or are merged with them.
        (tag(STRING, 2) + b"\x01\xff" + tag(STRING, 2) + b"\x01a", "not UTF-8"),
        (tag(CHOICE_STRING, 2) + b"\x01\xff" + ALL(choice_int32=1).SerializeToString(), "not UTF-8"),
        (tag(CHOICE_POINT, 2) + b"\x01\x80" + ALL(choice_int32=1).SerializeToString(), "end within"),
        (tag(POINT_TAG, 2) + b"\x01\x08" + tag(POINT_TAG, 2) + b"\x01\x05", "end within"),
        (tag(POINT_TAG, 2) + b"\x03\x12\x01\xc3" + tag(POINT_TAG, 2) + b"\x00", "not UTF-8"),
    ],
)
def test_a_bad_message_is_named_and_does_not_touch_its_neighbours(content: bytes, found: str) -> None:
    assert by_library(content) is None
    good = FULL.SerializeToString()
    for values in ([content], [good, content, content], [content, good], [good, None, good, content, good]):
        with pytest.raises(BadMessage, match=found) as refused:
            decode(messages(*values))
        assert refused.value.index == values.index(content)


def test_the_first_bad_message_is_named_whatever_is_bad_about_it() -> None:
    good, cut = FULL.SerializeToString(), b"\x80"
    texts = [tag(number, 2) + b"\x01\xff" for number in (CHOICE_STRING, STRING)]
    for values in ([good, *texts, cut], [good, *reversed(texts), cut]):
        with pytest.raises(BadMessage, match="not UTF-8") as refused:
            decode(messages(*values))
        assert refused.value.index == 1


def test_fields_become_the_declared_columns() -> None:
    wanted = pl.Schema({"enum": pl.Enum(["NONE", "RED"]), "int32": pl.Int8(), "new": pl.String()})
    good, bad = ALL(int32=1, enum=1).SerializeToString(), ALL(int32=200).SerializeToString()
    assert decode(messages(good), schema=wanted).rows() == [("RED", 1, None)]
    with pytest.raises(BadMessage, match="does not fit the declared column") as refused:
        decode(messages(good, None, good, bad, good), schema=wanted)
    assert refused.value.index == 3
    with pytest.raises(SchemaError, match="does not become"):
        decoder("protobuf", pl.Schema({"string": pl.Int64()}), ProtobufOptions(ALL))


@pytest.mark.parametrize(
    ("column", "found"),
    [
        (pl.Series("int32", [1, None], dtype=pl.Int32), "no presence"),
        (pl.Series("int32s", [[1], [None]], dtype=pl.List(pl.Int32)), "a null in a list"),
        (pl.Series("enum", ["7", "GREEN"]), "not a symbol"),
        (pl.Series("int32", [1, 2**40]), "conversion"),
        (pl.Series("string", ["x", None]), "no presence"),
    ],
)
def test_a_value_that_a_field_does_not_have_is_named_by_its_row(column: pl.Series, found: str) -> None:
    frame = column.to_frame()
    for rows, place in ((frame, 2), (frame[::-1], 1)):
        with pytest.raises(SinkError, match=f"row {place} of a batch") as refused:
            encode(rows)
        assert found in refused.value.found
    assert len(encode(frame[:1])) == 1


def test_two_values_of_a_choice_are_refused() -> None:
    frame = pl.DataFrame({"choice_int32": [1, None], "choice_string": [None, "x"]})
    assert len(encode(frame)) == 2
    with pytest.raises(SinkError, match="row 2 of a batch"):
        encode(frame.with_columns(choice_int32=pl.lit(1), choice_string=pl.Series([None, "x"])))


@pytest.mark.parametrize("schema", [{}, {"strin": pl.String()}, {"string": pl.Int64()}])
def test_columns_must_be_fields_of_the_message(schema: dict[str, Any]) -> None:
    with pytest.raises(SchemaError):
        encoder("protobuf", ProtobufOptions(ALL)).check(pl.Schema(schema))


def test_messages_may_be_described_by_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "set.pb"
    path.write_bytes(descriptor_pb2.FileDescriptorSet(file=[described()]).SerializeToString())
    frame = decode(messages(OTHER(x=7).SerializeToString()), "t.Other", descriptors=path)
    assert frame.rows() == [(7,)]
    assert encode(frame, "t.Other", descriptors=path).to_pylist() == [OTHER(x=7).SerializeToString()]
    with pytest.raises(SchemaError, match="does not have the message") as refused:
        decode(messages(), "t.Othr", descriptors=path)
    assert refused.value.hint == "did you mean 't.Other'?"
    for content in (
        b"",
        b"\xff",
        descriptor_pb2.FileDescriptorSet(file=[described(), _clash()]).SerializeToString(),
    ):
        path.write_bytes(content)
        with pytest.raises(SchemaError, match="is not a file of descriptors"):
            decode(messages(), "t.Other", descriptors=path)
    monkeypatch.setitem(sys.modules, "google.protobuf", None)
    with pytest.raises(MissingExtra, match="library 'protobuf'"):
        decode(messages(), "t.Other", descriptors=path)


def _clash() -> descriptor_pb2.FileDescriptorProto:
    """Another file that defines the same messages."""
    file = described()
    file.name = "u.proto"
    return file


def test_descriptions_that_no_columns_have_are_refused() -> None:
    file = descriptor_pb2.FileDescriptorProto(name="u.proto", package="u", syntax="proto2")
    file.message_type.add(name="Empty")
    file.message_type.add(name="Loop").field.add(
        name="again", number=1, type=11, label=1, type_name=".u.Loop"
    )
    grouped = file.message_type.add(name="Grouped")
    grouped.nested_type.add(name="Inner").field.add(name="x", number=1, type=5, label=1)
    grouped.field.add(name="inner", number=1, type=10, label=1, type_name=".u.Grouped.Inner")
    made = classes(file)
    for message in (*made.values(), int, json_format, "t.All"):
        with pytest.raises(SchemaError):
            decoder("protobuf", None, ProtobufOptions(message))
    for make in (decoder, encoder):
        with pytest.raises(PlanError, match="description of a message"):
            make("protobuf")
    with pytest.raises(PlanError, match="texts or numbers"):
        ProtobufOptions(ALL, enums="both")  # type: ignore[arg-type]


def registered(registry: Registry, message: Any, **more: Any) -> ProtobufOptions:
    return ProtobufOptions(message, registry=SchemaRegistry(registry.url), **more)


def test_a_header_names_the_schema_and_the_message() -> None:
    with schema_registry() as registry:
        for message, path in ((OTHER, b"\x00"), (ALL, b"\x02\x02"), (POINT, b"\x04\x02\x00")):
            options = registered(registry, message)
            made = encoder("protobuf", options)
            frame = decode(messages(message().SerializeToString()), message)
            with pytest.raises(PlanError, match="under a subject"):
                made.check(frame.schema)
            made = made.for_topic("orders")
            assert made.for_topic("others") is made
            made.check(frame.schema)
            encoding = made.open(frame.schema, context())
            values = [encoding.encode(frame) for _ in range(2)][1]
            assert values[0].as_py().startswith(b"\x00\x00\x00\x00\x01" + path)
            decoding = decoder("protobuf", None, options).open(context())
            assert decoding.decode(values).frame.equals(frame)
            good = values[0].as_py()
            for bad, found in (
                (b"", "no header"),
                (good[:5], "another one"),
                (good[:5] + b"\x08" + good[6:], "another one"),
            ):
                for several in ([bad], [good, None, bad, good, b""]):
                    with pytest.raises(BadMessage, match=found) as refused:
                        decoding.decode(messages(*several))
                    assert refused.value.index == several.index(bad)
            with pytest.raises(BadMessage, match="end within") as refused:
                decoding.decode(messages(good, good + b"\x08", b""))
            assert refused.value.index == 1
        assert registry.requests == ["POST /subjects/orders-value/versions"] * 3
        assert registry.schemas[1]["schemaType"] == "PROTOBUF"
        # The long form of the first message's path is read, too.
        long = b"\x00\x00\x00\x00\x01\x02\x00" + OTHER(x=7).SerializeToString()
        decoding = decoder("protobuf", None, registered(registry, OTHER)).open(context())
        assert decoding.decode(messages(long)).frame.rows() == [(7,)]
        assert encoder("protobuf", ProtobufOptions(ALL)).for_topic("t").label == "protobuf t.All"
        assert decoder("protobuf", None, ProtobufOptions(ALL)).label == "protobuf t.All"


def test_a_file_that_imports_others_is_not_registered() -> None:
    file = descriptor_pb2.FileDescriptorProto(name="u.proto", package="u", syntax="proto3")
    file.message_type.add(name="Row").field.add(name="x", number=1, type=5, label=1)
    file.dependency.append("t.proto")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(described())
    pool.Add(file)
    row = message_factory.GetMessageClassesForFiles([file.name], pool)["u.Row"]
    with pytest.raises(SchemaError, match="imports other files"):
        encoder("protobuf", ProtobufOptions(row, registry=SchemaRegistry("http://r")))


@pytest.mark.once
@settings(max_examples=examples(20))
@given(st.data())
def test_the_cuts_of_a_stream_change_nothing(data: st.DataObject) -> None:
    rows = data.draw(
        st.lists(
            st.builds(
                ALL,
                sint32=st.integers(-(2**31), 2**31 - 1),
                uint64=st.integers(0, 2**64 - 1),
                string=st.text(max_size=70),
                maybe_bytes=st.one_of(st.none(), st.binary(max_size=5)),
                int32s=st.lists(st.integers(-(2**31), 2**31 - 1), max_size=3),
                points=st.lists(
                    st.builds(POINT, x=st.integers(-9, 9), tags=st.lists(st.text(max_size=3))), max_size=3
                ),
            ),
            max_size=8,
        )
    )
    values = messages(*(row.SerializeToString() for row in rows))
    frame = decode(values)
    start = data.draw(st.integers(0, len(rows)))
    end = data.draw(st.integers(start, len(rows)))
    assert decode(values[start:end]).equals(frame[start:end])
    written = encode(frame)
    assert encode(frame[start:end]).equals(written[start:end])
    assert [ALL.FromString(content) for content in written.to_pylist()] == rows


def mutated(number: int) -> Iterator[bytes]:
    chance = random.Random(number)
    contents = [row.SerializeToString() for row in ROWS]
    for _ in range(number):
        bad = bytearray(chance.choice(contents[1:]))
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
        yield bytes(bad)


@pytest.mark.once
@pytest.mark.untraced
def test_mutated_messages_are_read_as_the_library_reads_them_or_named() -> None:
    good = FULL.SerializeToString()
    outcomes = []
    for bad in mutated(200):
        row = by_library(bad)
        outcomes.append(row is None)
        if row is None:
            with pytest.raises(BadMessage) as refused:
                decode(messages(good, bad, good))
            assert refused.value.index == 1
        else:
            found = sorted_maps(decode(messages(good, bad, good)).row(1, named=True))
            assert str(found) == str(row)
    assert 10 < sum(outcomes) < 190
