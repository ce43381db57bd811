"""Reading from a real Apache Kafka: groups, rebalances, transactions, compaction, restarts."""

import asyncio
import random
import re
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from confluent_kafka.admin import AdminClient
from kafka_readers import drain, in_loop, kafka_source, read_to_end, reading
from servers.kafka import PASSWORD, USER, KafkaServer
from servers.topics import add_partitions, new_topic, numbered, produce, producer, wait_for_transactions

from arrowstream import Pipeline, Source
from arrowstream.core.batch import Batch
from arrowstream.errors import SourceError
from arrowstream.io.kafka.reading import consumer
from arrowstream.io.kafka.reading.reader import KafkaReader
from arrowstream.io.kafka.security import KafkaSecurity

pytestmark = [pytest.mark.once, pytest.mark.untraced]
METADATA = ("key", "timestamp", "topic", "partition", "offset", "headers")


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
@in_loop
async def test_every_codec_and_all_metadata(kafka: KafkaServer, codec: str) -> None:
    topic = new_topic(kafka.address, 3)
    sender = producer(kafka.address, compression_type=codec)
    begin = datetime.now(UTC)
    for number in range(3_000):
        headers = [("h", b"x" * number), ("n", None)] if number < 5 else None
        key = None if number % 7 == 0 else b"key %d" % number
        sender.produce(topic, b"value %d" % number if number % 11 else None, key, number % 3, headers=headers)
    sender.flush()
    drained = await read_to_end(kafka_source(kafka.address, topic, metadata=METADATA))
    frame = drained.frame.sort("offset", "partition")
    assert frame.columns == ["value", *METADATA]
    assert frame["value"].to_list() == [b"value %d" % n if n % 11 else None for n in range(3_000)]
    assert frame["key"].to_list() == [None if n % 7 == 0 else b"key %d" % n for n in range(3_000)]
    assert frame["partition"].to_list() == [n % 3 for n in range(3_000)]
    assert frame["offset"].to_list() == [n // 3 for n in range(3_000)]
    assert frame["topic"].unique().to_list() == [topic]
    assert frame["headers"].to_list()[4] == [{"key": "h", "value": b"xxxx"}, {"key": "n", "value": None}]
    assert frame["headers"].list.len().to_list()[:6] == [2, 2, 2, 2, 2, 0]
    assert frame["timestamp"].dtype == pl.Datetime("ms", "UTC")
    assert frame["timestamp"].is_between(begin - timedelta(seconds=1), datetime.now(UTC)).all()


@in_loop
async def test_aborted_and_open_transactions_are_left_out(kafka: KafkaServer) -> None:
    topic = new_topic(kafka.address, 2)
    senders = [producer(kafka.address, transactional_id=f"{topic}-{n}") for n in range(3)]
    for sender in senders:
        sender.init_transactions(20)
    kept = []
    draw = random.Random(3)
    for round_ in range(6):
        for sender in senders[:2]:
            sender.begin_transaction()
        for number in range(20):
            which = draw.randrange(2)
            value = b"%d-%d-%d" % (round_, number, which)
            senders[which].produce(topic, value, partition=number % 2)
            senders[which].flush()
            if (round_ + which) % 2:
                kept.append(value)
        for which, sender in enumerate(senders[:2]):
            sender.commit_transaction(20) if (round_ + which) % 2 else sender.abort_transaction(20)
    wait_for_transactions(kafka.address, topic, 2)
    senders[2].begin_transaction()
    senders[2].produce(topic, b"open", partition=0)
    senders[2].flush()
    produce(kafka.address, topic, [(0, None, b"after the open one")])
    drained = await read_to_end(kafka_source(kafka.address, topic))
    assert sorted(drained.values) == sorted(kept)
    unstable = read_to_end(kafka_source(kafka.address, topic, isolation="read_uncommitted"))
    everything = (await unstable).values
    assert len(everything) == 122 and set(kept) | {b"open", b"after the open one"} < set(everything)
    async with reading(kafka_source(kafka.address, topic)) as reader:
        rest = await drain(reader, len(kept))
        assert reader.unstable == {f"{topic}[0]": 2, f"{topic}[1]": 0}
        assert reader.lag[f"{topic}[0]"] == 2
        senders[2].commit_transaction(20)
        await drain(reader, len(kept) + 2, into=rest)
    assert rest.values[-2:] == [b"open", b"after the open one"]
    [batch] = drained.batches
    assert batch.position is not None
    places = [place for _, place in batch.position.pieces(batch.num_rows)]
    assert {place.origin for place in places} == {f"{topic}[0]", f"{topic}[1]"}
    assert not any(place.exact for place in places), "offsets of aborted records are missing between the rows"


@in_loop
async def test_a_compacted_topic_is_read_to_its_end(kafka: KafkaServer) -> None:
    config = {
        "cleanup.policy": "compact",
        "segment.bytes": "1048576",
        "segment.ms": "100",
        "min.cleanable.dirty.ratio": "0.01",
    }
    topic = new_topic(kafka.address, **config)
    latest: dict[bytes, bytes] = {}
    for round_ in range(4):
        messages = [(0, b"k%d" % (n % 50), b"%d-%d" % (round_, n)) for n in range(200)]
        produce(kafka.address, topic, messages)
        latest |= {key: value for _, key, value in messages}
        await asyncio.sleep(0.15)
    source = kafka_source(kafka.address, topic, metadata=["key", "offset"])
    for _ in range(400):
        drained = await read_to_end(source)
        if drained.frame.height < 500:
            break
        await asyncio.sleep(0.2)
    frame = drained.frame
    assert frame.height < 500
    assert frame["offset"].is_sorted()
    assert dict(zip(frame["key"], frame["value"], strict=True)) == latest
    assert drained.position == {"version": 1, "offsets": {f"{topic}[0]": 800}}


@in_loop
async def test_starts(kafka: KafkaServer) -> None:
    topic = new_topic(kafka.address, 2)
    produce(kafka.address, topic, numbered(10, 2))
    await asyncio.sleep(0.02)
    between = datetime.now(UTC)
    await asyncio.sleep(0.02)
    produce(kafka.address, topic, numbered(10, 2, 10))

    async def found(start: object) -> list[int]:
        return (await read_to_end(kafka_source(kafka.address, topic, start))).numbers

    assert await found("earliest") == list(range(20))
    assert await found("latest") == []
    assert await found({0: 8}) == [1, 3, 5, 7, 9, 11, 13, 15, 16, 17, 18, 19]
    assert await found({0: 10, f"{topic}[1]": 9}) == [19]
    assert await found(between) == list(range(10, 20))
    assert await found(datetime.now(UTC)) == []
    async with reading(kafka_source(kafka.address, topic, "latest")) as reader:
        drained = await drain(reader, 0)
        await reader.read()
        produce(kafka.address, topic, numbered(2, 2, 20))
        assert (await drain(reader, 2, into=drained)).numbers == [20, 21]
    with pytest.raises(SourceError, match="after its end"):
        await found({0: 99})
    async with reading(kafka_source(kafka.address, topic, {0: 99})) as reader:
        with pytest.raises(SourceError, match="OffsetOutOfRange"):
            await drain(reader, 20)


@in_loop
async def test_a_group_continues_where_it_has_acknowledged(kafka: KafkaServer) -> None:
    topic = new_topic(kafka.address, 2)
    produce(kafka.address, topic, numbered(100, 2))
    source = kafka_source(kafka.address, topic, group=topic)
    async with reading(source) as reader:
        drained = await drain(reader, 100)
        assert reader.lag == {f"{topic}[0]": 0, f"{topic}[1]": 0}
        await reader.acknowledge({"version": 1, "offsets": {f"{topic}[0]": 20, f"{topic}[1]": 50}})
        await reader.acknowledge({"version": 1, "offsets": {f"{topic}[0]": 10}})
    assert drained.numbers == list(range(100))
    again = await read_to_end(source)
    assert again.numbers == list(range(40, 100, 2))
    assert (await read_to_end(source, drained.position)).numbers == []
    # Resuming has committed where it started, so that the group goes on from there.
    assert (await read_to_end(source)).numbers == []
    assert (await read_to_end(kafka_source(kafka.address, topic, "earliest", group=topic))).numbers == list(
        range(100)
    )


@in_loop
async def test_two_members_with_a_rebalance_each_second(kafka: KafkaServer) -> None:
    topic = new_topic(kafka.address, 8)
    total = 40_000
    source = kafka_source(kafka.address, topic, group=topic, session_seconds=6.0)
    found: Counter[tuple[int, int]] = Counter()
    given_away = cut_short = 0
    rebalanced = asyncio.Event()

    async def stay() -> None:
        nonlocal given_away
        async with reading(source) as reader:
            while len(found) < total:
                await take(reader)
                if reader.rebalances >= 2:
                    rebalanced.set()
            given_away += sum(note.count for note in reader.notes)

    async def come_and_go() -> None:
        nonlocal given_away
        while len(found) < total:
            async with reading(source) as reader:
                await take(reader)  # once it is a member, however long that takes
                try:
                    async with asyncio.timeout(1):
                        while len(found) < total:
                            await take(reader)
                except TimeoutError:
                    pass
                given_away += sum(note.count for note in reader.notes)

    async def take(reader: KafkaReader) -> None:
        nonlocal cut_short
        async with asyncio.timeout(60):
            element = await reader.read()
        rows = element.num_rows if isinstance(element, Batch) else 0
        if isinstance(element, Batch):
            found.update(element.polars().select("partition", "offset").rows())
        cut_short += rows  # unless the group takes their offsets
        if await reader.acknowledge(reader.position()):
            cut_short -= rows

    async def write() -> None:
        for first in range(0, total, 1_000):
            if first == total - 1_000:
                await rebalanced.wait()
            await asyncio.to_thread(produce, kafka.address, topic, numbered(1_000, 8, first))
            await asyncio.sleep(0.1)

    async with asyncio.timeout(100), asyncio.TaskGroup() as group:
        for work in (stay(), come_and_go(), write()):
            group.create_task(work)
    assert found.keys() == {(partition, offset) for partition in range(8) for offset in range(total // 8)}
    doubles = sum(found.values()) - total
    assert doubles <= given_away + cut_short + 8_000, (
        "a member that leaves may have rows that it has not acknowledged"
    )


@in_loop
async def test_a_member_that_is_joining_does_not_wait_for_the_others(
    kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "STOP_SECONDS", 100.0)
    topic = new_topic(kafka.address, 2)
    source = kafka_source(kafka.address, topic, group=topic, session_seconds=600.0)  # a heartbeat each 60 s
    async with reading(source) as first:
        await first.read()
        async with reading(source) as second:
            pending = asyncio.create_task(second.read())
            await asyncio.wait({pending}, timeout=0.5)
            assert not pending.done()
            pending.cancel()
            begin = time.monotonic()
        assert time.monotonic() - begin < 30
        admin = AdminClient({"bootstrap.servers": kafka.address})
        found = await asyncio.to_thread(admin.describe_consumer_groups([topic])[topic].result)
        assert len(found.members) == 1


@pytest.mark.parametrize("group", [None, "g"])
@in_loop
async def test_new_partitions_and_topics_are_found(kafka: KafkaServer, group: str | None) -> None:
    topic = new_topic(kafka.address, 1)
    source = kafka_source(
        kafka.address, re.compile(topic), "latest", group=group and f"{topic}-{group}", discovery_seconds=0.2
    )
    async with reading(source) as reader:
        mark = await reader.read()
        assert mark.origins == {f"{topic}[0]"}
        add_partitions(kafka.address, topic, 2)
        other = new_topic(kafka.address, 1, f"{topic}-other")
        produce(kafka.address, topic, [(1, None, b"1")])
        produce(kafka.address, other, [(0, None, b"2")])
        drained = await drain(reader, 2)
    assert drained.numbers == [1, 2]
    assert drained.marks[-1].origins == {f"{topic}[0]", f"{topic}[1]", f"{other}[0]"}


@in_loop
async def test_a_login(kafka: KafkaServer) -> None:
    topic = new_topic(kafka.address)
    produce(kafka.address, topic, numbered(3))
    for mechanism in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"):
        security = KafkaSecurity(mechanism=mechanism, username=USER, password=PASSWORD)
        assert (await read_to_end(kafka_source(kafka.sasl_address, topic, security=security))).numbers == [
            0,
            1,
            2,
        ]
        wrong = KafkaSecurity(mechanism=mechanism, username=USER, password="wrong-password")
        with pytest.raises(SourceError, match=r"(?i)authentication") as caught:
            await read_to_end(kafka_source(kafka.sasl_address, topic, security=wrong))
        assert "wrong-password" not in str(caught.value)


@pytest.mark.timeout(300)  # it may wait for the other tests of such servers
@in_loop
async def test_a_restart_of_the_server_in_the_middle(own_kafka: KafkaServer) -> None:
    topic = new_topic(own_kafka.address, 4)
    source = kafka_source(own_kafka.address, topic, group="g")
    async with reading(source) as reader:
        await asyncio.to_thread(produce, own_kafka.address, topic, numbered(2_000, 4))
        drained = await drain(reader, 2_000)
        await reader.acknowledge(reader.position())
        own_kafka.stop()
        pending = asyncio.create_task(drain(reader, 4_000, seconds=60, into=drained))
        await asyncio.to_thread(own_kafka.start)
        await asyncio.to_thread(produce, own_kafka.address, topic, numbered(2_000, 4, 2_000))
        await pending
        await reader.acknowledge(reader.position())
    assert drained.numbers == list(range(4_000))
    assert (await read_to_end(source)).numbers == []


@in_loop
async def test_a_topic_that_is_missing(kafka: KafkaServer) -> None:
    topic = new_topic(kafka.address, 2)
    with pytest.raises(SourceError, match="does not exist") as caught:
        await read_to_end(kafka_source(kafka.address, f"{topic}x"))
    assert f"did you mean '{topic}'" in str(caught.value)
    with pytest.raises(SourceError, match="has no partition 2"):
        await read_to_end(kafka_source(kafka.address, topic, partitions=[0, 2]))
    names = AdminClient({"bootstrap.servers": kafka.address}).list_topics(timeout=60).topics
    assert f"{topic}x" not in names


def test_a_pipeline_of_a_group_goes_on_where_its_sinks_are(kafka: KafkaServer) -> None:
    topic = new_topic(kafka.address, 2)
    produce(kafka.address, topic, [(n % 2, None, b'{"n": %d}' % n) for n in range(100)])

    def numbers(**arguments: Any) -> list[int]:
        source = Source.from_kafka(
            kafka.address, topic, group=topic, schema={"n": int}, stop_at_end=True, **arguments
        )
        return sorted(Pipeline.builder().source(source).collect_sync()["n"])

    assert numbers() == list(range(100))
    assert numbers() == []
    assert numbers(start="earliest") == list(range(100))
    produce(kafka.address, topic, [(1, None, b'{"n": 100}')])
    assert numbers() == [100]
