"""Compressions of records: every framing that clients write is read, and no batch unpacks to more than allowed."""

import gzip
import random
import resource

import pyarrow as pa
import pytest

from arrowstream.io.kafka.records.compression import DAMAGES, LEVELS, Codec, TooLarge, compress, decompress

PACKED = [codec for codec in Codec if codec]
PLAIN = b"a record of a few words, " * 20_000 + random.Random(0).randbytes(70_000)
ZSTD_WITHOUT_SIZE = bytes.fromhex("28b52ffd0058610000") + b"abc" * 4
"""A frame without its content size: one block of 12 bytes that are not compressed."""


def unpacked(codec: Codec, data: bytes, max_bytes: int = 1 << 20) -> bytes:
    return decompress(codec, pa.py_buffer(data), max_bytes).to_pybytes()


def packed(codec: Codec, data: bytes = PLAIN, level: int | None = None) -> bytes:
    return compress(codec, pa.py_buffer(data), level).to_pybytes()


@pytest.mark.parametrize("codec", PACKED)
def test_what_is_packed_is_unpacked(codec: Codec) -> None:
    for data in (PLAIN, b"a", PLAIN[:100_000]):
        assert unpacked(codec, packed(codec, data)) == data
    assert unpacked(codec, packed(codec), len(PLAIN)) == PLAIN
    with pytest.raises(TooLarge):
        unpacked(codec, packed(codec), len(PLAIN) - 1)


def test_nothing_is_packed_without_a_compression() -> None:
    buffer = pa.py_buffer(PLAIN)
    assert compress(Codec.NONE, buffer) is buffer


@pytest.mark.untraced
@pytest.mark.parametrize("codec, levels", LEVELS.items())
def test_a_higher_level_packs_smaller(codec: Codec, levels: tuple[int, int]) -> None:
    draw = random.Random(0)
    text = b" ".join(b"%d" % draw.randrange(1000) for _ in range(50_000))
    lowest, highest = (packed(codec, text, level) for level in levels)
    assert len(highest) < len(lowest)
    assert unpacked(codec, lowest) == unpacked(codec, highest) == text


def test_several_streams_after_each_other_are_one() -> None:
    assert unpacked(Codec.GZIP, gzip.compress(b"a") + gzip.compress(b"b")) == b"ab"
    for codec in PACKED:
        assert unpacked(codec, packed(codec, b"a" * 99) + packed(codec, b"b" * 99)) == b"a" * 99 + b"b" * 99


def test_zstd_needs_no_content_size() -> None:
    assert unpacked(Codec.ZSTD, ZSTD_WITHOUT_SIZE) == b"abc" * 4


def test_blocks_of_lz4_are_independent() -> None:
    """Kafka's library for Java refuses blocks that are linked."""
    data = packed(Codec.LZ4, PLAIN[-70_000:])
    assert data[:7] == bytes.fromhex("04224d18604082")
    assert data[7:11] == b"\0\0\1\x80", "64 KiB that do not get smaller are stored"
    assert unpacked(Codec.LZ4, data) == PLAIN[-70_000:]


def test_snappy_has_javas_framing_or_none() -> None:
    framed = packed(Codec.SNAPPY)
    assert framed[:16] == b"\x82SNAPPY\0\0\0\0\1\0\0\0\1"
    assert unpacked(Codec.SNAPPY, pa.compress(PLAIN, "snappy", asbytes=True)) == PLAIN


@pytest.mark.parametrize("codec", PACKED)
def test_damage_is_an_error(codec: Codec) -> None:
    whole = packed(codec)
    wrong = [b"", whole[:-5], whole[: len(whole) // 2], b"\xff" * 100, whole + b"\xff" * 5]
    for data in wrong:
        with pytest.raises(DAMAGES):
            unpacked(codec, data)


@pytest.mark.parametrize(
    "data, found",
    [
        (b"\xff" * 6, "does not begin with its size"),
        (b"\x80", "does not begin with its size"),
        (b"\xff\xff\xff\x7f" + bytes(20), "cannot unpack to 268,435,455 bytes"),
        (packed(Codec.SNAPPY, b"a" * 99) + b"\0\0\0\5abc", "a block of 5 bytes has only 3"),
        (packed(Codec.SNAPPY, b"a" * 99) + b"\0", "a block of 0 bytes|does not begin"),
    ],
)
def test_damage_to_snappy_says_what_it_is(data: bytes, found: str) -> None:
    with pytest.raises(ValueError, match=found):
        unpacked(Codec.SNAPPY, data)


@pytest.mark.parametrize("codec", PACKED)
def test_a_bomb_takes_no_more_memory_than_allowed(codec: Codec) -> None:
    """256 MiB of zeros, packed into a few MB at most."""
    piece = packed(codec, bytes(1 << 22))
    bomb = piece * 64
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(TooLarge):
        unpacked(codec, bomb, 1 << 20)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000, "in KiB"
