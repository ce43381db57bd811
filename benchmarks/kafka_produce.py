"""Rows into a Kafka topic, next to confluent-kafka's producer on the same server."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import numpy as np
import polars as pl
from confluent_kafka import Producer

from arrowstream import Pipeline, Sink, Source
from arrowstream.io.kafka.producing import KafkaCompression
from benchmarks.harness import ROUNDS, Figure, Scale, in_turn, measured, ratio

_MESSAGES = {"full": 1_000_000, "quick": 300_000, "tiny": 2_000}
_BATCH_ROWS = 65_536
_BEST = {
    "linger.ms": 50,
    "batch.size": 1_000_000,
    "batch.num.messages": 100_000,
    "queue.buffering.max.messages": 1_000_000,
    "queue.buffering.max.kbytes": 1_000_000,
    "enable.idempotence": True,
    "partitioner": "murmur2",
}
"""Settings of librdkafka for large record batches, idempotent as the other side."""


def messages(count: int) -> pl.DataFrame:
    """Keys and fields whose JSON has some 186 bytes."""
    draw = np.random.default_rng(7)
    return pl.DataFrame(
        {
            "id": [f"item-{number:08}" for number in draw.integers(0, 10_000, count)],
            "seller": draw.integers(0, 1_000_000_000, count),
            "price": draw.random(count).round(6) * 1000,
            "city": draw.choice(["Berlin", "Lisbon", "Osaka", "Quito"], count),
            "comment": [f"{number:098x}" for number in draw.integers(0, 2**62, count)],
        }
    )


def produce(
    servers: str, topics: tuple[str, str], compression: KafkaCompression, scale: Scale
) -> list[Figure]:
    """Return the rates of both producers, and their ratio, in wall time and in this process's time.

    Parameters
    ----------
    servers
        A server with the topics.
    topics
        One for each producer, with as many partitions.
    compression
        Of both.
    scale
        How many messages.
    """
    rows = messages(_MESSAGES[scale])
    texts = rows.write_ndjson().encode().splitlines()
    keys = [key.encode() for key in rows["id"]]
    batches = list(rows.iter_slices(_BATCH_ROWS))

    def own() -> None:
        sink = Sink.to_kafka(servers, topics[0], key="id", compression=compression)
        Pipeline.builder().source(Source.from_frame(batches)).sink(sink).build().run_sync()

    def others() -> None:
        producer = Producer({"bootstrap.servers": servers, "compression.type": compression, **_BEST})
        send, topic = producer.produce, topics[1]
        for key, text in zip(keys, texts, strict=True):
            send(topic, text, key)
        if producer.flush(60):
            raise RuntimeError("messages were not delivered")

    processor: dict[str, list[float]] = {}
    own()
    routes: dict[str, Callable[[], object]] = {"arrowstream": own, "confluent-kafka": others}
    walls = in_turn({name: measured(name, work, processor) for name, work in routes.items()}, ROUNDS[scale])
    size = sum(map(len, texts)) / len(texts)
    note = (
        f"{size:.0f}-byte values, {compression}; confluent-kafka gets them as bytes, arrowstream encodes them"
    )
    return [
        *(
            Figure(f"{name}, {what}", len(texts) / statistics.median(seconds[name]), "messages/s")
            for what, seconds in (("wall time", walls), ("processor time", processor))
            for name in walls
        ),
        Figure(
            "produce, against confluent-kafka",
            ratio(walls["confluent-kafka"], walls["arrowstream"]),
            "x",
            at_least=1.0,
            note=note,
        ),
    ]
