"""One encoder per file format: frames of one schema in, the bytes of one file out, piece by piece.

An encoder never sees a file. What it gives is appended to one, so that a file needs to be open only
while it is written to, and thousands of partitions can grow at once.
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, TypeAlias, cast

import polars as pl
import pyarrow as pa

from arrowstream.core.batch import arrow_schema, to_record
from arrowstream.io.files.columnar.parquet_stitching import GROUP_ROWS, Codec, RowGroups
from arrowstream.io.files.formats import Format
from arrowstream.io.files.text.old_zones import with_whole_minutes

Piece: TypeAlias = bytes | memoryview | pa.Buffer


def encoder_for(format: Format, schema: pl.Schema, compression: str | None, delimiter: str = ",") -> Encoder:
    """A fresh encoder.

    Parameters
    ----------
    format
        What the file is to be.
    schema
        Of every frame the encoder will get.
    compression
        Of the columns, for the formats that compress those, else of the whole file; None for none.
    delimiter
        Between the fields of a CSV line.

    Examples
    --------
    >>> encoder = encoder_for("json", pl.Schema({"x": pl.Int64}), None)
    >>> b"".join([*encoder.encode(pl.DataFrame({"x": [1, 2]})), *encoder.finish()])
    b'[{"x":1},\\n{"x":2}]\\n'
    """
    if format == "parquet":
        return ParquetEncoder(schema, cast(Codec, compression or "uncompressed"))
    if format == "ipc":
        return IpcEncoder(schema, compression)
    text: Encoder
    if format == "csv":
        text = CsvEncoder(schema, delimiter)
    else:
        text = JsonEncoder() if format == "json" else NdjsonEncoder()
    return PackedEncoder(text, compression) if compression is not None else text


def unit_rows(format: Format) -> int:
    """How many rows are best encoded together."""
    # One row group of several columns keeps two cores busy; more would only take memory.
    return GROUP_ROWS if format == "parquet" else 131_072


class Encoder(ABC):
    """Turns frames of one schema into one file's bytes."""

    @abstractmethod
    def encode(self, frame: pl.DataFrame) -> Iterator[Piece]:
        """The bytes that append these rows."""

    @abstractmethod
    def finish(self) -> Iterator[Piece]:
        """The bytes that end the file."""


class ParquetEncoder(Encoder):
    """Parquet through Polars' own encoder, a few row groups at a time."""

    def __init__(self, schema: pl.Schema, codec: Codec) -> None:
        self._groups = RowGroups(codec)
        self._empty = pl.DataFrame(schema=schema)
        self._begun = False

    def encode(self, frame: pl.DataFrame) -> Iterator[Piece]:
        self._begun = True
        return self._groups.append(frame)

    def finish(self) -> Iterator[Piece]:
        if not self._begun:
            yield from self.encode(self._empty)
        yield from self._groups.finish()


class IpcEncoder(Encoder):
    """The Arrow IPC file format, with the oldest-compatible Arrow types, which every reader knows."""

    def __init__(self, schema: pl.Schema, codec: str | None) -> None:
        self._schema = schema
        self._codec = codec
        self._nested = [name for name, dtype in schema.items() if dtype.is_nested()]
        self._out = _Pieces()
        self._writer: pa.RecordBatchFileWriter | None = None

    def encode(self, frame: pl.DataFrame) -> Iterator[Piece]:
        if self._writer is None:
            # No rows are not compressed: Polars 1 fails on a compressed buffer of no bytes.
            options = pa.ipc.IpcWriteOptions(compression=self._codec if frame.height else None)
            file = pa.PythonFile(self._out, mode="w")
            self._writer = pa.ipc.new_file(file, arrow_schema(self._schema), options=options)
        if self._codec is not None and self._nested:
            # A slice shares the texts of its neighbours, some of which pyarrow would write too; Polars 1
            # refuses a compressed buffer with more bytes than it needs. Gathered rows are a copy.
            frame = frame.with_columns(pl.col(self._nested).gather(pl.int_range(pl.len())))
        self._writer.write_batch(to_record(frame))
        yield from self._out.take()

    def finish(self) -> Iterator[Piece]:
        if self._writer is None:
            # Without a batch there are no dictionaries, and Polars 1 would not see an enum's categories.
            yield from self.encode(pl.DataFrame(schema=self._schema))
        assert self._writer is not None
        self._writer.close()
        yield from self._out.take()


class CsvEncoder(Encoder):
    """Comma (or tab) separated values with a header line, quoted where necessary."""

    def __init__(self, schema: pl.Schema, delimiter: str) -> None:
        self._empty = pl.DataFrame(schema=schema)
        self._delimiter = delimiter
        self._begun = False

    def encode(self, frame: pl.DataFrame) -> Iterator[Piece]:
        out = io.BytesIO()
        with_whole_minutes(frame).write_csv(out, include_header=not self._begun, separator=self._delimiter)
        self._begun = True
        yield out.getbuffer()

    def finish(self) -> Iterator[Piece]:
        if not self._begun:
            yield from self.encode(self._empty)


class NdjsonEncoder(Encoder):
    """A JSON object a line."""

    def encode(self, frame: pl.DataFrame) -> Iterator[Piece]:
        yield _lines(frame)

    def finish(self) -> Iterator[Piece]:
        return iter(())


class JsonEncoder(Encoder):
    """One JSON array of objects, an object a line."""

    def __init__(self) -> None:
        self._begun = False

    def encode(self, frame: pl.DataFrame) -> Iterator[Piece]:
        yield b",\n" if self._begun else b"["
        self._begun = True
        # JSON forbids a raw newline inside a string (RFC 8259, section 7: control characters are
        # escaped), so every newline byte ends a row. In UTF-8 it is never part of another character.
        yield _lines(frame).removesuffix(b"\n").replace(b"\n", b",\n")

    def finish(self) -> Iterator[Piece]:
        yield b"]\n" if self._begun else b"[]\n"


class PackedEncoder(Encoder):
    """Another encoder's bytes, compressed: a gzip member or Zstandard frame for each piece of rows.

    Both formats allow several in a row (RFC 1952, section 2.2; RFC 8878, section 3), so that nothing of
    the compression has to be kept between pieces.
    """

    def __init__(self, inner: Encoder, compression: str) -> None:
        self._inner = inner
        # pyarrow would take gzip's slowest level, 9; 6 is what the gzip tool takes.
        self._codec = pa.Codec(compression, compression_level=6 if compression == "gzip" else 1)
        self._begun = False

    def encode(self, frame: pl.DataFrame) -> Iterator[Piece]:
        return self._pack(self._inner.encode(frame))

    def finish(self) -> Iterator[Piece]:
        return self._pack(self._inner.finish())

    def _pack(self, pieces: Iterator[Piece]) -> Iterator[Piece]:
        content = b"".join(pieces)
        # A file of no bytes would be neither gzip nor Zstandard: an empty one still has a member.
        if content or not self._begun:
            self._begun = True
            yield self._codec.compress(content)


def _lines(frame: pl.DataFrame) -> bytes:
    out = io.BytesIO()
    with_whole_minutes(frame).write_ndjson(out)
    return out.getvalue()


class _Pieces(io.RawIOBase):
    """A file that keeps what is written to it until it is taken."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        piece = bytes(data)
        self._pieces.append(piece)
        return len(piece)

    def take(self) -> list[bytes]:
        pieces, self._pieces = self._pieces, []
        return pieces
