"""Small files that are alike, many of which one scan reads.

A scan costs about 1 ms whatever it reads, so that thousands of files of a few rows are read 10 times as fast
together. Files are alike if their bytes are: CSV files with the same header, Parquet files with the same schema in
the footer.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import polars as pl

from arrowstream.io.files.columnar.parquet_stitching import footer_ends
from arrowstream.io.files.text.csv_format import Csv

SMALL_BYTES: Final = 65_536
"""Largest size of a file that is read together with others, in bytes."""

TOGETHER_BYTES: Final = 1 << 20
TOGETHER_FILES: Final = 500

_BOM: Final = b"\xef\xbb\xbf"
_MAGIC: Final = b"PAR1"
_NUM_ROWS_FIELD: Final = 0x16
"""Header byte of the Thrift field after the schema, a 64-bit integer."""


@dataclass(frozen=True, slots=True)
class SmallFile:
    """Content of one of the files that are read together.

    Parameters
    ----------
    number
        Index of the file among those of the source.
    content
        Bytes of the file; for CSV those after the header.
    rows
        Number of rows in them.
    """

    number: int
    content: bytes
    rows: int


class Alike(Protocol):
    """Common traits of files that can be read together."""

    def take(self, number: int, content: bytes) -> SmallFile | None:
        """Return the file with this content if it has the traits, else None."""
        ...

    def scan(self, files: Sequence[SmallFile], schema: pl.Schema) -> pl.LazyFrame:
        """Return the rows of all these files, one after the other.

        Raises
        ------
        ValueError
            The files cannot be read together.
        """
        ...


@dataclass(frozen=True, slots=True)
class AlikeCsv(Alike):
    """CSV files with one header and without quotes, so that each line is a record."""

    format: Csv
    header: bytes

    @classmethod
    def of(cls, format: Csv, content: bytes) -> AlikeCsv | None:
        """Return the traits of the file with this content, or None if its header has quotes or no line end."""
        content = content.removeprefix(_BOM)
        header = content[: content.find(b"\n") + 1]
        names = header.decode(errors="replace").removesuffix("\n").split(format.delimiter)
        return cls(format, header) if tuple(names) == format.names else None

    def take(self, number: int, content: bytes) -> SmallFile | None:
        content = content.removeprefix(_BOM)
        if not content.startswith(self.header):
            return None
        body = content[len(self.header) :]
        if b'"' in body or b"\n\n" in body or b"\r" in body or body.startswith(b"\n"):
            return None
        if body and not body.endswith(b"\n"):
            body += b"\n"
        return SmallFile(number, body, body.count(b"\n"))

    def scan(self, files: Sequence[SmallFile], schema: pl.Schema) -> pl.LazyFrame:
        block = b"".join(file.content for file in files)
        if self.format.uneven(block) is not None:
            raise ValueError("a record has too few or too many fields")
        return self.format.scan(block, schema)


@dataclass(frozen=True, slots=True)
class AlikeParquet(Alike):
    """Parquet files whose footers begin and end with the same bytes: schema, metadata, writer."""

    head: bytes
    tail: bytes

    @classmethod
    def of(cls, content: bytes) -> AlikeParquet | None:
        """Return the traits of the file with this content, or None if its footer cannot be taken apart."""
        footer = _footer(content)
        head, tail = footer_ends(footer)
        return cls(head, tail) if footer.startswith(head) and footer.endswith(tail) else None

    def take(self, number: int, content: bytes) -> SmallFile | None:
        footer = _footer(content)
        alike = footer.startswith(self.head) and footer.endswith(self.tail)
        rows = _rows(footer[len(self.head) :]) if alike else None
        return None if rows is None else SmallFile(number, content, rows)

    def scan(self, files: Sequence[SmallFile], schema: pl.Schema) -> pl.LazyFrame:
        return pl.scan_parquet([file.content for file in files], glob=False, hive_partitioning=False)


def small_content(path: Path) -> bytes | None:
    """Return the bytes of a regular file; None if there are more than `SMALL_BYTES`, or they cannot be read."""
    if not path.is_file():
        return None
    try:
        with path.open("rb", buffering=0) as file:
            content = file.read(SMALL_BYTES + 1)
    except OSError:
        return None
    return content if len(content) <= SMALL_BYTES else None


def _footer(content: bytes) -> bytes:
    if len(content) < 12 or not content.endswith(_MAGIC):
        return b""
    (length,) = struct.unpack("<I", content[-8:-4])
    return content[-8 - length : -8]


def _rows(rest: bytes) -> int | None:
    """Return the number of rows, which follows the schema in a footer; None if another field does."""
    if not rest or rest[0] != _NUM_ROWS_FIELD:
        return None
    value = shift = 0
    for byte in rest[1:11]:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value >> 1
    return None
