"""CSV to which rows are added: its first record, its numbers and its end show whether they fit to it."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from arrowstream.core.plural import counted
from arrowstream.errors import SchemaError, SinkError
from arrowstream.io.files.destination.old_text import text_blocks, text_lines, unreadable
from arrowstream.io.files.destination.text_ends import END_BYTES
from arrowstream.io.files.formats import FileKind
from arrowstream.io.files.remote.urls import RemotePath
from arrowstream.io.files.text.csv_format import Csv
from arrowstream.io.files.text.csv_rows import uneven_records
from arrowstream.io.files.text.formats import FlawedRecord
from arrowstream.io.files.text.options.text_options import TextOptions
from arrowstream.io.files.text.records import MAX_RECORD_BYTES, positions

_DECIMALS: Final = {sign: rf"^\s*[+-]?\d*[{sign}]\d+\s*$" for sign in ".,"}
"""Numbers with decimals after a sign."""

_NEWLINE: Final = ord("\n")

_SHOWN: Final = 40
"""Number of bytes of the end of a file in a message."""


class Beginning(NamedTuple):
    """What a CSV file begins with."""

    fields: Sequence[str]
    """Fields of the first line that is not blank, as for a source; none if all are."""
    records: bytes
    """Whole records, with the header if the file has one."""


def beginning(path: Path | RemotePath, names: Sequence[str], kind: FileKind) -> Beginning:
    """Return what a file begins with, which is to have columns of these names.

    Raises
    ------
    SinkError
        The file cannot be read.
    """
    try:
        with closing(text_blocks(path, kind)) as blocks:
            first, second = next(blocks, b""), next(blocks, b"")
            texts = (line.decode() for line in text_lines(chain((first, second), blocks)))
            records = csv.reader(texts, delimiter=kind.delimiter, quotechar=kind.layout.quote_char)
            fields: Sequence[str] = next(filter(None, records), [])
    except (ValueError, csv.Error) as error:
        raise unreadable(path, str(error)) from error
    is_whole = not second and len(first) <= END_BYTES
    head = first[:END_BYTES]
    return Beginning(fields, head if is_whole else head[: _format(names, kind).cut(head)[0]])


def check_layout(
    path: Path | RemotePath, first: Sequence[str], schema: pl.Schema, kind: FileKind, refusal: str
) -> None:
    """Raise SchemaError if the first record of a CSV file shows another delimiter, or another number of columns."""
    header, quote = kind.layout.has_header, kind.layout.quote_char
    if header and not first:
        raise SchemaError(
            f"{refusal}: {path} has only blank lines",
            expected="a header that names the columns, or an empty file",
            found="no header",
            hint="delete the file, or write to another place",
        )
    one = first[0] if len(first) == 1 and len(schema) > 1 else ""
    other = None
    for sign in (sign for sign in ",;\t|" if sign in one):
        fields = [field.strip(quote) for field in one.split(sign)]
        if fields == list(schema) or (not header and len(fields) == len(schema)):
            other = sign
    if other is not None:
        raise SchemaError(
            f"{refusal}: {path} has {other!r} between its fields",
            expected=f"delimiter={other!r}",
            found=f"{kind.delimiter!r}",
            hint="pass the delimiter of the file, or write to another place",
        )
    if header and len(first) == len(schema) and schema.keys().isdisjoint(first):
        raise SchemaError(
            f"{refusal}: {path} has none of these columns, or no header",
            expected=f"{', '.join(first)}, as in {path}",
            found=", ".join(schema),
            hint="rename the columns before the sink, or pass has_header=False if the first row holds values",
        )
    if not header and first and len(first) != len(schema):
        raise SchemaError(
            f"{refusal}: {path} has another number of columns",
            expected=f"{counted(len(first), 'columns')}, as in {path}",
            found=f"{len(schema)}: {', '.join(schema)}",
            hint="select the columns of the file before the sink, or write to another place",
        )


def check_numbers(
    path: Path | RemotePath, records: bytes, schema: pl.Schema, kind: FileKind, refusal: str
) -> None:
    """Raise SchemaError if numbers of a CSV file have a comma before their decimals and those of the rows a point.

    Or the other way round.

    Parameters
    ----------
    path, kind
        The file, its format and compression.
    records
        Records that it begins with.
    schema
        Columns of the rows to write, which are those of the file.
    refusal
        What cannot be done, for errors.
    """
    numbers = [name for name, dtype in schema.items() if dtype.is_float() or dtype.is_decimal()]
    format = _format(tuple(schema), kind)
    body = records.lstrip(b"\r\n")
    body = body[format.end_of_first(body, 1) if kind.layout.has_header else 0 :]
    if not numbers or not body:
        return
    try:
        texts = format.scan(format.checked(body), pl.Schema()).select(numbers).collect()
    except (FlawedRecord, pl.exceptions.PolarsError):
        return  # who reads the file is shown the bad row
    own, other = (",", ".") if kind.layout.decimal_comma else (".", ",")
    for name in numbers:
        found = texts[name].filter(texts[name].str.contains(_DECIMALS[other]))
        if len(found):
            raise SchemaError(
                f"{refusal}: numbers in column {name!r} of {path} have {other!r} before their decimals",
                expected=f"decimal_comma={other == ','}, as for {found[0]!r}",
                found=f"rows that would have {own!r}",
                hint="pass the option that the file was written with, or write to another place",
            )


def newline_of(path: Path, last: bytes, width: int, kind: FileKind) -> bytes:
    """Return what ends the lines of a CSV file.

    Parameters
    ----------
    path, kind
        The file, its format and compression.
    last
        Its last bytes; all of them if they are fewer than `END_BYTES`.
    width
        Number of its columns.

    Raises
    ------
    SinkError
        The file ends inside a quoted field, of which further rows would be a part.
    """
    format = _format((), kind)
    is_whole = len(last) < END_BYTES
    part = last if is_whole else last[last.find(b"\n") + 1 :]
    quotes = format.read_quotes(part)
    ends = quotes.outside(positions(part, _NEWLINE)) + 1
    is_open = len(quotes.enclosing) % 2 == 1
    if not is_whole:
        fields = quotes.outside(positions(part, format.delimiter))
        is_uneven = len(uneven_records(part, ends, fields, width)[0]) > 0
        # Where the part begins inside of a quoted field, what is quoted seems not to be, and the other way round.
        if is_open or is_uneven or quotes.flaw is not None or not len(ends):
            is_open = _is_open(path, format, kind)
    if is_open:
        raise SinkError(
            f"rows cannot be appended to {path}, which ends inside a quoted field",
            expected="a last record that is complete",
            found=repr(last[-_SHOWN:]),
            hint="complete or delete the last record, or write to another place",
        )
    return b"\r\n" if len(ends) and part[: ends[-1]].endswith(b"\r\n") else b"\n"


def _is_open(path: Path, format: Csv, kind: FileKind) -> bool:
    """Return whether a file, which is read whole, ends inside a quoted field."""
    rest = b""
    with closing(text_blocks(path, kind)) as blocks:
        for block in blocks:
            data = rest + block
            rest = data[format.cut(data)[0] :]
            if len(rest) > MAX_RECORD_BYTES:
                return True
    return len(format.read_quotes(rest).enclosing) % 2 == 1


def _format(names: Sequence[str], kind: FileKind) -> Csv:
    return Csv(TextOptions(kind.delimiter, kind.layout.quote_char), tuple(names))
