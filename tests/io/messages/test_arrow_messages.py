"""Arrow IPC messages: each is a stream or a file of any number of rows, or a bad message."""

import io
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from contexts import context
from message_sources import Messages
from message_sources import messages as offered
from strategies import TYPES, corners

from arrowstream import ErrorHandler, Pipeline
from arrowstream.core.batch import to_record
from arrowstream.errors import BadMessage, PlanError, SchemaError
from arrowstream.io.files.columnar.flatbuffer import FlatTable
from arrowstream.io.messages.arrow import ArrowDecoder
from arrowstream.io.messages.arrow_limits import ArrowOptions
from arrowstream.io.messages.formats import decoder, encoder
from arrowstream.testing import TestSink

SCHEMA = pl.Schema({"x": pl.Int64(), "s": pl.String()})
FRAME = pl.DataFrame({"x": [1, None, 3], "s": ["a", "", None]}, schema=SCHEMA)
MANY = np.zeros(1_000_000, np.int64)


def messages(*values: bytes | None) -> pa.LargeBinaryArray:
    return pa.array(values, pa.large_binary())


def stream(*records: pa.RecordBatch, compression: str | None = None, file: bool = False) -> bytes:
    out = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with (pa.ipc.new_file if file else pa.ipc.new_stream)(out, records[0].schema, options=options) as writer:
        for record in records:
            writer.write_batch(record)
    return out.getvalue()


def encoded(frame: pl.DataFrame) -> bytes:
    coder = encoder("arrow")
    coder.check(frame.schema)
    values = coder.open(frame.schema, context()).encode(frame)
    assert values.type == pa.large_binary() and len(values) == 1
    message: bytes = values[0].as_py()
    return message


def refused(schema: pl.Schema, *values: bytes | None, options: ArrowOptions | None = None) -> BadMessage:
    with pytest.raises(BadMessage, match="cannot be read as Arrow IPC") as error:
        decoder("arrow", schema, options).open(context()).decode(messages(*values))
    return error.value


def test_what_is_encoded_is_decoded() -> None:
    columns = {
        f"c{number}": pl.Series([*corners(dtype)[:4], None][-4:], dtype=dtype)
        for number, dtype in enumerate(TYPES)
        if len(corners(dtype)) >= 4
    }
    frame = pl.DataFrame(columns)
    decoding = decoder("arrow", frame.schema).open(context())
    parts = [frame, frame[1:3], frame[:0], frame[2:]]
    found = decoding.decode(messages(*map(encoded, parts)))
    assert found.rows is not None and found.rows.tolist() == [4, 2, 0, 2]
    assert found.frame.equals(pl.concat(parts))
    assert found.frame.schema == frame.schema
    assert encoder("arrow").rows_per_message == "many"


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
@pytest.mark.parametrize("file", [False, True])
def test_streams_and_files_of_several_batches(compression: str | None, file: bool) -> None:
    frame = FRAME.with_columns(e=pl.Series(["p", None, "q"], dtype=pl.Enum(["q", "p"])), n=None)
    record = to_record(frame)
    message = stream(record, record[:0], record[1:], compression=compression, file=file)
    found = decoder("arrow", frame.schema).open(context()).decode(messages(message, None, message))
    assert found.rows is not None and found.rows.tolist() == [5, 1, 5]
    once = pl.concat([frame, frame[1:]])
    assert found.frame.equals(pl.concat([once, frame.clear(1), once]))


@pytest.mark.parametrize("level", [pl.CompatLevel.oldest(), pl.CompatLevel.newest()])
def test_what_polars_writes(level: Any) -> None:
    frame = FRAME.with_columns(l=pl.Series([["x" * 20], [], None]), b=pl.Series([b"\xff", None, b""]))
    frame = frame.with_columns(o=pl.struct("s", "l"), a=pl.concat_list("s").list.to_array(1))
    file, sent = io.BytesIO(), io.BytesIO()
    frame.write_ipc(file, compat_level=level)
    frame.write_ipc_stream(sent, compat_level=level)
    found = decoder("arrow", frame.schema).open(context()).decode(messages(file.getvalue(), sent.getvalue()))
    assert found.frame.equals(pl.concat([frame, frame]))


def test_columns_may_come_in_another_order_but_not_with_other_types() -> None:
    decoding = decoder("arrow", SCHEMA).open(context())
    assert decoding.decode(messages(encoded(FRAME.select("s", "x")))).frame.equals(FRAME)
    good = encoded(FRAME)
    for other in (
        FRAME.select("x"),
        FRAME.with_columns(y=1),
        FRAME.cast({"x": pl.Int32}),
        FRAME.cast({"s": pl.Categorical}),
        FRAME.rename({"x": "y"}),
    ):
        error = refused(SCHEMA, good, encoded(other), good)
        assert error.index == 1 and "other columns: " in str(error.found)
    enums = [pl.DataFrame({"e": pl.Series(["a"], dtype=pl.Enum(values))}) for values in (["a"], ["a", "b"])]
    assert "other columns" in str(refused(enums[0].schema, encoded(enums[0]), encoded(enums[1])).found)


