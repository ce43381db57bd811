"""Compressions of the blocks of Avro files.

They are unpacked here, as Polars 1 reads blocks of a compression that it does not know as if they had none.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Mapping
from typing import Final

import pyarrow as pa

_CHECKSUM_BYTES: Final = 4
_SNAPPY_RATIO: Final = 22
"""Most bytes that one byte of Snappy stands for; a longer length is damage, not a reason to allocate memory."""


def _plain(packed: bytes) -> bytes:
    return packed


def _deflate(packed: bytes) -> bytes:
    return zlib.decompress(packed, -zlib.MAX_WBITS)


def _snappy(packed: bytes) -> bytes:
    body, checksum = packed[:-_CHECKSUM_BYTES], packed[-_CHECKSUM_BYTES:]
    size = sum((byte & 0x7F) << (7 * place) for place, byte in enumerate(_varint(body)))
    if size > _SNAPPY_RATIO * len(body):
        raise ValueError(f"{len(body):,} bytes cannot unpack to {size:,} bytes")
    unpacked: bytes = pa.Codec("snappy").decompress(body, size, asbytes=True)
    if zlib.crc32(unpacked) != int.from_bytes(checksum, "big"):
        raise ValueError("the checksum does not fit the rows")
    return unpacked


def _varint(body: bytes) -> bytes:
    last = next((place for place, byte in enumerate(body[:5]) if byte < 0x80), -1)
    return body[: last + 1]


def _zstandard(packed: bytes) -> bytes:
    with pa.CompressedInputStream(pa.BufferReader(packed), "zstd") as stream:
        unpacked: bytes = stream.read()
    return unpacked


CODECS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "null": _plain,
    "deflate": _deflate,
    "snappy": _snappy,
    "zstandard": _zstandard,
    "bzip2": bz2.decompress,
    "xz": lzma.decompress,
}
"""Functions from the bytes of a block to its rows, by the name of the compression."""

DAMAGES: Final = (ValueError, OSError, EOFError, zlib.error, lzma.LZMAError, pa.ArrowException)
"""Exceptions of these functions for damaged bytes."""
