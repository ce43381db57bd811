"""Traits of small text files that are parsed as one text."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from arrowstream.errors import SourceError
from arrowstream.io.files.text.csv_format import Csv
from arrowstream.io.files.text.csv_rows import CsvRows
from arrowstream.io.files.text.json.array import JsonLines
from arrowstream.io.files.text.lines_format import Lines
from arrowstream.io.files.text.ndjson_format import Ndjson
from arrowstream.io.files.text.ndjson_rows import NdjsonRows
from arrowstream.io.files.text.options.text_options import TextOptions
from arrowstream.io.files.text.records import positions
from arrowstream.io.files.text.signatures import BOM, HEAD_BYTES, foreign
from arrowstream.io.files.text.unknown_key import unknown_key
from arrowstream.io.files.together.alike import Alike, SmallFile, rows_of_each

_BLANK: Final = b" \t\r\n"
_NEWLINE: Final = ord("\n")


@dataclass(frozen=True, slots=True)
class AlikeCsv(Alike):
    """CSV files whose header has the same bytes.

    Parameters
    ----------
    format
        Format of the records, with the names of the header.
    header
        The header with its line end.
    """

    format: Csv
    header: bytes

    @classmethod
    def of(cls, options: TextOptions, content: bytes) -> AlikeCsv | None:
        """Return the traits of the file with this content, or None if its header cannot be read or has no end."""
        if not options.begins_with_header:
            return None
        content = content.removeprefix(BOM)
        format = Csv(options)
        end = int(format.ends(content)[0]) if content else 0
        header = content[:end]
        if not header.endswith(b"\n") or not header.strip():
            return None
        return cls(format.under(header, ""), header)

    def take(self, number: int, content: bytes) -> SmallFile | None:
        content = content.removeprefix(BOM)
        if not content.startswith(self.header):
            return None
        body = content[len(self.header) :]
        if _blank_lines(body) or body.startswith((b"\n", b"\r\n")) or body.endswith(b"\r"):
            return None  # Polars reads them in another way at the ends of a text than in it
        return _line_ended(number, body)

    def read(
        self, files: Sequence[SmallFile], schema: pl.Schema, columns: Sequence[str]
    ) -> tuple[pl.DataFrame, Sequence[int]]:
        block = b"".join(file.content for file in files)
        rows = rows_of_each(self.format.ends(block), [file.content for file in files])
        found = CsvRows(self.format, schema, columns).read(self.format.checked(block))
        return found.select(columns), rows


@dataclass(frozen=True, slots=True)
class AlikeNdjson(Alike):
    """NDJSON files, each of which may leave out any key.

    Parameters
    ----------
    known
        Keys that objects may have, if any other is an error; else None.
    """

    known: pl.Schema | None

    def take(self, number: int, content: bytes) -> SmallFile | None:
        body = content.removeprefix(BOM).strip(_BLANK)
        return None if _blank_lines(body) else _line_ended(number, body)

    def read(
        self, files: Sequence[SmallFile], schema: pl.Schema, columns: Sequence[str]
    ) -> tuple[pl.DataFrame, Sequence[int]]:
        block = b"".join(file.content for file in files)
        rows = rows_of_each(Ndjson().ends(block), [file.content for file in files])
        return _objects(block, schema, self.known).select(columns), rows


@dataclass(frozen=True, slots=True)
class AlikeJson(Alike):
    """JSON files, each of which is an array of objects.

    Parameters
    ----------
    known
        Keys that objects may have, if any other is an error; else None.
    """

    known: pl.Schema | None

    def take(self, number: int, content: bytes) -> SmallFile | None:
        body = content.removeprefix(BOM).strip(_BLANK)
        if not (body.startswith(b"[") and body.endswith(b"]")):
            return None
        inside = body[1:-1].strip(_BLANK)
        # The comma is that of the array which all objects are in while they are parsed.
        return SmallFile(number, inside and inside + b",", len(inside))

    def read(
        self, files: Sequence[SmallFile], schema: pl.Schema, columns: Sequence[str]
    ) -> tuple[pl.DataFrame, Sequence[int]]:
        array = b"".join((b"[", *(file.content for file in files)))
        try:
            lines = JsonLines(io.BytesIO(array[:-1] + b"]" if len(array) > 1 else b"[]"), "")
            block = lines.read(len(array) + 1) or b""
        except SourceError as error:
            raise ValueError("a file is not one array") from error
        # Where each file ends, a line of the whole must end: no file is open at its end, and closed by the next one.
        rows = rows_of_each(positions(block[1:], _NEWLINE) + 1, [file.content for file in files])
        return _objects(block, schema, self.known).select(columns), rows


@dataclass(frozen=True, slots=True)
class AlikeLines(Alike):
    """Files read line by line, all of which have one column."""

    def take(self, number: int, content: bytes) -> SmallFile | None:
        if content.endswith(b"\r") or foreign(content[:HEAD_BYTES], markup=True) is not None:
            return (
                None  # a carriage return at the end of a file ends no line, but it would before another file
            )
        return _line_ended(number, content.removeprefix(BOM))

    def read(
        self, files: Sequence[SmallFile], schema: pl.Schema, columns: Sequence[str]
    ) -> tuple[pl.DataFrame, Sequence[int]]:
        format, block = Lines(), b"".join(file.content for file in files)
        rows = rows_of_each(format.ends(block), [file.content for file in files])
        return format.scan(format.checked(block), schema).select(columns).collect(engine="in-memory"), rows


def is_array(content: bytes) -> bool:
    """Return whether the content of a JSON file is an array, not NDJSON."""
    return content.removeprefix(BOM).lstrip(_BLANK).startswith(b"[")


def _objects(block: bytes, schema: pl.Schema, known: pl.Schema | None) -> pl.DataFrame:
    format = Ndjson()
    sound = format.checked(block)
    if known is not None and unknown_key(sound, known) is not None:
        raise ValueError("an object has a key that is not a column")
    if not format.infer(sound, pl.Schema(), rows=None).keys() <= schema.keys():
        raise ValueError("a file has a key that is not a column")
    frame, lost = NdjsonRows(schema).read(sound)
    if lost:
        raise ValueError("the rows leave out values")
    return frame


def _blank_lines(body: bytes) -> bool:
    return b"\n\n" in body or b"\n\r\n" in body


def _line_ended(number: int, body: bytes) -> SmallFile:
    if body and not body.endswith(b"\n"):
        body += b"\n"
    return SmallFile(number, body, len(body))
