"""From a real Apache Kafka to it, killed at every failpoint of the sink, and continued: each row is shown once."""

import logging
import os
import random
import signal
import uuid
from collections import Counter
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from kafka_epochs import PARTITIONS, STEP, expected, fill, pipeline, shown, work
from kills import fork_server
from servers.kafka import KafkaServer
from servers.topics import add_partitions, delete_topic, new_topic, numbered, produce

from arrowstream import Pipeline, RunReport, Sink, Source
from arrowstream.core.checkpoints.failpoints import Failpoint, on_reach
from arrowstream.errors import ArrowstreamError, SourceError
from arrowstream.testing import TestSink

pytestmark = [pytest.mark.once, pytest.mark.untraced]

POINTS = [point for point in Failpoint if point.name.startswith("KAFKA_")]


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    """Starts processes that have imported everything."""
    return fork_server()


def topics(address: str) -> str:
    """Make the topics of a pipeline, fill the first, and return their common name."""
    name = f"t{uuid.uuid4().hex[:12]}"
    for part in ("in", "out"):
        new_topic(address, PARTITIONS, f"{name}-{part}")
    fill(address, name, range(STEP))
    return name


def filled(address: str, name: str) -> int:
    """How many numbers the topic has."""
    return shown(address, f"{name}-in").total()


@pytest.mark.parametrize("point", [*POINTS, Failpoint.MANIFEST_NAMED], ids=lambda point: point.name)
def test_runs_that_are_killed_there_and_continued_show_each_row_once(
    point: Failpoint,
    kafka: KafkaServer,
    processes: ForkServerContext,
    tmp_path: Path,
) -> None:
    name = topics(kafka.address)
    for hit in (1, 3):
        state, numbers = str(tmp_path / "state"), filled(kafka.address, name)
        process = processes.Process(target=work, args=(kafka.address, name, state, point.name, hit, numbers))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL, f"exit code {process.exitcode} at hit {hit}"
    pipeline(kafka.address, name).run_sync(checkpoint=tmp_path / "state")
    # The first epoch of a run may be over before the topic is read, so that there may be more.
    assert filled(kafka.address, name) >= 3 * STEP
    assert shown(kafka.address, f"{name}-out") == expected(kafka.address, name)


KILLS = int(os.environ.get("KILLS", "5"))
SEED = int(os.environ.get("SEED", random.randrange(1 << 32)))


@pytest.mark.timeout(60 + 10 * KILLS)
def test_runs_that_are_killed_at_random_moments_and_continued_show_each_row_once(
    kafka: KafkaServer,
    processes: ForkServerContext,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`make soak-kafka` makes it a hundred kills."""
    chance, name = random.Random(SEED), topics(kafka.address)
    for _ in range(KILLS):
        numbers = filled(kafka.address, name)
        process = processes.Process(target=work, args=(kafka.address, name, str(tmp_path), None, 0, numbers))
        process.start()
        process.join(chance.choice((0.4, 1.2)) * chance.uniform(0.5, 1.5))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, f"exit code {process.exitcode}, seed {SEED}"
    pipeline(kafka.address, name).run_sync(checkpoint=tmp_path)
    assert shown(kafka.address, f"{name}-out") == expected(kafka.address, name), f"seed {SEED}: {tmp_path}"
    with capsys.disabled():
        print(f" {KILLS} random kills, {filled(kafka.address, name):,} rows, seed {SEED} ", end="")


def crash_at(point: Failpoint) -> Callable[[Failpoint], None]:
    def crash(reached: Failpoint) -> None:
        if reached is point:
            raise OSError(f"at {point.name}")

    return crash


def test_a_daily_job_reads_what_is_new_whatever_its_group_has_committed(
    kafka: KafkaServer, tmp_path: Path
) -> None:
    name = topics(kafka.address)
    days = [Failpoint.MANIFEST_WRITTEN, *POINTS, Failpoint.SINK_COMMITTED]
    numbers = STEP
    for day, point in enumerate(days):
        fill(kafka.address, name, range(numbers, numbers + STEP))
        with pytest.raises((ArrowstreamError, OSError)), on_reach(crash_at(point)):
            daily(kafka.address, name).run_sync(checkpoint=tmp_path)
        commit_offsets(kafka.address, f"{name}-in", PARTITIONS, group=name, offset=7 * day)
        fill(kafka.address, name, range(numbers + STEP, numbers + 2 * STEP))
        numbers += 2 * STEP
        # What the day before has left is finished first.
        daily(kafka.address, name).run_sync(checkpoint=tmp_path)
        seen = shown(kafka.address, f"{name}-out")
        assert seen == Counter(b'{"x":%d}' % n for n in range(1, numbers, 2)), point
    assert daily(kafka.address, name).run_sync(checkpoint=tmp_path).rows_in == 0


def daily(address: str, name: str, **options: Any) -> Pipeline:
    """The odd numbers of the first topic into the second, by a job that ends."""
    options = {"group": name, "stop_at_end": True, "start": "earliest"} | options
    source = Source.from_kafka(address, f"{name}-in", schema={"x": pl.Int64}, **options)
    rows = Pipeline.builder(name=name).source(source).filter(pl.col("x") % 2 == 1)
    return rows.sink(Sink.to_kafka(address, f"{name}-out")).build()


def commit_offsets(address: str, topic: str, partitions: int, group: str, offset: int) -> None:
    """Commit for a group that nobody is in."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": group, "log_level": 0})
    offsets = [TopicPartition(topic, number, offset) for number in range(partitions)]
    consumer.commit(offsets=offsets, asynchronous=False)
    consumer.close()


