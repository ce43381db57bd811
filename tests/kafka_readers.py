"""Kafka readers without a pipeline: opened, drained and closed."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any

import polars as pl
import pyarrow as pa
from contexts import context

from arrowstream.core.batch import Batch, Partitions
from arrowstream.core.clock import MonotonicClock
from arrowstream.io.kafka.columns import columns_of
from arrowstream.io.kafka.reading.fetch import Chunk
from arrowstream.io.kafka.reading.reader import KafkaReader
from arrowstream.io.kafka.records.compression import Codec
from arrowstream.io.kafka.records.encode import EncodableRecords
from arrowstream.io.kafka.source import KafkaSource
from arrowstream.io.kafka.start import start_of
from arrowstream.io.kafka.subscription import Subscription
from arrowstream.io.kafka.topics import topics_of

Test = Callable[..., Coroutine[Any, Any, None]]


def in_loop(test: Test) -> Callable[..., None]:
    """Run a test that awaits in an event loop of its own."""

    @wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        asyncio.run(test(*arguments, **named))

    return run


PLACES = ("partition", "offset")


def kafka_source(
    address: str,
    topic: object,
    start: object = None,
    partitions: object = None,
    metadata: object = PLACES,
    **rest: Any,
) -> KafkaSource:
    """A source in the words of a user."""
    subscription = Subscription(
        address,
        topics_of(topic, partitions),
        start=start_of(start, grouped=rest.get("group") is not None),
        columns=columns_of(metadata),
        **rest,
    )
    return KafkaSource(subscription)


@asynccontextmanager
async def reading(source: KafkaSource, resume: Any = None, clock: Any = None) -> AsyncIterator[KafkaReader]:
    """A reader that is closed, and whose close takes no longer than it may."""
    reader = source.open(replace(context("kafka"), clock=clock or MonotonicClock()), resume=resume)
    assert isinstance(reader, KafkaReader)
    try:
        yield reader
    finally:
        async with asyncio.timeout(30):
            await reader.close()


@dataclass
class Drained:
    """What a reader has handed out."""

    batches: list[Batch] = field(default_factory=list)
    marks: list[Partitions] = field(default_factory=list)
    position: Any = None

    @property
    def frame(self) -> pl.DataFrame:
        """All rows in the order in which they came."""
        return pl.concat([batch.polars() for batch in self.batches])

    @property
    def values(self) -> list[bytes | None]:
        """The values, in the order in which they came."""
        return self.frame["value"].to_list() if self.batches else []

    @property
    def numbers(self) -> list[int]:
        """The values of `numbered` messages, sorted."""
        return sorted(int(value) for value in self.values if value is not None)


async def drain(
    reader: KafkaReader, rows: int | None = None, seconds: float = 60, into: Drained | None = None
) -> Drained:
    """Read up to the end of the stream, or until there are so many rows."""
    drained = into or Drained()
    async with asyncio.timeout(seconds):
        while rows is None or sum(batch.num_rows for batch in drained.batches) < rows:
            element = await reader.read()
            if element is None:
                break
            (drained.batches if isinstance(element, Batch) else drained.marks).append(element)
            drained.position = reader.position()
    return drained


async def read_to_end(source: KafkaSource, resume: Any = None) -> Drained:
    """Read everything up to the end of the topics."""
    to_end = replace(source, subscription=replace(source.subscription, stop_at_end=True))
    async with reading(to_end, resume) as reader:
        return await drain(reader)


ZEROS_ROWS = 16
ZEROS_BYTES = ZEROS_ROWS * 4096
"""Rows of a record batch of `chunk_of_zeros`, and bytes of their values."""


def chunk_of_zeros(codec: Codec, batches: int) -> Chunk:
    """Record batches as one fetch returns them, with values that compress well."""
    values = pa.array([bytes(ZEROS_BYTES // ZEROS_ROWS)] * ZEROS_ROWS, pa.large_binary())
    times = pa.array([0] * ZEROS_ROWS, pa.timestamp("ms", "UTC"))
    one = bytes(EncodableRecords(values, None, times).encode(0, ZEROS_ROWS, codec, None).finish())
    data = b"".join((ZEROS_ROWS * place).to_bytes(8, "big") + one[8:] for place in range(batches))
    return Chunk(data, 0, ZEROS_ROWS * batches, None)
