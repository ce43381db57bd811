"""Messages of Protocol Buffers, judged by the library of that name."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from arrowstream.io.messages.formats import decoder
from arrowstream.io.messages.protobuf.options import ProtobufOptions
from tools.broken_files.damage import damaged
from tools.broken_files.judges import Refused, Row
from tools.broken_messages.context import decode

_FIELDS: Final = (
    ("number", 3, 1),
    ("signed", 17, 1),
    ("text", 9, 1),
    ("numbers", 5, 3),
    ("texts", 9, 3),
    ("bits", 1, 1),
)
"""Name, type and label of each field."""


def _message() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="row.proto", package="broken", syntax="proto3")
    row = file.message_type.add(name="Row")
    for number, (name, kind, label) in enumerate(_FIELDS, 1):
        row.field.add(name=name, number=number, type=kind, label=label)
    row.field.add(name="inner", number=20, type=11, label=1, type_name=".broken.Inner")
    row.oneof_decl.add(name="choice")
    row.field.add(name="a", number=21, type=9, label=1, oneof_index=0)
    row.field.add(name="b", number=22, type=11, label=1, oneof_index=0, type_name=".broken.Inner")
    inner = file.message_type.add(name="Inner")
    inner.field.add(name="x", number=1, type=13, label=1)
    inner.field.add(name="text", number=2, type=9, label=1)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClassesForFiles([file.name], pool)["broken.Row"]


_ROW: Final = _message()


class ProtobufFields:
    """A few messages, up to two of them damaged."""

    def make(self, draw: random.Random) -> Sequence[bytes]:
        messages = [self._one(draw) for _ in range(draw.randrange(1, 5))]
        for _ in range(draw.choice([0, 1, 1, 2])):
            at = draw.randrange(len(messages))
            messages[at] = damaged(messages[at], draw, draw.random() < 0.5)
        if draw.random() < 0.3:  # the fields of two messages are merged
            messages[0] += self._one(draw)
        return messages

    def _one(self, draw: random.Random) -> bytes:
        row = _ROW(
            number=draw.randrange(-(2**62), 2**62),
            signed=draw.randrange(-9, 9),
            text="é" * draw.randrange(80),
            numbers=[draw.randrange(-(2**31), 2**31) for _ in range(draw.randrange(4))],
            texts=["x" * draw.randrange(5) for _ in range(draw.randrange(4))],
            bits=draw.random(),
        )
        if draw.random() < 0.5:
            row.inner.x = draw.randrange(1_000)
            row.inner.text = "é" * draw.randrange(4)
        match draw.choice(["", "a", "b"]):
            case "a":
                row.a = "é"
            case "b":
                row.b.x = 7
        content: bytes = row.SerializeToString()
        return content

    def found(self, messages: Sequence[bytes]) -> list[Row]:
        return decode(decoder("protobuf", None, ProtobufOptions(_ROW)), pa.array(messages, pa.large_binary()))

    def wanted(self, message: bytes) -> list[Row]:
        row = _ROW()
        try:
            row.ParseFromString(message)
        except DecodeError as error:
            raise Refused(str(error)) from error
        found: Row = {name: getattr(row, name) for name, _, label in _FIELDS if label == 1}
        found |= {name: list(getattr(row, name)) for name, _, label in _FIELDS if label == 3}
        for name in ("inner", "b"):
            part = getattr(row, name)
            found[name] = {"x": part.x, "text": part.text} if row.HasField(name) else None
        found["a"] = row.a if row.HasField("a") else None
        return [found]
