"""Partitions of keys are those of Java's producer, and of aiokafka's."""

import random

import numpy as np
import pyarrow as pa
import pytest
from aiokafka.partitioner import murmur2 as murmur2_of_aiokafka

from arrowstream.io.kafka.records.partitioner import assign, murmur2, partitions_of

JAVA = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}
"""Hashes of Kafka's own test of its library for Java."""


@pytest.mark.parametrize("key, hashed", JAVA.items())
def test_hashes_are_those_of_java(key: bytes, hashed: int) -> None:
    assert int(murmur2(np.frombuffer(key, np.uint8), 0, len(key))) == hashed % 2**32


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("type", [pa.binary(), pa.large_binary(), pa.string(), pa.large_string()])
def test_partitions_are_those_of_aiokafka(
    type: pa.DataType, plain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(0)
    keys = [draw.choices("abcdefgh", k=size) for size in range(40)]
    values = [None, *("".join(key) for key in keys), None, ""]
    wanted = [
        None if key is None else (murmur2_of_aiokafka(key.encode()) & 0x7FFFFFFF) % 12 for key in values
    ]
    if plain:
        monkeypatch.setattr("arrowstream.io.kafka.records.partitioner.assign", assign.py_func)
    column = pa.array(values, pa.string()).cast(type)
    assert partitions_of(column, 12).to_pylist() == wanted
    assert partitions_of(column[3:20], 12).to_pylist() == wanted[3:20]
    assert partitions_of(column[:0], 12).to_pylist() == []
    assert partitions_of(pa.nulls(2, type), 12).to_pylist() == [None, None]
    assert partitions_of(column, 12).type == pa.int32()
