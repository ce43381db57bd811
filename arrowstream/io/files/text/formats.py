"""How blocks of CSV and NDJSON become rows: by Polars, and strictly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import polars as pl

from arrowstream.errors import SchemaError, SourceError
from arrowstream.io.files.text.records import (
    Positions,
    count,
    last_csv_end,
    last_line_end,
    outside_quotes,
    positions,
    record_ends,
)

INFER_ROWS = 10_000
"""Rows at the beginning of the first file from which types are inferred."""

_NARROW = (pl.Int8, pl.Int16, pl.UInt8, pl.UInt16)
# Polars' NDJSON reader panics when asked for these outside of lists and structs.

Scan = Callable[[bytes, pl.Schema], pl.LazyFrame]


@dataclass(frozen=True, slots=True)
class Uneven:
    """A record with too few or too many fields."""

    record: int
    expected: int
    found: int


class TextFormat(Protocol):
    """What differs between CSV and NDJSON."""

    quotes: ClassVar[bool]
    """Whether quotes around a field hide the ends of records."""

    def last_end(self, block: bytes) -> int:
        """Where the last whole record of a block ends."""
        ...

    def ends(self, block: bytes) -> Positions:
        """Where each record of a block ends."""
        ...

    def infer(self, block: bytes, overrides: pl.Schema) -> pl.Schema:
        """Names and types of the rows of a file's first block."""
        ...

    def scan(self, block: bytes, schema: pl.Schema) -> pl.LazyFrame:
        """The rows of a block; types that `schema` lacks are inferred or text."""
        ...

    def uneven(self, block: bytes) -> Uneven | None:
        """The first record of a block that does not have as many fields as there are columns."""
        ...


@dataclass(frozen=True, slots=True)
class Ndjson:
    """One JSON object a line; blank lines count for nothing."""

    quotes: ClassVar[bool] = False

    def last_end(self, block: bytes) -> int:
        return last_line_end(block)

    def ends(self, block: bytes) -> Positions:
        return record_ends(block, quoted=False)

    def infer(self, block: bytes, overrides: pl.Schema) -> pl.Schema:
        if not block.strip():
            return overrides
        schema = pl.scan_ndjson(block, infer_schema_length=INFER_ROWS).collect_schema()
        return pl.Schema({**schema, **overrides})

    def scan(self, block: bytes, schema: pl.Schema) -> pl.LazyFrame:
        if not block.strip():
            return pl.LazyFrame(schema=schema)
        narrow = {name: dtype for name, dtype in schema.items() if dtype in _NARROW}
        wide = pl.Schema({**schema, **dict.fromkeys(narrow, pl.Int64())})
        rows = pl.scan_ndjson(block, schema=wide or None, infer_schema_length=None)
        return rows.with_columns(pl.col(name).cast(dtype) for name, dtype in narrow.items())

    def uneven(self, block: bytes) -> Uneven | None:
        return None


@dataclass(frozen=True, slots=True)
class Csv:
    """Records of delimited fields under one header.

    Parameters
    ----------
    delimiter
        Between two fields.
    header
        The header record as it stands in the file, put before every block so that Polars treats
        the block as it would the file.
    names
        The columns it names.
    """

    quotes: ClassVar[bool] = True
    delimiter: str
    header: bytes = b""
    names: tuple[str, ...] = ()

    def last_end(self, block: bytes) -> int:
        return last_csv_end(block)

    def ends(self, block: bytes) -> Positions:
        return record_ends(block, quoted=True)

    def under(self, header: bytes, path: str) -> Csv:
        """The format of a file with this header.

        Raises
        ------
        SchemaError, SourceError
            Two columns have one name, or the header is not text.
        """
        try:
            row = pl.read_csv(header, has_header=False, infer_schema=False, separator=self.delimiter).row(0)
        except pl.exceptions.PolarsError as error:
            raise SourceError(
                f"the header of {path} cannot be read",
                position=f"{path} line 1",
                expected="column names in UTF-8",
                found=f"{header[:80]!r}: {str(error).splitlines()[0]}",
                hint="save the file as UTF-8",
            ) from error
        if b'"' not in header and b"\r" in header.rstrip(b"\r\n"):
            # To Polars all of the file would be a header, and no row of it would be missed.
            raise SourceError(
                f"the lines of {path} end in carriage returns alone",
                position=f"{path} line 1",
                expected="lines that end in a newline",
                found=f"{header[:80]!r}",
                hint="save the file with the line ends of Unix or Windows",
            )
        names = tuple(name or "" for name in row)
        twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
        if twice is not None:
            raise SchemaError(
                f"two columns of {path} have the name {twice!r}",
                expected="a name of its own for every column",
                found=f"the header {', '.join(names)}",
                hint="rename one of them in the file's first line",
            )
        return Csv(self.delimiter, header if header.endswith(b"\n") else header + b"\n", names)

    def infer(self, block: bytes, overrides: pl.Schema) -> pl.Schema:
        return pl.scan_csv(
            self.header + block,
            separator=self.delimiter,
            infer_schema_length=INFER_ROWS,
            schema_overrides={name: dtype for name, dtype in overrides.items() if name in self.names},
        ).collect_schema()

    def scan(self, block: bytes, schema: pl.Schema) -> pl.LazyFrame:
        own = pl.Schema({name: schema.get(name, pl.String()) for name in self.names})
        return pl.scan_csv(self.header + block, separator=self.delimiter, schema=own)

    def uneven(self, block: bytes) -> Uneven | None:
        expected, delimiter = len(self.names), ord(self.delimiter)
        if b'"' not in block:
            records = count(block, ord("\n")) + (not block.endswith(b"\n"))
            if count(block, delimiter) == (expected - 1) * records:
                return (
                    None  # unless a longer record makes up for a shorter one, and Polars refuses the longer
                )
        ends = self.ends(block)
        delimiters = outside_quotes(block, positions(block, delimiter))
        found = np.diff(np.searchsorted(delimiters, ends), prepend=0) + 1
        starts = np.concatenate(([0], ends[:-1]))
        # Polars makes a row of nulls of a blank line; it is one of a line end only: "\n" or "\r\n".
        blank = (ends - starts) <= 2
        for record in np.flatnonzero((found != expected) & blank):
            blank[record] = not block[starts[record] : ends[record]].strip(b"\r\n")
        wrong = np.flatnonzero((found != expected) & ~blank)
        return Uneven(int(wrong[0]), expected, int(found[wrong[0]])) if len(wrong) else None
