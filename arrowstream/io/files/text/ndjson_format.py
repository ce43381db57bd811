"""Blocks of NDJSON as rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import polars as pl

from arrowstream.io.files.text.formats import INFER_ROWS, Uneven
from arrowstream.io.files.text.records import MAX_LINE_BYTES, Positions, positions, with_last

_NARROW: Final = (pl.Int8, pl.Int16, pl.UInt8, pl.UInt16)
# Polars' NDJSON reader panics when asked for these outside of lists and structs.


@dataclass(frozen=True, slots=True)
class Ndjson:
    """One JSON object a line; blank lines count for nothing."""

    longest: ClassVar[int] = MAX_LINE_BYTES
    quotes: ClassVar[bool] = False

    def cut(self, block: bytes) -> tuple[int, bool]:
        return block.rfind(b"\n") + 1, True

    def ends(self, block: bytes) -> Positions:
        return with_last(positions(block, ord("\n")) + 1, block)

    def infer(self, block: bytes, overrides: pl.Schema) -> pl.Schema:
        if not block.strip():
            return overrides
        schema = pl.scan_ndjson(block, infer_schema_length=INFER_ROWS).collect_schema()
        return pl.Schema({**schema, **overrides})

    def checked(self, block: bytes, *, in_order: bool = False) -> bytes:
        return block

    def scan(self, block: bytes, schema: pl.Schema) -> pl.LazyFrame:
        if not block.strip():
            return pl.LazyFrame(schema=schema)
        narrow = {name: dtype for name, dtype in schema.items() if dtype in _NARROW}
        wide = pl.Schema({**schema, **dict.fromkeys(narrow, pl.Int64())})
        rows = pl.scan_ndjson(block, schema=wide or None, infer_schema_length=None)
        return rows.with_columns(pl.col(name).cast(dtype) for name, dtype in narrow.items())

    def uneven(self, block: bytes) -> Uneven | None:
        return None
