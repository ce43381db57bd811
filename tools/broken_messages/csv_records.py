"""CSV records, judged by Python's csv module."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

import polars as pl
import pyarrow as pa

from arrowstream.io.messages.formats import decoder
from tools.broken_files import judges, originals
from tools.broken_files.damage import damaged
from tools.broken_files.judges import Refused, Row
from tools.broken_messages.context import decode

SCHEMA: Final = pl.Schema(originals.CSV)


class CsvRecords:
    """A few records without a header, one of them damaged."""

    def make(self, draw: random.Random) -> Sequence[bytes]:
        messages = [originals.csv_record(draw).encode() for _ in range(draw.randint(1, 5))]
        at = draw.randrange(len(messages))
        messages[at] = damaged(messages[at], draw, True)
        return messages

    def found(self, messages: Sequence[bytes]) -> list[Row]:
        return decode(decoder("csv", SCHEMA), pa.array(messages, pa.large_binary()))

    def wanted(self, message: bytes) -> list[Row]:
        head = ",".join(SCHEMA).encode() + b"\n"
        rows = judges.csv(head + message.removesuffix(b"\n").removesuffix(b"\r") + b"\n", SCHEMA).rows
        if len(rows) != 1:
            raise Refused(f"{len(rows)} records")
        return rows


def records(draw: random.Random) -> bytes:
    """Write records with their line ends."""
    return originals.csv(draw).partition(b"\n")[2].removesuffix(b"\n") + b"\n"
