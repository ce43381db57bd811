"""Thrift's compact protocol, the part that Parquet footers use, without a schema.

A struct is read into a dict from field number to (wire type, value) and can be written back byte for
byte. So the few fields of a footer that hold file offsets can be changed, while all others, known or
not, stay as they are. Follows the "Thrift compact protocol" specification of Apache Thrift.
"""

from __future__ import annotations

from typing import Any, Final

BOOLEANS: Final = (1, 2)
BYTE: Final = 3
VARINTS: Final = (4, 5, 6)
DOUBLE: Final = 7
BINARY: Final = 8
LIST: Final = 9
STRUCT: Final = 12

Struct = dict[int, tuple[int, Any]]
"""Map from field number to (wire type, value); the value of a list is (wire type of the items, items)."""


def read_struct(data: bytes, previous: int = 0) -> Struct:
    """Read the struct at the beginning of `data`, or the rest of a struct after field `previous`.

    Raises
    ------
    ValueError
        A field has a wire type that Parquet metadata does not use (a map or a set).

    Examples
    --------
    >>> read_struct(bytes([0x15, 0x02, 0x00]))
    {1: (5, 1)}
    """
    return _Cursor(data).struct(previous)


class _Cursor:
    """Reader of values one after the other."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def struct(self, number: int = 0) -> Struct:
        fields: Struct = {}
        while header := self._byte():
            wire, step = header & 0x0F, header >> 4
            number = number + step if step else self._zigzag()
            # A boolean field has its value in its type; only in a list it takes a byte.
            fields[number] = (wire, wire == 1 if wire in BOOLEANS else self._value(wire))
        return fields

    def _value(self, wire: int) -> Any:
        if wire in VARINTS:
            return self._zigzag()
        if wire == BINARY:
            return self._take(self._varint())
        if wire == STRUCT:
            return self.struct()
        if wire == LIST:
            header = self._byte()
            item, size = header & 0x0F, header >> 4
            return item, [self._value(item) for _ in range(size if size < 15 else self._varint())]
        if wire in (BYTE, *BOOLEANS):
            return self._byte()
        if wire == DOUBLE:
            return self._take(8)
        raise ValueError(f"wire type {wire} is not used in Parquet metadata")

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _take(self, size: int) -> bytes:
        self._at += size
        return self._data[self._at - size : self._at]

    def _varint(self) -> int:
        byte = self._byte()
        value, shift = byte & 0x7F, 7
        while byte & 0x80:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            shift += 7
        return value

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)


def write_struct(fields: Struct, previous: int = 0) -> bytes:
    """Return the bytes of a struct, or of its rest after field `previous`; the inverse of `read_struct`."""
    out = bytearray()
    _struct(out, fields, previous)
    return bytes(out)


def list_header(wire: int, size: int) -> bytes:
    """Return the bytes before the items of a list, for a list whose items are already bytes."""
    if size < 15:
        return bytes([size << 4 | wire])
    out = bytearray([0xF0 | wire])
    _varint(out, size)
    return bytes(out)


def field_header(number: int, previous: int, wire: int) -> bytes:
    """Return the bytes before a struct's field `number` that follows field `previous` (0 before the first)."""
    step = number - previous
    # The format allows a step of 15 here too, but Polars' encoder writes that in the longer form.
    if 0 < step < 15:
        return bytes([step << 4 | wire])
    out = bytearray([wire])
    _zigzag(out, number)
    return bytes(out)


def _struct(out: bytearray, fields: Struct, previous: int) -> None:
    for number, (wire, value) in fields.items():
        if wire in BOOLEANS:
            out += field_header(number, previous, 1 if value else 2)
        else:
            out += field_header(number, previous, wire)
            _value(out, wire, value)
        previous = number
    out.append(0)


def _value(out: bytearray, wire: int, value: Any) -> None:
    if wire in VARINTS:
        _zigzag(out, value)
    elif wire == BINARY:
        _varint(out, len(value))
        out += value
    elif wire == STRUCT:
        _struct(out, value, 0)
    elif wire == LIST:
        item, items = value
        out += list_header(item, len(items))
        for each in items:
            _value(out, item, each)
    elif wire == DOUBLE:
        out += value
    else:
        out.append(value)


def _varint(out: bytearray, value: int) -> None:
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _zigzag(out: bytearray, value: int) -> None:
    _varint(out, value << 1 if value >= 0 else (-value << 1) - 1)
