"""Bytes of a file on their way to it: lines that become the elements of an array, pieces that are compressed."""

from __future__ import annotations

from typing import Final, Protocol

import pyarrow as pa

_PACKED_BYTES: Final = 1 << 20


class Target(Protocol):
    """Place for the bytes of a file."""

    def add(self, data: bytes) -> None:
        """Add bytes."""
        ...


class ArrayLines:
    """Lines of NDJSON as the elements of one JSON array."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._begun = self._line_ended = False

    def add(self, data: bytes) -> None:
        """Add lines, or parts of them."""
        if not data:
            return
        # JSON forbids a raw newline inside a string (RFC 8259, section 7: control characters are
        # escaped), so every newline byte ends a row. In UTF-8 it is never part of another character.
        head = b",\n" if self._line_ended else b"" if self._begun else b"["
        self._begun, self._line_ended = True, data.endswith(b"\n")
        self._target.add(head + data.removesuffix(b"\n").replace(b"\n", b",\n"))

    def end(self) -> None:
        """Add the end of the array."""
        self._target.add(b"]\n" if self._begun else b"[]\n")


class PackedPieces:
    """Bytes that are compressed together once there are enough of them."""

    def __init__(self, target: Target, codec: pa.Codec) -> None:
        self._target = target
        self._codec = codec
        self._held: list[bytes] = []
        self._nbytes = 0
        self._begun = False

    def add(self, data: bytes) -> None:
        """Add bytes; compress once there are enough of them."""
        self._held.append(data)
        self._nbytes += len(data)
        if self._nbytes >= _PACKED_BYTES:
            self._pack()

    def end(self) -> None:
        """Compress the rest."""
        # A file of 0 bytes is neither gzip nor Zstandard, so an empty one still gets a member.
        if self._nbytes or not self._begun:
            self._pack()

    def _pack(self) -> None:
        self._begun = True
        content, self._held, self._nbytes = b"".join(self._held), [], 0
        self._target.add(self._codec.compress(content, asbytes=True))
