"""Contract of the text formats CSV, NDJSON and lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import polars as pl

from arrowstream.io.files.text.json.apart import Apart
from arrowstream.io.files.text.records import MAX_LINE_BYTES, Positions, positions, with_last

INFER_ROWS = 10_000
"""Number of rows at the beginning of the first file from which types are inferred."""


Flaw = Literal[
    "text after a quote",
    "unclosed quote",
    "carriage return",
    "lone surrogate",
    "no object",
    "invalid UTF-8",
    "too deep",
]


class FlawedRecord(Exception):
    """A record that Polars would misread; explained once the number of the block's first row is known.

    Parameters
    ----------
    record
        Number of the record in the block, counted from 0.
    flaw
        Kind of the flaw.
    at
        Position of the flaw in the block, in bytes; 0 if the error does not need it.
    """

    def __init__(self, record: int, flaw: Flaw, at: int) -> None:
        super().__init__(f"record {record}: {flaw}")
        self.record = record
        self.flaw = flaw
        self.at = at


@dataclass(frozen=True, slots=True)
class Uneven:
    """A record with too few or too many fields: its number in the block from 0, and both numbers of fields."""

    record: int
    expected: int
    found: int


class TextFormat(Protocol):
    """Parser of blocks of whole records into rows."""

    longest: ClassVar[int]
    """Most bytes of a record."""

    quotes: ClassVar[bool]
    """True if quotes around a field can hide the end of a record."""

    def cut(self, block: bytes) -> tuple[int, bool]:
        """Return the end of the last whole record (0 without one), and whether the block's quotes are in order."""
        ...

    def ends(self, block: bytes) -> Positions:
        """Return the end of each record of a block, ascending; shape (n,), int64."""
        ...

    def infer(self, block: bytes, overrides: pl.Schema) -> pl.Schema:
        """Infer names and types of the rows of a file's first block; types in `overrides` are not inferred."""
        ...

    def checked(self, block: bytes, *, in_order: bool = False) -> bytes:
        """Return the same rows in a form that Polars reads correctly; raise FlawedRecord if there is none.

        `in_order` says that the block's quotes are known to be in order.
        """
        ...

    def apart(self, block: bytes) -> Apart | None:
        """Return the lines of a block that Polars cannot read because they hold several objects, cut; else None."""
        return None

    def scan(self, block: bytes, schema: pl.Schema) -> pl.LazyFrame:
        """Return the rows of a checked block; types that `schema` lacks are inferred or text."""
        ...


class LineFormat(TextFormat, Protocol):
    """Text format whose records are lines."""

    longest: ClassVar[int] = MAX_LINE_BYTES
    quotes: ClassVar[bool] = False

    def cut(self, block: bytes) -> tuple[int, bool]:
        return block.rfind(b"\n") + 1, True

    def ends(self, block: bytes) -> Positions:
        return with_last(positions(block, ord("\n")) + 1, block)
