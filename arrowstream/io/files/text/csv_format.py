"""CSV as a text format: blocks, schema and rows."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import polars as pl

from arrowstream.errors import SchemaError, SourceError
from arrowstream.io.files.text.formats import INFER_ROWS, FlawedRecord, TextFormat, Uneven
from arrowstream.io.files.text.quotes import checked, read_quotes
from arrowstream.io.files.text.records import (
    MAX_RECORD_BYTES,
    Positions,
    byte_view,
    count,
    positions,
    with_last,
)

_QUOTE, _NEWLINE = ord('"'), ord("\n")
_MARK: Final = "\ufeff".encode()


@dataclass(frozen=True, slots=True)
class Csv(TextFormat):
    """Format with records of delimited fields after one header.

    Parameters
    ----------
    delimiter
        One ASCII character between two fields.
    names
        Names of the columns, from the header.
    """

    longest: ClassVar[int] = MAX_RECORD_BYTES
    quotes: ClassVar[bool] = True
    delimiter: str
    names: tuple[str, ...] = ()

    def cut(self, block: bytes) -> tuple[int, bool]:
        end = block.rfind(b"\n")
        quotes = read_quotes(block, ord(self.delimiter))
        if end < 0 or np.searchsorted(quotes.enclosing, end) % 2 == 0:
            return end + 1, quotes.in_order
        ends = quotes.outside(positions(block, _NEWLINE))
        return (int(ends[-1]) + 1 if len(ends) else 0), quotes.in_order

    def ends(self, block: bytes) -> Positions:
        quotes = read_quotes(block, ord(self.delimiter))
        return with_last(quotes.outside(positions(block, _NEWLINE)) + 1, block)

    def under(self, header: bytes, path: str) -> Csv:
        """Return the format of a file with this header.

        Raises
        ------
        SchemaError
            Two columns have the same name.
        SourceError
            The header cannot be read.
        """
        names = _names(header, self.delimiter, path)
        twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
        if twice is not None:
            raise SchemaError(
                f"two columns of {path} have the name {twice!r}",
                expected="a different name for every column",
                found=f"the header {', '.join(names)}",
                hint="rename one of them in the file's first line",
            )
        return Csv(self.delimiter, names)

    def infer(self, block: bytes, overrides: pl.Schema) -> pl.Schema:
        first = self.checked(block[: int(self.ends(block)[:INFER_ROWS][-1])] if block else block)
        stand_ins = dict(zip(self.names, self._stand_ins(), strict=True))
        inferred = pl.scan_csv(
            self._header() + first,
            separator=self.delimiter,
            infer_schema_length=INFER_ROWS,
            schema_overrides={
                stand_ins[name]: dtype for name, dtype in overrides.items() if name in stand_ins
            },
        ).collect_schema()
        return pl.Schema(zip(self.names, inferred.dtypes(), strict=True))

    def checked(self, block: bytes, *, in_order: bool = False) -> bytes:
        return checked(block, ord(self.delimiter), in_order=in_order)

    def scan(self, block: bytes, schema: pl.Schema) -> pl.LazyFrame:
        names = dict(zip(self._stand_ins(), self.names, strict=True))
        own = pl.Schema({stand_in: schema.get(name, pl.String()) for stand_in, name in names.items()})
        bare = self._begins_plainly(block)
        text = block if bare else self._header() + block
        rows = pl.scan_csv(text, separator=self.delimiter, has_header=not bare, schema=own)
        return rows.select(pl.col(stand_in).alias(name) for stand_in, name in names.items())

    def uneven(self, block: bytes) -> Uneven | None:
        expected, delimiter = len(self.names), ord(self.delimiter)
        if b'"' in block:
            view = byte_view(block)
            at = np.flatnonzero((view == _QUOTE) | (view == delimiter) | (view == _NEWLINE))
            kinds = view[at]
            outside = np.cumsum(kinds == _QUOTE, dtype=np.uint8) % 2 == 0
            newlines, delimiters = at[outside & (kinds == _NEWLINE)], at[outside & (kinds == delimiter)]
            lines, between = len(newlines), len(delimiters)
        else:
            lines, between = count(block, _NEWLINE), count(block, delimiter)
        if between == (expected - 1) * (lines + (not block.endswith(b"\n"))):
            return None  # a longer record may make up for a shorter one, but Polars refuses the longer one
        if b'"' not in block:
            newlines, delimiters = positions(block, _NEWLINE), positions(block, delimiter)
        return _first_uneven(block, with_last(newlines + 1, block), delimiters, expected)

    def _stand_ins(self) -> list[str]:
        """Return stand-ins for the columns' names, which Polars would change if they contain quotes."""
        return [f"c{number}" for number in range(len(self.names))]

    def _begins_plainly(self, block: bytes) -> bool:
        """Return True if Polars reads the block as rows without a header before it, which takes a copy.

        Without a header, Polars would skip a byte order mark or blank lines at the beginning, and take the
        number of columns from the first record.
        """
        first = block[: block.find(b"\n") + 1]
        return (
            bool(first.strip())
            and not first.startswith(_MARK)
            and b'"' not in first
            and first.count(self.delimiter.encode()) == len(self.names) - 1
        )

    def _header(self) -> bytes:
        """Return a header to put before a block, so that Polars treats the block as a file."""
        return f"{self.delimiter.join(self._stand_ins())}\n".encode()


def _first_uneven(block: bytes, ends: Positions, delimiters: Positions, expected: int) -> Uneven | None:
    found = np.diff(np.searchsorted(delimiters, ends), prepend=0) + 1
    starts = np.concatenate(([0], ends[:-1]))
    # Polars turns a blank line, only a line end ("\n" or "\r\n"), into a row of nulls.
    blank = (ends - starts) <= 2
    for record in np.flatnonzero((found != expected) & blank):
        blank[record] = not block[starts[record] : ends[record]].strip(b"\r\n")
    wrong = np.flatnonzero((found != expected) & ~blank)
    return Uneven(int(wrong[0]), expected, int(found[wrong[0]])) if len(wrong) else None


def _names(header: bytes, delimiter: str, path: str) -> tuple[str, ...]:
    """Return the fields of a header, as Python's csv module reads them."""
    try:
        text = checked(header, ord(delimiter)).decode()
        if "\0" in text:
            raise _bad_header(header, path, "a NUL byte", "check that the file is CSV, in UTF-8")
        return tuple(next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)))
    except FlawedRecord as error:
        if error.flaw == "carriage return":
            hint = "lines end in carriage returns alone: save the file with the line ends of Unix or Windows"
        else:
            hint = 'a quote inside a name is written twice, and the name in quotes: "size 5"""'
        raise _bad_header(header, path, error.flaw, hint) from error
    except UnicodeDecodeError as error:
        raise _bad_header(header, path, str(error), "save the file as UTF-8") from error
    except csv.Error as error:
        raise _bad_header(header, path, str(error), "check that the file has a header") from error


def _bad_header(header: bytes, path: str, found: str, hint: str) -> SourceError:
    return SourceError(
        f"the header of {path} cannot be read",
        position=f"{path} line 1",
        expected="a line of column names in UTF-8",
        found=f"{header[:80]!r}: {found}",
        hint=hint,
    )
