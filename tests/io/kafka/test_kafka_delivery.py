"""Deliveries against servers that follow a script: what is divided, sent again, or given up."""

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from aiokafka.errors import (
    InvalidTimestampError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    TopicAuthorizationFailedError,
)
from kafka_readers import in_loop

from arrowstream.errors import SinkError
from arrowstream.io.kafka.producing import Producing
from arrowstream.io.kafka.records.compression import Codec
from arrowstream.io.kafka.records.encode import EncodableRecords
from arrowstream.io.kafka.writing import delivery as delivery_module
from arrowstream.io.kafka.writing import producer as producer_module
from arrowstream.io.kafka.writing.delivery import Delivery
from arrowstream.io.kafka.writing.groups import PartitionGroup, ProducerBatch, producer_batches, sorted_by
from arrowstream.io.kafka.writing.producer import ProducerLink

pytestmark = pytest.mark.once

Answer = Callable[[int, list[bytes]], BaseException | None]


class Servers:
    """A link to servers that keep what they take, and check sequences as Kafka does.

    Parameters
    ----------
    refuses
        Takes a partition and the values of a record batch; returns the error for it, or None.
    """

    def __init__(self, refuses: Answer) -> None:
        self.refuses = refuses
        self.kept: dict[int, list[bytes]] = {}
        self.broken: set[int] = set()
        self.requests = self.producers = 0
        self.silent = False

    async def producer(self, records: int) -> "Servers":
        return self

    async def drop(self, *, flush: bool = True) -> None:
        self.broken.clear()
        self.producers += 1

    async def send_batch(self, batch: Any, topic: str, *, partition: int) -> asyncio.Future[None]:
        self.requests += 1
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        values = bytes(batch._build()[61:]).split(b"<")[1:]
        values = [value.split(b">")[0] for value in values]
        error = OutOfOrderSequenceNumber() if partition in self.broken else self.refuses(partition, values)
        if self.silent:
            return future
        if error is None:
            self.kept.setdefault(partition, []).extend(values)
            future.set_result(None)
        else:
            self.broken.add(partition)
            future.set_exception(error)
        return future


def group(values: list[bytes], partition: int = 0, first_row: int = 0) -> PartitionGroup:
    column = pa.array([b"<" + value + b">" for value in values], pa.large_binary())
    times = pa.array(np.zeros(len(values), np.int64))
    return PartitionGroup(
        ("t", partition), EncodableRecords(column, None, times), np.arange(first_row, first_row + len(values))
    )


async def call(function: Callable[..., Any], *arguments: object) -> Any:
    return function(*arguments)


def delivery(servers: Servers, **options: Any) -> Delivery:
    return Delivery(servers, Producing("s", Codec.NONE, **options), call)  # type: ignore[arg-type]


def refuse_bad(error: type[BaseException]) -> Answer:
    return lambda partition, values: error() if any(b"bad" in value for value in values) else None


@pytest.mark.parametrize("error", [InvalidTimestampError, MessageSizeTooLargeError])
@pytest.mark.parametrize("inline", [True, False])
@in_loop
async def test_one_refused_record_leaves_its_neighbours(error: type[BaseException], inline: bool) -> None:
    values = [b"bad" if n in (3, 4, 40) else b"%d" % n for n in range(50)]
    servers = Servers(refuse_bad(error))
    groups = [group(values), group(values[::-1], 1, 50), group([b"fine"], 2, 100)]
    outcomes = await delivery(servers).deliver(producer_batches(groups, 300, {}), inline=inline)
    assert sorted(row for batch, _ in outcomes for row in batch.rows.tolist()) == [3, 4, 40, 59, 95, 96]
    assert all(type(found) is error for _, found in outcomes)
    good = [value for value in values if value != b"bad"]
    assert servers.kept == {0: good, 1: good[::-1], 2: [b"fine"]}, "in order, and each once"


@in_loop
async def test_smaller_record_batches_after_one_was_too_large() -> None:
    servers = Servers(lambda _, values: MessageSizeTooLargeError() if len(values) > 3 else None)
    values = [b"%d" % n for n in range(64)]
    found = delivery(servers)
    assert await found.deliver(producer_batches([group(values)], 300, found.limits), inline=True) == []
    assert servers.kept == {0: values}
    assert servers.producers < 8, "all are halved together"
    assert found.limits["t"] < 60
    before = servers.producers
    assert await found.deliver(producer_batches([group(values)], 300, found.limits), inline=True) == []
    assert servers.producers == before, "the next rows are small enough at once"


@pytest.mark.parametrize("idempotent", [True, False])
@in_loop
async def test_what_concerns_a_whole_topic_is_final(idempotent: bool) -> None:
    servers = Servers(lambda partition, _: TopicAuthorizationFailedError() if partition else None)
    outcomes = await delivery(servers, idempotent=idempotent).deliver(
        producer_batches([group([b"a", b"b"]), group([b"c", b"d"], 1, 2)], 1_000, {}), inline=True
    )
    [(batch, error)] = outcomes
    assert batch.rows.tolist() == [2, 3] and isinstance(error, TopicAuthorizationFailedError)
    assert servers.kept == {0: [b"a", b"b"]} and servers.producers == idempotent


@in_loop
async def test_sequences_that_are_out_of_order_without_a_reason_are_final() -> None:
    servers = Servers(lambda *_: OutOfOrderSequenceNumber())
    [(_, error)] = await delivery(servers).deliver(producer_batches([group([b"a"])], 1_000, {}), inline=True)
    assert isinstance(error, OutOfOrderSequenceNumber)


