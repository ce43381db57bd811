"""Record batches on their way to the servers, until each was taken or refused."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Final

from aiokafka.errors import (
    InvalidTimestampError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    RecordListTooLargeError,
    UnknownError,
)

from arrowstream.io.kafka.partition_name import Partition
from arrowstream.io.kafka.producing import Producing
from arrowstream.io.kafka.records.encode import EncodedBatch
from arrowstream.io.kafka.records.prebuilt import PrebuiltBatch
from arrowstream.io.kafka.writing.groups import ProducerBatch
from arrowstream.io.kafka.writing.producer import ProducerLink

_WAITING_BYTES: Final = 32 * 1024 * 1024
"""Bytes that may be on their way. No request has more than the 100 MiB that servers accept."""

_TOGETHER: Final = 4
"""Record batches that are encoded by one call: the others are sent meanwhile."""

_TOO_LARGE: Final = (MessageSizeTooLargeError, RecordListTooLargeError)
_FOR_A_RECORD: Final = (*_TOO_LARGE, InvalidTimestampError, UnknownError)
"""What a record batch is refused with because of one record. Reasons that aiokafka does not know, as that of a record
without a key for a compacted topic, are its `UnknownError`."""

Outcome = tuple[ProducerBatch, BaseException]
"""A record batch that was not delivered, and why."""


class Delivery:
    """Sends record batches and waits until each was taken or refused.

    Parameters
    ----------
    link
        The connection.
    producing
        How records are sent.
    call
        Calls a function on a worker thread.

    Attributes
    ----------
    limits : dict
        Bytes that record batches of a topic should not have more of, where its servers have refused larger ones.
    """

    transactional: ClassVar[bool] = False
    """True if what was delivered is lost with what was not, and is sent again with the rest of it."""

    def __init__(self, link: ProducerLink, producing: Producing, call: Callable[..., Awaitable[Any]]) -> None:
        self._link = link
        self._producing = producing
        self._call = call
        self.limits: dict[str, int] = {}

    async def deliver(self, batches: Sequence[ProducerBatch], *, inline: bool) -> list[Outcome]:
        """Send record batches; return those that were not delivered.

        A record batch that is refused because of one of its records is divided until that is alone.

        Parameters
        ----------
        batches
            The record batches; those of one partition arrive in this order.
        inline
            Whether they are encoded on the loop's thread.
        """
        final: list[Outcome] = []
        while batches:
            failed = await self._round(batches, inline=inline)
            if not failed:
                break
            batches = await self._settle(batches, failed, final)
        return final

    async def _settle(
        self, sent: Sequence[ProducerBatch], failed: dict[ProducerBatch, BaseException], final: list[Outcome]
    ) -> list[ProducerBatch]:
        """Add to `final` what has failed for good; return what is to be sent again, in order."""
        if self._producing.idempotent:
            # The servers expect the sequence numbers of what they have refused.
            await self._link.drop()
        again: list[ProducerBatch] = []
        begun: set[Partition] = set()
        refused: dict[str, int] = {}
        for batch in sent:
            error = failed.get(batch)
            if error is None:
                again += [batch] if self.transactional else []
                continue
            is_first = batch.partition not in begun
            begun.add(batch.partition)
            if isinstance(error, OutOfOrderSequenceNumber) and not is_first:
                again.append(batch)
            elif isinstance(error, _FOR_A_RECORD) and batch.records > 1:
                if isinstance(error, _TOO_LARGE):
                    topic, _ = batch.partition
                    refused[topic] = min(refused.get(topic, batch.size), batch.size)
                    again.append(batch)
                else:
                    again += batch.halves()
            else:
                final.append((batch, error))
        self.limits |= {topic: max(1, size // 2) for topic, size in refused.items()}
        return [smaller for batch in again for smaller in self._smaller(batch, refused)]

    @staticmethod
    def _smaller(batch: ProducerBatch, refused: Mapping[str, int]) -> list[ProducerBatch]:
        """Return a record batch, or its halves if one of this size was too large for its topic."""
        least = refused.get(batch.partition[0])
        return [batch] if least is None or batch.records == 1 or batch.size < least else batch.halves()

    async def _round(
        self, batches: Sequence[ProducerBatch], *, inline: bool
    ) -> dict[ProducerBatch, BaseException]:
        """Send each record batch once; return those that were not delivered."""
        producer = await self._link.producer(sum(batch.records for batch in batches))
        failed: dict[ProducerBatch, BaseException] = {}
        waiting: dict[asyncio.Future[Any], tuple[ProducerBatch, int]] = {}
        try:
            for at in range(0, len(batches), _TOGETHER):
                some = batches[at : at + _TOGETHER]
                encode = partial(self._encoded, some)
                encoded = encode() if inline else await self._call(encode)
                for batch, encoded_batch in zip(some, encoded, strict=True):
                    while sum(size for _, size in waiting.values()) > _WAITING_BYTES:
                        await self._take(waiting, failed)
                    try:
                        future = await self._send(producer, batch, encoded_batch)
                    except KafkaError as error:
                        failed[batch] = error
                    else:
                        waiting[future] = (batch, encoded_batch.size)
            while waiting:
                await self._take(waiting, failed)
        finally:
            for future in waiting:
                future.cancel()
        return failed

    async def _send(self, producer: Any, batch: ProducerBatch, encoded: EncodedBatch) -> asyncio.Future[Any]:
        """Hand a record batch to the producer, after those of its partition that wait for the servers."""
        topic, number = batch.partition
        loop = asyncio.get_running_loop()
        end = loop.time() + self._producing.delivery_seconds
        while True:
            try:
                found: asyncio.Future[Any] = await producer.send_batch(
                    PrebuiltBatch(encoded, transactional=self.transactional), topic, partition=number
                )
            except KafkaTimeoutError:
                if loop.time() >= end:
                    raise
            else:
                return found

    async def _take(
        self,
        waiting: dict[asyncio.Future[Any], tuple[ProducerBatch, int]],
        failed: dict[ProducerBatch, BaseException],
    ) -> None:
        """Wait until some deliveries have ended; all fail if that takes too long."""
        done, _ = await asyncio.wait(
            waiting, timeout=self._producing.delivery_seconds, return_when=asyncio.FIRST_COMPLETED
        )
        for future in done or list(waiting):
            batch, _ = waiting.pop(future)
            if future in done:
                error = future.exception()
            else:
                future.cancel()
                error = KafkaTimeoutError(f"no answer within {self._producing.delivery_seconds:g} s")
            if error is not None:
                failed[batch] = error
        if not done:
            await self._link.drop(flush=False)

    def _encoded(self, batches: Sequence[ProducerBatch]) -> list[EncodedBatch]:
        return [batch.encode(self._producing.codec, self._producing.level) for batch in batches]
