"""What an Arrow IPC message says of its sizes, checked before anything of it is read.

A peer may claim 2**40 rows in 224 bytes, buffers that end after the message, or a gigabyte in a compressed buffer of
a kilobyte. So the metadata of every record batch is read here first. The layout is that of the Arrow columnar format
(`Message.fbs`, `File.fbs`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from arrowstream.core.checks import check_whole
from arrowstream.io.files.columnar.flatbuffer import FlatTable

MAGIC: Final = b"ARROW1"
"""First and last bytes of an IPC file."""

_HEAD: Final = 8
"""Bytes of an IPC file before its first message."""

_CONTINUED: Final = 0xFFFFFFFF
_PAIR: Final = struct.Struct("<qq")
_LONG: Final = struct.Struct("<q")
_BLOCK: Final = struct.Struct("<qi4xq")
_SCHEMA, _DICTIONARY, _RECORDS = 1, 2, 3
# Field numbers of Message.fbs (Message, DictionaryBatch, RecordBatch) and File.fbs (Footer).
_HEADER_TYPE, _HEADER, _BODY_LENGTH = 1, 2, 3
_DATA = 1
_LENGTH, _NODES, _BUFFERS, _COMPRESSION = 0, 1, 2, 3
_DICTIONARIES, _RECORD_BATCHES = 2, 3


class RefusedMessage(Exception):
    """A message that is not a sound Arrow IPC, or larger than is allowed."""


@dataclass(frozen=True, slots=True)
class ArrowOptions:
    """Largest Arrow IPC messages that are read.

    Parameters
    ----------
    max_rows
        Most rows of a message, and most values of a column, also inside of lists.
    max_bytes
        Most bytes of a message once it is decompressed.

    Raises
    ------
    PlanError
        A limit is not a positive whole number.
    """

    max_rows: int = 1 << 24
    max_bytes: int = 256 << 20

    def __post_init__(self) -> None:
        check_whole("max_rows", self.max_rows, least=1)
        check_whole("max_bytes", self.max_bytes, least=1)

    def check(self, data: bytes, *, is_file: bool) -> None:
        """Check the sizes in a message, which is an IPC stream or file.

        Raises
        ------
        Refused
            It has a larger size than allowed, or its metadata contradicts its bytes.
        """
        try:
            messages = list(_of_file(data) if is_file else _of_stream(data))
            rows = nbytes = 0
            for message, body in messages:
                kind = message.integer(_HEADER_TYPE, "<B")
                if kind not in (_DICTIONARY, _RECORDS):
                    raise RefusedMessage("a part that is neither a dictionary nor a record batch")
                header = message.table(_HEADER)
                batch = header if kind == _RECORDS else header.table(_DATA)
                length = batch.integer(_LENGTH, "<q")
                rows += length if kind == _RECORDS else 0
                nbytes += _decompressed(batch, body)
                self._check_sizes([length, rows, *(each for each, _ in _pairs(batch, _NODES))], nbytes)
        except struct.error as error:
            raise RefusedMessage(f"damaged metadata ({error})") from error

    def _check_sizes(self, values: Sequence[int], nbytes: int) -> None:
        if min(values) < 0 or max(values) > self.max_rows:
            raise RefusedMessage(
                f"{max(values):,} rows or values, where at most {self.max_rows:,} are allowed"
            )
        if nbytes > self.max_bytes:
            raise RefusedMessage(
                f"{nbytes:,} bytes once decompressed, where at most {self.max_bytes:,} are allowed"
            )


def _decompressed(batch: FlatTable, body: memoryview) -> int:
    """Return the number of bytes of a batch once it is decompressed; raise Refused for buffers outside of it."""
    is_packed = batch.field(_COMPRESSION) is not None
    total = 0
    for offset, size in _pairs(batch, _BUFFERS):
        if offset < 0 or size < 0 or offset + size > len(body):
            raise RefusedMessage("a buffer outside of its record batch")
        (whole,) = _LONG.unpack_from(body, offset) if is_packed and size else (size,)
        if whole < -1 or (is_packed and 0 < size < _LONG.size):
            raise RefusedMessage("a compressed buffer of an impossible size")
        total += size if whole == -1 else whole
    return total


def _of_stream(data: bytes) -> Iterator[tuple[FlatTable, memoryview]]:
    """Yield metadata and body of each message of a stream after its schema."""
    at = 0
    has_schema = False
    while at < len(data):
        body, metadata = _metadata(data, at, None)
        if not metadata:
            break
        message = FlatTable.root(metadata)
        size = message.integer(_BODY_LENGTH, "<q")
        if size < 0 or body + size > len(data):
            raise RefusedMessage("a message that is cut off")
        if has_schema:
            yield message, memoryview(data)[body : body + size]
        elif message.integer(_HEADER_TYPE, "<B") != _SCHEMA:
            break
        has_schema = True
        at = body + size
    if not has_schema:
        raise RefusedMessage("a stream that does not begin with its schema")


def _of_file(data: bytes) -> Iterator[tuple[FlatTable, memoryview]]:
    """Yield metadata and body of each dictionary and record batch that the footer of a file lists."""
    footer = FlatTable.root(_footer(data))
    for field in (_DICTIONARIES, _RECORD_BATCHES):
        first, count = footer.vector(field, _BLOCK.size)
        for start, length, size in _BLOCK.iter_unpack(footer.data[first : first + count * _BLOCK.size]):
            if min(start, length, size) < 0 or start + length + size > len(data):
                raise RefusedMessage("a footer that lists a batch outside of the file")
            _, metadata = _metadata(data, start, start + length)
            message = FlatTable.root(metadata)
            if message.integer(_BODY_LENGTH, "<q") != size:
                raise RefusedMessage("a footer that contradicts the file")
            yield message, memoryview(data)[start + length : start + length + size]


def _metadata(data: bytes, at: int, end: int | None) -> tuple[int, bytes]:
    """Return where the metadata of the message at a position ends, and the metadata; none at the end of a stream."""
    (length,) = struct.unpack_from("<I", data, at)
    at += 4
    if length == _CONTINUED:
        (length,) = struct.unpack_from("<I", data, at)
        at += 4
    return at + length, data[at : at + length if end is None else end]


def _pairs(table: FlatTable, field: int) -> Iterator[tuple[int, int]]:
    first, count = table.vector(field, _PAIR.size)
    return _PAIR.iter_unpack(table.data[first : first + count * _PAIR.size])


def _footer(data: bytes) -> bytes:
    tail = 4 + len(MAGIC)
    if len(data) < _HEAD + tail or not data.endswith(MAGIC):
        raise RefusedMessage("a file without its footer")
    (length,) = struct.unpack_from("<i", data, len(data) - tail)
    if not 0 < length <= len(data) - tail - _HEAD:
        raise RefusedMessage("a footer of an impossible length")
    return data[-tail - length : -tail]