@in_loop
async def test_no_answer_in_time_is_final(monkeypatch: pytest.MonkeyPatch) -> None:
    servers = Servers(lambda *_: None)
    servers.silent = True
    monkeypatch.setattr(delivery_module, "_WAITING_BYTES", 50)
    groups = [group([b"a", b"b"]), group([b"c"], 1, 2)]
    outcomes = await delivery(servers, delivery_seconds=0.01).deliver(
        producer_batches(groups, 1_000, {}), inline=True
    )
    assert [str(error) for _, error in outcomes] == ["KafkaTimeoutError: no answer within 0.01 s"] * 2
    assert servers.requests == 2 and servers.producers == 3


@in_loop
async def test_a_producer_that_has_no_room_is_asked_again() -> None:
    class Full(Servers):
        async def send_batch(self, batch: Any, topic: str, *, partition: int) -> asyncio.Future[None]:
            self.requests += 1
            if self.requests % 3:
                raise KafkaTimeoutError
            return await super().send_batch(batch, topic, partition=partition)

    servers = Full(lambda *_: None)
    assert await delivery(servers).deliver(producer_batches([group([b"a"])], 1_000, {}), inline=True) == []
    servers.requests = 0
    [(_, error)] = await delivery(servers, delivery_seconds=0).deliver(
        producer_batches([group([b"a"])], 1_000, {}), inline=True
    )
    assert isinstance(error, KafkaTimeoutError)


@in_loop
async def test_a_cancelled_delivery_cancels_what_it_waits_for() -> None:
    servers = Servers(lambda *_: None)
    servers.silent = True
    task = asyncio.create_task(
        delivery(servers).deliver(producer_batches([group([b"a"])], 1_000, {}), inline=True)
    )
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@in_loop
async def test_a_producer_ends_before_its_sequences_wrap(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []
    closed: list[Any] = []

    async def open_one(producing: Producing) -> object:
        opened.append(object())
        return opened[-1]

    async def close_one(producer: object, *, flush: bool) -> None:
        closed.append(producer)

    monkeypatch.setattr(producer_module, "open_producer", open_one)
    monkeypatch.setattr(producer_module, "close_producer", close_one)
    link = ProducerLink(Producing("s"))
    first = await link.producer(2**31 - 2)
    assert await link.producer(1) is first and closed == []
    assert await link.producer(1) is not first and closed == [first]
    await link.producer(2**31 - 2)
    assert len(opened) == 2
    await link.drop()
    await link.drop()
    assert closed == opened


@pytest.mark.parametrize("error", [TimeoutError(), TopicAuthorizationFailedError("t")])
@in_loop
async def test_a_topic_whose_partitions_are_unknown(
    error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Producer:
        async def partitions_for(self, topic: str) -> set[int]:
            raise error

    async def open_one(producing: Producing) -> Producer:
        return Producer()

    monkeypatch.setattr(producer_module, "open_producer", open_one)
    with pytest.raises(SinkError, match="the topic 't' cannot be written") as caught:
        await ProducerLink(Producing("s")).partitions("t")
    found = (
        "none of this name after 5 s"
        if isinstance(error, TimeoutError)
        else "TopicAuthorizationFailedError: "
    )
    assert found in str(caught.value)


@pytest.mark.parametrize("cancelled", [False, True])
@in_loop
async def test_a_producer_that_does_not_stop_is_dropped(
    cancelled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the run is cancelled meanwhile: its task would go on without end."""
    monkeypatch.setattr(producer_module, "STOP_SECONDS", 0.01)
    ended: list[str] = []

    class Part:
        def __init__(self, name: str) -> None:
            self.name = name

        async def close(self) -> None:
            ended.append(self.name)
            raise KafkaError

    class Batch:
        def __init__(self) -> None:
            self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    class Accumulator:
        def __init__(self) -> None:
            self._pending_batches = {Batch()}
            self._batches = {0: [Batch()]}

    class Producer:
        client, _sender = Part("client"), Part("sender")

        def __init__(self) -> None:
            self._message_accumulator = Accumulator()

        async def stop(self) -> None:
            await asyncio.sleep(10)

    producer = Producer()
    closing = asyncio.ensure_future(producer_module.close_producer(producer))
    await asyncio.sleep(0)
    if cancelled:
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
    await asyncio.wait({closing})
    assert ended == ["client", "sender"]
    [pending], [queued] = (
        producer._message_accumulator._pending_batches,
        producer._message_accumulator._batches[0],
    )
    assert pending.future.cancelled() and queued.future.cancelled()


def test_order_of_codes() -> None:
    order, bounds = sorted_by(np.array([2, 0, 2, 1, 0]))
    assert order is not None and order.tolist() == [1, 4, 3, 0, 2] and bounds == [(0, 2), (2, 3), (3, 5)]
    order, bounds = sorted_by(np.array([1, 1, 4]))
    assert order is None and bounds == [(0, 2), (2, 3)]


def test_record_batches_of_partitions_in_turn() -> None:
    groups = [group([b"x" * 40] * 5), group([b"y" * 40] * 2, 1)]
    found = producer_batches(groups, 200, {})
    assert [(batch.partition[1], batch.first, batch.last) for batch in found] == [
        (0, 0, 2),
        (1, 0, 2),
        (0, 2, 4),
        (0, 4, 5),
    ]
    assert [batch.records for batch in producer_batches(groups, 200, {"t": 10})] == [1] * 7
    assert ProducerBatch(groups[0], 0, 5).halves() == [
        ProducerBatch(groups[0], 0, 2),
        ProducerBatch(groups[0], 2, 5),
    ]
