"""Compressions of the records of a batch; what is unpacked has at most the bytes that the caller allows."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import Final

import pyarrow as pa

from arrowstream.io.kafka.records.buffers import octets


class Codec(IntEnum):
    """Compressions, by the number that attributes of a batch have for them."""

    NONE = 0
    GZIP = 1
    SNAPPY = 2
    LZ4 = 3
    ZSTD = 4


class TooLarge(ValueError):
    """The unpacked bytes are more than allowed."""


DAMAGES: Final = (ValueError, OSError, pa.ArrowException)
"""Exceptions of `decompress` for damaged bytes."""

LEVELS: Final = {Codec.GZIP: (1, 9), Codec.LZ4: (1, 12), Codec.ZSTD: (1, 22)}
"""Lowest and highest level of the compressions that have levels."""

_FIRST_GUESS: Final = 8
"""Unpacked bytes for each packed one that room is made for at first."""

_XERIAL: Final = b"\x82SNAPPY\x00"
_XERIAL_HEADER: Final = _XERIAL + (1).to_bytes(4, "big") * 2
_XERIAL_BLOCK: Final = 1 << 15

_SNAPPY_RATIO: Final = 22
"""Most bytes that one byte of Snappy stands for; a longer length is damage, not a reason to allocate memory."""

_LZ4_HEADER: Final = bytes.fromhex("04224d18604082")
"""A frame of independent blocks of at most 64 KiB, without checksums. pyarrow links the blocks of longer frames,
which Java refuses to read."""

_LZ4_BLOCK: Final = 1 << 16
_LZ4_STORED: Final = 1 << 31
"""Set in the size of a block that is not compressed."""


def decompress(codec: Codec, packed: pa.Buffer, max_bytes: int) -> pa.Buffer:
    """Return the unpacked bytes.

    Parameters
    ----------
    codec
        The compression: not `Codec.NONE`.
    packed
        The bytes as the batch has them.
    max_bytes
        Most bytes to unpack.

    Raises
    ------
    TooLarge
        They are more than `max_bytes`.
    ValueError, OSError, pa.ArrowException
        The bytes are damaged.
    """
    if not len(packed):
        raise ValueError("no bytes")
    if codec is Codec.SNAPPY:
        return _unpack_snappy(packed, max_bytes)
    size = min(max(len(packed) * _FIRST_GUESS, 1 << 16), max_bytes + 1)
    buffer = pa.allocate_buffer(size, resizable=True)
    found = 0
    with pa.CompressedInputStream(pa.BufferReader(packed), codec.name.lower()) as stream:
        while count := stream.readinto(octets(buffer)[found:]):
            found += count
            if found > max_bytes:
                raise TooLarge(f"more than {max_bytes:,} bytes")
            if found == buffer.size:
                buffer.resize(min(2 * found, max_bytes + 1))
    buffer.resize(found)
    return buffer


def compress(codec: Codec, records: pa.Buffer, level: int | None = None) -> pa.Buffer:
    """Return the bytes as a batch has them.

    Parameters
    ----------
    codec
        The compression.
    records
        The bytes of the records.
    level
        One of `LEVELS`, or None for the library's own.
    """
    if codec is Codec.NONE:
        return records
    if codec is Codec.SNAPPY:
        return pa.py_buffer(b"".join(_xerial_blocks(records)))
    if codec is Codec.LZ4:
        return pa.py_buffer(b"".join(_lz4_blocks(records, level)))
    return pa.Codec(codec.name.lower(), level).compress(records)


def _unpack_snappy(packed: pa.Buffer, max_bytes: int) -> pa.Buffer:
    """Unpack one raw block, as librdkafka writes it, or the blocks of Java's own framing."""
    blocks = list(_blocks_in(packed))
    sizes = [_snappy_size(block) for block in blocks]
    if sum(sizes) > max_bytes:
        raise TooLarge(f"{sum(sizes):,} bytes")
    snappy = pa.Codec("snappy")
    unpacked = [snappy.decompress(block, size) for block, size in zip(blocks, sizes, strict=True)]
    return (
        unpacked[0] if len(unpacked) == 1 else pa.py_buffer(b"".join(octets(each).data for each in unpacked))
    )


def _blocks_in(packed: pa.Buffer) -> Iterator[pa.Buffer]:
    view = octets(packed)
    if view[: len(_XERIAL)].tobytes() != _XERIAL:
        yield packed
        return
    at = 0
    while at < len(view):
        if (
            view[at : at + len(_XERIAL)].tobytes() == _XERIAL
        ):  # streams that were joined each have their header
            at += len(_XERIAL_HEADER)
            continue
        size = int.from_bytes(view[at : at + 4].tobytes(), "big")
        at += 4
        if size > len(view) - at:
            raise ValueError(f"a block of {size:,} bytes has only {max(len(view) - at, 0):,}")
        yield packed.slice(at, size)
        at += size


def _snappy_size(block: pa.Buffer) -> int:
    """Return the unpacked size that a block begins with: an integer of variable length."""
    size: int = 0
    for place, byte in enumerate(octets(block)[:5].tolist()):
        size |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            if size > _SNAPPY_RATIO * len(block):
                raise ValueError(f"{len(block):,} bytes cannot unpack to {size:,} bytes")
            return size
    raise ValueError("a block does not begin with its size")


def _xerial_blocks(records: pa.Buffer) -> Iterator[memoryview | bytes]:
    yield _XERIAL_HEADER
    snappy = pa.Codec("snappy")
    for at in range(0, len(records), _XERIAL_BLOCK):
        block = snappy.compress(records.slice(at, min(_XERIAL_BLOCK, len(records) - at)))
        yield len(block).to_bytes(4, "big")
        yield octets(block).data


def _lz4_blocks(records: pa.Buffer, level: int | None) -> Iterator[memoryview | bytes]:
    yield _LZ4_HEADER
    lz4 = pa.Codec("lz4_raw", level)
    for at in range(0, len(records), _LZ4_BLOCK):
        plain = records.slice(at, min(_LZ4_BLOCK, len(records) - at))
        block = lz4.compress(plain)
        stored = len(block) >= len(plain)
        yield (len(plain) | _LZ4_STORED if stored else len(block)).to_bytes(4, "little")
        yield octets(plain if stored else block).data
    yield bytes(4)
