"""One encoder per file format: a stream of frames of one schema into the bytes of one file.

Polars' streaming engine encodes: the frames are its source, and the bytes go to a file object of this module.
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import IO, Any, Final, cast

import polars as pl
import pyarrow as pa
from polars.io.plugins import register_io_source

from arrowstream.core.batch import arrow_schema, to_record
from arrowstream.io.files.avro.container import rows_start
from arrowstream.io.files.formats import Format
from arrowstream.io.files.output.row_buffer import UNIT_BYTES, frame_bytes
from arrowstream.io.files.output.wrapped_bytes import ArrayLines, PackedPieces, Target
from arrowstream.io.files.text.old_zones import has_zones, with_whole_minutes

GROUP_ROWS: Final = 262_144
"""Rows per row group, as in Polars' streaming writer; more made files both slower and larger."""

_UNIT_ROWS: Final = 65_536


def encoder_for(format: Format, schema: pl.Schema, compression: str | None, delimiter: str = ",") -> Encoder:
    r"""Make an encoder.

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
    >>> from arrowstream.io.files.output.streaming_sink import encoded
    >>> encoded(pl.DataFrame({"x": [1, 2]}), encoder_for("json", pl.Schema({"x": pl.Int64}), None))
    b'[{"x":1},\n{"x":2}]\n'
    """
    if format == "parquet":
        return ParquetEncoder(schema, compression)
    if format == "ipc":
        return IpcEncoder(schema, compression)
    if format == "avro":
        return AvroEncoder(schema, compression)
    text: Encoder
    if format == "csv":
        text = CsvEncoder(schema, delimiter)
    else:
        text = JsonEncoder(schema) if format == "json" else NdjsonEncoder(schema)
    return PackedEncoder(text, compression) if compression is not None else text


def unit_rows(format: Format) -> int:
    """Return the number of rows of a row group of Parquet; for other formats, of what is encoded together."""
    return GROUP_ROWS if format == "parquet" else _UNIT_ROWS


