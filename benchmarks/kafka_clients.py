"""All values of a topic, as Kafka's Python clients return them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from arrowstream.io.kafka.reading.fetch import hand_out_bytes
from arrowstream.io.kafka.subscription import FETCH_BYTES

Take = Callable[[list[bytes]], object]


def by_aiokafka(servers: str, topic: str, rows: int, take: Take) -> None:
    """Give the values to `take`, as `getmany` returns them."""
    asyncio.run(_by_aiokafka(servers, topic, rows, take))


async def _by_aiokafka(servers: str, topic: str, rows: int, take: Take) -> None:
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, enable_auto_commit=False)
    await consumer.start()
    await _assign(consumer, topic)
    try:
        left = rows
        while left > 0:
            for records in (await consumer.getmany(timeout_ms=1_000)).values():
                left -= len(records)
                take([record.value for record in records])
    finally:
        # It may end with a CancelledError of one of its own tasks.
        await asyncio.gather(consumer.stop(), return_exceptions=True)


def by_confluent(servers: str, topic: str, rows: int, take: Take) -> None:
    """Give the values to `take`, as confluent-kafka's `consume` returns them."""
    from confluent_kafka import Consumer
    from confluent_kafka import TopicPartition as Partition

    consumer = Consumer({"bootstrap.servers": servers, "group.id": "bench", "enable.auto.commit": False})
    try:
        names = consumer.list_topics(topic).topics[topic].partitions
        consumer.assign([Partition(topic, number, 0) for number in names])
        left = rows
        while left > 0:
            if found := consumer.consume(10_000, 1.0):
                left -= len(found)
                take([message.value() or b"" for message in found])
    finally:
        consumer.close()


async def fetched_bytes(servers: str, topic: str) -> int:
    """Fetch all record batches with arrowstream's options of aiokafka, and do nothing with them; return the bytes."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=servers,
        enable_auto_commit=False,
        fetch_max_bytes=FETCH_BYTES,
        max_partition_fetch_bytes=4 * 2**20,
    )
    await consumer.start()
    hand_out_bytes(consumer._fetcher)
    partitions = await _assign(consumer, topic)
    try:
        ends, size = await consumer.end_offsets(partitions), 0
        left = {each for each, end in ends.items() if end}
        while left:
            for partition, chunks in (await consumer.getmany(timeout_ms=1_000)).items():
                size += sum(len(chunk.data) for chunk in chunks)
                if chunks[-1].next_offset >= ends[partition]:
                    left.discard(partition)
        return size
    finally:
        await asyncio.gather(consumer.stop(), return_exceptions=True)


async def _assign(consumer: AIOKafkaConsumer, topic: str) -> list[TopicPartition]:
    cluster = await consumer._client.fetch_all_metadata()
    partitions = [TopicPartition(topic, number) for number in cluster.partitions_for_topic(topic) or ()]
    consumer.assign(partitions)
    await consumer.seek_to_beginning(*partitions)
    return partitions
