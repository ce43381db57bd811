"""Rows as records of a real Apache Kafka: what it refuses, what it compacts, and what a restart leaves."""

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from kafka_readers import in_loop
from kafka_writers import consumed, write, writing
from servers.kafka import PASSWORD, USER, KafkaServer
from servers.topics import new_topic

from arrowstream import ErrorHandler, Pipeline, Sink, Source
from arrowstream.core.batch import Batch
from arrowstream.errors import SinkError
from arrowstream.io.kafka.security import KafkaSecurity
from arrowstream.io.kafka.writing import producer
from arrowstream.testing import TestSink

pytestmark = [pytest.mark.once, pytest.mark.untraced]


async def dead_letters(rows: pl.DataFrame, sink: Any) -> tuple[pl.DataFrame, Any]:
    """What goes to the dead letters when rows are written, and the report."""
    bad = TestSink()
    handled = sink.on_error(ErrorHandler.dead_letter(bad))
    report = await Pipeline.builder().source(Source.from_frame(rows)).sink(handled).build().run()
    return bad.frame(), report


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
@in_loop
async def test_idempotent_records_of_every_codec(kafka: KafkaServer, codec: Any) -> None:
    topic = new_topic(kafka.address, 3)
    frame = pl.DataFrame(
        {"k": [f"{n % 100}" for n in range(5_000)], "v": ["value " * 20 + str(n) for n in range(5_000)]}
    )
    sink = Sink.to_kafka(kafka.address, topic, key="k", value="v", format="raw", compression=codec)
    await write(sink, frame[:100], frame[100:])
    found = [each.value for each in consumed(kafka.address, topic, 5_000, 3)]
    assert sorted(map(bytes.decode, filter(None, found))) == sorted(frame["v"])


@in_loop
async def test_records_larger_than_the_topic_takes(kafka: KafkaServer) -> None:
    topic = new_topic(kafka.address, 2, **{"max.message.bytes": "2000"})
    sizes = [3_000 if n in (7, 300, 301) else 100 for n in range(400)]
    frame = pl.DataFrame({"n": range(400), "v": ["x" * size for size in sizes]})
    sink = Sink.to_kafka(kafka.address, topic, value="v", format="raw", compression="none")
    bad, report = await dead_letters(frame, sink)
    assert bad["n"].to_list() == [7, 300, 301]
    assert bad["position"].to_list() == ["frame rows 7-8", "frame rows 300-301", "frame rows 301-302"]
    assert all("MessageSizeTooLarge" in error for error in bad["error"])
    assert report.rows_out == 397
    found = [each.value for each in consumed(kafka.address, topic, 397, 2)]
    assert {len(value or b"") for value in found} == {100}
    with pytest.raises(SinkError, match="3 of 400 rows were not delivered") as caught:
        await write(sink, frame)
    assert topic in str(caught.value) and "the other rows were delivered" in str(caught.value)


@in_loop
async def test_records_that_a_compacted_topic_or_a_limit_of_time_refuses(kafka: KafkaServer) -> None:
    topic = new_topic(kafka.address, **{"cleanup.policy": "compact"})
    frame = pl.DataFrame({"k": ["a", None, "b", "c", None], "v": ["1", "2", "3", "4", "5"]})
    bad, _ = await dead_letters(frame, Sink.to_kafka(kafka.address, topic, key="k", value="v", format="raw"))
    assert bad["v"].to_list() == ["2", "5"]
    assert [each.value for each in consumed(kafka.address, topic, 3)] == [b"1", b"3", b"4"]
    topic = new_topic(kafka.address)
    now = datetime.now(UTC)
    frame = pl.DataFrame({"at": [now, now + timedelta(days=400), now], "v": ["1", "2", "3"]})
    bad, _ = await dead_letters(
        frame, Sink.to_kafka(kafka.address, topic, timestamp="at", value="v", format="raw")
    )
    assert bad["v"].to_list() == ["2"] and "InvalidTimestamp" in bad["error"][0]
    assert [each.value for each in consumed(kafka.address, topic, 2)] == [b"1", b"3"]


