"""Arrow IPC files: the places of their record batches, and copies of a few of them in memory.

Polars and pyarrow map an Arrow file into memory, and frames share that memory. If the file is truncated, the next
access to such a frame ends the process (SIGBUS). So the bytes are read, not mapped: the needed columns of a few
record batches at a time, which Polars gets as a file in memory. The metadata of this file is the original's, with
other offsets. The layout is that of the Arrow columnar format (`File.fbs`, `Message.fbs`).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from arrowstream.io.files.columnar.buffer_counts import column_buffers
from arrowstream.io.files.columnar.damage import damaged_file
from arrowstream.io.files.columnar.flatbuffer import FlatTable
from arrowstream.io.files.columnar.open_file import OpenFile

_MAGIC: Final = b"ARROW1"
_HEAD: Final = _MAGIC + b"\0\0"
_END_OF_STREAM: Final = b"\xff\xff\xff\xff\0\0\0\0"
_ALIGNMENT: Final = 64
_BLOCK: Final = struct.Struct("<qi4xq")
_BUFFER: Final = struct.Struct("<qq")
# Field numbers of File.fbs (Footer) and Message.fbs (Message, RecordBatch).
_DICTIONARIES, _RECORD_BATCHES = 2, 3
_HEADER, _BODY_LENGTH = 2, 3
_LENGTH, _BUFFERS, _COMPRESSION, _VARIADIC = 0, 2, 3, 4

_RATIO: Final = 4
"""Expected size of a compressed record batch once it is read, in units of its compressed size."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Bytes of a file that are copied together.

    Parameters
    ----------
    start
        Offset in the file, in bytes.
    nbytes
        Number of bytes.
    place
        Offset in the body of the copy, in bytes.
    """

    start: int
    nbytes: int
    place: int


@dataclass(frozen=True, slots=True)
class BatchCopy:
    """Record batch or dictionary of a file, without the columns that are not needed.

    Parameters
    ----------
    rows
        Number of rows of a record batch; 0 for a dictionary.
    metadata
        Message of the batch, with the offsets of the copy.
    stretches
        Bytes of the file that form the body.
    body
        Size of the body in bytes, including the gaps between stretches.
    is_compressed
        Whether the buffers of a record batch are compressed.
    """

    rows: int
    metadata: bytes
    stretches: tuple[Stretch, ...]
    body: int
    is_compressed: bool = False

    @property
    def nbytes(self) -> int:
        """Number of bytes that are read from the file."""
        return sum(stretch.nbytes for stretch in self.stretches)

    @property
    def decoded(self) -> int:
        """About how many bytes of memory its rows take."""
        return self.nbytes * _RATIO if self.is_compressed else self.nbytes


class IpcFile:
    """Arrow IPC file with its footer read.

    Parameters
    ----------
    file
        The open file.

    Raises
    ------
    SourceError
        It is not a complete Arrow IPC file.
    """

    def __init__(self, file: OpenFile) -> None:
        self._file = file
        try:
            self._footer = self._read_footer()
            self._dictionaries = [self._whole(*block) for block in self._blocks_of(_DICTIONARIES)]
            self._blocks = self._blocks_of(_RECORD_BATCHES)
        except (struct.error, ValueError) as error:
            raise damaged_file(file, error, "Arrow IPC") from error
        self._schema = self._read_schema()
        self._names = [] if self._schema is None else self._schema.names

    def _read_schema(self) -> pa.Schema | None:
        """Return the schema; None if pyarrow does not know a type, such as Polars' Int128."""
        try:
            schema = pa.ipc.open_file(pa.py_buffer(self.copy([]).getvalue())).schema
            return schema if schema.names else None
        except (OSError, ValueError, pa.ArrowException):
            return None

    @property
    def rows(self) -> int:
        """Number of rows of all record batches."""
        return sum(batch.rows for batch in self.batches(()))

    def batches(self, columns: Collection[str]) -> Iterator[BatchCopy]:
        """Yield the record batches in their order, with these columns.

        Raises
        ------
        SourceError
            The file is damaged, or has changed since it was opened.
        """
        needed = [number for number, name in enumerate(self._names) if name in columns]
        for offset, length, body in self._blocks:
            whole = self._whole(offset, length, body)
            try:
                yield self._less(whole, offset + length, needed)
            except (struct.error, ValueError) as error:
                self._file.check()
                raise damaged_file(self._file, error, "Arrow IPC") from error

    def copy(self, batches: Sequence[BatchCopy]) -> io.BytesIO:
        """Return an Arrow IPC file in memory with these record batches and all dictionaries.

        Raises
        ------
        SourceError
            The file has become shorter.
        """
        footer = bytearray(self._footer)
        end = len(_HEAD)
        placed: list[tuple[int, BatchCopy]] = []
        for field, copies in ((_DICTIONARIES, self._dictionaries), (_RECORD_BATCHES, batches)):
            first, _ = FlatTable.root(footer).vector(field, _BLOCK.size)
            if first:
                struct.pack_into("<I", footer, first - 4, len(copies))
            for number, copy in enumerate(copies):
                length = len(copy.metadata)
                start = _aligned(end + length) - length
                _BLOCK.pack_into(footer, first + _BLOCK.size * number, start, length, copy.body)
                placed.append((start, copy))
                end = start + length + copy.body
        out = io.BytesIO()
        out.write(_HEAD)
        out.seek(end)
        out.write(b"".join((_END_OF_STREAM, footer, struct.pack("<i", len(footer)), _MAGIC)))
        with out.getbuffer() as buffer:
            for start, copy in placed:
                body = start + len(copy.metadata)
                buffer[start:body] = copy.metadata
                for part in copy.stretches:
                    begin = body + part.place
                    self._file.read_into(part.start, buffer[begin : begin + part.nbytes])
        out.seek(0)
        return out

    def _read_footer(self) -> bytes:
        tail = 4 + len(_MAGIC)
        end = self._file.read(max(0, self._file.size - tail), tail)
        if len(end) < tail or not end.endswith(_MAGIC):
            raise ValueError("its last bytes are not those of an Arrow file")
        length = struct.unpack("<i", end[:4])[0]
        start = self._file.size - tail - length
        if length <= 0 or start < len(_HEAD):
            raise ValueError("its footer has an impossible length")
        return self._file.read(start, length)

    def _blocks_of(self, field: int) -> list[tuple[int, int, int]]:
        """Return offset, bytes of metadata and bytes of body of every dictionary or record batch."""
        first, count = FlatTable.root(self._footer).vector(field, _BLOCK.size)
        blocks = [_BLOCK.unpack_from(self._footer, first + _BLOCK.size * number) for number in range(count)]
        if any(min(block) < 0 or sum(block) > self._file.size for block in blocks):
            raise ValueError("its footer names bytes beyond its end")
        return blocks

    def _whole(self, offset: int, length: int, body: int) -> BatchCopy:
        return BatchCopy(0, self._file.read(offset, length), (Stretch(offset + length, body, 0),), body)

    def _less(self, whole: BatchCopy, start: int, columns: Sequence[int]) -> BatchCopy:
        """Return a record batch with these columns; its body begins at offset `start` of the file."""
        metadata = bytearray(whole.metadata)
        message = FlatTable.root(metadata, 8 if metadata.startswith(b"\xff\xff\xff\xff") else 4)
        header = message.table(_HEADER)
        rows = header.integer(_LENGTH, "<q")
        is_compressed = header.field(_COMPRESSION) is not None
        first, count = header.vector(_BUFFERS, _BUFFER.size)
        views, of_views = header.vector(_VARIADIC, 8)
        variadic = struct.unpack_from(f"<{of_views}q", metadata, views)
        spans = [] if self._schema is None else column_buffers(self._schema, variadic)
        if len(columns) == len(spans) or sum(map(len, spans)) != count:
            return BatchCopy(rows, whole.metadata, whole.stretches, whole.body, is_compressed)
        stretches: list[Stretch] = []
        end = 0
        needed = {number for column in columns for number in spans[column]}
        for number in set(range(count)) - needed:
            _BUFFER.pack_into(metadata, first + _BUFFER.size * number, 0, 0)
        for column in columns:
            found = [(n, *_BUFFER.unpack_from(metadata, first + _BUFFER.size * n)) for n in spans[column]]
            begin = min((offset for _, offset, _ in found), default=0)
            nbytes = max((offset + size for _, offset, size in found), default=0) - begin
            if begin < 0 or begin + nbytes > whole.body:
                raise ValueError("its metadata names bytes beyond its body")
            for n, offset, size in found:
                _BUFFER.pack_into(metadata, first + _BUFFER.size * n, offset - begin + end, size)
            stretches.append(Stretch(start + begin, nbytes, end))
            end = _aligned(end + nbytes)
        place = message.field(_BODY_LENGTH)
        if place is not None:
            struct.pack_into("<q", metadata, place, end)
        return BatchCopy(rows, bytes(metadata), tuple(stretches), end, is_compressed)


def _aligned(place: int) -> int:
    return -(-place // _ALIGNMENT) * _ALIGNMENT
