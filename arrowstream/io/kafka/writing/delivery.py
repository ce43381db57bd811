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
"""A piece that was not delivered, and why."""


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

    async def deliver(self, pieces: Sequence[ProducerBatch], *, inline: bool) -> list[Outcome]:
        """Send record batches; return those that were not delivered.

        A record batch that is refused because of one of its records is divided until that is alone.

        Parameters
        ----------
        pieces
            The record batches; those of one partition arrive in this order.
        inline
            Whether they are encoded on the loop's thread.
        """
        final: list[Outcome] = []
        while pieces:
            failed = await self._round(pieces, inline=inline)
            if not failed:
                break
            pieces = await self._settle(pieces, failed, final)
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
        for piece in sent:
            error = failed.get(piece)
            if error is None:
                again += [piece] if self.transactional else []
                continue
            is_first = piece.partition not in begun
            begun.add(piece.partition)
            if isinstance(error, OutOfOrderSequenceNumber) and not is_first:
                again.append(piece)
            elif isinstance(error, _FOR_A_RECORD) and piece.records > 1:
                if isinstance(error, _TOO_LARGE):
                    topic, _ = piece.partition
                    refused[topic] = min(refused.get(topic, piece.size), piece.size)
                    again.append(piece)
                else:
                    again += piece.halves()
            else:
                final.append((piece, error))
        self.limits |= {topic: max(1, size // 2) for topic, size in refused.items()}
        return [part for piece in again for part in self._smaller(piece, refused)]

    @staticmethod
    def _smaller(piece: ProducerBatch, refused: Mapping[str, int]) -> list[ProducerBatch]:
        """Return a piece, or its halves if one of this size was too large for its topic."""
        least = refused.get(piece.partition[0])
        return [piece] if least is None or piece.records == 1 or piece.size < least else piece.halves()

    async def _round(
        self, pieces: Sequence[ProducerBatch], *, inline: bool
    ) -> dict[ProducerBatch, BaseException]:
        """Send each record batch once; return those that were not delivered."""
        producer = await self._link.producer(sum(piece.records for piece in pieces))
        failed: dict[ProducerBatch, BaseException] = {}
        waiting: dict[asyncio.Future[Any], tuple[ProducerBatch, int]] = {}
        try:
            for at in range(0, len(pieces), _TOGETHER):
                some = pieces[at : at + _TOGETHER]
                encode = partial(self._encoded, some)
                batches = encode() if inline else await self._call(encode)
                for piece, batch in zip(some, batches, strict=True):
                    while sum(size for _, size in waiting.values()) > _WAITING_BYTES:
                        await self._take(waiting, failed)
                    try:
                        future = await self._send(producer, piece, batch)
                    except KafkaError as error:
                        failed[piece] = error
                    else:
                        waiting[future] = (piece, batch.size)
            while waiting:
                await self._take(waiting, failed)
        finally:
            for future in waiting:
                future.cancel()
        return failed

    async def _send(self, producer: Any, piece: ProducerBatch, batch: EncodedBatch) -> asyncio.Future[Any]:
        """Hand a record batch to the producer, after those of its partition that wait for the servers."""
        topic, number = piece.partition
        loop = asyncio.get_running_loop()
        end = loop.time() + self._producing.delivery_seconds
        while True:
            try:
                found: asyncio.Future[Any] = await producer.send_batch(
                    PrebuiltBatch(batch, transactional=self.transactional), topic, partition=number
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
            piece, _ = waiting.pop(future)
            if future in done:
                error = future.exception()
            else:
                future.cancel()
                error = KafkaTimeoutError(f"no answer within {self._producing.delivery_seconds:g} s")
            if error is not None:
                failed[piece] = error
        if not done:
            await self._link.drop(flush=False)

    def _encoded(self, pieces: Sequence[ProducerBatch]) -> list[EncodedBatch]:
        return [piece.encode(self._producing.codec, self._producing.level) for piece in pieces]
