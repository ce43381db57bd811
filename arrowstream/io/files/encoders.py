"""One encoder per file format: frames of one schema in, the bytes of one file out, chunk by chunk.

An encoder never sees a file. Its bytes are appended to one, so that a file is open only while it is
written to, and thousands of partitions can grow at once.
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

Encoded: TypeAlias = bytes | memoryview | pa.Buffer
"""Next bytes of a file."""


def encoder_for(format: Format, schema: pl.Schema, compression: str | None, delimiter: str = ",") -> Encoder:
    r"""Make a new encoder.

    Parameters
    ----------
    format
        Format of the file.
    schema
        Schema of every frame that is encoded.
    compression
        Compression of the columns for Parquet and IPC, of the whole file for text; None for no compression.
    delimiter
        Delimiter of the fields of a CSV line.

    Examples
    --------
    >>> encoder = encoder_for("json", pl.Schema({"x": pl.Int64}), None)
    >>> b"".join([*encoder.encode(pl.DataFrame({"x": [1, 2]})), *encoder.finish()])
    b'[{"x":1},\n{"x":2}]\n'
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
    """Return the number of rows that are encoded together."""
    # One row group of several columns keeps two cores busy; more would only take memory.
    return GROUP_ROWS if format == "parquet" else 131_072


class Encoder(ABC):
    """Encoder of frames of one schema into the bytes of one file."""

    @abstractmethod
    def encode(self, frame: pl.DataFrame) -> Iterator[Encoded]:
        """Return the bytes that append these rows."""

    @abstractmethod
    def finish(self) -> Iterator[Encoded]:
        """Return the bytes that end the file. Called once, after the last `encode`."""


class ParquetEncoder(Encoder):
    """Encoder of Parquet, which calls Polars' encoder for a few row groups at a time."""

    def __init__(self, schema: pl.Schema, codec: Codec) -> None:
        self._groups = RowGroups(codec)
        self._empty = pl.DataFrame(schema=schema)
        self._begun = False

    def encode(self, frame: pl.DataFrame) -> Iterator[Encoded]:
        self._begun = True
        return self._groups.append(frame)

    def finish(self) -> Iterator[Encoded]:
        if not self._begun:
            yield from self.encode(self._empty)
        yield from self._groups.finish()


class IpcEncoder(Encoder):
    """Encoder of the Arrow IPC file format, with the oldest-compatible Arrow types, which every reader knows."""

    def __init__(self, schema: pl.Schema, codec: str | None) -> None:
        self._schema = schema
        self._codec = codec
        self._nested = [name for name, dtype in schema.items() if dtype.is_nested()]
        self._out = _Chunks()
        self._writer: pa.RecordBatchFileWriter | None = None

    def encode(self, frame: pl.DataFrame) -> Iterator[Encoded]:
        if self._writer is None:
            # An empty frame is not compressed: Polars 1 fails on a compressed buffer of 0 bytes.
            options = pa.ipc.IpcWriteOptions(compression=self._codec if frame.height else None)
            file = pa.PythonFile(self._out, mode="w")
            self._writer = pa.ipc.new_file(file, arrow_schema(self._schema), options=options)
        if self._codec is not None and self._nested:
            # A slice shares string buffers with its neighbours, and pyarrow would write some of their bytes too;
            # Polars 1 refuses a compressed buffer with more bytes than it needs. Gathered rows are a copy.
            frame = frame.with_columns(pl.col(self._nested).gather(pl.int_range(pl.len())))
        self._writer.write_batch(to_record(frame))
        yield from self._out.take()

    def finish(self) -> Iterator[Encoded]:
        if self._writer is None:
            # A file without a batch has no dictionaries, and Polars 1 would not see an enum's categories.
            yield from self.encode(pl.DataFrame(schema=self._schema))
        assert self._writer is not None
        self._writer.close()
        yield from self._out.take()


class CsvEncoder(Encoder):
    """Encoder of CSV with a header line, quoted where necessary."""

    def __init__(self, schema: pl.Schema, delimiter: str) -> None:
        self._empty = pl.DataFrame(schema=schema)
        self._delimiter = delimiter
        self._begun = False

    def encode(self, frame: pl.DataFrame) -> Iterator[Encoded]:
        out = io.BytesIO()
        with_whole_minutes(frame).write_csv(out, include_header=not self._begun, separator=self._delimiter)
        self._begun = True
        yield out.getbuffer()

    def finish(self) -> Iterator[Encoded]:
        if not self._begun:
            yield from self.encode(self._empty)


class NdjsonEncoder(Encoder):
    """Encoder of NDJSON, one object per line."""

    def encode(self, frame: pl.DataFrame) -> Iterator[Encoded]:
        yield _lines(frame)

    def finish(self) -> Iterator[Encoded]:
        return iter(())


class JsonEncoder(Encoder):
    """Encoder of one JSON array of objects, one object per line."""

    def __init__(self) -> None:
        self._begun = False

    def encode(self, frame: pl.DataFrame) -> Iterator[Encoded]:
        yield b",\n" if self._begun else b"["
        self._begun = True
        # JSON forbids a raw newline inside a string (RFC 8259, section 7: control characters are
        # escaped), so every newline byte ends a row. In UTF-8 it is never part of another character.
        yield _lines(frame).removesuffix(b"\n").replace(b"\n", b",\n")

    def finish(self) -> Iterator[Encoded]:
        yield b"]\n" if self._begun else b"[]\n"


class PackedEncoder(Encoder):
    """Encoder that compresses another one's bytes: one gzip member or Zstandard frame per frame of rows.

    Both formats allow several in a row (RFC 1952, section 2.2; RFC 8878, section 3), so that no
    compression state is kept between them.
    """

    def __init__(self, inner: Encoder, compression: str) -> None:
        self._inner = inner
        # pyarrow's default is gzip's slowest level, 9; the gzip tool's default is 6.
        self._codec = pa.Codec(compression, compression_level=6 if compression == "gzip" else 1)
        self._begun = False

    def encode(self, frame: pl.DataFrame) -> Iterator[Encoded]:
        return self._pack(self._inner.encode(frame))

    def finish(self) -> Iterator[Encoded]:
        return self._pack(self._inner.finish())

    def _pack(self, parts: Iterator[Encoded]) -> Iterator[Encoded]:
        content = b"".join(parts)
        # A file of 0 bytes is neither gzip nor Zstandard, so an empty one still gets a member.
        if content or not self._begun:
            self._begun = True
            yield self._codec.compress(content)


def _lines(frame: pl.DataFrame) -> bytes:
    out = io.BytesIO()
    with_whole_minutes(frame).write_ndjson(out)
    return out.getvalue()


class _Chunks(io.RawIOBase):
    """File in memory that keeps the bytes written to it until `take`."""

    def __init__(self) -> None:
        super().__init__()
        self._chunks: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        chunk = bytes(data)
        self._chunks.append(chunk)
        return len(chunk)

    def take(self) -> list[bytes]:
        chunks, self._chunks = self._chunks, []
        return chunks
