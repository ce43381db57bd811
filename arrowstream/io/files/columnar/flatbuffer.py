"""The parts of the FlatBuffers format needed to read and change Arrow IPC metadata."""

from __future__ import annotations

import struct
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FlatTable:
    """Table of a flatbuffer: fields by number, each of which may be missing.

    Its methods raise `struct.error` if an offset leads outside of `data`.

    Parameters
    ----------
    data
        The whole flatbuffer.
    at
        Offset of the table in `data`, in bytes.
    """

    data: bytes | bytearray
    at: int

    @classmethod
    def root(cls, data: bytes | bytearray, at: int = 0) -> FlatTable:
        """Return the outermost table of the flatbuffer that begins at offset `at`."""
        return cls(data, at + _number("<I", data, at))

    def field(self, number: int) -> int | None:
        """Return the offset of a field's value, or None if the field has its default."""
        vtable = self.at - _number("<i", self.data, self.at)
        entry = 4 + 2 * number
        offset = _number("<H", self.data, vtable + entry) if entry < _number("<H", self.data, vtable) else 0
        return self.at + offset if offset else None

    def integer(self, number: int, format: str) -> int:
        """Return the integer in a field, read as the `struct` format; 0 if the field is missing."""
        place = self.field(number)
        return 0 if place is None else _number(format, self.data, place)

    def table(self, number: int) -> FlatTable:
        """Return the table in a field; raise `struct.error` if the field is missing."""
        place = self.field(number)
        if place is None:
            raise struct.error(f"field {number} is missing")
        return FlatTable(self.data, place + _number("<I", self.data, place))

    def vector(self, number: int, size: int) -> tuple[int, int]:
        """Return the offset of a vector's first element and its number of elements, of `size` bytes each."""
        place = self.field(number)
        if place is None:
            return 0, 0
        start = place + _number("<I", self.data, place)
        count = _number("<I", self.data, start)
        if start + 4 + count * size > len(self.data):
            raise struct.error(f"field {number} has more elements than there are bytes")
        return start + 4, count


def _number(format: str, data: bytes | bytearray, at: int) -> int:
    if at < 0:
        raise struct.error("an offset before the beginning")
    found: int = struct.unpack_from(format, data, at)[0]
    return found
