"""Reading from Kafka's protocol, on the embedded broker, which is up at once."""

import asyncio
import logging
import socket
from dataclasses import replace
from typing import Any

import polars as pl
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.fetcher import Fetcher
from contexts import NoThreads
from kafka_readers import Drained, drain, in_loop, kafka_source, read_to_end, reading
from servers.embedded_kafka import EmbeddedKafka
from servers.topics import new_topic, numbered, produce, producer
from tcp_ends import until

from arrowstream import Pipeline, Sink, Source
from arrowstream.core.batch import Batch
from arrowstream.errors import SourceError
from arrowstream.io.kafka import connection
from arrowstream.io.kafka.reading import client as client_module
from arrowstream.io.kafka.reading import fetch
from arrowstream.io.kafka.reading import reader as reader_module
from arrowstream.io.kafka.reading.decode import warm_up
from arrowstream.io.kafka.reading.watch import KEEP_ALIVE_SECONDS
from arrowstream.testing import ManualClock

pytestmark = pytest.mark.once


@pytest.fixture(params=["columns", "objects"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of reading: bytes from aiokafka's fetcher, or its objects if its insides have changed."""
    if request.param == "objects":
        monkeypatch.setattr(client_module, "is_supported", lambda: False)
    return str(request.param)


@in_loop
async def test_both_ways_give_the_same_rows(
    embedded_kafka: EmbeddedKafka, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    topic = new_topic(embedded_kafka.address, 2)
    sender = producer(embedded_kafka.address)
    for number in range(20):
        key, value = (b"k%d" % number if number % 3 else None, b"v%d" % number if number % 5 else None)
        headers = [("h", b"x"), ("n", None)] if number == 4 else None
        sender.produce(topic, value, key, number % 2, timestamp=1_700_000_000_000 + number, headers=headers)
        sender.flush()
    metadata = {"key": "k", "timestamp": "at", "topic": "t", "partition": "p", "offset": "o", "headers": "h"}
    with caplog.at_level(logging.WARNING, "arrowstream"):
        drained = await read_to_end(kafka_source(embedded_kafka.address, topic, metadata=metadata))
    frame = drained.frame.sort("o", "p")
    assert frame.columns == ["value", *metadata.values()]
    assert frame["value"].to_list() == [b"v%d" % n if n % 5 else None for n in range(20)]
    assert frame["k"].to_list() == [b"k%d" % n if n % 3 else None for n in range(20)]
    assert frame["at"].dt.timestamp("ms").to_list() == [1_700_000_000_000 + n for n in range(20)]
    assert frame.select("t", "p", "o").rows() == [(topic, n % 2, n // 2) for n in range(20)]
    assert frame["h"].to_list()[4] == [{"key": "h", "value": b"x"}, {"key": "n", "value": None}]
    assert frame["h"].list.len().sum() == 2
    lost = [record.message for record in caplog.records if "one by one" in record.message]
    assert len(lost) == (way == "objects")
    assert drained.position == {"version": 1, "offsets": {f"{topic}[0]": 10, f"{topic}[1]": 10}}
    assert drained.marks[0].origins == {f"{topic}[0]", f"{topic}[1]"}
    assert drained.marks[-1].origins == frozenset()


@in_loop
async def test_a_position_is_continued(embedded_kafka: EmbeddedKafka, way: str) -> None:
    topic = new_topic(embedded_kafka.address, 2)
    for number in range(6):  # a batch each
        produce(embedded_kafka.address, topic, numbered(1, 1, number))
    source = kafka_source(embedded_kafka.address, topic)
    position = {"version": 1, "offsets": {f"{topic}[0]": 4}}
    assert (await read_to_end(source, position)).numbers == [4, 5]
    async with reading(source, position) as reader:
        assert reader.position() == position
        assert reader.lag == reader.unstable == {}
        await reader.acknowledge(reader.position())
    async with reading(source) as reader:
        assert reader.position() is None, "where it begins is not known yet"
    async with reading(kafka_source(embedded_kafka.address, topic, "latest", partitions=0)) as reader:
        await reader.read()
        produce(embedded_kafka.address, topic, numbered(1, 1, 6))
        assert (await drain(reader, 1)).numbers[-1] == 6
        assert reader.lag == reader.unstable == {f"{topic}[0]": 0}
    with pytest.raises(SourceError, match="no partition 2"):
        await read_to_end(kafka_source(embedded_kafka.address, topic, partitions=2))


@pytest.mark.parametrize("pattern", [False, True])
@in_loop
async def test_a_group_goes_on_where_it_has_committed(embedded_kafka: EmbeddedKafka, pattern: bool) -> None:
    topic = new_topic(embedded_kafka.address, 2)
    produce(embedded_kafka.address, topic, numbered(10, 2))
    source = kafka_source(
        embedded_kafka.address, f"^{topic}" if pattern else topic, group=topic, session_seconds=1.0
    )
    async with reading(source) as reader:
        assert (await drain(reader, 10)).numbers == list(range(10))
        await reader.acknowledge({"version": 1, "offsets": {f"{topic}[0]": 3, f"{topic}[1]": 5}})
    async with reading(source) as reader:
        assert (await drain(reader, 2)).numbers == [6, 8]


@in_loop
async def test_each_batch_knows_its_place(embedded_kafka: EmbeddedKafka) -> None:
    topic = new_topic(embedded_kafka.address, 2)
    produce(embedded_kafka.address, topic, numbered(10, 2))
    drained = await read_to_end(kafka_source(embedded_kafka.address, topic))
    places = {}
    for batch in drained.batches:
        assert batch.position is not None
        row = 0
        for rows, place in batch.position.pieces(batch.num_rows):
            places[place.origin] = (str(place), batch.polars()["value"][row : row + rows].to_list())
            row += rows
    assert places == {
        f"{topic}[0]": (f"{topic}[0] offsets 0-5", [b"0", b"2", b"4", b"6", b"8"]),
        f"{topic}[1]": (f"{topic}[1] offsets 0-5", [b"1", b"3", b"5", b"7", b"9"]),
    }


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
@in_loop
async def test_values_that_compress_well(embedded_kafka: EmbeddedKafka, codec: str) -> None:
    topic = new_topic(embedded_kafka.address)
    value = b"0123456789" * 2_000
    messages = [(0, None, value)] * 40
    produce(
        embedded_kafka.address, topic, messages, compression_type=codec, linger_ms=100, batch_size=1_000_000
    )
    assert (await read_to_end(kafka_source(embedded_kafka.address, topic))).values == [value] * 40


@in_loop
async def test_a_read_that_is_cancelled_loses_nothing(embedded_kafka: EmbeddedKafka, way: str) -> None:
    topic = new_topic(embedded_kafka.address, 3)
    async with reading(kafka_source(embedded_kafka.address, topic)) as reader:
        drained = Drained()
        for first in range(0, 30, 3):
            produce(embedded_kafka.address, topic, numbered(3, 3, first))
            for turns in range(0, 12, 2):
                task = asyncio.create_task(reader.read())
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                try:
                    element = await task
                except asyncio.CancelledError:
                    continue
                if isinstance(element, Batch):
                    drained.batches.append(element)
        await drain(reader, 30, into=drained)
    assert drained.numbers == list(range(30))


@in_loop
async def test_other_consumers_keep_their_records(embedded_kafka: EmbeddedKafka) -> None:
    topic = new_topic(embedded_kafka.address)
    produce(embedded_kafka.address, topic, numbered(3))
    other = AIOKafkaConsumer(
        topic,
        bootstrap_servers=embedded_kafka.address,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    before = Fetcher._proc_fetch_request
    async with reading(kafka_source(embedded_kafka.address, topic)) as reader:
        await other.start()
        try:
            assert (await drain(reader, 3)).numbers == [0, 1, 2]
            assert [(await other.getone()).value for _ in range(3)] == [b"0", b"1", b"2"]
        finally:
            await other.stop()
    assert Fetcher._proc_fetch_request is before


@pytest.mark.parametrize("change", ["raises", "waits", "other names"])
def test_insides_of_aiokafka_that_changed_are_noticed(monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    assert fetch.is_supported()

    async def raises(self: object, assignment: object, node: int, request: object) -> bool:
        raise AttributeError("renamed")

    async def waits(self: object, assignment: object, node: int, request: object) -> bool:
        await asyncio.sleep(0)
        return True

    async def other_names(self: object, assignment: object, node: int, request: object) -> bool:
        return True

    changed = {"raises": raises, "waits": waits, "other names": other_names}[change]
    monkeypatch.setattr(Fetcher, "_proc_fetch_request", changed)
    assert not fetch.is_supported()


@in_loop
async def test_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(SourceError, match="no Kafka server answers") as caught:
            await read_to_end(kafka_source(address, "t"))
        assert address in str(caught.value) and "Connect call failed" in str(caught.value)
    monkeypatch.setattr(connection, "START_SECONDS", 0.1)
    monkeypatch.setattr(connection, "PROBE_SECONDS", 0.1)
    monkeypatch.setattr(connection, "GRACE_SECONDS", 0.1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(SourceError, match="no Kafka server answers") as caught:
            await read_to_end(kafka_source(address, "t"))
        assert "no answer within 0.1 s" in str(caught.value)


@in_loop
async def test_a_server_that_answers_only_the_second_time(
    embedded_kafka: EmbeddedKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "START_SECONDS", 0.0)
    with pytest.raises(SourceError, match="no Kafka server answers"):
        await read_to_end(kafka_source(embedded_kafka.address, "t"))


@in_loop
async def test_a_cancelled_start_closes_what_it_opened(embedded_kafka: EmbeddedKafka) -> None:
    topic = new_topic(embedded_kafka.address)
    produce(embedded_kafka.address, topic, numbered(1))
    for turns in range(0, 60, 7):
        async with reading(kafka_source(embedded_kafka.address, topic)) as reader:
            task = asyncio.create_task(reader.read())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert (await drain(reader, 1)).numbers == [0]


@in_loop
async def test_new_topics_are_found(embedded_kafka: EmbeddedKafka) -> None:
    topic = new_topic(embedded_kafka.address, 1)
    source = kafka_source(embedded_kafka.address, f"^{topic}", discovery_seconds=0.05)
    async with reading(source) as reader:
        produce(embedded_kafka.address, topic, numbered(2))
        drained = await drain(reader, 2)
        other = new_topic(embedded_kafka.address, 1, f"{topic}-other")
        produce(embedded_kafka.address, other, [(0, None, b"2")])
        await drain(reader, 3, into=drained)
        assert reader.rebalances == 1
    assert drained.numbers == [0, 1, 2]
    assert drained.marks[-1].origins == {f"{topic}[0]", f"{other}[0]"}


@in_loop
async def test_a_pipeline_that_does_not_read_is_kept_alive(embedded_kafka: EmbeddedKafka, way: str) -> None:
    topic = new_topic(embedded_kafka.address, 2)
    produce(embedded_kafka.address, topic, numbered(2, 2))
    clock = ManualClock()
    async with reading(kafka_source(embedded_kafka.address, topic), clock=clock) as reader:
        drained = await drain(reader, 2)
        produce(embedded_kafka.address, topic, numbered(100, 2, 2))
        client = reader._client
        assert client is not None and not client.consumer.paused()
        for _ in range(3):
            await clock.advance(KEEP_ALIVE_SECONDS + 1)
            await asyncio.sleep(0.05)
            await until(lambda: len(client.consumer.paused()) == 2)
        await drain(reader, 102, into=drained)
        assert not client.consumer.paused()
    assert drained.numbers == list(range(102))


@in_loop
async def test_what_a_listener_or_a_task_raises_reaches_the_reader(embedded_kafka: EmbeddedKafka) -> None:
    topic = new_topic(embedded_kafka.address)
    for place in ("listener", "task"):
        async with reading(kafka_source(embedded_kafka.address, topic)) as reader:
            await reader.read()
            client = reader._client
            assert client is not None
            pending = asyncio.create_task(reader.read())
            await asyncio.sleep(0.01)
            if place == "listener":
                client.ownership._on_change = lambda: 1 // 0
                client.ownership.own([])
            else:
                client._start(fail())
                client._start(fail())
            with pytest.raises(ZeroDivisionError):
                await pending


async def fail() -> None:
    raise ZeroDivisionError


@in_loop
async def test_a_topic_that_is_deleted_ends_the_run(embedded_kafka: EmbeddedKafka) -> None:
    topic = new_topic(embedded_kafka.address)
    source = kafka_source(embedded_kafka.address, topic, discovery_seconds=0.05)
    async with reading(source) as reader:
        await reader.read()
        client = reader._client
        assert client is not None
        pending = asyncio.create_task(reader.read())
        client._subscription = replace(
            client._subscription, topics=replace(client._subscription.topics, names=("gone",))
        )
        with pytest.raises(SourceError, match="'gone' does not exist"):
            await asyncio.wait_for(pending, 60)


@in_loop
async def test_rows_that_are_being_decoded_when_partitions_change_are_read_again(
    embedded_kafka: EmbeddedKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "_INLINE_BYTES", -1)
    topic = new_topic(embedded_kafka.address)
    produce(embedded_kafka.address, topic, numbered(5))
    async with reading(kafka_source(embedded_kafka.address, topic)) as reader:
        changes = 0

        class Changing(NoThreads):
            async def call(self, function: Any, *arguments: object) -> Any:
                nonlocal changes
                if function.func is warm_up:
                    return function(*arguments)
                changes += 1
                client = reader._client
                assert client is not None
                if changes <= 2:
                    client.ownership.on_partitions_revoked([])
                if changes == 1:
                    client.ownership.on_partitions_assigned([(topic, 0)])
                if changes == 2:
                    asyncio.get_running_loop().call_later(0.01, client.ownership.own, [(topic, 0)])
                return function(*arguments)

        reader._context = replace(reader._context, threads=Changing())
        assert (await drain(reader, 5)).numbers == [0, 1, 2, 3, 4]
        assert changes == 3 and reader.rebalances == 2


def test_a_pipeline_reads_json(embedded_kafka: EmbeddedKafka) -> None:
    topic = new_topic(embedded_kafka.address, 2)
    produce(
        embedded_kafka.address, topic, [(n % 2, None, b'{"n": %d, "t": "x%d"}' % (n, n)) for n in range(100)]
    )
    source = Source.from_kafka(
        embedded_kafka.address, topic, schema={"n": int, "t": str}, metadata=["offset"], stop_at_end=True
    )
    found = Pipeline.builder().source(source).filter(pl.col("n") >= 50).collect_sync().sort("n")
    assert found.rows() == [(n, f"x{n}", n // 2) for n in range(50, 100)]
    later = Pipeline.builder().source(source.with_event_time("n", lateness=0))
    counted = later.window(size=0.00005, on="n").agg(rows=pl.len()).collect_sync()
    assert counted["rows"].to_list() == [50, 50], (
        "a partition that is read after another one makes no row late"
    )


def test_a_pipeline_is_stopped(embedded_kafka: EmbeddedKafka) -> None:
    topic = new_topic(embedded_kafka.address)
    produce(embedded_kafka.address, topic, numbered(10))
    source = Source.from_kafka(embedded_kafka.address, topic, format="raw")
    seen = []

    def stop(batch: object) -> None:
        seen.append(pipeline.metrics().stages["source"])
        pipeline.stop()

    pipeline = Pipeline.builder().source(source).sink(Sink.to_fn(stop)).build()
    assert pipeline.run_sync().rows_in == 10
    assert (dict(seen[0].lag), seen[0].rebalances) == ({f"{topic}[0]": 0}, 0)
