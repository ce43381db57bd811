"""A sink half as fast as its source: memory stays flat, and nothing is lost."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from pathlib import Path
from typing import Final

import pyarrow as pa
from servers.kafka import KafkaServer
from servers.topics import new_topic

from arrowstream import Pipeline, Sink, Source
from tools.kafka_soak.handed import Handed, Wrong
from tools.kafka_soak.written import PARTITIONS, Body, Writer

RATE: Final = 10_000
"""Rows that the sink takes each second; twice as many messages are written."""

MESSAGE_BYTES: Final = 500
"""Bytes of a message, about: the backlog grows by 5 MB each second."""

PRINTS: Final = 30.0
"""Seconds between two figures."""

SETTLES: Final = 180.0
"""Seconds from the first rows on after which memory must not grow any more, or half of the time if that is less: by
then the backlog is larger than what is fetched ahead."""

MOST_GROWTH: Final = 64
"""Megabytes by which memory may grow after that. Fetches come and go, and they are larger the larger the backlog is:
up to 16 MB wait in the consumer, 16 MB in the reader, and both are copied once when they come."""


def write(address: str, topic: str, total: int, body: Body) -> None:
    """Write messages at twice the sink's speed; a process of its own, whose memory is not measured."""
    writer = Writer(address, topic, total, per_second=2 * RATE, body=body)
    writer.run()
    if writer.failure is not None:
        raise writer.failure


def memory() -> int:
    """Return the resident memory of this process, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) // 1024


class SlowSink:
    """A pipeline from a topic to a sink that waits.

    Parameters
    ----------
    server
        A server.
    minutes
        Time for which messages are written. After that, the sink takes the rest without waiting.
    body
        What the messages are made of.
    """

    def __init__(self, server: KafkaServer, minutes: float, body: Body) -> None:
        self._server = server
        self._seconds = minutes * 60
        self._settles = min(SETTLES, self._seconds / 2)
        self._total = round(self._seconds) * 2 * RATE
        self._topic = new_topic(server.address, PARTITIONS)
        self._handed = Handed(self._total)
        self._body = body
        self._waits = True
        self._first: float | None = None
        """When the sink got its first rows: before that, libraries are loaded and functions compiled."""
        source = Source.from_kafka(
            server.address, self._topic, group=self._topic, format="raw", metadata=["partition", "offset"]
        )
        self._pipeline = Pipeline.builder().source(source).sink(Sink.to_fn(self._take)).build()

    async def go(self) -> str:
        """Run to the end; return the figures."""
        processes = multiprocessing.get_context("spawn")
        writer = processes.Process(
            target=write, args=(self._server.address, self._topic, self._total, self._body)
        )
        writer.start()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pipeline.run())
                settled, most = await self._measure(writer)
                self._pipeline.stop()
        finally:
            writer.kill()
            writer.join()
        self._handed.check_whole(self._total)
        growth = f"memory at most {settled} MB in the first {self._settles:.0f} s, {most} MB later"
        return f"{self._handed.seen:,} messages, {growth}"

    async def _take(self, batch: pa.RecordBatch) -> None:
        self._first = self._first or time.monotonic()
        self._handed.add_batch(batch)
        if self._waits:
            await asyncio.sleep(batch.num_rows / RATE)

    async def _measure(self, writer: multiprocessing.process.BaseProcess) -> tuple[int, int]:
        begin = time.monotonic()
        settled = most = 0
        while self._handed.seen < self._total or writer.is_alive():
            await asyncio.sleep(PRINTS)
            elapsed, now = time.monotonic() - begin, memory()
            if writer.exitcode:
                raise Wrong("not all messages were written")
            arrow = pa.default_memory_pool().bytes_allocated() // 2**20
            print(
                f"{elapsed:.0f} s: {self._handed.seen:,} messages taken, {now} MB, {arrow} MB of it in Arrow",
                flush=True,
            )
            if self._first is None or time.monotonic() - self._first <= self._settles:
                settled = max(settled, now)
            elif self._waits:
                most = max(most, now)
                if now > settled + MOST_GROWTH:
                    raise Wrong(f"memory grows from {settled} MB to {now} MB")
            self._waits = writer.is_alive()
            if elapsed > 3 * self._seconds + 60:
                raise Wrong(f"{self._total - self._handed.seen:,} messages do not come")
        return settled, most
