"""One encoder per file format: a stream of frames of one schema into the bytes of one file.

Polars' streaming engine encodes: the frames are its source, and the bytes go to a file object of this module.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import polars as pl
import pyarrow as pa

from arrowstream.core.batch import to_record
from arrowstream.core.rows.arrow_schema import arrow_schema
from arrowstream.io.files.formats import Format
from arrowstream.io.files.output.avro_encoder import AvroFileEncoder
from arrowstream.io.files.output.encoder import EncodedOutput, FileEncoder, PolarsEncoder, file_of
from arrowstream.io.files.output.row_buffer import frame_bytes
from arrowstream.io.files.text.old_zones import has_zones, with_whole_minutes
from arrowstream.io.files.text.options.csv_layout import PLAIN, CsvLayout

GROUP_ROWS: Final = 262_144
"""Rows per row group, as in Polars' streaming writer; more made files both slower and larger."""

GROUP_BYTES: Final = 16 << 20
"""Bytes of the rows of a row group, about, if they are wide: Polars holds five row groups while it encodes them."""

_UNIT_ROWS: Final = 65_536
_PACKED_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class RowGroups:
    """Row groups of a Parquet file.

    Parameters
    ----------
    rows
        Number of rows in each; None for as many as are fast to write and read.
    nbytes
        Most bytes of the rows of one, about, if `rows` is None; None for the default.
    statistics
        Whether each has the least and the largest value of its columns, by which readers skip it.
    """

    rows: int | None = None
    nbytes: int | None = None
    statistics: bool = True

    def size(self, first: pl.DataFrame) -> int | None:
        """Return the number of rows of each, from the first rows of the file; None if there are none."""
        if self.rows is not None:
            return self.rows
        if not first.height:
            return None
        most = GROUP_BYTES if self.nbytes is None else min(self.nbytes, GROUP_BYTES)
        fitting = first.height * most // max(1, frame_bytes(first))
        return max(1, min(GROUP_ROWS, fitting))