def test_the_first_message_shows_the_columns() -> None:
    unknown = decoder("arrow")
    assert unknown.schema is None and unknown.label == encoder("arrow").label == "arrow"
    nothing = stream(pa.RecordBatch.from_arrays([], names=[]))
    settled = unknown.settled(messages(None, b"?", nothing, encoded(FRAME), encoded(FRAME.select("x"))))
    assert settled.schema == SCHEMA
    with pytest.raises(SchemaError, match="not known"):
        unknown.settled(messages(None, b"?", nothing))


def test_columns_that_arrow_cannot_have() -> None:
    for schema in (pl.Schema({}), pl.Schema({"x": pl.Object()})):
        with pytest.raises(SchemaError):
            decoder("arrow", schema)
        with pytest.raises(SchemaError):
            encoder("arrow").check(schema)
    with pytest.raises(PlanError):
        ArrowOptions(max_rows=0)


def claim(message: bytes, change: Callable[[bytearray, FlatTable], None], number: int = 1) -> bytes:
    """Return a stream with the metadata of one of its messages changed."""
    data = bytearray(message)
    at = 0
    for _ in range(number):
        (length,) = struct.unpack_from("<I", data, at + 4)
        at += 8 + length + FlatTable.root(bytes(data), at + 8).integer(3, "<q")
    change(data, FlatTable.root(data, at + 8))
    return bytes(data)


def put(value: int, where: Callable[[FlatTable], int | None], format: str = "<q") -> Any:
    """Return a change of one number."""

    def change(data: bytearray, message: FlatTable) -> None:
        place = where(message)
        assert place is not None
        struct.pack_into(format, data, place, value)

    return change


GOOD = encoded(FRAME)
PACKED = stream(to_record(FRAME), compression="zstd")
IN_FILE = stream(to_record(FRAME), file=True)


def body(message: bytes, buffer: int, value: int) -> bytes:
    """Return a compressed stream with another size in the place of a buffer's uncompressed size."""
    data = bytearray(message)
    (length,) = struct.unpack_from("<I", data, 4)
    at = 8 + length
    (length,) = struct.unpack_from("<I", data, at + 4)
    first, _ = FlatTable.root(data, at + 8).table(2).vector(2, 16)
    (offset,) = struct.unpack_from("<q", data, first + 16 * buffer)
    struct.pack_into("<q", data, at + 8 + length + offset, value)
    return bytes(data)


def footer(value: int, field: int) -> bytes:
    """Return a file whose footer has another number in the place of its first record batch."""
    data = bytearray(IN_FILE)
    (length,) = struct.unpack_from("<i", data, len(data) - 10)
    first, _ = FlatTable.root(data, len(data) - 10 - length).vector(3, 24)
    struct.pack_into("<q", data, first + 8 * field, value)
    return bytes(data)


