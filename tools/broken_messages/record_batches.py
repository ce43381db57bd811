"""Damaged record batches of Kafka: drawn, damaged, decoded, and compared with the strict reader."""

from __future__ import annotations

import random
from typing import Final

import pyarrow as pa

from arrowstream.errors import SourceError
from arrowstream.io.kafka.records.buffers import octets
from arrowstream.io.kafka.records.compression import DAMAGES, Codec, compress, decompress
from arrowstream.io.kafka.records.decode import Records, decode_records
from tools.broken_files.damage import damaged
from tools.broken_messages import reference
from tools.broken_messages.reference import Refused, Row

MAX_BYTES: Final = 1 << 20
"""Most bytes that a batch is unpacked to."""

_SIZES: Final = (0, 0, 1, 3, 63, 64, 127, 128, 300)


def rows_of(records: Records) -> list[Row]:
    """Return the records as rows."""
    assert records.keys is not None
    assert records.headers is not None
    return [
        Row(offset, time, key, value, tuple((each["key"], each["value"]) for each in headers))
        for offset, time, key, value, headers in zip(
            records.offsets.to_pylist(),
            records.timestamps.cast(pa.int64()).to_pylist(),
            records.keys.to_pylist(),
            records.values.to_pylist(),
            records.headers.to_pylist(),
            strict=True,
        )
    ]


def make(number: int, seed: int) -> tuple[bytes, int]:
    """Make the bytes of a fetch by its number: one or two batches with damage, and the offset to fetch."""
    draw = random.Random(f"records {seed} {number}")
    base = draw.choice([0, 5, 2**40])
    data = bytearray()
    for _ in range(draw.choice([1, 1, 2])):
        whole = bytearray(_batch(draw, base))
        match draw.choice(["none", "bytes", "bytes", "sealed", "sealed", "records", "cut"]):
            case "bytes":
                whole = bytearray(damaged(bytes(whole), draw, text=False))
            case "sealed":  # as a broken client writes: the CRC fits
                tail = damaged(bytes(whole[21:]), draw, text=False)
                whole = bytearray(reference.sealed(bytes(whole[:21]) + tail))
            case "records":
                whole = bytearray(_batch(draw, base, harmed=True))
            case "cut":
                del whole[draw.randrange(len(whole)) :]
        data += whole
        base += draw.choice([20, 20, 3])
    return bytes(data), max(base - draw.choice([100, 40, 15]), 0)


def _batch(draw: random.Random, base: int, *, harmed: bool = False) -> bytes:
    codec = draw.choice([Codec.NONE, Codec.NONE, *Codec])
    time, offset, rows = draw.choice([0, 1_700_000_000_000]), base, []
    for _ in range(draw.randrange(6)):
        headers = [(f"h{place}", _bytes(draw)) for place in range(draw.choice([0, 0, 0, 1, 3]))]
        rows.append(Row(offset, time + draw.randrange(-200, 200), _bytes(draw), _bytes(draw), tuple(headers)))
        offset += draw.choice([1, 1, 1, 3])
    records = b"".join(reference.record(row, base, rows[0].time) for row in rows)
    if harmed:
        records = damaged(records, draw, text=False)
    packed = compress(codec, pa.py_buffer(records)).to_pybytes() if records else b""
    attributes = codec | draw.choice([0, 0, 8, 16, 32])
    return reference.batch(
        rows, base_offset=base, attributes=attributes, last_delta=max(offset - base, 1), records=packed
    )


def _bytes(draw: random.Random) -> bytes | None:
    size = draw.choice(_SIZES)
    return draw.choice([None, draw.randbytes(size), bytes(size)])


def verdict(number: int, seed: int) -> tuple[str, str]:
    """Try a fetch; return what came of it in a word, and more about it."""
    data, fetch_offset = make(number, seed)
    found: tuple[list[Row], int] | None = None
    refusal = ""
    try:
        records = decode_records(data, fetch_offset, headers=True, max_decompressed_bytes=MAX_BYTES)
        found = rows_of(records), records.next_offset
    except SourceError as error:
        refusal = str(error)
        if error.position is None:
            return "error without an offset", refusal
    except BaseException as error:
        return "untyped error", repr(error)
    try:
        wanted = reference.read(data, fetch_offset, _unpacked)
    except Refused as refused:
        return ("refused", refusal) if found is None else ("DIFFERENT", f"{found}, refused: {refused}")
    if found is None:
        return "DIFFERENT", f"{refusal}, not {wanted}"
    return ("same", "") if found == wanted else ("DIFFERENT", f"{found}, not {wanted}")


def _unpacked(codec: int, packed: bytes) -> bytes:
    if codec == Codec.NONE:
        return packed
    try:
        return octets(decompress(Codec(codec), pa.py_buffer(packed), MAX_BYTES)).tobytes()
    except DAMAGES as error:
        raise Refused(str(error)) from error
