"""`KafkaWriter`: a running Kafka sink."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Final, TypeVar

import numpy as np
import polars as pl

from arrowstream.core.batch import Batch
from arrowstream.core.messages import Encoder
from arrowstream.core.step_context import StepContext
from arrowstream.errors import UndeliveredRows
from arrowstream.io.kafka.message_columns import MessageColumns
from arrowstream.io.kafka.partition_name import partition_name
from arrowstream.io.kafka.producing import Producing
from arrowstream.io.kafka.writing.delivery import Delivery, Outcome
from arrowstream.io.kafka.writing.groups import ProducerBatch, producer_batches
from arrowstream.io.kafka.writing.producer import ProducerLink, reason
from arrowstream.io.kafka.writing.record_mapping import RecordMapping, RowTopics
from arrowstream.io.writer import Writer

T = TypeVar("T")

_INLINE_BYTES: Final = 64 * 1024
"""Bytes of rows up to which encoding takes less time than handing it to a thread and back."""


class KafkaWriter(Writer):
    """Writes rows as records, and waits for each until the servers have it; the first write connects.

    Parameters
    ----------
    columns
        What becomes which part of a record.
    topic
        The topic, where no column has it.
    encoder
        How rows become values.
    producing
        Where records go, and how.
    schema
        Names and types of the rows.
    context
        Threads of the run.
    """

    def __init__(
        self,
        columns: MessageColumns,
        topic: str | None,
        encoder: Encoder,
        producing: Producing,
        schema: pl.Schema,
        context: StepContext,
    ) -> None:
        self._mapping = RecordMapping(columns, topic, encoder, schema, producing.max_message_bytes, context)
        self._producing = producing
        self._context = context
        self._link = ProducerLink(producing)
        self._delivery = Delivery(self._link, producing, context.threads.call)
        self._warm: set[str] = set()
        """Topics of which rows have been encoded."""

    async def write(self, batch: Batch) -> None:
        frame = batch.polars()
        small = batch.nbytes <= _INLINE_BYTES
        topics = await (_inline if small else self._context.threads.call)(self._mapping.topics, frame)
        # The first call of a topic loads or compiles functions and may ask a registry, which takes seconds.
        inline = small and self._warm.issuperset(topics.names)
        call = _inline if inline else self._context.threads.call
        partitions = {topic: await self._link.partitions(topic) for topic in topics.names}
        found = await call(partial(self._producer_batches, frame, topics, partitions))
        self._warm.update(topics.names)
        undelivered = await self._delivery.deliver(found, inline=inline)
        if undelivered:
            raise _failure(undelivered, frame.height)

    def _producer_batches(
        self, frame: pl.DataFrame, topics: RowTopics, partitions: dict[str, int]
    ) -> list[ProducerBatch]:
        groups = self._mapping.groups(frame, topics, partitions)
        return producer_batches(groups, self._producing.max_message_bytes, self._delivery.limits)

    async def abort(self) -> None:
        """Close the connections: records that the servers have stay there."""
        await self._link.drop()
        await self._context.threads.call(self._mapping.close)

    async def close(self) -> None:
        await self.abort()


def _failure(undelivered: list[Outcome], rows: int) -> UndeliveredRows:
    """Return the error for record batches that were not delivered."""
    reasons = {reason(error): number for number, (_, error) in enumerate(undelivered)}
    which = np.full(rows, -1)
    for batch, error in undelivered:
        which[batch.rows] = reasons[reason(error)]
    texts = {number: text for text, number in reasons.items()}
    starts = [0, *(np.flatnonzero(np.diff(which)) + 1).tolist(), rows]
    parts = [
        (start, stop - start, texts[int(which[start])])
        for start, stop in pairwise(starts)
        if which[start] >= 0
    ]
    counts = Counter(partition_name(batch.partition) for batch, _ in undelivered)
    places = ", ".join(list(counts)[:3]) + (f" and {len(counts) - 3} more" if len(counts) > 3 else "")
    failed = sum(length for _, length, _ in parts)
    return UndeliveredRows(
        f"{failed:,} of {rows:,} rows were not delivered to {places}",
        parts=parts,
        found="; ".join(list(reasons)[:3]),
        hint="the other rows were delivered",
    )


async def _inline(function: Callable[..., T], *arguments: object) -> T:
    return function(*arguments)
