"""CSV as a text format: blocks, schema and rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

import numpy as np
import polars as pl

from arrowstream.errors import SchemaError, SourceError, UnreadableData
from arrowstream.io.files.columnar.given_types import changed
from arrowstream.io.files.text.bad.sound_records import sound_records
from arrowstream.io.files.text.formats import INFER_ROWS, FlawedRecord, TextFormat
from arrowstream.io.files.text.options.text_options import TextOptions
from arrowstream.io.files.text.quotes import Quotes, checked, read_quotes
from arrowstream.io.files.text.records import (
    MAX_RECORD_BYTES,
    Cut,
    Positions,
    RecordBlock,
    positions,
    whole,
    with_last,
)
from arrowstream.io.files.text.signatures import BOM
from arrowstream.io.files.text.times import is_time, times_as_texts, with_times

HEADER_BYTES: Final = 1 << 16
"""Bytes that hold most headers, and more."""

_NEWLINE = ord("\n")


@dataclass(frozen=True, slots=True)
class Csv(TextFormat):
    """Format with records of delimited fields after one header.

    Parameters
    ----------
    options
        How the records are written.
    names
        Names of the columns, from the header.
    """

    longest: ClassVar[int] = MAX_RECORD_BYTES
    quotes: ClassVar[bool] = True
    options: TextOptions = field(default_factory=TextOptions)
    names: tuple[str, ...] = ()

    @property
    def delimiter(self) -> int:
        """The byte between two fields."""
        return ord(self.options.delimiter)

    @property
    def quote(self) -> int | None:
        """The byte around quoted fields, or None."""
        return None if self.options.quote_char is None else ord(self.options.quote_char)

    def has_quotes(self, block: bytes) -> bool:
        """Return whether a block has quotes."""
        return self.quote is not None and self.quote in block

    def read_quotes(self, block: bytes) -> Quotes:
        """Find the quotes of a block that begins with a record."""
        return read_quotes(block, self.delimiter, self.quote)

    def cut(self, block: bytes) -> tuple[int, bool]:
        end = block.rfind(b"\n")
        quotes = self.read_quotes(block)
        if end < 0 or np.searchsorted(quotes.enclosing, end) % 2 == 0:
            return end + 1, quotes.in_order
        ends = quotes.outside(positions(block, _NEWLINE))
        return (int(ends[-1]) + 1 if len(ends) else 0), quotes.in_order

    def cut_lines(self, *, aside: bool) -> Cut:
        """Return a cut of whole records without comments, and without flawed lines if these are put `aside`."""
        prefix = self.options.comment_prefix
        comment = None if prefix is None else prefix.encode()
        plain = whole(self.cut)

        def cut(data: bytes, last: bool) -> tuple[int, bool, RecordBlock | None]:
            if comment is None or comment not in data:
                if not aside:
                    return plain(data, last)
                if len(data) <= self.longest:
                    end, in_order = self.cut(data)
                    if in_order and (not last or end == len(data) or not self.has_quotes(data)):
                        return len(data) if last else end, True, None
            block, end = sound_records(
                data,
                self.read_quotes,
                last=last,
                longest=self.longest,
                comment=comment,
                keeps_flaws=not aside,
            )
            return end, block.in_order, block

        return cut

    def ends(self, block: bytes) -> Positions:
        quotes = self.read_quotes(block)
        return with_last(quotes.outside(positions(block, _NEWLINE)) + 1, block)

    def end_of_first(self, block: bytes, records: int) -> int:
        """Return where the first `records` records of a block end, or all if it has fewer; 0 without one."""
        size = HEADER_BYTES
        while len(ends := self.ends(block[:size])) <= records and size < len(block):
            size *= 4  # the last end may be that of the part
        return int(ends[:records][-1]) if len(ends) else 0

    def under(self, header: bytes, path: str) -> Csv:
        """Return the format of a file with this header.

        Raises
        ------
        SchemaError
            Two columns have the same name.
        SourceError
            The header cannot be read.
        """
        names = _names(header, self, path)
        twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
        if twice is not None:
            raise SchemaError(
                f"two columns of {path} have the name {twice!r}",
                expected="a different name for every column",
                found=f"the header {', '.join(names)}",
                hint="rename one of them in the file's first line, or leave that out with has_header=False and "
                "skip_lines=1, and name every column in schema=",
            )
        return Csv(self.options, names)

    def without_header(self, first: bytes, path: str) -> Csv:
        """Return the format of a file without a header whose first record is this.

        The columns have the names of the options if they are as many as the fields, else ``column_1`` and so on.

        Raises
        ------
        SchemaError
            The options have another number of names, and not of these columns.
        SourceError
            The record cannot be read.
        """
        count = len(_names(first, self, path)) if first else len(self.options.names)
        names = self.options.names
        if len(names) != count:
            names = tuple(f"column_{number}" for number in range(1, count + 1))
            if not set(self.options.names) <= set(names):
                given = ", ".join(self.options.names)
                raise SchemaError(
                    f"schema= names {len(self.options.names)} columns, and {path}, without a header, has {count}",
                    expected=f"{count} names, in the order of the fields, or types for some of column_1 to "
                    f"column_{count}",
                    found=given,
                    hint="name every field of the file, also those that a later step drops",
                )
        return Csv(self.options, names)

    def infer(self, block: bytes, overrides: pl.Schema) -> pl.Schema:
        first = self.checked(block[: self.end_of_first(block, INFER_ROWS)])
        stand_ins = dict(zip(self.names, self._stand_ins(), strict=True))
        inferred = pl.scan_csv(
            self._header() + first,
            **self._reading(self._stand_ins()),
            infer_schema_length=INFER_ROWS,
            schema_overrides={
                stand_ins[name]: dtype for name, dtype in overrides.items() if name in stand_ins
            },
        ).collect_schema()
        return pl.Schema(zip(self.names, inferred.dtypes(), strict=True))

    def checked(self, block: bytes, *, in_order: bool = False) -> bytes:
        return checked(block, self.delimiter, self.quote, in_order=in_order)

    def scan(self, block: bytes, schema: pl.Schema, *, lenient: bool = False) -> pl.LazyFrame:
        """Return the rows of a checked block; if `lenient`, with nulls for values that do not fit their types."""
        types = [schema.get(name, pl.String()) for name in self.names]
        bare = self._begins_plainly(block)
        names = self.names if bare else self._stand_ins()
        rows = pl.scan_csv(
            block if bare else self._header() + block,
            has_header=not bare,
            schema=dict(zip(names, map(times_as_texts, types), strict=True)),
            ignore_errors=lenient,
            **self._reading(names),
        )
        if bare and not any(map(is_time, types)):
            return rows
        return rows.select(
            (
                with_times(pl.col(read), dtype, lenient=lenient, skips_empty=True)
                if is_time(dtype)
                else pl.col(read)
            ).alias(name)
            for read, name, dtype in zip(names, self.names, types, strict=True)
        )

    def changed(self, texts: pl.Series, values: pl.Series) -> pl.Series:
        """Return for each text whether its value is another one: infinity as Float32, or rounded as Decimal."""
        comma = self.options.decimal_comma
        return changed(texts.str.replace(",", ".", literal=True) if comma else texts, values)

    def _stand_ins(self) -> tuple[str, ...]:
        """Return stand-ins for the columns' names in a header, which Polars would change if they contain quotes."""
        return tuple(f"c{number}" for number in range(len(self.names)))

    def _begins_plainly(self, block: bytes) -> bool:
        """Return True if Polars reads the block as rows without a header before it, which takes a copy.

        Without a header, Polars would skip a byte order mark or blank lines at the beginning, and take the
        number of columns from the first record.
        """
        first = block[: block.find(b"\n") + 1]
        return (
            bool(first.strip())
            and not first.startswith(BOM)
            and not self.has_quotes(first)
            and first.count(self.options.delimiter.encode()) == len(self.names) - 1
        )

    def _header(self) -> bytes:
        """Return a header to put before a block, so that Polars treats the block as a file."""
        return f"{self.options.delimiter.join(self._stand_ins())}\n".encode()

    def _reading(self, names: Sequence[str]) -> dict[str, Any]:
        """Return the arguments with which Polars reads a block whose columns it calls `names`."""
        nulls = self.options.null_values
        if isinstance(nulls, Mapping):
            read = dict(zip(self.names, names, strict=True))
            nulls = {read[name]: text for name, text in nulls.items() if name in read}
        return {
            "separator": self.options.delimiter,
            "quote_char": self.options.quote_char,
            "null_values": nulls if nulls is None or isinstance(nulls, str | dict) else [*nulls],
            "decimal_comma": self.options.decimal_comma,
        }


