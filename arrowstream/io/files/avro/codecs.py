"""Compressions of the blocks of Avro files.

They are unpacked here, as Polars 1 reads blocks of a compression that it does not know as if they had none.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, Protocol

import pyarrow as pa

_CHECKSUM_BYTES: Final = 4
_SNAPPY_RATIO: Final = 22
"""Most bytes that one byte of Snappy stands for; a longer length is damage, not a reason to allocate memory."""


def _plain(packed: bytes) -> bytes:
    return packed


class _Decompressor(Protocol):
    """Decompressor of one stream, as of Python's own modules."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /) -> bytes: ...


def _no_checksum(unpacked: bytes) -> bytes:
    return b""


def _adler32(unpacked: bytes) -> bytes:
    return zlib.adler32(unpacked).to_bytes(4, "big")


def _one_stream(
    new: Callable[[], _Decompressor], checksum: Callable[[bytes], bytes] = _no_checksum
) -> Callable[[bytes], bytes]:
    """Return a function that unpacks a block that is one stream to its end, which Python's own do not check.

    Parameters
    ----------
    new
        Makes a decompressor.
    checksum
        Computes the bytes of the rows of which some may come after the stream.
    """

    def unpack(packed: bytes) -> bytes:
        stream = new()
        unpacked = stream.decompress(packed)
        if not stream.eof:
            raise EOFError("the packed rows end early")
        if stream.unused_data and not checksum(unpacked).startswith(stream.unused_data):
            raise ValueError(f"{len(stream.unused_data):,} bytes come after the packed rows")
        return unpacked

    return unpack


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
    # fastavro and Avro's own library for Python leave 3 bytes of zlib's checksum in the block.
    "deflate": _one_stream(partial(zlib.decompressobj, -zlib.MAX_WBITS), _adler32),
    "snappy": _snappy,
    "zstandard": _zstandard,
    "bzip2": _one_stream(bz2.BZ2Decompressor),
    "xz": _one_stream(lzma.LZMADecompressor),
}
"""Functions from the bytes of a block to its rows, by the name of the compression."""

DAMAGES: Final = (ValueError, OSError, EOFError, zlib.error, lzma.LZMAError, pa.ArrowException)
"""Exceptions of these functions for damaged bytes."""