@in_loop
async def test_a_tombstone_removes_its_key(kafka: KafkaServer) -> None:
    config = {"cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.01"}
    topic = new_topic(kafka.address, **config, **{"delete.retention.ms": "0"})
    sink = Sink.to_kafka(kafka.address, topic, key="k", tombstone="gone", value="v", format="raw")
    frame = pl.DataFrame({"k": ["a", "b"], "v": ["1", "2"], "gone": [False, False]})
    async with writing(sink, frame.schema) as writer:
        await writer.write(Batch(frame))
        await asyncio.sleep(0.15)
        await writer.write(Batch(frame[:1].with_columns(gone=True)))
        left: dict[bytes | None, bytes | None] = {}
        end = time.monotonic() + 60
        while set(left) != {b"b", b"last"}:
            assert time.monotonic() < end, left
            await asyncio.sleep(0.15)
            await writer.write(Batch(frame[:1].with_columns(k=pl.lit("last"))))
            source = Source.from_kafka(kafka.address, topic, format="raw", metadata="key", stop_at_end=True)
            back = await Pipeline.builder().source(source).collect()
            left = dict(zip(back["key"], back["value"], strict=True))
    assert left == {b"b": b"2", b"last": b"1"}


@in_loop
async def test_a_topic_that_is_missing(kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producer, "TOPIC_SECONDS", 0.3)
    with pytest.raises(SinkError, match="'missing' cannot be written") as caught:
        await write(Sink.to_kafka(kafka.address, "missing"), pl.DataFrame({"x": [1]}))
    assert "create the topic" in str(caught.value)


@in_loop
async def test_a_login(kafka: KafkaServer) -> None:
    topic = new_topic(kafka.address)
    frame = pl.DataFrame({"x": [1]})
    security = KafkaSecurity(mechanism="SCRAM-SHA-256", username=USER, password=PASSWORD)
    await write(Sink.to_kafka(kafka.sasl_address, topic, security=security), frame)
    assert consumed(kafka.address, topic, 1)[0].value == b'{"x":1}'
    wrong = {"mechanism": "SCRAM-SHA-256", "username": USER, "password": "wrong-password"}
    with pytest.raises(SinkError, match=r"(?i)authentication") as caught:
        await write(Sink.to_kafka(kafka.sasl_address, topic, security=wrong), frame)
    assert "wrong-password" not in str(caught.value)


@pytest.mark.timeout(300)  # it may wait for the other tests of such servers
@in_loop
async def test_a_restart_of_the_server_loses_and_doubles_nothing_and_its_end_is_an_error(
    own_kafka: KafkaServer,
) -> None:
    topic = new_topic(own_kafka.address, 4)
    sink = Sink.to_kafka(own_kafka.address, topic, value="n", format="json", client_id="restart")
    frame = pl.DataFrame({"n": range(40_000)})
    async with writing(sink, frame.schema) as writer:

        async def write_all() -> None:
            for part in frame[1_000:].iter_slices(1_000):
                await writer.write(Batch(part))
                await asyncio.sleep(0.01)

        await writer.write(Batch(frame[:1_000]))
        task = asyncio.create_task(write_all())
        await asyncio.sleep(0.2)
        own_kafka.stop()
        await asyncio.to_thread(own_kafka.start)
        async with asyncio.timeout(90):
            await task
    found = [each.value for each in consumed(own_kafka.address, topic, 40_000, 4)]
    assert sorted(int((value or b"")[5:-1]) for value in found) == list(range(40_000))
    async with writing(Sink.to_kafka(own_kafka.address, topic), frame.schema) as writer:
        frame = frame[:1]
        await writer.write(Batch(frame))
        # As delivery_timeout="1s", which would be short for a server that has just started.
        writer._delivery._producing = replace(writer._delivery._producing, delivery_seconds=1.0)
        own_kafka.stop()
        with pytest.raises(SinkError, match="1 of 1 row") as caught:
            async with asyncio.timeout(60):
                await writer.write(Batch(frame))
        assert "no answer within 1 s" in str(caught.value)
