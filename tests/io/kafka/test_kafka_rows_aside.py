"""Rows of Kafka that leave the stream: late ones of a partition that was idle, and one that no step can take."""

import asyncio
from typing import Any

import polars as pl
import pytest
from kafka_readers import in_loop
from servers.embedded_kafka import EmbeddedKafka
from servers.topics import new_topic, numbered, produce

from arrowstream import ErrorHandler, Pipeline, Sink, Source
from arrowstream.testing import TestSink

pytestmark = [pytest.mark.once, pytest.mark.untraced]


@in_loop
async def test_time_advances_past_an_idle_partition_whose_late_row_is_put_aside(
    embedded_kafka: EmbeddedKafka,
) -> None:
    address = embedded_kafka.address
    topic = new_topic(address, 2)
    windows, late = asyncio.Queue[int](), asyncio.Queue[int]()

    async def note(rows: Any) -> None:
        for number in rows["n"].to_pylist():
            windows.put_nowait(number)

    async def put_aside(rows: Any) -> None:
        for time in rows["t"].to_pylist():
            late.put_nowait(time)

    source = Source.from_kafka(address, topic, schema={"t": pl.Int64}).with_event_time("t", idle="20ms")
    steps = Pipeline.builder().source(source).window("1s", on="t", late=Sink.to_fn(put_aside))
    job = steps.agg(n=pl.len()).sink(Sink.to_fn(note)).build()

    def send(partition: int, seconds: float) -> None:
        produce(address, topic, [(partition, None, b'{"t": %d}' % round(seconds * 1_000_000))])

    send(1, 0.5)
    running = asyncio.create_task(job.run())
    seconds = 0
    while windows.empty():  # partition 0 goes on, and 1 says nothing
        await asyncio.to_thread(send, 0, seconds)
        seconds += 1
    await asyncio.to_thread(send, 1, 0.7)
    assert await late.get() == 700_000
    job.stop()
    await running
    counted = sum(windows.get_nowait() for _ in range(windows.qsize()))
    assert counted == seconds + 1 and late.empty(), "every other row once"


def test_one_row_of_a_thousand_that_no_step_can_take_is_put_aside_with_its_offset(
    embedded_kafka: EmbeddedKafka,
) -> None:
    topic = new_topic(embedded_kafka.address)
    produce(embedded_kafka.address, topic, numbered(1_000))

    def fallible(frame: pl.DataFrame) -> pl.DataFrame:
        if b"666" in frame["value"].to_list():
            raise ValueError("a row that no step can take")
        return frame

    good, bad = TestSink(), TestSink()
    source = Source.from_kafka(embedded_kafka.address, topic, format="raw", stop_at_end=True)
    rows = Pipeline.builder().source(source).map(fallible, frame="polars")
    rows.on_error(ErrorHandler.dead_letter(bad)).sink(good).build().run_sync()
    assert sorted(int(value) for value in good.frame()["value"]) == [n for n in range(1_000) if n != 666]
    letters = bad.frame()
    assert letters["value"].to_list() == [b"666"]
    assert letters["position"].item() == f"{topic}[0] offsets 666-667"
