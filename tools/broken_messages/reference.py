"""Record batches in plain Python, field by field: a strict reader, and a writer that also writes what is wrong."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from aiokafka.record.util import calc_crc32c

Headers = tuple[tuple[str, bytes | None], ...]


class Row(NamedTuple):
    """A record."""

    offset: int
    time: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class Refused(Exception):
    """The bytes are not record batches."""


def varint(number: int) -> bytes:
    """Write an integer of 64 bits."""
    left = (number << 1) ^ (number >> 63)
    found = bytearray()
    while left > 127:
        found.append(left & 127 | 128)
        left >>= 7
    return bytes([*found, left])


def sized(value: bytes | None) -> bytes:
    """Write a string with its length."""
    return varint(-1) if value is None else varint(len(value)) + value


def record(row: Row, base_offset: int = 0, base_time: int = 0) -> bytes:
    """Write a record."""
    headers = b"".join(sized(key.encode()) + sized(value) for key, value in row.headers)
    body = b"\0" + varint(row.time - base_time) + varint(row.offset - base_offset)
    body += sized(row.key) + sized(row.value) + varint(len(row.headers)) + headers
    return varint(len(body)) + body


def batch(
    rows: Sequence[Row],
    *,
    base_offset: int | None = None,
    attributes: int = 0,
    last_delta: int | None = None,
    producer_id: int = -1,
    count: int | None = None,
    pack: Callable[[bytes], bytes] = bytes,
    records: bytes | None = None,
) -> bytes:
    """Write a batch; what is not given is as the rows are."""
    base = base_offset if base_offset is not None else rows[0].offset if rows else 0
    times = [row.time for row in rows] or [-1]
    body = b"".join(record(row, base, times[0]) for row in rows) if records is None else records
    fields = struct.pack(
        ">hiqqqhii",
        attributes,
        last_delta if last_delta is not None else rows[-1].offset - base if rows else 0,
        times[0],
        max(times),
        producer_id,
        -1,
        -1,
        len(rows) if count is None else count,
    )
    return sealed(struct.pack(">qiibI", base, 0, -1, 2, 0) + fields + pack(body))


def sealed(data: bytes) -> bytes:
    """Return the bytes of one batch with the length and the CRC that they have."""
    return b"".join(
        (
            data[:8],
            struct.pack(">i", len(data) - 12),
            data[12:17],
            struct.pack(">I", calc_crc32c(data[21:])),
            data[21:],
        )
    )


class Reader:
    """Bytes that are read one after the other, up to an end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int) -> bytes:
        """Return the next bytes."""
        if not 0 <= size <= len(self._data) - self._at:
            raise Refused("a size that does not fit")
        self._at += size
        return self._data[self._at - size : self._at]

    def varint(self, most: int = 5) -> int:
        """Return the next integer of at most so many bytes."""
        bits = 0
        for place in range(most):
            byte = self.take(1)[0]
            bits |= (byte & 127) << 7 * place
            if byte < 128:
                bits &= 2**64 - 1
                return (bits >> 1) ^ -(bits & 1)
        raise Refused("an integer that is too long")

    def sized(self) -> bytes | None:
        """Return the next string with its length."""
        size = self.varint()
        return None if size == -1 else self.take(size)

    def end(self) -> None:
        """Raise if bytes are left."""
        if self._at != len(self._data):
            raise Refused("bytes are left")


def read(data: bytes, fetch_offset: int, unpack: Callable[[int, bytes], bytes]) -> tuple[list[Row], int]:
    """Return the rows of all whole batches and the next offset; `unpack` takes the number of a compression."""
    rows: list[Row] = []
    at, before, next_offset = 0, 0, fetch_offset
    while len(data) - at >= 17:
        base, length, magic = struct.unpack_from(">qi4xb", data, at)
        if magic != 2 or length < 49:
            raise Refused("not a record batch")
        if at + 12 + length > len(data):
            break
        whole = data[at : at + 12 + length]
        (crc,) = struct.unpack_from(">I", whole, 17)
        attributes, delta, time, max_time, _, _, _, count = struct.unpack_from(">hiqqqhii", whole, 21)
        if base < before or delta < 0 or base + delta + 1 >= 2**63 or not 0 <= count <= delta + 1:
            raise Refused("offsets or counts that cannot be")
        after = before = base + delta + 1
        if attributes & 7 > 4 or (after > fetch_offset and calc_crc32c(whole[21:]) != crc):
            raise Refused("an unknown compression, or another checksum")
        if after > fetch_offset and count and not attributes & 32:
            body = unpack(attributes & 7, whole[61:])
            if count * 7 > len(body):
                raise Refused("more records than fit")
            append_time = max_time if attributes & 8 else None
            rows += _rows(Reader(body), count, base, delta, time, append_time, fetch_offset)
        at += 12 + length
        next_offset = max(next_offset, after)
    return rows, next_offset


def _rows(
    reader: Reader, count: int, base: int, last: int, time: int, append_time: int | None, fetch_offset: int
) -> Iterable[Row]:
    before = -1
    for _ in range(count):
        each = Reader(reader.take(reader.varint()))
        each.take(1)
        own_time = (time + each.varint(10) + 2**63) % 2**64 - 2**63
        delta = each.varint()
        if not before < delta <= last:
            raise Refused("an offset out of order")
        before = delta
        key, value = each.sized(), each.sized()
        size = each.varint()
        if size < 0:
            raise Refused("a negative number of headers")
        if base + delta < fetch_offset:
            continue
        headers = []
        for _ in range(size):
            name = each.sized()
            if name is None:
                raise Refused("a header without a key")
            headers.append((name.decode(errors="replace"), each.sized()))
        each.end()
        yield Row(base + delta, own_time if append_time is None else append_time, key, value, tuple(headers))
    reader.end()
