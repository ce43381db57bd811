"""Avro records, judged by fastavro and by the number of bytes that it reads."""

from __future__ import annotations

import io
import random
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

import fastavro
import pyarrow as pa

from arrowstream.io.messages.avro.options import AvroOptions
from arrowstream.io.messages.formats import decoder
from tools.broken_files.damage import damaged
from tools.broken_files.judges import Refused, Row
from tools.broken_messages.context import decode

_FIELDS: Final = {
    "number": "long",
    "text": ["null", "string"],
    "items": {"type": "array", "items": ["string", "null"]},
    "pairs": {
        "type": "array",
        "items": {"type": "record", "name": "Pair", "fields": [{"name": "x", "type": "int"}]},
    },
    "kind": {"type": "enum", "name": "Kind", "symbols": ["a", "b", "c"]},
    "pair": ["null", "Pair"],
    "digits": {"type": "bytes", "logicalType": "decimal", "precision": 5, "scale": 2},
    "three": {"type": "fixed", "name": "Three", "size": 3},
    "flag": "boolean",
    "bits": "double",
}
_SCHEMA: Final[dict[str, Any]] = {
    "type": "record",
    "name": "Row",
    "fields": [{"name": name, "type": kind} for name, kind in _FIELDS.items()],
}
_PARSED: Final = fastavro.parse_schema(_SCHEMA)


class AvroRecords:
    """A few records, up to two of them damaged."""

    def make(self, draw: random.Random) -> Sequence[bytes]:
        messages = [self._record(draw) for _ in range(draw.randrange(1, 5))]
        for _ in range(draw.choice([0, 1, 1, 2])):
            at = draw.randrange(len(messages))
            messages[at] = damaged(messages[at], draw, draw.random() < 0.5)
        return messages

    def _record(self, draw: random.Random) -> bytes:
        row = {
            "number": draw.randrange(-(2 ** draw.randrange(1, 63)), 2**40),
            "text": draw.choice([None, "", "é" * draw.randrange(80)]),
            "items": [draw.choice([None, "a", "b" * 70]) for _ in range(draw.randrange(4))],
            "pairs": [{"x": draw.randrange(-9, 9)} for _ in range(draw.randrange(3))],
            "kind": draw.choice("abc"),
            "pair": draw.choice([None, {"x": 5}]),
            "digits": Decimal(draw.randrange(-99_999, 99_999)).scaleb(-2),
            "three": draw.randbytes(3),
            "flag": draw.random() < 0.5,
            "bits": draw.random(),
        }
        out = io.BytesIO()
        fastavro.schemaless_writer(out, _PARSED, row)
        return out.getvalue()

    def found(self, messages: Sequence[bytes]) -> list[Row]:
        return decode(decoder("avro", None, AvroOptions(_SCHEMA)), pa.array(messages, pa.large_binary()))

    def wanted(self, message: bytes) -> list[Row]:
        content = io.BytesIO(message)
        try:
            row: Any = fastavro.schemaless_reader(content, _PARSED, None)
        except Exception as error:  # fastavro has no error of its own for damaged bytes
            raise Refused(repr(error)) from error
        if content.read(1):
            raise Refused("bytes are left")
        return [row]
