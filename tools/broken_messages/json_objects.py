"""JSON objects, judged by Python's json module."""

from __future__ import annotations

import random
from collections.abc import Sequence

import polars as pl
import pyarrow as pa

from arrowstream.io.messages.formats import decoder
from arrowstream.io.messages.plain_json.reader import plain_reader
from tools.broken_files import judges, originals
from tools.broken_files.damage import damaged
from tools.broken_files.judges import Refused, Row
from tools.broken_messages.context import decode

SCHEMA = pl.Schema(originals.JSON)
_PLAIN = pl.Schema({name: dtype for name, dtype in SCHEMA.items() if not dtype.is_nested()})
"""Columns that the compiled reader has; the others are keys that are left out."""

_MOST = 5
"""Most messages that are decoded together."""


class JsonObjects:
    """Messages with one object each, one of them damaged; others may have two objects, or none."""

    schema = SCHEMA

    def make(self, draw: random.Random) -> Sequence[bytes]:
        messages = originals.ndjson(draw).split(b"\n")[:_MOST]
        at = draw.randrange(len(messages))
        messages[at] = damaged(messages[at], draw, True)
        if draw.random() < 0.1:
            messages.insert(
                draw.randrange(len(messages) + 1), draw.choice([b"", b" ", b"null", b"{}{}", b"[]"])
            )
        return messages

    def found(self, messages: Sequence[bytes]) -> list[Row]:
        return decode(decoder("json", self.schema), pa.array(messages, pa.large_binary()))

    def wanted(self, message: bytes) -> list[Row]:
        rows = judges.ndjson(message, self.schema).rows
        if len(rows) != 1:
            raise Refused(f"{len(rows)} objects")
        return rows


class PlainJsonObjects(JsonObjects):
    """The same, some of whose keys are columns that the compiled reader reads."""

    schema = _PLAIN

    def found(self, messages: Sequence[bytes]) -> list[Row]:
        reader = plain_reader(self.schema)
        assert reader is not None
        if not reader.is_ready:
            reader.read(pa.array([b"{}"], pa.large_binary()))
        return super().found(messages)