def _names(header: bytes, format: Csv, path: str) -> tuple[str, ...]:
    """Return the fields of a header, as Python's csv module reads them."""
    try:
        text = format.checked(header).decode()
        if "\0" in text:
            raise _bad_header(header, path, "a NUL byte", "check that the file is CSV, in UTF-8")
        options = format.options
        rows = csv.reader(
            io.StringIO(text, newline=""),
            delimiter=options.delimiter,
            quotechar=options.quote_char,
            quoting=csv.QUOTE_NONE if options.quote_char is None else csv.QUOTE_MINIMAL,
        )
        return tuple(next(rows))
    except FlawedRecord as error:
        if error.flaw == "carriage return":
            hint = "lines end in carriage returns alone: save the file with the line ends of Unix or Windows"
        else:
            hint = 'a quote inside a name is written twice, and the name in quotes: "size 5"""'
        raise _bad_header(header, path, error.flaw, hint) from error
    except UnicodeDecodeError as error:
        raise _bad_header(
            header, path, str(error), "pass encoding=, such as 'cp1252', or save the file as UTF-8"
        ) from error
    except csv.Error as error:
        raise _bad_header(header, path, str(error), "check that the file has a header") from error


def _bad_header(header: bytes, path: str, found: str, hint: str) -> SourceError:
    return UnreadableData(
        f"the header of {path} cannot be read",
        position=f"{path} line 1",
        expected="a line of column names in UTF-8",
        found=f"{header[:80]!r}: {found}",
        hint=hint,
    )
