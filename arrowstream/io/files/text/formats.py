"""What the readers of CSV and NDJSON have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import polars as pl

from arrowstream.io.files.text.records import Positions

INFER_ROWS = 10_000
"""Rows at the beginning of the first file from which types are inferred."""


Flaw = Literal["text after a quote", "unclosed quote", "carriage return", "lone surrogate", "no object"]


class FlawedRecord(Exception):
    """A record that Polars would misread; raised while a block is read, explained once its row is known.

    Parameters
    ----------
    record
        Its number in the block, from 0.
    flaw
        What is wrong with it.
    at
        Position of the flaw in the block, where it matters on which of a record's lines it is.
    """

    def __init__(self, record: int, flaw: Flaw, at: int) -> None:
        super().__init__(f"record {record}: {flaw}")
        self.record = record
        self.flaw = flaw
        self.at = at


@dataclass(frozen=True, slots=True)
class Uneven:
    """A record with too few or too many fields."""

    record: int
    expected: int
    found: int


class TextFormat(Protocol):
    """How blocks of whole records become rows."""

    longest: ClassVar[int]
    """Bytes of the longest record."""

    quotes: ClassVar[bool]
    """Whether quotes around a field hide the ends of records."""

    def cut(self, block: bytes) -> tuple[int, bool]:
        """Where the last whole record of a block ends, 0 if it holds none; whether quotes before it are in order."""
        ...

    def ends(self, block: bytes) -> Positions:
        """Where each record of a block ends."""
        ...

    def infer(self, block: bytes, overrides: pl.Schema) -> pl.Schema:
        """Names and types of the rows of a file's first block."""
        ...

    def checked(self, block: bytes, *, in_order: bool = False) -> bytes:
        """The same rows, as Polars reads them right; raises FlawedRecord where it could not."""
        ...

    def scan(self, block: bytes, schema: pl.Schema) -> pl.LazyFrame:
        """The rows of a checked block; types that `schema` lacks are inferred or text."""
        ...

    def uneven(self, block: bytes) -> Uneven | None:
        """The first record of a checked block whose number of fields is not the number of columns."""
        ...
