"""A pipeline from Kafka to Kafka with checkpoints, and a process that runs it until a failpoint kills it."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
from confluent_kafka import Consumer, TopicPartition
from kills import process_killed_at
from servers.topics import produce

from arrowstream import Pipeline, Sink, Source
from arrowstream.core.checkpoints.failpoints import Failpoint, on_reach

PARTITIONS = 3
STEP = 50
"""Numbers that a topic gets after an epoch."""


def pipeline(address: str, name: str, **options: Any) -> Pipeline:
    """Running sums by key of the odd numbers in the topic `name`-in, into the topic `name`-out."""
    source = Source.from_kafka(
        address,
        f"{name}-in",
        schema={"k": pl.Int64, "x": pl.Int64},
        **{"stop_at_end": True, **options},
    )
    return (
        Pipeline.builder(name=name)
        .source(source)
        .filter(pl.col("x") % 2 == 1)
        .scan(by="k", total=pl.col("x").cum_sum())
        .select("k", "x", "total")
        .sink(Sink.to_kafka(address, f"{name}-out", key="k"))
        .build()
    )


def fill(address: str, name: str, numbers: range) -> None:
    """Write numbers into the topic `name`-in: those with the same last digit into one partition, in order."""
    produce(
        address,
        f"{name}-in",
        [(n % 10 % PARTITIONS, b"", b'{"k":%d,"x":%d}' % (n % 10, n)) for n in numbers],
    )


def expected(address: str, name: str) -> Counter[bytes]:
    """What the topic `name`-out has in the end, by the numbers that were written to `name`-in."""
    rows = pl.DataFrame(map(json.loads, values(address, f"{name}-in")))
    rows = rows.filter(pl.col("x") % 2 == 1).with_columns(total=pl.col("x").cum_sum().over("k"))
    found = rows.select("k", "x", "total").iter_rows()
    return Counter(b'{"k":%d,"x":%d,"total":%d}' % row for row in found)


def shown(
    address: str, topic: str, partitions: int = PARTITIONS, *, committed: bool = True
) -> Counter[bytes]:
    """The values of a topic, however often each is there."""
    return Counter(values(address, topic, partitions, committed=committed))


def values(address: str, topic: str, partitions: int = PARTITIONS, *, committed: bool = True) -> list[bytes]:
    """The values of a topic in the order of their partitions, as librdkafka sees them.

    Only `committed` ones are those up to the first transaction that is open.
    """
    options = {"bootstrap.servers": address, "group.id": topic, "log_level": 0, "enable.partition.eof": True}
    level = "read_committed" if committed else "read_uncommitted"
    consumer = Consumer({**options, "isolation.level": level, "fetch.wait.max.ms": 20})
    consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
    found: list[list[bytes]] = [[] for _ in range(partitions)]
    ended: set[int] = set()
    while len(ended) < partitions:
        for message in consumer.consume(10_000, 0.05):
            partition, value = message.partition(), message.value()
            assert partition is not None
            if message.error() is not None:
                ended.add(partition)
            elif value is not None:
                found[partition].append(value)
    consumer.close()
    return [value for own in found for value in own]


def work(address: str, name: str, folder: str, point: str | None, hit: int, first: int) -> None:
    """Run the pipeline without an end, in a process that a failpoint kills at its first or a later hit.

    After each epoch the topic gets more numbers, from `first` on.
    """
    numbers = first

    def grow(reached: Failpoint) -> None:
        nonlocal numbers
        if reached is Failpoint.EPOCH_MARKED:
            fill(address, name, range(numbers, numbers + STEP))
            numbers += STEP

    with process_killed_at(point, hit), on_reach(grow):
        pipeline(address, name, stop_at_end=False).run_sync(checkpoint=Path(folder), every="10ms")
