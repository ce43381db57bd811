"""Arrow IPC streams and files, judged by pyarrow."""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Sequence
from typing import Any

import polars as pl
import pyarrow as pa

from arrowstream.io.messages.arrow_limits import ArrowOptions
from arrowstream.io.messages.formats import decoder
from tools.broken_files.damage import damaged
from tools.broken_files.judges import Refused, Row
from tools.broken_messages.context import decode

SCHEMA = pl.Schema(
    {
        "id": pl.Int64(),
        "name": pl.String(),
        "kind": pl.Enum(["a", "b"]),
        "tags": pl.List(pl.Int16()),
        "place": pl.Struct({"x": pl.Float64(), "y": pl.Boolean()}),
        "none": pl.Null(),
    }
)
_LIMITS = ArrowOptions(max_rows=100_000, max_bytes=1 << 20)
_SIZES = [2**40, 2**31, 2**62, -1, 2**16, 1000, 7, 0, -(2**63)]


class ArrowIpc:
    """One damaged stream or file of two record batches; half of them with another size in the place of a number."""

    def make(self, draw: random.Random) -> Sequence[bytes]:
        whole = sound(draw)
        if draw.random() < 0.5:
            return [damaged(whole, draw, False)]
        found = bytearray(whole)
        at = draw.randrange(len(found) // 4 - 2) * 4
        struct.pack_into("<q", found, at, draw.choice(_SIZES))
        return [bytes(found)]

    def found(self, messages: Sequence[bytes]) -> list[Row]:
        return decode(decoder("arrow", SCHEMA, _LIMITS), pa.array(messages, pa.large_binary()))

    def wanted(self, message: bytes) -> list[Row]:
        try:
            is_file = message.startswith(b"ARROW1")
            with (pa.ipc.open_file if is_file else pa.ipc.open_stream)(message) as stream:
                table = stream.read_all()
            if table.num_rows > _LIMITS.max_rows:
                raise Refused("too many rows")
            table.validate(full=True)
            frame: Any = pl.from_arrow(table)
        except (Exception, pl.exceptions.PanicException) as error:
            raise Refused(str(error)) from error
        if dict(frame.schema) != dict(SCHEMA):
            raise Refused("another schema")
        rows: list[Row] = frame.select(SCHEMA.names()).to_dicts()
        return rows


def sound(draw: random.Random) -> bytes:
    """Write a stream or file of two record batches."""

    def rows(count: int) -> pl.DataFrame:
        return pl.DataFrame(
            {
                "id": [draw.choice([0, -1, 2**63 - 1, None]) for _ in range(count)],
                "name": [draw.choice(["", "é😀", "x" * 20, None]) for _ in range(count)],
                "kind": [draw.choice(["a", "b", None]) for _ in range(count)],
                "tags": [draw.choice([[], [1, None], None]) for _ in range(count)],
                "place": [
                    draw.choice([None, {"x": 1.5, "y": None}, {"x": None, "y": True}]) for _ in range(count)
                ],
                "none": [None] * count,
            },
            schema=SCHEMA,
        )

    first, second = (rows(draw.randint(0, 9)).to_arrow() for _ in range(2))
    out = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=draw.choice([None, "lz4", "zstd"]))
    with draw.choice([pa.ipc.new_stream, pa.ipc.new_file])(out, first.schema, options=options) as writer:
        writer.write_table(first)
        writer.write_table(second)
    return out.getvalue()