def read(address: str, topic: str, folder: Path, **options: Any) -> list[int]:
    """The numbers that a run with checkpoints reads up to the end of a topic."""
    rows = TestSink()
    source = Source.from_kafka(address, topic, **({"format": "raw", "stop_at_end": True} | options))
    Pipeline.builder(name="job").source(source).sink(rows).build().run_sync(checkpoint=folder)
    return [] if rows.frame().is_empty() else sorted(int(value) for value in rows.frame()["value"])


def test_new_partitions_are_read_from_their_beginnings(kafka: KafkaServer, tmp_path: Path) -> None:
    topic = new_topic(kafka.address)
    produce(kafka.address, topic, numbered(5))
    options = {"start": "latest", "group": topic}
    assert read(kafka.address, topic, tmp_path, **options) == []
    add_partitions(kafka.address, topic, 2)
    produce(kafka.address, topic, numbered(6, 2, first=5))
    commit_offsets(kafka.address, topic, 2, topic, 2)
    assert read(kafka.address, topic, tmp_path, **options) == list(range(5, 11))
    assert read(kafka.address, topic, tmp_path) == [], "start= and group= count for the first run"


def test_the_first_run_starts_where_the_group_has_committed(kafka: KafkaServer, tmp_path: Path) -> None:
    topic = new_topic(kafka.address, PARTITIONS)
    produce(kafka.address, topic, numbered(12, PARTITIONS))
    commit_offsets(kafka.address, topic, PARTITIONS, topic, 2)
    assert read(kafka.address, topic, tmp_path, group=topic) == list(range(6, 12))


def test_a_new_checkpoint_folder_over_rows_of_the_same_job_is_noted(
    kafka: KafkaServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    topic, other = new_topic(kafka.address), new_topic(kafka.address)

    def run(name: str, into: str, folder: str) -> RunReport:
        rows = Pipeline.builder(name=name).source(Source.from_frame(pl.DataFrame({"x": [1, 2]})))
        return rows.sink(Sink.to_kafka(kafka.address, into)).build().run_sync(checkpoint=tmp_path / folder)

    job = f"job-{topic}"
    assert run(job, topic, "one").notes == run(job, topic, "one").notes == ()
    assert run(f"{job}-2", topic, "two").notes == (), "another job"
    assert run(job, other, "three").notes == (), "another topic"
    with caplog.at_level(logging.WARNING, "arrowstream"):
        report = run(job, topic, "four")
    [note] = report.notes
    said = "1 epoch of earlier runs of this job, with another checkpoint folder, whose rows may come again"
    assert str(note).startswith(said) and f"the topic {topic}, of '{job}-" in str(note)
    assert not note.lost and any(str(note) in record.getMessage() for record in caplog.records)


def test_a_member_of_the_group_takes_nothing_away(kafka: KafkaServer, tmp_path: Path) -> None:
    topic = new_topic(kafka.address, PARTITIONS)
    produce(kafka.address, topic, numbered(12, PARTITIONS))
    other = Consumer({"bootstrap.servers": kafka.address, "group.id": topic, "log_level": 0})
    other.subscribe([topic])
    while not other.assignment():
        other.poll(0.05)
    assert read(kafka.address, topic, tmp_path, group=topic, start="earliest") == list(range(12))
    other.close()


def delete_records(address: str, topic: str, before: int) -> None:
    """Delete the records of a topic before an offset of the first partition."""
    admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
    [deleted] = admin.delete_records([TopicPartition(topic, 0, before)]).values()
    deleted.result(60)


def test_records_that_the_servers_have_deleted(kafka: KafkaServer, tmp_path: Path) -> None:
    topic = new_topic(kafka.address)
    produce(kafka.address, topic, numbered(5))
    assert read(kafka.address, topic, tmp_path) == [0, 1, 2, 3, 4]
    delete_records(kafka.address, topic, before=5)
    assert read(kafka.address, topic, tmp_path) == [], "all of these were read"
    produce(kafka.address, topic, numbered(3, first=5))
    delete_records(kafka.address, topic, before=7)
    with pytest.raises(SourceError, match="were deleted before they were read") as caught:
        read(kafka.address, topic, tmp_path)
    assert "from offset 5 on" in str(caught.value) and "from offset 7 on" in str(caught.value)
    assert "from_checkpoint='ignore'" in str(caught.value)


def test_a_topic_that_was_deleted_and_created_again(
    kafka: KafkaServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    topic = new_topic(kafka.address, 2)
    produce(kafka.address, topic, numbered(6, 2))
    pattern = f"^{topic}"
    assert read(kafka.address, topic, tmp_path / "a") == [0, 1, 2, 3, 4, 5]
    assert read(kafka.address, pattern, tmp_path / "b") == [0, 1, 2, 3, 4, 5]
    delete_topic(kafka.address, topic)
    assert read(kafka.address, pattern, tmp_path / "b") == []
    assert f"{topic}[0], {topic}[1], which the checkpoint knows, do not exist any more" in caplog.text
    with pytest.raises(SourceError, match="does not exist"):
        read(kafka.address, topic, tmp_path / "a")
    new_topic(kafka.address, 2, topic)
    produce(kafka.address, topic, numbered(2, 2))
    with pytest.raises(SourceError, match="does not have the records that the checkpoint") as caught:
        read(kafka.address, topic, tmp_path / "a")
    assert "up to offset 3" in str(caught.value) and "none after offset 1" in str(caught.value)
    delete_topic(kafka.address, topic)
    new_topic(kafka.address, 1, topic)
    produce(kafka.address, topic, numbered(9))
    with pytest.raises(SourceError, match="does not have the records") as caught:
        read(kafka.address, topic, tmp_path / "a")
    assert f"{topic}[1]" in str(caught.value) and "no such partition" in str(caught.value)