def encoder_for(
    format: Format,
    schema: pl.Schema,
    compression: str | None,
    delimiter: str = ",",
    layout: CsvLayout = PLAIN,
    *,
    header: bool = True,
    newline: str = "\n",
    level: int | None = None,
    groups: RowGroups | None = None,
    flows: bool = False,
) -> FileEncoder:
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
    layout
        How CSV is written otherwise.
    header
        Whether a CSV file begins with a line of the names, if its layout has one.
    newline
        What ends the lines of CSV.
    level
        Level of the compression; None for a fast one.
    groups
        Row groups of Parquet; None for the defaults.
    flows
        Whether text is written frame by frame, for a reader that waits for it or because the size of the file counts:
        of a query over all frames, Polars may hold any number.

    Examples
    --------
    >>> from arrowstream.io.files.output.streaming_sink import encoded
    >>> encoded(pl.DataFrame({"x": [1, 2]}), encoder_for("json", pl.Schema({"x": pl.Int64}), None))
    b'[{"x":1},\n{"x":2}]\n'
    """
    if format == "parquet":
        return ParquetEncoder(schema, compression, level, groups or RowGroups())
    if format == "ipc":
        return IpcEncoder(schema, compression)
    if format == "avro":
        return AvroFileEncoder(schema, compression)
    text: FileEncoder
    if format == "csv":
        text = CsvFileEncoder(schema, delimiter, layout, header, flows, newline)
    else:
        text = (JsonFileEncoder if format == "json" else NdjsonEncoder)(schema, flows)
    return PackedEncoder(text, compression, level) if compression is not None else text


def unit_rows(format: Format) -> int:
    """Return the number of rows of a row group of Parquet; for other formats, of what is encoded together."""
    return GROUP_ROWS if format == "parquet" else _UNIT_ROWS


class ParquetEncoder(PolarsEncoder):
    """Encoder of Parquet; by default with zstd at level 1, the fastest, and other compressions at their defaults."""

    def __init__(self, schema: pl.Schema, codec: str | None, level: int | None, groups: RowGroups) -> None:
        super().__init__(schema)
        self._codec: Any = codec or "uncompressed"
        self._level = 1 if level is None and codec == "zstd" else level
        self._groups = groups

    def polars_sink(self, rows: pl.LazyFrame, first: pl.DataFrame, place: Any) -> pl.LazyFrame:
        return rows.sink_parquet(
            place,
            compression=self._codec,
            compression_level=self._level,
            row_group_size=self._groups.size(first),
            statistics=self._groups.statistics,
            lazy=True,
        )


class IpcEncoder(PolarsEncoder):
    """Encoder of the Arrow IPC file format, with the oldest-compatible Arrow types, which every reader knows."""

    holds_rows = True  # Polars writes a record batch once it is large

    def __init__(self, schema: pl.Schema, codec: str | None) -> None:
        super().__init__(schema)
        self._codec: Any = codec or "uncompressed"

    def encode_lazy(self, rows: pl.LazyFrame, first: pl.DataFrame, target: EncodedOutput) -> None:
        if not first.height:
            # Polars 1 writes no dictionaries into a file without a batch, and would not see an enum's categories.
            file = pa.PythonFile(file_of(target), mode="w")
            with pa.ipc.new_file(file, arrow_schema(self.schema)) as writer:
                writer.write_batch(to_record(first))
            return
        super().encode_lazy(rows, first, target)

    def polars_sink(self, rows: pl.LazyFrame, first: pl.DataFrame, place: Any) -> pl.LazyFrame:
        return rows.sink_ipc(place, compression=self._codec, compat_level=pl.CompatLevel.oldest(), lazy=True)


class TextEncoder(PolarsEncoder):
    """Encoder of a text format, in which times in a zone mean the same moments."""

    def __init__(self, schema: pl.Schema, flows: bool = False) -> None:
        super().__init__(schema)
        # With zones, one frame with old times may have a column in UTC where others have it in its zone.
        self._has_zones = has_zones(schema)
        self._frame_by_frame = flows or self._has_zones

    @property
    def are_prepared_alike(self) -> bool:
        return not self._has_zones

    def prepared(self, frame: pl.DataFrame) -> pl.DataFrame:
        return with_whole_minutes(super().prepared(frame))

    def encode_frames(
        self, frames: Iterator[pl.DataFrame], first: pl.DataFrame, target: EncodedOutput
    ) -> None:
        if not self._frame_by_frame:
            super().encode_frames(frames, first, target)
            return
        begun = False
        for frame in frames:
            self.text_sink(self.prepared(frame).lazy(), file_of(target), begun).collect(engine="streaming")
            begun = True

    def polars_sink(self, rows: pl.LazyFrame, first: pl.DataFrame, place: Any) -> pl.LazyFrame:
        return self.text_sink(rows, place, False)

    @abstractmethod
    def text_sink(self, rows: pl.LazyFrame, place: Any, begun: bool) -> pl.LazyFrame:
        """Return the query that writes the text of rows at the beginning of the file or, if it has `begun`, later."""


class CsvFileEncoder(TextEncoder):
    """Encoder of CSV."""

    def __init__(
        self,
        schema: pl.Schema,
        delimiter: str,
        layout: CsvLayout,
        header: bool,
        flows: bool = False,
        newline: str = "\n",
    ) -> None:
        super().__init__(schema, flows)
        self._header = header and layout.has_header
        self._options = {**layout.arguments(delimiter), "line_terminator": newline}

    def text_sink(self, rows: pl.LazyFrame, place: Any, begun: bool) -> pl.LazyFrame:
        return rows.sink_csv(
            place,
            include_header=self._header and not begun,
            lazy=True,
            **self._options,
        )


class NdjsonEncoder(TextEncoder):
    """Encoder of NDJSON, one object per line."""

    def prepared(self, frame: pl.DataFrame) -> pl.DataFrame:
        rows = super().prepared(frame)
        # Polars 1 panics at columns whose chunks end at different rows.
        return rows.rechunk() if any(count > 1 for count in rows.n_chunks("all")) else rows

    def text_sink(self, rows: pl.LazyFrame, place: Any, begun: bool) -> pl.LazyFrame:
        return rows.sink_ndjson(place, lazy=True)


class JsonFileEncoder(NdjsonEncoder):
    """Encoder of one JSON array of objects, one object per line."""

    @contextmanager
    def framed(self, target: EncodedOutput) -> Iterator[EncodedOutput]:
        array = _Array(target)
        yield array
        array.end()


class PackedEncoder(FileEncoder):
    """Encoder that compresses another one's bytes, piece by piece: each is a gzip member or a Zstandard frame.

    Both formats allow several in a row (RFC 1952, section 2.2; RFC 8878, section 3), so that no
    compression state is kept between them.
    """

    def __init__(self, inner: FileEncoder, compression: str, level: int | None) -> None:
        super().__init__(inner.schema)
        self._inner = inner
        # pyarrow's default is gzip's slowest level, 9; the gzip tool's default is 6.
        chosen = level or (6 if compression == "gzip" else 1)
        self._codec = pa.Codec(compression, compression_level=chosen)

    @contextmanager
    def framed(self, target: EncodedOutput) -> Iterator[EncodedOutput]:
        packed = _Packed(target, self._codec)
        with self._inner.framed(packed) as inside:
            yield inside
        packed.end()

    def prepared(self, frame: pl.DataFrame) -> pl.DataFrame:
        return self._inner.prepared(frame)

    def encode_files(self, files: Sequence[tuple[pl.DataFrame, EncodedOutput]]) -> None:
        packed = [_Packed(target, self._codec) for _, target in files]
        self._inner.encode_files([(rows, target) for (rows, _), target in zip(files, packed, strict=True)])
        for target in packed:
            target.end()

    def encode_frames(
        self, frames: Iterator[pl.DataFrame], first: pl.DataFrame, target: EncodedOutput
    ) -> None:
        self._inner.encode_frames(frames, first, target)

    def sink(self, rows: pl.LazyFrame, first: pl.DataFrame, target: EncodedOutput) -> pl.LazyFrame:
        return self._inner.sink(rows, first, target)


class _Array:
    """Lines of NDJSON as the elements of one JSON array."""

    def __init__(self, target: EncodedOutput) -> None:
        self._target = target
        self._begun = self._line_ended = False

    def add(self, data: bytes) -> None:
        if not data:
            return
        # JSON forbids a raw newline inside a string (RFC 8259, section 7: control characters are
        # escaped), so every newline byte ends a row. In UTF-8 it is never part of another character.
        head = b",\n" if self._line_ended else b"" if self._begun else b"["
        self._begun, self._line_ended = True, data.endswith(b"\n")
        self._target.add(head + data.removesuffix(b"\n").replace(b"\n", b",\n"))

    def end(self) -> None:
        self._target.add(b"]\n" if self._begun else b"[]\n")


class _Packed:
    """Bytes that are compressed together once there are enough of them."""

    def __init__(self, target: EncodedOutput, codec: pa.Codec) -> None:
        self._target = target
        self._codec = codec
        self._held: list[bytes] = []
        self._nbytes = 0
        self._begun = False

    def add(self, data: bytes) -> None:
        self._held.append(data)
        self._nbytes += len(data)
        if self._nbytes >= _PACKED_BYTES:
            self._pack()

    def end(self) -> None:
        # A file of 0 bytes is neither gzip nor Zstandard, so an empty one still gets a member.
        if self._nbytes or not self._begun:
            self._pack()

    def _pack(self) -> None:
        self._begun = True
        content, self._held, self._nbytes = b"".join(self._held), [], 0
        self._target.add(self._codec.compress(content, asbytes=True))
