"""Rows as Kafka records, on the embedded broker: what librdkafka and `from_kafka` read is what was written."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from aiokafka.errors import KafkaError
from confluent_kafka import Producer
from contexts import NoThreads
from kafka_readers import in_loop
from kafka_writers import Record, consumed, plain_sink, write, writing
from servers.embedded_kafka import EmbeddedKafka
from servers.topics import QUIET, new_topic

from arrowstream import ErrorHandler, Pipeline, Sink, Source
from arrowstream.core.batch import Batch
from arrowstream.core.messages import Encoder, Encoding
from arrowstream.core.step_context import StepContext
from arrowstream.errors import MissingExtra, PlanError, SchemaError, SinkError, UndeliveredRows
from arrowstream.io.kafka import connection
from arrowstream.io.kafka.writing import partitions
from arrowstream.io.kafka.writing.delivery import Delivery, Outcome
from arrowstream.io.kafka.writing.groups import ProducerBatch
from arrowstream.io.kafka.writing.partitions import Chooser
from arrowstream.jobs.job import Job
from arrowstream.testing import TestSink

pytestmark = pytest.mark.once

HEADERS = pl.List(pl.Struct({"key": pl.String, "value": pl.Binary}))
MORNING = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
@in_loop
async def test_records_are_those_of_another_producer(embedded_kafka: EmbeddedKafka, codec: str) -> None:
    rows = [
        {
            "key": None if n % 7 == 0 else f"key {n}",
            "partition": n % 5 if n % 7 == 0 or n % 11 == 0 else None,
            "at": 1_700_000_000_000 + n * 137 % 5_000,
            "headers": [{"key": "n", "value": b"%d" % n}, {"key": "none", "value": None}][: n % 3] or None,
            "gone": {0: True, 1: None}.get(n % 13, False),
            "value": f'{{"n":{n}}}',
        }
        for n in range(1_000)
    ]
    topic, other = (new_topic(embedded_kafka.address, 5) for _ in range(2))
    types = {
        "key": pl.String,
        "partition": pl.UInt8,
        "at": pl.Int64,
        "headers": HEADERS,
        "gone": pl.Boolean,
        "value": pl.String,
    }
    frame = pl.DataFrame(rows, types).with_columns(pl.from_epoch("at", "ms"))
    places = {
        "key": "key",
        "partition": "partition",
        "timestamp": "at",
        "headers": "headers",
        "tombstone": "gone",
    }
    level = None if codec in ("none", "snappy") else 3
    options = {"value": "value", "format": "raw", "compression": codec, "compression_level": level}
    sink = plain_sink(embedded_kafka.address, topic, **places, **options)
    await write(sink, frame[:1], frame[1:700], frame[700:])
    sender = Producer({"bootstrap.servers": embedded_kafka.address, "partitioner": "murmur2", **QUIET})
    for row in rows:
        number = -1 if row["partition"] is None else row["partition"]
        headers = [(each["key"], each["value"]) for each in row["headers"] or ()]
        value = None if row["gone"] else row["value"]
        sender.produce(other, value, row["key"], number, timestamp=row["at"], headers=headers)
    assert sender.flush(30) == 0
    written = consumed(embedded_kafka.address, topic, 1_000, 5)
    assert written == consumed(embedded_kafka.address, other, 1_000, 5)
    assert {record.partition for record in written} == {0, 1, 2, 3, 4}


ROWS = pl.DataFrame(
    {
        "text": ["a", None, 'comma, "quote"\nline'],
        "whole": [1, None, -(2**53)],
        "real": [1.5, None, -0.1],
        "flag": [True, None, False],
        "day": [date(2026, 1, 31), None, date(1969, 7, 20)],
        "at": [MORNING, None, MORNING],
    },
    {
        "text": pl.String,
        "whole": pl.Int64,
        "real": pl.Float64,
        "flag": pl.Boolean,
        "day": pl.Date,
        "at": pl.Datetime("us", "UTC"),
    },
)


@pytest.mark.parametrize("format", ["json", "csv", "arrow", "avro"])
def test_rows_come_back_as_they_were(embedded_kafka: EmbeddedKafka, format: Any) -> None:
    topic = new_topic(embedded_kafka.address, 3)
    rows = pl.concat([ROWS.with_columns(key=pl.lit(str(n))) for n in range(40)])
    sink = plain_sink(embedded_kafka.address, topic, key="key", format=format)
    report = Pipeline.builder().source(Source.from_frame(rows)).sink(sink).build().run_sync()
    assert report.rows_out == rows.height
    source = Source.from_kafka(embedded_kafka.address, topic, format=format, schema=rows.schema)
    back = Pipeline.builder().source(source).collect_sync(limit=rows.height)
    assert back.sort("key", maintain_order=True).equals(
        rows.sort("key", maintain_order=True), null_equal=True
    )


@in_loop
async def test_null_is_a_tombstone_of_raw_records_only(embedded_kafka: EmbeddedKafka) -> None:
    raw, json, words = (new_topic(embedded_kafka.address) for _ in range(3))
    frame = pl.DataFrame({"value": [b"a", None, b""]})
    await write(plain_sink(embedded_kafka.address, raw, format="raw"), frame)
    await write(plain_sink(embedded_kafka.address, json), frame.cast(pl.String))
    kinds = frame.select(pl.Series("value", ["b", None, "b"], pl.Categorical), n=pl.lit(-7, pl.Int8))
    keyed = plain_sink(embedded_kafka.address, words, key="value")
    await write(keyed, kinds)
    assert [each.value for each in consumed(embedded_kafka.address, raw, 3)] == [b"a", None, b""]
    assert [each.value for each in consumed(embedded_kafka.address, json, 3)] == [
        b'{"value":"a"}',
        b'{"value":null}',
        b'{"value":""}',
    ]
    assert [each.key for each in consumed(embedded_kafka.address, words, 3)] == [b"b", None, b"b"]


@in_loop
async def test_defaults_of_what_a_record_has(embedded_kafka: EmbeddedKafka) -> None:
    topic = new_topic(embedded_kafka.address)
    before = time.time_ns() // 1_000_000
    frame = pl.DataFrame({"id": [3, None], "at": [MORNING, None], "n": [1, 2]})
    await write(plain_sink(embedded_kafka.address, topic, key="id", timestamp="at", value=["n", "id"]), frame)
    await write(plain_sink(embedded_kafka.address, topic, format="raw"), pl.DataFrame({"x": ["x"]}))
    await write(plain_sink(embedded_kafka.address, topic, timestamp="ms"), pl.DataFrame({"ms": [5]}))
    first, second, third, fourth = consumed(embedded_kafka.address, topic, 4)
    assert fourth == Record(0, None, b'{"ms":5}', [], 5)
    assert first == Record(0, b"3", b'{"n":1,"id":3}', [], 1_769_851_800_000)
    assert second[:4] == (0, None, b'{"n":2,"id":null}', [])
    assert third[:4] == (0, None, b"x", [])
    assert before <= second.time_ms <= third.time_ms <= time.time_ns() // 1_000_000


@in_loop
async def test_a_column_names_the_topics(embedded_kafka: EmbeddedKafka) -> None:
    names = [new_topic(embedded_kafka.address, partitions) for partitions in (1, 3, 4)]
    rows = 3_000
    where = [names[n * n % 3] for n in range(rows)]
    frame = pl.DataFrame({"to": where, "key": [f"k{n % 50}" for n in range(rows)], "n": range(rows)})
    sink = plain_sink(embedded_kafka.address, topic_column="to", key="key", value="n")
    assert "topics in 'to'" in sink.label
    await write(sink, frame[:10], frame[10:])
    for name, count in zip(names, (1, 3, 4), strict=True):
        wanted = frame.filter(to=name)
        records = consumed(embedded_kafka.address, name, wanted.height, count)
        numbers = [int((each.value or b"")[5:-1]) for each in records]
        assert sorted(numbers) == wanted["n"].to_list()
        for number in range(count):
            own = [n for n, each in zip(numbers, records, strict=True) if each.partition == number]
            assert own == sorted(own), "the order of rows is kept"
    for wrong in (None, "a/b", ".."):
        with pytest.raises(SinkError, match="no topic in the column 'to'") as caught:
            await write(sink, pl.DataFrame({"to": ["t", wrong], "key": ["", ""], "n": [1, 2]}))
        assert f"{wrong!r} in row 1" in str(caught.value)


def test_choice_of_partitions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitions, "_RUN", 3)
    chooser = Chooser()
    codes, counts = np.zeros(7, np.int64), np.array([4])
    assert chooser.choose(None, None, codes, counts).tolist() == [0, 0, 0, 1, 1, 1, 2]
    assert chooser.choose(None, None, codes, counts).tolist() == [3, 3, 3, 0, 0, 0, 1]
    given = pl.Series("p", [None, 3, None, 0, None, 1, None])
    assert chooser.choose(None, given, codes, counts).tolist() == [2, 3, 2, 0, 2, 1, 3]
    two = np.array([0, 1, 0, 1, 0, 1, 1])
    assert chooser.choose(None, None, two, np.array([1, 4])).tolist() == [0, 0, 0, 1, 0, 1, 2]
    for wrong, row in ((-1, 1), (4, 1), (2**63, 1)):
        numbers = pl.Series("p", [0, wrong], pl.Int64 if wrong < 0 else pl.UInt64)
        with pytest.raises(SinkError, match=f"no partition {wrong}") as caught:
            chooser.choose(None, numbers, codes[:2], counts)
        assert f"in row {row}" in str(caught.value) and "from 0 to 3" in str(caught.value)


@in_loop
async def test_a_record_that_is_too_large_is_found_before_anything_is_sent(
    embedded_kafka: EmbeddedKafka,
) -> None:
    topic = new_topic(embedded_kafka.address, 2)
    sizes = [10, 4_000, 10, 5_000, 10, 900]
    frame = pl.DataFrame({"p": [0, 1, 0, 1, 0, 1], "v": ["x" * size for size in sizes]})
    options = {"partition": "p", "format": "raw", "max_message_bytes": 1_024}
    sink = plain_sink(embedded_kafka.address, topic, **options)
    with pytest.raises(SinkError, match="a record is too large") as caught:
        await write(sink, frame)
    assert "row 1 of the batch makes a record of 4,00" in str(caught.value)
    assert f"{topic}[1]" in str(caught.value) and "max_message_bytes" in str(caught.value)
    bad = TestSink()
    builder = (
        Pipeline.builder().source(Source.from_frame(frame)).sink(sink.on_error(ErrorHandler.dead_letter(bad)))
    )
    await builder.build().run()
    values = [len(record.value or b"") for record in consumed(embedded_kafka.address, topic, 4, 2)]
    assert values == [10, 10, 10, 900]
    assert [len(value) for value in bad.frame()["v"]] == [4_000, 5_000]


@in_loop
async def test_times_before_1970_are_refused(embedded_kafka: EmbeddedKafka) -> None:
    topic = new_topic(embedded_kafka.address, 2)
    frame = pl.DataFrame({"p": [1, 1, 0], "at": [MORNING, MORNING, datetime(1960, 1, 1, tzinfo=UTC)]})
    with pytest.raises(SinkError, match="before 1970") as caught:
        await write(plain_sink(embedded_kafka.address, topic, timestamp="at", partition="p"), frame)
    assert "1960-01-01" in str(caught.value) and "in row 2" in str(caught.value)


@in_loop
async def test_no_server_or_one_without_idempotent_producers(
    embedded_kafka: EmbeddedKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = pl.DataFrame({"x": [1]})
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(SinkError, match="takes records") as caught:
            await write(Sink.to_kafka(address, "t"), frame)
        assert "Connect call failed" in str(caught.value) and "check host and port" in str(caught.value)
    monkeypatch.setattr(connection, "START_SECONDS", 0.3)
    with pytest.raises(SinkError, match="takes records") as caught:
        await write(Sink.to_kafka(embedded_kafka.address, "t"), frame)
    assert "idempotent=False" in str(caught.value)


@in_loop
async def test_a_server_may_create_the_topic(embedded_kafka: EmbeddedKafka) -> None:
    topic = f"new-{time.time_ns()}"
    await write(plain_sink(embedded_kafka.address, topic), pl.DataFrame({"x": [1]}))
    [record] = consumed(embedded_kafka.address, topic, 1)
    assert record.value == b'{"x":1}'


@in_loop
async def test_a_cancelled_write_hangs_nowhere(embedded_kafka: EmbeddedKafka) -> None:
    topic = new_topic(embedded_kafka.address)
    frame = pl.DataFrame({"x": range(10)})
    sink = plain_sink(embedded_kafka.address, topic)
    for turns in range(0, 40, 3):
        async with writing(sink, frame.schema) as writer:
            task = asyncio.create_task(writer.write(Batch(frame)))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            async with asyncio.timeout(60):
                await writer.write(Batch(frame))


def test_arguments_that_do_not_fit() -> None:
    for arguments, match in (
        ({}, "one topic, or a column"),
        ({"topic": "t", "topic_column": "c"}, "one topic, or a column"),
        ({"topic": "a b"}, "not a name of a topic"),
        ({"topic": pl.col("x")}, "not a name of a topic"),
        ({"topic": "t", "key": pl.col("x")}, "key takes the name of a column"),
        ({"topic": "t", "value": []}, "value takes names"),
        ({"topic": "t", "value": 3}, "value takes names"),
        ({"topic": "t", "value": ["a", "a"]}, "value takes names"),
        ({"topic": "t", "compression": "brotli"}, "no compression 'brotli'"),
        ({"topic": "t", "compression": "snappy", "compression_level": 1}, "none: it has no levels"),
        ({"topic": "t", "compression_level": 13}, "from 1 to 12"),
        ({"topic": "t", "compression_level": True}, "from 1 to 12"),
        ({"topic": "t", "max_message_bytes": 100}, "max_message_bytes is too small"),
        ({"topic": "t", "delivery_timeout": "10ms"}, "delivery_timeout is too short"),
        ({"topic": "t", "client_id": ""}, "client_id takes a text"),
        ({"topic": "t", "idempotent": "no"}, "idempotent takes True or False"),
    ):
        with pytest.raises(PlanError, match=match):
            Sink.to_kafka("localhost", **arguments)
    plain = [Sink.to_kafka("localhost", "t", compression=name) for name in (None, "none")]
    assert plain[0].producing == plain[1].producing and plain[0].label == "kafka t at localhost (json)"


def test_what_explain_says() -> None:
    rows = Source.from_frame(pl.DataFrame({"x": [1]}))
    for idempotent, repeated in ((True, "write once"), (False, "may write twice")):
        sink = Sink.to_kafka(["a:1", "b"], "t", compression="zstd", idempotent=idempotent)
        text = Pipeline.builder().source(rows).sink(sink).build().explain()
        assert "sink: kafka t at a:1,b (json, zstd)" in text
        assert (
            f"at least once: written when all in-sync replicas have it; repeated requests {repeated}" in text
        )


class Joined(Encoder):
    """Values of all rows in one message, joined by commas."""

    label, rows_per_message = "joined", "many"

    def check(self, schema: pl.Schema) -> None:
        pass

    def open(self, schema: pl.Schema, context: StepContext) -> Encoding:
        return Texts("")


class ByTopic(Joined):
    """Values after the name of their topic; there is no encoder for all topics."""

    rows_per_message = "one"

    def for_topic(self, topic: str) -> Encoder:
        return Named(topic)


class Named(ByTopic):
    def __init__(self, topic: str) -> None:
        self.topic = topic

    def open(self, schema: pl.Schema, context: StepContext) -> Encoding:
        return Texts(self.topic)


class Texts(Encoding):
    def __init__(self, topic: str) -> None:
        self.topic = topic

    def encode(self, frame: pl.DataFrame) -> pa.LargeBinaryArray:
        texts = frame["v"].to_list()
        values = [f"{self.topic} {text}" for text in texts] if self.topic else [",".join(texts)]
        return pa.array([value.encode() for value in values], pa.large_binary())


@in_loop
async def test_a_message_of_many_rows(embedded_kafka: EmbeddedKafka, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arrowstream.io.messages.formats.encoder", lambda name, options: Joined())
    topic = new_topic(embedded_kafka.address, 2)
    at = [MORNING, None, MORNING.replace(hour=23)]
    frame = pl.DataFrame({"p": [1, 0, 1], "v": ["a", "b", "c"], "at": at})
    sink = plain_sink(
        embedded_kafka.address, topic, partition="p", key="v", timestamp="at", max_message_bytes=1_024
    )
    await write(sink, frame)
    first, second = consumed(embedded_kafka.address, topic, 2, 2)
    assert first[:4] == (0, None, b"b", []) and first.time_ms > second.time_ms
    assert second == Record(1, None, b"a,c", [], 1_769_902_200_000)
    long = frame[[0] * 8].with_columns(v=pl.lit("x" * 200))
    await write(sink, long)
    assert [len(each.value or b"") for each in consumed(embedded_kafka.address, topic, 4, 2)] == [
        1,
        3,
        803,
        803,
    ]
    too_large = pl.concat([frame[:1], long[:1].with_columns(v=pl.lit("x" * 2_000))])
    with pytest.raises(SinkError, match="a record is too large") as caught:
        await write(sink, too_large)
    assert "row 1 of the batch makes a record of 2,0" in str(caught.value)
    with pytest.raises(PlanError, match="holds many rows"):
        plain_sink(embedded_kafka.address, topic, headers="h")


@in_loop
async def test_topics_with_encoders_of_their_own(embedded_kafka: EmbeddedKafka) -> None:
    names = [new_topic(embedded_kafka.address) for _ in range(2)]
    frame = pl.DataFrame({"to": [names[n % 2] for n in range(6)], "v": list("abcdef")})
    sink = replace(plain_sink(embedded_kafka.address, topic_column="to"), encoder=ByTopic())
    await write(sink, frame)
    for name, texts in zip(names, ("ace", "bdf"), strict=True):
        found = [each.value for each in consumed(embedded_kafka.address, name, 3)]
        assert found == [f"{name} {text}".encode() for text in texts]


@in_loop
async def test_the_first_rows_of_each_topic_are_encoded_on_a_thread(
    embedded_kafka: EmbeddedKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    encode = Texts.encode

    def noted(self: Texts, frame: pl.DataFrame) -> pa.LargeBinaryArray:
        asked.append(threading.current_thread() is threading.main_thread())
        return encode(self, frame)

    def call(self: NoThreads, function: Callable[..., Any], *arguments: object) -> Any:
        return asyncio.to_thread(function, *arguments)

    monkeypatch.setattr(NoThreads, "call", call)
    monkeypatch.setattr(Texts, "encode", noted)
    first, second = (new_topic(embedded_kafka.address) for _ in range(2))
    sink = replace(plain_sink(embedded_kafka.address, topic_column="to"), encoder=ByTopic())
    await write(sink, *(pl.DataFrame({"to": [name], "v": ["a"]}) for name in (first, first, second, first)))
    assert asked == [False, True, False, True]


def test_rows_of_a_run_that_goes_on_belong_to_kafka_once_they_are_written() -> None:
    assert Sink.to_kafka("localhost:9092", "t").shows_at_once
    assert not Sink.to_tcp("localhost:9000").shows_at_once


@in_loop
async def test_the_error_of_rows_that_were_not_delivered(
    embedded_kafka: EmbeddedKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def deliver(self: Delivery, batches: list[ProducerBatch], *, inline: bool) -> list[Outcome]:
        return [(batch, KafkaError("no") if batch.partition[1] < 4 else OSError()) for batch in batches[1:]]

    monkeypatch.setattr(Delivery, "deliver", deliver)
    topic = new_topic(embedded_kafka.address, 5)
    frame = pl.DataFrame({"p": [1, 2, 0, 3, 4, 4], "x": range(6)})
    with pytest.raises(UndeliveredRows, match="5 of 6 rows were not delivered") as caught:
        await write(plain_sink(embedded_kafka.address, topic, partition="p"), frame)
    no = "KafkaError: KafkaError: no"
    assert caught.value.parts == ((0, 2, no), (3, 1, no), (4, 2, "OSError"))
    places = f"{topic}[1], {topic}[2], {topic}[3] and 1 more"
    assert places in str(caught.value) and f"found: {no}; OSError" in str(caught.value)


def test_columns_that_do_not_fit() -> None:
    schema = pl.Schema({"x": pl.Float64, "s": pl.String, "l": pl.List(pl.String), "n": pl.Int8})
    for argument, column, match in (
        ("key", "y", "no column 'y' for the key"),
        ("value", "S", "no column 'S' for the value"),
        ("key", "x", "cannot be the key"),
        ("partition", "x", "cannot be the partition"),
        ("timestamp", "s", "cannot be the timestamp"),
        ("headers", "l", "cannot be the headers"),
        ("headers", "s", "cannot be the headers"),
        ("tombstone", "s", "cannot be the tombstone"),
    ):
        with pytest.raises(SchemaError, match=match):
            Sink.to_kafka("localhost", "t", **{argument: column}).check(schema)
    with pytest.raises(SchemaError, match="cannot be the topic"):
        Sink.to_kafka("localhost", topic_column="n").check(schema)
    with pytest.raises(SchemaError, match="no column is left for the value"):
        Sink.to_kafka("localhost", topic_column="s").check(pl.Schema({"s": pl.String}))
    with pytest.raises(SchemaError, match="value of one column"):
        Sink.to_kafka("localhost", "t", format="raw").check(schema)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    sink = Sink.to_kafka("localhost", "t")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="writing to Kafka needs the extra 'kafka'"):
        sink.check(pl.Schema({"x": pl.Int64}))
    monkeypatch.setitem(__import__("sys").modules, "arrowstream.io.kafka.writing.writer", None)
    with pytest.raises(MissingExtra, match="pip install"):
        sink.open(pl.Schema({"x": pl.Int64}), None)  # type: ignore[arg-type]


@in_loop
async def test_an_arrow_record_has_all_rows_of_a_partition(embedded_kafka: EmbeddedKafka) -> None:
    topic = new_topic(embedded_kafka.address, 2)
    frame = pl.DataFrame({"p": [1, 0, 1], "k": ["a", "b", "c"], "x": [1.5, None, -0.0]})
    await write(plain_sink(embedded_kafka.address, topic, format="arrow", partition="p", key="k"), frame)
    records = consumed(embedded_kafka.address, topic, 2, 2)
    for record, rows in zip(records, ([1], [0, 2]), strict=True):
        assert record.key is None
        assert pl.read_ipc_stream(record.value or b"").equals(frame[rows].select("k", "x"))


def test_a_job_writes_records(embedded_kafka: EmbeddedKafka, tmp_path: Path) -> None:
    topic = new_topic(embedded_kafka.address)
    (tmp_path / "in.csv").write_text("id,n\na,1\nb,2\n")
    (tmp_path / "job.toml").write_text(
        f"""
[source]
kind = "file"
path = "in.csv"
[sink]
kind = "kafka"
servers = "{embedded_kafka.address}"
topic = "{topic}"
key = "id"
value = ["n"]
compression = "zstd"
compression_level = 1
idempotent = false
delivery_timeout = "30s"
"""
    )
    Job.load(tmp_path / "job.toml").pipeline().run_sync()
    found = consumed(embedded_kafka.address, topic, 2)
    assert [(each.key, each.value) for each in found] == [(b"a", b'{"n":1}'), (b"b", b'{"n":2}')]
