"""Kafka writers without a pipeline, and records as librdkafka sees them."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import polars as pl
from confluent_kafka import Consumer, TopicPartition
from contexts import context

from arrowstream import Sink
from arrowstream.core.batch import Batch
from arrowstream.core.clock import MonotonicClock
from arrowstream.io.kafka.sink import KafkaSink
from arrowstream.io.kafka.writing.writer import KafkaWriter
from arrowstream.io.sink import SinkSpec


class Record(NamedTuple):
    """A record as a consumer gets it."""

    partition: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    time_ms: int


def consumed(address: str, topic: str, count: int, partitions: int = 1, seconds: float = 60) -> list[Record]:
    """The records of a topic, by partition and offset; fails if there are fewer than `count`, or more."""
    consumer = Consumer(
        {
            "bootstrap.servers": address,
            "group.id": topic,
            "log_level": 0,
            "check.crcs": True,
            "fetch.wait.max.ms": 20,
        }
    )
    consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
    found: list[tuple[int, int, Record]] = []
    end = time.monotonic() + seconds
    while len(found) < count:
        assert time.monotonic() < end, f"{len(found)} of {count} records"
        found += [_record(message) for message in consumer.consume(100_000, 0.05)]
    found += [_record(message) for message in consumer.consume(1, 0.1)]
    consumer.close()
    assert len(found) == count
    return [record for _, _, record in sorted(found, key=lambda each: each[:2])]


def _record(message: Any) -> tuple[int, int, Record]:
    assert message.error() is None, message.error()
    _, time_ms = message.timestamp()
    headers = list(message.headers() or [])
    record = Record(message.partition(), message.key(), message.value(), headers, time_ms)
    return message.partition(), message.offset(), record


@asynccontextmanager
async def writing(sink: SinkSpec, schema: Mapping[str, Any]) -> AsyncIterator[KafkaWriter]:
    """A writer that is closed, and whose close takes no longer than it may."""
    found = pl.Schema(schema)
    sink.check(found)
    writer = sink.open(found, replace(context("kafka"), clock=MonotonicClock()))
    assert isinstance(writer, KafkaWriter)
    try:
        yield writer
    finally:
        async with asyncio.timeout(30):
            await writer.close()


async def write(sink: SinkSpec, *frames: pl.DataFrame) -> None:
    """Write frames of one schema, each as a batch."""
    async with writing(sink, frames[0].schema) as writer:
        for frame in frames:
            await writer.write(Batch(frame))


def plain_sink(address: str, topic: str | None = None, **options: Any) -> KafkaSink:
    """A sink for servers without idempotent producers."""
    return Sink.to_kafka(address, topic, idempotent=False, **options)