DAMAGED = {
    "no bytes": b"",
    "a few bytes": b"abc",
    "bytes that are no length": b"abcdefgh",
    "cut in the schema": GOOD[:100],
    "cut in the rows": GOOD[:-40],
    "only the end": GOOD[-8:],
    "rows first": GOOD[8 + struct.unpack_from("<I", GOOD, 4)[0] :],
    "two schemas": stream(to_record(FRAME))[:-8] + GOOD,
    "a schema of another version": claim(GOOD, put(-1, lambda message: message.field(0), "<h"), 0),
    "a kind of part that is none": claim(GOOD, put(9, lambda message: message.field(1), "<B")),
    "a body of a negative size": claim(GOOD, put(-8, lambda message: message.field(3))),
    "a body after the end": claim(GOOD, put(1 << 40, lambda message: message.field(3))),
    "2**40 rows": claim(GOOD, put(1 << 40, lambda message: message.table(2).field(0))),
    "rows that are fewer than none": claim(GOOD, put(-1, lambda message: message.table(2).field(0))),
    "other rows than values": claim(GOOD, put(2, lambda message: message.table(2).field(0))),
    "2**40 values": claim(GOOD, put(1 << 40, lambda message: message.table(2).vector(1, 16)[0])),
    "a buffer before the body": claim(GOOD, put(-8, lambda message: message.table(2).vector(2, 16)[0] + 16)),
    "a buffer after the body": claim(GOOD, put(4096, lambda message: message.table(2).vector(2, 16)[0] + 16)),
    "a buffer that is too long": claim(
        GOOD, put(4096, lambda message: message.table(2).vector(2, 16)[0] + 24)
    ),
    "offsets into nowhere": GOOD.replace(
        struct.pack("<4q", 0, 1, 1, 1), struct.pack("<4q", 0, 1 << 40, 1, 1)
    ),
    "a compressed buffer of 2**40 bytes": body(PACKED, 1, 1 << 40),
    "a compressed buffer of -2 bytes": body(PACKED, 1, -2),
    "a compressed buffer of another size": body(PACKED, 1, 16),
    "a compressed buffer that is too short": claim(
        PACKED, put(4, lambda message: message.table(2).vector(2, 16)[0] + 24)
    ),
    "a file without its end": IN_FILE[:-1],
    "a file that is only its name": b"ARROW1",
    "a footer that is too long": IN_FILE[:-10] + struct.pack("<i", 1 << 30) + b"ARROW1",
    "a batch outside of the file": footer(1 << 40, 0),
    "a batch before the file": footer(-1, 0),
    "a batch of another size": footer(8, 2),
    "a batch of several rows as none": footer(0, 0),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_message_is_a_bad_message(name: str) -> None:
    assert DAMAGED[name] not in (GOOD, PACKED, IN_FILE)
    assert refused(SCHEMA, GOOD, None, DAMAGED[name], b"").index == 2


def test_claims_of_great_sizes_are_refused_before_anything_is_read() -> None:
    null = stream(pa.RecordBatch.from_arrays([pa.nulls(3)], names=["n"]))
    null = claim(null, put(1 << 40, lambda message: message.table(2).field(0)))
    null = claim(null, put(1 << 40, lambda message: message.table(2).vector(1, 16)[0]))
    error = refused(pl.Schema({"n": pl.Null}), null)
    assert "1,099,511,627,776 rows or values, where at most 16,777,216 are allowed" in str(error.found)
    zeros = pa.RecordBatch.from_arrays([pa.array(MANY)], names=["x"])
    bomb = stream(zeros, compression="zstd")
    assert len(bomb) < 10_000
    whole = decoder("arrow", pl.Schema({"x": pl.Int64})).open(context()).decode(messages(bomb))
    assert whole.frame["x"].sum() == 0
    for options in (ArrowOptions(max_bytes=len(MANY) * 8 - 1), ArrowOptions(max_rows=len(MANY) - 1)):
        assert "allowed" in str(refused(pl.Schema({"x": pl.Int64}), bomb, options=options).found)
    halves = stream(zeros[:600_000], zeros[:600_000], compression="zstd")
    assert "1,200,000 rows" in str(
        refused(pl.Schema({"x": pl.Int64}), halves, options=ArrowOptions(max_rows=1_000_000)).found
    )
    lists = pa.LargeListArray.from_arrays(pa.array([0, 3], pa.int64()), pa.nulls(3))
    inside = stream(pa.record_batch({"l": lists}))
    inside = claim(inside, put(1 << 30, lambda message: message.table(2).vector(1, 16)[0] + 16))
    error = refused(pl.Schema({"l": pl.List(pl.Null)}), inside)
    assert "1,073,741,824 rows or values" in str(error.found)


def test_dictionaries_count_and_views_may_not_share_their_texts_without_end() -> None:
    words = pa.array(["x" * 1000])
    coded = pa.DictionaryArray.from_arrays(pa.array([0, 0], pa.uint32()), words)
    schema = pl.Schema({"c": pl.Categorical()})
    for file in (False, True):
        message = stream(pa.record_batch({"c": coded}), file=file)
        assert decoder("arrow", schema).open(context()).decode(messages(message)).frame.height == 2
        assert "allowed" in str(refused(schema, message, options=ArrowOptions(max_bytes=500)).found)
    text = pa.py_buffer(b"x" * 1000)
    view = struct.pack("<i4sii", 1000, b"xxxx", 0, 0)
    views = pa.Array.from_buffers(pa.string_view(), 100, [None, pa.py_buffer(view * 100), text])
    nested: dict[str, tuple[pa.Array, Any]] = {
        "plain": (views, pl.String()),
        "list": (pa.ListArray.from_arrays(pa.array([0, 100], pa.int32()), views), pl.List(pl.String)),
        "struct": (pa.StructArray.from_arrays([views], ["s"]), pl.Struct({"s": pl.String})),
    }
    for array, dtype in nested.values():
        message = stream(pa.record_batch({"x": array}))
        assert len(message) < 5000
        found = decoder("arrow", pl.Schema({"x": dtype})).open(context()).decode(messages(message)).frame
        assert found.height == len(array)
        error = refused(pl.Schema({"x": dtype}), message, options=ArrowOptions(max_bytes=99_999))
        assert "texts of 100,000 bytes, where at most 99,999 are allowed" in str(error.found)


@pytest.mark.parametrize("at", [0, 1, 3])
def test_handlers_keep_the_neighbours_of_bad_messages(at: int) -> None:
    values = [encoded(pl.DataFrame({"x": [float(number), number + 0.5]})) for number in range(4)]
    values[at] = values[at][:-30]
    bad = TestSink()
    coder: Any = ArrowDecoder(pl.Schema({"x": pl.Float64}))
    source = Messages((offered("t[0]", 10, *values),), coder)
    good = Pipeline.builder().source(source).on_error(ErrorHandler.dead_letter(bad)).collect_sync()
    assert good["x"].to_list() == [number + half for number in range(4) if number != at for half in (0, 0.5)]
    assert bad.frame().select("value", "position").rows() == [
        (values[at], f"t[0] offsets {10 + at}-{11 + at}")
    ]
