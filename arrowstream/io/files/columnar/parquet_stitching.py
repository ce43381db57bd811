"""Row groups of one Parquet file, appended as they are encoded.

Polars encodes Parquet on all cores, but only whole files: it cannot append to one. So each frame of rows
becomes a small Parquet file in memory. Its column chunks are copied unchanged into the real file, and its
row groups' metadata is kept, with the offsets moved, for the real footer at the end. No data is decoded,
and the result has exactly the types and statistics of a file that Polars writes. The layout is that of
the Parquet format specification (`parquet.thrift`).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import Final, Literal

import polars as pl

from arrowstream.io.files.columnar.thrift import (
    LIST,
    STRUCT,
    Struct,
    field_header,
    list_header,
    read_struct,
    write_struct,
)

Codec = Literal["zstd", "snappy", "lz4", "gzip", "uncompressed"]

GROUP_ROWS: Final = 262_144
"""Rows per row group, as in Polars' streaming writer; more made files both slower and larger."""

_MAGIC: Final = b"PAR1"
# Field numbers of parquet.thrift: FileMetaData, RowGroup, ColumnChunk, ColumnMetaData, OffsetIndex.
_SCHEMA, _NUM_ROWS, _ROW_GROUPS = 2, 3, 4
_COLUMNS, _GROUP_OFFSET, _ORDINAL = 1, 5, 7
_CHUNK_OFFSET, _CHUNK_META = 2, 3
_OFFSET_INDEX, _OFFSET_INDEX_SIZE, _COLUMN_INDEX, _COLUMN_INDEX_SIZE = 4, 5, 6, 7
_COMPRESSED_SIZE, _DATA_PAGE, _INDEX_PAGE, _DICTIONARY_PAGE, _BLOOM, _BLOOM_SIZE = 7, 9, 10, 11, 14, 15
_PAGES, _PAGE_OFFSET = 1, 1


class RowGroups:
    """Encoder of frames of one schema into the bytes of one Parquet file, piece by piece.

    Parameters
    ----------
    codec
        Compression of the pages; zstd at level 1, the fastest, the others at their defaults.

    Examples
    --------
    >>> groups = RowGroups("zstd")
    >>> pieces = [*groups.append(pl.DataFrame({"x": [1]})), *groups.append(pl.DataFrame({"x": [2]}))]
    >>> pl.read_parquet(b"".join([*pieces, *groups.finish()]))["x"].to_list()
    [1, 2]
    """

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._written = 0
        self._rows = 0
        # The bytes common to the footers of all frames: before the number of rows, and after the row groups.
        self._head = b""
        self._tail = b""
        # Kept encoded: as Python objects, the row groups of a long file take about 20 times the memory.
        self._groups: list[bytes] = []

    def append(self, frame: pl.DataFrame) -> Iterator[bytes | memoryview]:
        """Yield the bytes that append the rows of `frame`, as one or more row groups.

        Raises
        ------
        ValueError
            The frame's schema differs from that of the first one.
        """
        data = self._encode(frame)
        (length,) = struct.unpack("<I", data[-8:-4])
        footer = bytes(data[-8 - length : -8])
        if not self._written:
            self._head, self._tail = footer_ends(footer)
            self._written = len(_MAGIC)
            yield _MAGIC
        if not (footer.startswith(self._head) and footer.endswith(self._tail)):
            raise ValueError(f"this frame's schema is not that of the file's first one: {frame.schema}")
        # The schema, a large part of a footer, is read only once.
        fields = read_struct(footer[len(self._head) : -len(self._tail)] + b"\0", previous=_SCHEMA)
        self._rows += fields[_NUM_ROWS][1]
        for group in fields[_ROW_GROUPS][1][1]:
            for piece in self._move(group, data):
                self._written += len(piece)
                yield piece
            self._groups.append(write_struct(group))

    def finish(self) -> Iterator[bytes]:
        """Yield the bytes that end the file; at least one frame, even an empty one, must have been appended."""
        footer = b"".join(
            [
                self._head,
                write_struct({_NUM_ROWS: (6, self._rows)}, previous=_SCHEMA)[:-1],
                field_header(_ROW_GROUPS, _NUM_ROWS, LIST),
                list_header(STRUCT, len(self._groups)),
                *self._groups,
                self._tail,
            ]
        )
        yield footer
        yield struct.pack("<I", len(footer))
        yield _MAGIC

    def _encode(self, frame: pl.DataFrame) -> memoryview:
        """Return a Parquet file of this frame alone."""
        buffer = io.BytesIO()
        # The streaming engine is named, since the other writer of Polars 1 uses one core only.
        frame.lazy().sink_parquet(
            buffer,
            compression=self._codec,
            compression_level=1 if self._codec == "zstd" else None,
            row_group_size=GROUP_ROWS,
            engine="streaming",
        )
        return buffer.getbuffer()

    def _move(self, group: Struct, data: memoryview) -> Iterator[bytes | memoryview]:
        """Yield the bytes of `data` that belong to a row group; change the group's offsets to the final ones."""
        at = self._written
        columns: list[Struct] = group[_COLUMNS][1][1]
        moved_by: list[int] = []
        # Optional, and its 16 bits are too few to number the groups of a long file.
        group.pop(_ORDINAL, None)
        group[_GROUP_OFFSET] = (6, at)
        for column in columns:
            meta: Struct = column[_CHUNK_META][1]
            start = min(meta[field][1] for field in (_DATA_PAGE, _DICTIONARY_PAGE) if field in meta)
            size = meta[_COMPRESSED_SIZE][1]
            moved_by.append(at - start)
            # The specification wants 0 here, and not the copy of the metadata after the chunk of earlier versions.
            column[_CHUNK_OFFSET] = (6, 0)
            for field in (_DATA_PAGE, _INDEX_PAGE, _DICTIONARY_PAGE):
                if field in meta:
                    meta[field] = (6, meta[field][1] + at - start)
            for field in (_BLOOM, _BLOOM_SIZE):
                meta.pop(field, None)
            yield data[start : start + size]
            at += size
        for column, distance in zip(columns, moved_by, strict=True):
            for piece in _move_indexes(column, data, distance, at):
                yield piece
                at += len(piece)


def _move_indexes(column: Struct, data: memoryview, distance: int, at: int) -> Iterator[bytes | memoryview]:
    """Yield a chunk's page indexes, to be written at offset `at`, for pages that have moved by `distance` bytes."""
    if _COLUMN_INDEX in column:
        start, size = column[_COLUMN_INDEX][1], column[_COLUMN_INDEX_SIZE][1]
        column[_COLUMN_INDEX] = (6, at)
        at += size
        yield data[start : start + size]
    if _OFFSET_INDEX in column:
        start, size = column[_OFFSET_INDEX][1], column[_OFFSET_INDEX_SIZE][1]
        index = read_struct(bytes(data[start : start + size]))
        for page in index[_PAGES][1][1]:
            page[_PAGE_OFFSET] = (6, page[_PAGE_OFFSET][1] + distance)
        encoded = write_struct(index)
        column[_OFFSET_INDEX], column[_OFFSET_INDEX_SIZE] = (6, at), (5, len(encoded))
        yield encoded


def footer_ends(footer: bytes) -> tuple[bytes, bytes]:
    """Return the bytes common to footers of one schema and writer: before the row count, and after the row groups."""
    fields = read_struct(footer)
    before = {number: field for number, field in fields.items() if number < _NUM_ROWS}
    after = {number: field for number, field in fields.items() if number > _ROW_GROUPS}
    return write_struct(before)[:-1], write_struct(after, previous=_ROW_GROUPS)
