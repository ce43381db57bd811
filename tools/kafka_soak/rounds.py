"""One round: two members stay, a third comes and goes each second, the server is killed and starts again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from servers.kafka import KafkaServer
from servers.topics import new_topic

from arrowstream.core.batch import Batch
from arrowstream.core.clock import MonotonicClock
from arrowstream.core.memory_budget import MemoryBudget
from arrowstream.core.step_context import StepContext
from arrowstream.errors import SourceError
from arrowstream.io.kafka.columns import columns_of
from arrowstream.io.kafka.reading.reader import KafkaReader
from arrowstream.io.kafka.start import start_of
from arrowstream.io.kafka.subscription import Subscription
from arrowstream.io.kafka.topics import topics_of
from tools.kafka_soak.handed import Handed, Order, Wrong
from tools.kafka_soak.written import PARTITIONS, Writer

T = TypeVar("T")

LONGEST: Final = 60.0
"""Seconds without a new row after which a round has stalled."""

STAYS: Final = 1.0
"""Seconds that the third member reads."""


class Threads:
    """One thread for decoding."""

    workers = 1

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)

    async def call(self, function: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)


class Round:
    """A group that reads a topic while it is written.

    Parameters
    ----------
    server
        A server that this round kills once.
    total
        Number of messages.
    """

    def __init__(self, server: KafkaServer, total: int) -> None:
        self._server = server
        self._total = total
        self._topic = new_topic(server.address, PARTITIONS)
        self._writer = Writer(server.address, self._topic, total)
        self._handed = Handed(total)
        self._subscription = Subscription(
            server.address,
            topics_of(self._topic, None),
            group=self._topic,
            start=start_of(None, grouped=True),
            columns=columns_of(("partition", "offset")),
            session_seconds=6.0,
        )
        self._members: dict[str, KafkaReader] = {}
        self._context = StepContext(
            "kafka", MonotonicClock(), MemoryBudget(), logging.getLogger("arrowstream"), Threads()
        )
        self._moved = time.monotonic()
        self._longest = 0.0
        self._visits = self._given_away = self._rebalances = 0
        self._down = 0.0
        self._up, self._half = asyncio.Event(), asyncio.Event()
        self._up.set()

    async def go(self) -> str:
        """Run to the end; return the figures."""
        begin = time.monotonic()
        self._writer.start()
        async with asyncio.TaskGroup() as group:
            works = [self._stay("first"), self._stay("second"), self._come_and_go()]
            members = [group.create_task(work) for work in works]
            restart = group.create_task(self._restart())
            await self._watch()
            await restart
            for member in members:
                member.cancel()
        written = self._writer.offsets()
        self._handed.check(written)
        doubles = self._handed.rows - self._handed.seen
        return (
            f"{self._handed.seen:,} of {sum(map(len, written)):,} messages, {doubles:,} twice, "
            f"{self._rebalances} rebalances of the members that stay, {self._visits} visits of a third, "
            f"{self._given_away:,} offsets given away before they were acknowledged, server down "
            f"{self._down:.1f} s, longest time without a new row {self._longest:.1f} s, "
            f"{time.monotonic() - begin:.0f} s"
        )

    @property
    def _is_over(self) -> bool:
        return self._handed.seen >= self._total

    def _open(self, name: str) -> KafkaReader:
        reader = self._members[name] = KafkaReader(self._subscription, self._context, None)
        return reader

    async def _close(self, name: str) -> None:
        reader = self._members.pop(name)
        self._given_away += sum(note.count for note in reader.notes)
        await reader.close()

    async def _stay(self, name: str) -> None:
        reader, order = self._open(name), Order()
        try:
            while True:
                await self._take(reader, order)
        finally:
            self._rebalances += reader.rebalances
            await self._close(name)

    async def _come_and_go(self) -> None:
        while True:
            await self._up.wait()
            reader, order = self._open("third"), Order()
            try:
                async with asyncio.timeout(STAYS):
                    while True:
                        await self._take(reader, order)
            except TimeoutError:
                self._visits += 1
            except SourceError:
                if self._up.is_set():
                    raise
            finally:
                await self._close("third")

    async def _take(self, reader: KafkaReader, order: Order) -> None:
        element = await reader.read()
        if isinstance(element, Batch):
            before = self._handed.seen
            for partition, offsets in order.split(reader, element):
                self._handed.add(partition, offsets)
            if self._handed.seen > before:
                self._longest = max(self._longest, time.monotonic() - self._moved)
                self._moved = time.monotonic()
            if self._handed.seen >= self._total // 2:
                self._half.set()
        position = reader.position()
        if order.is_acknowledgement_due() and position is not None:
            await reader.acknowledge(position)

    async def _restart(self) -> None:
        await self._half.wait()
        begin = time.monotonic()
        self._up.clear()
        self._server.stop()
        await asyncio.to_thread(self._server.start)
        self._up.set()
        self._down = time.monotonic() - begin

    async def _watch(self) -> None:
        while not (self._is_over and self._writer.is_over):
            await asyncio.sleep(0.2)
            if self._writer.failure is not None:
                raise self._writer.failure
            idle = time.monotonic() - self._moved
            if idle > LONGEST:
                raise Wrong(f"no new row for {idle:.0f} s: {self._state()}")

    def _state(self) -> str:
        lines = [
            f"{self._handed.seen:,} rows of {self._writer.acknowledged:,}",
            f"missing by partition {self._handed.missing(self._writer.offsets())}",
        ]
        for name, reader in self._members.items():
            lines.append(f"{name} at {(reader.position() or {}).get('offsets')}, lag {reader.lag}")
        return "; ".join(lines)
