"""Avro container files: the header, and the blocks of rows between sync markers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from arrowstream.core.plural import counted
from arrowstream.errors import SourceError, UnreadableData
from arrowstream.io.files.columnar.open_file import OpenFile

MAGIC: Final = b"Obj\x01"
SYNC_BYTES: Final = 16

_HEAD_BYTES: Final = 65_536
"""Bytes at the beginning of a file that hold most headers whole."""

_NUMBER_BYTES: Final = 10
"""Most bytes of a number: 64 bits, seven in a byte."""


@dataclass(frozen=True, slots=True)
class Block:
    """Rows between two sync markers.

    Parameters
    ----------
    number
        Its place in the file, counted from 0.
    rows
        Number of rows.
    start
        Offset of the packed rows in the file, in bytes.
    nbytes
        Size of the packed rows in bytes.
    """

    number: int
    rows: int
    start: int
    nbytes: int


class Container:
    """Open Avro file with its header read.

    Parameters
    ----------
    file
        The open file.

    Attributes
    ----------
    schema : object
        The schema of a row as JSON values.
    codec : str
        Name of the compression of each block, such as ``"null"`` or ``"deflate"``.

    Raises
    ------
    SourceError
        The header is damaged.
    """

    __slots__ = ("_start", "_sync", "codec", "file", "schema")

    def __init__(self, file: OpenFile) -> None:
        self.file = file
        head, size = b"", _HEAD_BYTES
        while True:
            head = file.read(0, size)
            try:
                metadata, at = _metadata(head)
                break
            except IndexError:
                # A schema may be longer than the bytes that were read.
                if size >= file.size:
                    raise self.damaged("the header", 0, "the file ends within it") from None
                size *= 8
            except ValueError as error:
                raise self.damaged("the header", 0, str(error)) from None
        self._sync = head[at : at + SYNC_BYTES]
        self._start = at + SYNC_BYTES
        try:
            self.codec = metadata.get("avro.codec", b"null").decode()
            self.schema: Any = json.loads(metadata["avro.schema"])
        except (KeyError, ValueError, RecursionError) as error:
            found = "it has no schema" if isinstance(error, KeyError) else str(error)
            raise self.damaged("the header", 0, found) from error

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks of the file in order; read only what is between them.

        Raises
        ------
        SourceError
            A block ends too early, or the sync marker after it is not the one of the file.
        """
        at, number = self._start, 0
        while at < self.file.size:
            where = f"block {number + 1}"
            head = self.file.read(at, 2 * _NUMBER_BYTES)
            try:
                rows, used = _number(head, 0)
                nbytes, used = _number(head, used)
            except (IndexError, ValueError):
                raise self.damaged(where, at, "its length cannot be read") from None
            start, end = at + used, at + used + nbytes
            if rows < 0 or nbytes < 0 or end + SYNC_BYTES > self.file.size:
                size = f"{counted(rows, 'rows')} of {counted(nbytes, 'bytes')}"
                raise self.damaged(where, at, f"{size}, in a file of {self.file.size:,} bytes")
            if self.file.read(end, SYNC_BYTES) != self._sync:
                raise self.damaged(where, at, "the sync marker after it is not that of the file")
            yield Block(number, rows, start, nbytes)
            at, number = end + SYNC_BYTES, number + 1

    def damaged(self, where: str, at: int, found: str) -> SourceError:
        """Make the error for a part of the file that cannot be read, at an offset in bytes."""
        path = self.file.path
        return UnreadableData(
            f"{path} is not a complete Avro file: {where} cannot be read",
            position=f"{path} byte {at}",
            expected="an Avro container file whose blocks end with its sync marker",
            found=found if self.file.size else "an empty file",
            hint="the file is damaged, was not copied completely, or is still being written",
        )


def rows_start(content: bytes) -> int:
    """Return the offset of the first block in the bytes of a file."""
    return _metadata(content)[1] + SYNC_BYTES


def _metadata(head: bytes) -> tuple[dict[str, bytes], int]:
    """Return the key-value pairs of a header, and the offset of the sync marker after them.

    Raises
    ------
    IndexError
        The bytes end before the header does.
    ValueError
        They are not the header of an Avro file.
    """
    if not MAGIC.startswith(head[: len(MAGIC)]):
        raise ValueError(f"the file begins with {head[:12]!r}")
    found: dict[str, bytes] = {}
    at = len(MAGIC)
    while True:
        pairs, at = _number(head, at)
        if pairs == 0:
            break
        if pairs < 0:  # the size of the pairs in bytes follows
            pairs, at = -pairs, _number(head, at)[1]
        for _ in range(pairs):
            key, at = _bytes(head, at)
            found[key.decode(errors="replace")], at = _bytes(head, at)
    if at + SYNC_BYTES > len(head):
        raise IndexError("the header ends early")
    return found, at


def _bytes(data: bytes, at: int) -> tuple[bytes, int]:
    size, at = _number(data, at)
    if size < 0:
        raise ValueError(f"a text of {size} bytes")
    if at + size > len(data):
        raise IndexError("the header ends early")
    return data[at : at + size], at + size


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Return a zigzag number of variable length and the offset after it; raise IndexError where the bytes end."""
    found = 0
    for place in range(_NUMBER_BYTES):
        byte = data[at + place]
        found |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return (found >> 1) ^ -(found & 1), at + place + 1
    raise ValueError("a number of more than 64 bits")


def number_bytes(number: int) -> bytes:
    r"""Return the bytes of a number of at least 0, zigzag and of variable length.

    Examples
    --------
    >>> number_bytes(1), number_bytes(64)
    (b'\x02', b'\x80\x01')
    """
    rest, parts = number << 1, bytearray()
    while rest > 0x7F:
        parts.append(rest & 0x7F | 0x80)
        rest >>= 7
    parts.append(rest)
    return bytes(parts)
