"""Epochs as transactions of a real Apache Kafka: who sees what, and who may go on."""

import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from contexts import context
from epoch_files import PacedSource
from kafka_epochs import shown
from kafka_readers import in_loop
from servers.embedded_kafka import EmbeddedKafka
from servers.kafka import KafkaServer
from servers.topics import new_topic

from arrowstream import ErrorHandler, Pipeline, Sink, Source
from arrowstream.core.batch import Batch
from arrowstream.core.checkpoints.context import CheckpointContext
from arrowstream.core.checkpoints.failpoints import Failpoint, on_reach
from arrowstream.errors import SinkError, TakenOver
from arrowstream.io.kafka.writing import transaction
from arrowstream.io.kafka.writing.transactional import TransactionalWriter
from arrowstream.testing import TestSink

pytestmark = [pytest.mark.once, pytest.mark.untraced]


@asynccontextmanager
async def writing(
    address: str, topic: str | None, folder: Path, **options: Any
) -> AsyncIterator[TransactionalWriter]:
    """A writer with checkpoints in this folder; it is aborted."""
    sink = Sink.to_kafka(address, topic, value="v", format="raw", **options)
    job = topic or f"job-{uuid.uuid4().hex}"
    run = replace(context("sink"), checkpoint=CheckpointContext(job, 1, folder, 0))
    writer = sink.open(pl.Schema({"v": pl.String, "to": pl.String}), run)
    assert isinstance(writer, TransactionalWriter)
    try:
        yield writer
    finally:
        await writer.abort()


def batch(*values: str, to: str = "") -> Batch:
    return Batch(pl.DataFrame({"v": values, "to": [to] * len(values)}))


@in_loop
async def test_rows_are_seen_when_their_epoch_is_committed(kafka: KafkaServer, tmp_path: Path) -> None:
    topic = new_topic(kafka.address, 2)

    def seen(*, committed: bool = True) -> list[bytes]:
        return sorted(shown(kafka.address, topic, 2, committed=committed).elements())

    async with writing(kafka.address, topic, tmp_path) as writer:
        await writer.recover(0, None)
        await writer.write(batch("a", "b"))
        handle = await writer.prepare(1)
        assert seen() == [] and seen(committed=False) == [b"a", b"b"]
        await writer.commit(handle)
        assert seen() == [b"a", b"b"]
        await writer.write(batch("c"))
        handle = await writer.prepare(2)
    assert seen() == [b"a", b"b"]
    assert b"c" in seen(committed=False), "it was aborted"
    for _ in range(2):
        async with writing(kafka.address, topic, tmp_path) as writer:
            await writer.recover(2, handle)
            await writer.commit(handle)
        assert seen() == [b"a", b"b", b"c"], "sent again from the log, once"
    async with writing(kafka.address, topic, tmp_path) as writer:
        with pytest.raises(SinkError, match="already show rows of later epochs"):
            await writer.recover(1, None)


@in_loop
async def test_a_zombie_is_fenced(kafka: KafkaServer, tmp_path: Path) -> None:
    topic = new_topic(kafka.address)
    async with writing(kafka.address, topic, tmp_path) as old:
        await old.recover(0, None)
        await old.write(batch("old"))
        handle = await old.prepare(1)
        async with writing(kafka.address, topic, tmp_path) as new:
            await new.recover(0, None)
            await new.write(batch("new"))
            for call in (old.commit(handle), old.write(batch("old"))):
                with pytest.raises(TakenOver):
                    await call
            await new.commit(await new.prepare(1))
    assert shown(kafka.address, topic, 1) == {b"new": 1}


@pytest.mark.parametrize("wait", [0, 1])
@in_loop
async def test_a_producer_that_is_replaced_within_an_epoch(
    wait: float, kafka: KafkaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transaction, "_PAUSE_SECONDS", wait)
    topics = [new_topic(kafka.address) for _ in range(2)]
    async with writing(kafka.address, None, tmp_path, topic_column="to") as writer:
        await writer.recover(0, None)
        for number in range(4):
            await writer.write(batch(f"{number}", to=topics[number % 2]))
            await writer._link.drop()
        await writer.commit(await writer.prepare(1))
        await writer.commit(await writer.prepare(2))
        await writer.write(batch("4", to=topics[0]))
        await writer.commit(await writer.prepare(3))
        await writer._link.drop()
        await writer.recover(3, None)
    assert shown(kafka.address, topics[0], 1) == {b"0": 1, b"2": 1, b"4": 1}
    assert shown(kafka.address, topics[1], 1) == {b"1": 1, b"3": 1}


@in_loop
async def test_a_refused_record_goes_to_the_dead_letters(kafka: KafkaServer, tmp_path: Path) -> None:
    topic = new_topic(kafka.address, 2, **{"max.message.bytes": "2000"})
    rows = pl.DataFrame({"v": ["x" * (3_000 if n in (7, 30) else 100 + n) for n in range(40)]})
    bad = TestSink()
    sink = Sink.to_kafka(kafka.address, topic, value="v", format="raw", compression="none")
    job = Pipeline.builder(name=topic).source(Source.from_frame(rows, batch_rows=10))
    job = job.sink(sink.on_error(ErrorHandler.dead_letter(bad))).build()
    report = await job.run(checkpoint=tmp_path)
    assert report.rows_out == 38
    assert bad.frame()["v"].str.len_bytes().to_list() == [3_000, 3_000]
    good = [value.encode() for value in rows["v"] if len(value) < 3_000]
    assert sorted(shown(kafka.address, topic, 2).elements()) == sorted(good)


@pytest.mark.thorough
@pytest.mark.timeout(300)  # it may wait for the other tests of such servers
def test_a_restart_of_the_server_in_the_middle_of_a_run(own_kafka: KafkaServer, tmp_path: Path) -> None:
    """In the middle of an epoch, with a transaction open: it is sent again from its log."""
    topic = new_topic(own_kafka.address)
    frames = [pl.DataFrame({"x": [10 * n + x for x in range(10)]}) for n in range(12)]
    job = (
        Pipeline.builder(name=topic)
        .source(PacedSource(frames, 1))
        .sink(Sink.to_kafka(own_kafka.address, topic))
    )
    prepared = 0

    def restart(reached: Failpoint) -> None:
        nonlocal prepared
        prepared += reached is Failpoint.KAFKA_LOG_FLUSHED
        if prepared == 3:
            prepared += 1
            own_kafka.stop()
            own_kafka.start()

    with on_reach(restart):
        job.build().run_sync(checkpoint=tmp_path, every="1ms")
    assert prepared > 4
    assert shown(own_kafka.address, topic, 1) == Counter(b'{"x":%d}' % x for x in range(120))


def test_servers_without_transactions(embedded_kafka: EmbeddedKafka, tmp_path: Path) -> None:
    topic = new_topic(embedded_kafka.address)

    def job(idempotent: bool) -> Pipeline:
        sink = Sink.to_kafka(embedded_kafka.address, topic, value="v", format="raw", idempotent=idempotent)
        rows = Source.from_frame(pl.DataFrame({"v": ["a", "b"]}))
        return Pipeline.builder(name=topic).source(rows).sink(sink).build()

    assert "with checkpoints: exactly once" in str(job(True).explain())
    with pytest.raises(SinkError, match="idempotent=False, for servers without transactions"):
        job(True).run_sync(checkpoint=tmp_path / "a")
    assert "with checkpoints: at least once" in str(job(False).explain())
    assert job(False).run_sync(checkpoint=tmp_path / "b").rows_out == 2
