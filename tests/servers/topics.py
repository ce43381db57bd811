"""Topics for tests: made with librdkafka, so that what is read was not written by the library that reads it."""

import time
import uuid
from collections.abc import Iterable

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec
from confluent_kafka.cimpl import NewPartitions, NewTopic

QUIET = {"log_level": 0}


def new_topic(address: str, partitions: int = 1, name: str = "", **config: str) -> str:
    """Create a topic with a name of its own, and wait until it is there."""
    name = name or f"t{uuid.uuid4().hex[:12]}"
    admin = AdminClient({"bootstrap.servers": address, **QUIET})
    deadline = time.monotonic() + 60
    while True:
        [created] = admin.create_topics([NewTopic(name, partitions, 1, config=config)]).values()
        try:
            created.result(60)
        except KafkaException as error:
            # On a busy machine a server takes a while to be one of its own cluster.
            if error.args[0].code() != KafkaError.INVALID_REPLICATION_FACTOR or time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            _wait_for_partitions(admin, name, partitions)
            return name


def add_partitions(address: str, topic: str, partitions: int) -> None:
    """Give a topic more partitions, and wait until they are there."""
    admin = AdminClient({"bootstrap.servers": address, **QUIET})
    [created] = admin.create_partitions([NewPartitions(topic, partitions)]).values()
    created.result(60)
    _wait_for_partitions(admin, topic, partitions)


def delete_topic(address: str, topic: str) -> None:
    """Delete a topic, and wait until it is gone."""
    admin = AdminClient({"bootstrap.servers": address, **QUIET})
    [deleted] = admin.delete_topics([topic]).values()
    deleted.result(60)
    _wait_for_partitions(admin, topic, 0)


def _wait_for_partitions(admin: AdminClient, topic: str, count: int) -> None:
    """Wait until clients are told of a change: a server answers that it is made before it shows it to them."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = admin.list_topics(timeout=60).topics.get(topic)
        known = {} if found is None or found.error is not None else found.partitions
        if len(known) == count and all(each.leader >= 0 for each in known.values()):
            return
        time.sleep(0.02)
    raise RuntimeError(f"the servers do not show {count} partitions of {topic}")


Message = tuple[int, bytes | None, bytes | None]
"""Partition, key and value."""


def producer(address: str, **options: object) -> Producer:
    """A producer with options of librdkafka, such as ``compression_type="zstd"``."""
    names = {name.replace("_", "."): value for name, value in options.items()}
    # With several requests in flight, one that is repeated comes after those that follow it.
    in_order = {"max.in.flight.requests.per.connection": 1}
    return Producer({"bootstrap.servers": address, **QUIET, **in_order, **names})


def produce(address: str, topic: str, messages: Iterable[Message], **options: object) -> None:
    """Write messages, and wait until the server has them."""
    failed: list[object] = []
    sender = producer(address, **options)
    for partition, key, value in messages:
        sender.produce(
            topic,
            value,
            key,
            partition,
            on_delivery=lambda error, _: failed.append(error) if error is not None else None,
        )
    assert sender.flush(60) == 0
    assert not failed


def numbered(count: int, partitions: int = 1, first: int = 0) -> list[Message]:
    """Messages with the values ``b"0"``, ``b"1"``, ..., one partition after the other."""
    return [(number % partitions, None, b"%d" % number) for number in range(first, first + count)]


def wait_for_transactions(address: str, topic: str, partitions: int) -> None:
    """Wait until no transaction is open: servers write the marks of its end after they have said that it ended."""
    admin = AdminClient({"bootstrap.servers": address, **QUIET})
    latest = {TopicPartition(topic, number): OffsetSpec.latest() for number in range(partitions)}
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        levels = IsolationLevel.READ_UNCOMMITTED, IsolationLevel.READ_COMMITTED
        futures = [admin.list_offsets(latest, isolation_level=level) for level in levels]
        high, stable = ([each.result(60).offset for each in found.values()] for found in futures)
        if high == stable:
            return
        time.sleep(0.02)
    raise RuntimeError(f"a transaction of {topic} stays open")
