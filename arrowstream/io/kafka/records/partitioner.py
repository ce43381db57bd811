"""Partitions of keys, as Java's producer chooses them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from arrowstream.io.compiled import compiled
from arrowstream.io.kafka.records.binary import BINARY, Binary
from arrowstream.io.kafka.records.instructions import Array, Integer


def murmur2(data: Array, at: Integer, end: Integer) -> Integer:
    """Return the 32 bits of MurmurHash2 with the seed of Kafka, uint64."""
    mix = np.uint64(0x5BD1E995)
    bits = np.uint64(0xFFFFFFFF)
    found = np.uint64(0x9747B28C) ^ np.uint64(end - at)
    while end - at >= 4:
        word = np.uint64(0)
        for place in range(4):
            word |= np.uint64(data[at + place]) << np.uint64(8 * place)
        word = (word * mix) & bits
        word = ((word ^ (word >> np.uint64(24))) * mix) & bits
        found = ((found * mix) & bits) ^ word
        at += 4
    if at < end:
        for place in range(end - at):
            found ^= np.uint64(data[at + place]) << np.uint64(8 * place)
        found = (found * mix) & bits
    found = ((found ^ (found >> np.uint64(13))) * mix) & bits
    return found ^ (found >> np.uint64(15))


@compiled(f"void({BINARY}, int64, int32[::1])", murmur2)
def assign(ends: Array, nulls: Array, data: Array, partitions: int, assigned: Array) -> None:
    """Set `assigned` to the partition of each key that is not null.

    Parameters
    ----------
    ends, nulls, data
        The keys, as `Binary` has them.
    partitions
        Number of partitions.
    assigned
        Room for each key, 0 at first.
    """
    for row in range(len(assigned)):
        if not len(nulls) or not nulls[row]:
            found = murmur2(data, ends[row], ends[row + 1])
            assigned[row] = np.int64(found & np.uint64(0x7FFFFFFF)) % partitions


def partitions_of(keys: Any, partitions: int) -> pa.Int32Array:
    """Return the partition of each key, as Java's producer chooses it; null for a key that is null.

    Parameters
    ----------
    keys
        An Arrow array of binary or text.
    partitions
        Number of partitions of the topic.
    """
    binary = Binary.of(keys)
    assigned = np.zeros(len(keys), np.int32)
    assign(*binary, partitions, assigned)
    return pa.array(assigned, mask=binary.nulls.view(np.bool_) if len(binary.nulls) else None)
