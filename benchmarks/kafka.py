"""Kafka JSON to Parquet and raw messages to columns, next to what people write by hand with Kafka's Python clients.

Every route reads the same topic of an embedded broker, which keeps it in memory. The bytes of the same messages in
memory, parsed by Polars, are the bound: no client can be faster.
"""

from __future__ import annotations

import asyncio
import statistics
import time

import polars as pl
import pyarrow as pa
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from arrowstream import Pipeline, Receiver, Sender, Sink, Source, channel
from benchmarks.broker import broker, is_installed
from benchmarks.harness import ROUNDS, Figure, Scale, Section, checked_in_turn, percentile, ratio, timed
from benchmarks.kafka_clients import by_aiokafka, by_confluent
from benchmarks.kafka_json import flights, json_to_parquet, to_function
from benchmarks.kafka_produce import produce

_MESSAGES = {"full": 1_000_000, "quick": 200_000, "tiny": 500}
_RECORDS = {"full": 1_000, "quick": 200, "tiny": 5}
_TOPIC = "flights"
_PARTITIONS = 3
_PRODUCED = ("produced-by-arrowstream", "produced-by-confluent")
_LATENCY = ("latency", "latency-of-aiokafka")


def run(scale: Scale) -> Section:
    """Rows a second of every route, and the time of one message through the broker."""
    return asyncio.run(_run(scale))


async def _run(scale: Scale) -> Section:
    frame = flights(_MESSAGES[scale])
    real = scale != "tiny" and is_installed()
    async with broker(real=real) as servers:
        admin = AIOKafkaAdminClient(bootstrap_servers=servers)
        await admin.start()
        names = (_TOPIC, *_LATENCY, *_PRODUCED)
        await admin.create_topics([NewTopic(name, _PARTITIONS if name == _TOPIC else 1, 1) for name in names])
        await admin.close()
        await asyncio.sleep(1)  # until all know the topics
        sink = Sink.to_kafka(servers, _TOPIC, idempotent=False, compression=None)
        await Pipeline.builder().source(Source.from_frame(frame)).sink(sink).build().run()
        figures = await asyncio.to_thread(json_to_parquet, scale, servers, _TOPIC, frame)
        counts = await asyncio.to_thread(_raw, scale, servers, frame.height)
        latency = await _latency(servers, _RECORDS[scale])
        produced = await asyncio.to_thread(produce, servers, _PRODUCED, "lz4", scale) if real else []
    through = "a real server" if real else "an embedded broker, which looks for new messages each 0.25 s"
    title = f"Kafka, {frame.height:,} JSON messages through {through}"
    return Section(title, (*figures, *counts, *produced, *latency))


def _raw(scale: Scale, servers: str, rows: int) -> list[Figure]:
    """Rates of reading values without parsing them."""
    routes = {
        "arrowstream": timed(to_function(servers, _TOPIC, "raw")),
        "aiokafka": timed(lambda: by_aiokafka(servers, _TOPIC, rows, len)),
        "confluent": timed(lambda: by_confluent(servers, _TOPIC, rows, len)),
    }
    found = checked_in_turn(routes, ROUNDS[scale], lambda: None)
    rates = ", ".join(f"{name} {rows / statistics.median(each):,.0f}/s" for name, each in found.items())
    return [
        Figure(
            f"raw messages to columns, {rival} = 1",
            ratio(found[rival], found["arrowstream"]),
            "x",
            note=rates,
        )
        for rival in ("aiokafka", "confluent")
    ]


async def _latency(servers: str, count: int) -> list[Figure]:
    """The time of one message, from the call that sends it to the function that gets its row."""
    tx: Sender[dict[str, int]]
    rx: Receiver[dict[str, int]]
    tx, rx = channel(16)
    arrived = asyncio.Event()
    took: list[float] = []
    sink = Sink.to_kafka(servers, "latency", idempotent=False, compression=None)
    schema = pl.Schema({"x": pl.Int64})
    write = Pipeline.builder().source(Source.from_channel(rx, schema=schema)).sink(sink).build()
    begin = 0

    def arrive(batch: pa.RecordBatch) -> None:
        took.append((time.perf_counter_ns() - begin) / 1e6)
        arrived.set()

    writing = asyncio.ensure_future(write.run())
    await tx.send({"x": 0})
    source = Source.from_kafka(servers, "latency", schema=schema)
    read = Pipeline.builder().source(source).sink(Sink.to_fn(arrive)).build()
    reading = asyncio.ensure_future(read.run())
    for number in range(1, count):
        await asyncio.wait_for(arrived.wait(), 30)
        arrived.clear()
        begin = time.perf_counter_ns()
        await tx.send({"x": number})
    await asyncio.wait_for(arrived.wait(), 30)
    tx.close()
    await writing
    read.stop()
    await reading
    took = took[1:]
    other = await _latency_of_aiokafka(servers, count)
    what = "one message through the broker"
    return [
        Figure(
            f"{what}, p{percent}",
            percentile(took, percent),
            "ms",
            note=f"aiokafka {percentile(other, percent):.1f} ms",
        )
        for percent in (50, 99)
    ]


async def _latency_of_aiokafka(servers: str, count: int) -> list[float]:
    """The same with aiokafka: its consumer waits for the message before it is sent, as one of a stream does."""
    producer = AIOKafkaProducer(bootstrap_servers=servers)
    consumer = AIOKafkaConsumer(_LATENCY[1], bootstrap_servers=servers, auto_offset_reset="earliest")
    arrived = asyncio.Event()
    took: list[float] = []
    begin = 0

    async def read() -> None:
        async for _ in consumer:
            took.append((time.perf_counter_ns() - begin) / 1e6)
            arrived.set()

    await producer.start()
    await consumer.start()
    reading = asyncio.ensure_future(read())
    for _ in range(count):
        arrived.clear()
        begin = time.perf_counter_ns()
        await producer.send(_LATENCY[1], b'{"x":1}')
        await asyncio.wait_for(arrived.wait(), 30)
    await asyncio.gather(consumer.stop(), return_exceptions=True)
    await reading
    await producer.stop()
    return took[1:]


if __name__ == "__main__":
    from benchmarks.harness import as_text

    print(as_text([run("full")]))
