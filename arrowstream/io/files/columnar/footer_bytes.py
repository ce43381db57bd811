"""What the footers of columnar files of one schema and writer have in common, byte for byte.

Comparing bytes takes some 10 us a file; a scan that reads the schema takes 300 us or more.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from arrowstream.io.files.columnar.flatbuffer import FlatTable

_PARQUET: Final = b"PAR1"
_ARROW: Final = b"ARROW1"
# Field numbers of parquet.thrift: FileMetaData.
_NUM_ROWS, _ROW_GROUPS = 3, 4
_ROWS_HEADER: Final = 0x16
"""Header byte of the Thrift field after the schema, a 64-bit integer."""

# Field numbers of File.fbs (Footer) and Message.fbs (Message, RecordBatch), and the size of a Block.
_DICTIONARIES, _RECORD_BATCHES = 2, 3
_HEADER, _LENGTH = 2, 0
_BLOCK: Final = 24

# Wire types of Thrift's compact protocol.
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 12
_INTEGERS: Final = (4, 5, 6)


@dataclass(frozen=True, slots=True)
class ParquetEnds:
    """Begin and end of a Parquet footer: the schema before the number of rows; metadata and writer after the groups.

    Parameters
    ----------
    head
        Bytes before the number of rows.
    tail
        Bytes after the row groups.
    """

    head: bytes
    tail: bytes

    @classmethod
    def of(cls, footer: bytes) -> ParquetEnds | None:
        """Return the ends of a footer; None if it is damaged or has its fields in an unusual order."""
        try:
            fields, _ = _fields(footer)
            return cls(footer[: fields[_NUM_ROWS][0]], footer[fields[_ROW_GROUPS][1] :])
        except (IndexError, KeyError, ValueError):
            return None

    def rows(self, footer: bytes) -> int | None:
        """Return the number of rows of a file with this footer; None if the footer has other ends."""
        at = len(self.head)
        if not (footer.startswith(self.head) and footer.endswith(self.tail)):
            return None
        if footer[at : at + 1] != bytes([_ROWS_HEADER]):
            return None
        try:
            return _varint(footer, at + 1)[0] >> 1
        except IndexError:
            return None


def parquet_footer(end: bytes) -> bytes:
    """Return the footer of a Parquet file from its last bytes; nothing if they do not hold all of it."""
    if len(end) < 12 or not end.endswith(_PARQUET):
        return b""
    (length,) = struct.unpack("<I", end[-8:-4])
    return end[-8 - length : -8] if length + 8 <= len(end) else b""


@dataclass(frozen=True, slots=True)
class IpcEnds:
    """Footer of an Arrow IPC file without the places of its batches.

    Parameters
    ----------
    footer
        The footer with zeros in place of the blocks.
    """

    footer: bytes

    @classmethod
    def of(cls, content: bytes) -> tuple[IpcEnds, int] | None:
        """Return the traits of a whole file, and its number of rows; None if it is damaged."""
        try:
            return cls._of(content)
        except (struct.error, ValueError):
            return None

    @classmethod
    def _of(cls, content: bytes) -> tuple[IpcEnds, int] | None:
        tail = 4 + len(_ARROW)
        if len(content) < tail or not content.endswith(_ARROW):
            return None
        (length,) = struct.unpack("<i", content[-tail : 4 - tail])
        footer = bytearray(content[len(content) - tail - length : -tail])
        rows = 0
        for field in (_DICTIONARIES, _RECORD_BATCHES):
            first, count = FlatTable.root(footer).vector(field, _BLOCK)
            if field == _RECORD_BATCHES:
                for number in range(count):
                    (offset,) = struct.unpack_from("<q", footer, first + _BLOCK * number)
                    rows += _batch_rows(content, offset)
            footer[first : first + _BLOCK * count] = bytes(_BLOCK * count)
        return cls(bytes(footer)), rows


def _batch_rows(content: bytes, offset: int) -> int:
    marked = content[offset : offset + 4] == b"\xff\xff\xff\xff"
    message = FlatTable.root(content, offset + (8 if marked else 4))
    return message.table(_HEADER).integer(_LENGTH, "<q")


def _fields(data: bytes, at: int = 0) -> tuple[dict[int, tuple[int, int]], int]:
    """Return where each field of the Thrift struct at `at` begins and ends, by number, and where the struct ends."""
    number = 0
    fields = {}
    while header := data[at]:
        start, step, at = at, header >> 4, at + 1
        if step:
            number += step
        else:
            value, at = _varint(data, at)
            number = value >> 1
        at = _skipped(data, at, header & 0x0F, inside_list=False)
        fields[number] = (start, at)
    return fields, at + 1


def _skipped(data: bytes, at: int, wire: int, *, inside_list: bool) -> int:
    """Return where the value of a wire type ends that begins at `at`."""
    if wire in (_TRUE, _FALSE):
        return at + inside_list
    if wire in _INTEGERS:
        return _varint(data, at)[1]
    if wire in (_BYTE, _DOUBLE):
        return at + (1 if wire == _BYTE else 8)
    if wire == _BINARY:
        length, at = _varint(data, at)
        return at + length
    if wire in (_LIST, _SET):
        header, at = data[at], at + 1
        count = header >> 4
        if count == 15:
            count, at = _varint(data, at)
        for _ in range(count):
            at = _skipped(data, at, header & 0x0F, inside_list=True)
        return at
    if wire == _STRUCT:
        return _fields(data, at)[1]
    raise ValueError(f"a footer has no values of the Thrift type {wire}")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the unsigned integer that begins at `at`, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
