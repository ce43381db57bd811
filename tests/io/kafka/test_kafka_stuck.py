"""What must not be waited for: a group that rebalances, a connection without an answer, tasks that do not end."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import NodeNotReadyError
from kafka_readers import in_loop

from arrowstream.errors import SourceError
from arrowstream.io.kafka.partition_name import Partition
from arrowstream.io.kafka.reading import consumer as consumer_module
from arrowstream.io.kafka.reading.answers import OverdueAnswers
from arrowstream.io.kafka.reading.consumer import close_consumer
from arrowstream.io.kafka.reading.partition_offsets import PartitionOffsets
from arrowstream.io.kafka.reading.watch import Watch
from arrowstream.testing import ManualClock

pytestmark = pytest.mark.once
A, B = ("t", 0), ("t", 1)


def put_forward(seconds: float) -> None:
    """Let the time of the event loop go on by some seconds at once."""
    loop = asyncio.get_running_loop()
    now = loop.time
    loop.time = lambda: now() + seconds  # type: ignore[method-assign]


class Joining(GroupCoordinator):
    """A member of a group whose other members do not come back; its join ends once the group knows that it left."""

    def __init__(self, error: Exception | None = None) -> None:
        self.group_id, self.member_id = "g", ""
        self.coordinator_id: int | None = None
        self._heartbeat_task = self._commit_refresh_task = None
        self._client = self
        self.error = error
        self.left: list[str] = []
        self.has_left = asyncio.Event()
        self._coordination_task = asyncio.create_task(self.join())

    async def join(self) -> None:
        for name, value in (("member_id", "m"), ("coordinator_id", 1)):
            for _ in range(50):  # looks see it in between
                await asyncio.sleep(0)
            setattr(self, name, value)
        await self.has_left.wait()

    async def send(self, node: int, request: Any) -> None:
        assert node == 1
        self.left.append(request.prepare({13: (0, 1)}).member_id)
        if self.error is not None:
            put_forward(consumer_module.STOP_SECONDS)
            raise self.error
        self.has_left.set()


class Consumer:
    """A consumer that stops once its coordinator has."""

    _fetcher = None

    def __init__(self, coordinator: Any) -> None:
        self._coordinator = coordinator
        self.closed = False
        self._client = self

    async def stop(self) -> None:
        await self._coordinator._coordination_task

    async def close(self) -> None:
        self.closed = True


@in_loop
async def test_a_member_that_is_joining_leaves_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer_module, "_LOOK_SECONDS", 0.0)
    consumer = Consumer(Joining())
    async with asyncio.timeout(60):
        await close_consumer(consumer)
    assert consumer._coordinator.left == ["m"] and not consumer.closed


@in_loop
async def test_a_member_that_cannot_leave_sends_no_more_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer_module, "_LOOK_SECONDS", 0.0)
    coordinator = Joining(NodeNotReadyError())
    consumer = Consumer(coordinator)
    await close_consumer(consumer)
    assert coordinator.left == ["m"], "once"
    assert coordinator._coordination_task.cancelled() and consumer.closed


@in_loop
async def test_a_task_that_catches_its_cancellation_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer_module, "STOP_SECONDS", 0.01)
    monkeypatch.setattr(consumer_module, "GRACE_SECONDS", 0.01)
    release = asyncio.Event()

    class Deaf(Consumer):
        async def stop(self) -> None:
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue

    heartbeat = asyncio.create_task(asyncio.sleep(60))
    consumer = Deaf(SimpleNamespace(_heartbeat_task=heartbeat))
    async with asyncio.timeout(60):
        await close_consumer(consumer)
    release.set()
    await asyncio.gather(heartbeat, return_exceptions=True)
    assert heartbeat.cancelled() and consumer.closed


class Connection:
    """A connection with requests that wait for an answer."""

    def __init__(self, *requests: int) -> None:
        self._requests = [(each, None, None) for each in requests]
        self.closed = 0

    def close(self, reason: object) -> None:
        self.closed += 1
        self._requests.clear()


@in_loop
async def test_a_connection_without_an_answer_is_closed() -> None:
    clock = ManualClock()
    dead, busy, idle = Connection(1), Connection(1), Connection()
    client = SimpleNamespace(_conns={1: dead, 2: busy, 3: idle})
    running = asyncio.create_task(OverdueAnswers(clock, client, 10).run())
    for second in range(10):
        await clock.advance(1)
        dead._requests.append((second + 2, None, None))  # a rebalance gives up the one before, which stays
        busy._requests = [(second + 2, None, None)]
    assert (dead.closed, busy.closed) == (0, 0)
    await clock.advance(1)
    assert (dead.closed, busy.closed, idle.closed) == (1, 0, 0)
    dead._requests.append((99, None, None))
    for _ in range(10):
        await clock.advance(1)
    assert dead.closed == 1 and busy.closed == 1, "the time of a request begins when it is the oldest"
    running.cancel()


@in_loop
async def test_the_watch_ends_a_run_whose_reads_return_marks_only() -> None:
    clock, progress = ManualClock(), PartitionOffsets()
    failures: list[SourceError] = []
    progress.begin({A: 4, B: 0}, {})

    class Silent:
        async def end_offsets(self, partitions: list[Any]) -> dict[Partition, int]:
            return dict.fromkeys(partitions, 10)

        def paused(self) -> list[Any]:
            return []

    watch = Watch(clock, Silent(), progress, 60, failures.append)
    running = asyncio.create_task(watch.run())

    async def rebalances(count: int) -> None:
        for _ in range(count):
            watch.begin_read()
            await clock.advance(1)
            await asyncio.sleep(0)
            watch.end_read()

    await rebalances(50)
    await clock.advance(15)
    await rebalances(5)
    assert not failures, "time in which the pipeline does not read does not count"
    await rebalances(10)
    assert "no record came from Kafka for 60 s" in str(failures[0])
    running.cancel()