class Encoder(ABC):
    """Encoder of frames of one schema into the bytes of one file. It has no state, and serves any number of files.

    Parameters
    ----------
    schema
        Schema of every frame.
    """

    def __init__(self, schema: pl.Schema) -> None:
        self.schema = schema

    def encode(self, frames: Iterator[pl.DataFrame], target: Target) -> None:
        """Add the bytes of a file with these rows to `target`, piece by piece.

        What `frames` or `target` raises ends the call, perhaps as another exception.
        """
        first = next(frames, None)
        if first is None:
            self.encode_rows(pl.DataFrame(schema=self.schema), target)
            return
        with self.framed(target) as inside:
            self.encode_frames(chain([first], frames), first, inside)

    def encode_rows(self, rows: pl.DataFrame, target: Target) -> None:
        """Add the bytes of a file with these rows to `target`; for few rows, this takes a third of the time."""
        with self.framed(target) as inside:
            self.encode_lazy(self.prepared(rows).lazy(), rows, inside)

    @contextmanager
    def framed(self, target: Target) -> Iterator[Target]:
        """Give the target for the rows of one file, whose bytes reach `target` with what surrounds them."""
        yield target

    def encode_frames(self, frames: Iterator[pl.DataFrame], first: pl.DataFrame, target: Target) -> None:
        """Add the bytes of all frames to `target`, as for `encode_lazy`."""
        rest = (self.prepared(frame) for frame in frames)
        self.encode_lazy(register_io_source(lambda *_: rest, schema=self.schema), first, target)

    @abstractmethod
    def encode_lazy(self, rows: pl.LazyFrame, first: pl.DataFrame, target: Target) -> None:
        """Add the bytes of rows to `target`.

        Parameters
        ----------
        rows
            All rows of the file.
        first
            The first of them; none only if there are no others.
        target
            Place for the bytes, from `framed`.
        """

    def prepared(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return rows as they are passed to Polars' encoder."""
        arrays = [name for name, dtype in frame.schema.items() if _has_arrays(dtype)]
        # Polars 1 panics at a slice of an array that does not begin with its first value. Gathered rows are a copy.
        return frame.with_columns(pl.col(arrays).gather(pl.int_range(pl.len()))) if arrays else frame


class ParquetEncoder(Encoder):
    """Encoder of Parquet with zstd at level 1, the fastest, and other compressions at their defaults."""

    def __init__(self, schema: pl.Schema, codec: str | None) -> None:
        super().__init__(schema)
        self._codec: Any = codec or "uncompressed"

    def encode_lazy(self, rows: pl.LazyFrame, first: pl.DataFrame, target: Target) -> None:
        # Polars keeps all rows of a row group in memory, however wide they are.
        fitting = first.height * UNIT_BYTES // max(1, frame_bytes(first))
        rows.sink_parquet(
            _file(target),
            compression=self._codec,
            compression_level=1 if self._codec == "zstd" else None,
            row_group_size=max(1, min(GROUP_ROWS, fitting)) if first.height else None,
            engine="streaming",
        )


class IpcEncoder(Encoder):
    """Encoder of the Arrow IPC file format, with the oldest-compatible Arrow types, which every reader knows."""

    def __init__(self, schema: pl.Schema, codec: str | None) -> None:
        super().__init__(schema)
        self._codec: Any = codec or "uncompressed"

    def encode_lazy(self, rows: pl.LazyFrame, first: pl.DataFrame, target: Target) -> None:
        if not first.height:
            # Polars 1 writes no dictionaries into a file without a batch, and would not see an enum's categories.
            file = pa.PythonFile(_file(target), mode="w")
            with pa.ipc.new_file(file, arrow_schema(self.schema)) as writer:
                writer.write_batch(to_record(first))
            return
        rows.sink_ipc(
            _file(target),
            compression=self._codec,
            compat_level=pl.CompatLevel.oldest(),
            engine="streaming",
        )


class AvroEncoder(Encoder):
    """Encoder of Avro container files, in blocks of at most 65,536 rows; every field may be null."""

    def __init__(self, schema: pl.Schema, codec: str | None) -> None:
        super().__init__(schema)
        self._codec: Any = codec or "uncompressed"

    def encode_frames(self, frames: Iterator[pl.DataFrame], first: pl.DataFrame, target: Target) -> None:
        begun = False
        for frame in frames:
            for rows in frame.iter_slices(_UNIT_ROWS):
                self._add(rows, target, begun)
                begun = True

    def encode_lazy(self, rows: pl.LazyFrame, first: pl.DataFrame, target: Target) -> None:
        self._add(rows.collect(), target, False)

    def _add(self, rows: pl.DataFrame, target: Target, begun: bool) -> None:
        # Polars writes whole files, whose sync markers are the same: after the first header, only the blocks count.
        content = io.BytesIO()
        # Polars 1 writes a whole file for each chunk.
        rows.rechunk().write_avro(content, compression=self._codec, name="row")
        written = content.getvalue()
        target.add(written[rows_start(written) :] if begun else written)


class TextEncoder(Encoder):
    """Encoder of a text format, in which times in a zone mean the same moments."""

    def prepared(self, frame: pl.DataFrame) -> pl.DataFrame:
        return with_whole_minutes(super().prepared(frame))

    def encode_frames(self, frames: Iterator[pl.DataFrame], first: pl.DataFrame, target: Target) -> None:
        if not has_zones(self.schema):
            super().encode_frames(frames, first, target)
            return
        # Frame by frame: one with old times may have a column in UTC where others have it in its zone.
        begun = False
        for frame in frames:
            self.encode_text(self.prepared(frame).lazy(), target, begun)
            begun = True

    def encode_lazy(self, rows: pl.LazyFrame, first: pl.DataFrame, target: Target) -> None:
        self.encode_text(rows, target, False)

    @abstractmethod
    def encode_text(self, rows: pl.LazyFrame, target: Target, begun: bool) -> None:
        """Add the text of rows to `target`, at the beginning of the file or, if it has `begun`, further on."""


class CsvEncoder(TextEncoder):
    """Encoder of CSV with a header line, quoted where necessary."""

    def __init__(self, schema: pl.Schema, delimiter: str) -> None:
        super().__init__(schema)
        self._delimiter = delimiter

    def encode_text(self, rows: pl.LazyFrame, target: Target, begun: bool) -> None:
        rows.sink_csv(_file(target), include_header=not begun, separator=self._delimiter, engine="streaming")


class NdjsonEncoder(TextEncoder):
    """Encoder of NDJSON, one object per line."""

    def encode_text(self, rows: pl.LazyFrame, target: Target, begun: bool) -> None:
        rows.sink_ndjson(_file(target), engine="streaming")


class JsonEncoder(NdjsonEncoder):
    """Encoder of one JSON array of objects, one object per line."""

    @contextmanager
    def framed(self, target: Target) -> Iterator[Target]:
        array = ArrayLines(target)
        yield array
        array.end()


class PackedEncoder(Encoder):
    """Encoder that compresses another one's bytes, piece by piece: each is a gzip member or a Zstandard frame.

    Both formats allow several in a row (RFC 1952, section 2.2; RFC 8878, section 3), so that no
    compression state is kept between them.
    """

    def __init__(self, inner: Encoder, compression: str) -> None:
        super().__init__(inner.schema)
        self._inner = inner
        # pyarrow's default is gzip's slowest level, 9; the gzip tool's default is 6.
        self._codec = pa.Codec(compression, compression_level=6 if compression == "gzip" else 1)

    @contextmanager
    def framed(self, target: Target) -> Iterator[Target]:
        packed = PackedPieces(target, self._codec)
        with self._inner.framed(packed) as inside:
            yield inside
        packed.end()

    def prepared(self, frame: pl.DataFrame) -> pl.DataFrame:
        return self._inner.prepared(frame)

    def encode_frames(self, frames: Iterator[pl.DataFrame], first: pl.DataFrame, target: Target) -> None:
        self._inner.encode_frames(frames, first, target)

    def encode_lazy(self, rows: pl.LazyFrame, first: pl.DataFrame, target: Target) -> None:
        self._inner.encode_lazy(rows, first, target)


def _has_arrays(dtype: Any) -> bool:
    if isinstance(dtype, pl.Struct):
        return any(_has_arrays(field.dtype) for field in dtype.fields)
    return isinstance(dtype, pl.Array) or (isinstance(dtype, pl.List) and _has_arrays(dtype.inner))


def _file(target: Target) -> IO[bytes]:
    return cast(IO[bytes], _File(target.add))


class _File(io.RawIOBase):
    """File object that passes bytes on."""

    def __init__(self, add: Callable[[bytes], None]) -> None:
        super().__init__()
        self._add = add

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        content = bytes(data)
        self._add(content)
        return len(content)
