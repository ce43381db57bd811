"""One transaction an epoch: begun with its first rows, committed with its number among the offsets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, Final

from aiokafka.errors import KafkaError, ProducerFenced
from aiokafka.structs import TopicPartition

from arrowstream.core.checkpoints.context import CheckpointContext
from arrowstream.core.checkpoints.failpoints import Failpoint, reach
from arrowstream.core.notes import ReaderNote
from arrowstream.errors import SinkError, TakenOver
from arrowstream.io.kafka.partition_name import Partition
from arrowstream.io.kafka.producing import TRANSACTION_SECONDS, Producing
from arrowstream.io.kafka.records.encode import EncodedBatch
from arrowstream.io.kafka.records.prebuilt import PrebuiltBatch
from arrowstream.io.kafka.writing.earlier_runs import earlier_runs, epoch_group
from arrowstream.io.kafka.writing.marker import newest_epoch
from arrowstream.io.kafka.writing.output_log import OutputLog
from arrowstream.io.kafka.writing.producer import MOST_RECORDS, ProducerLink, open_producer, reason

_END_SECONDS: Final = 20.0
"""Time for the end of a transaction: less than that of a request, which aiokafka would repeat."""

_PAUSE_SECONDS: Final = 0.1
"""Time between two attempts, and that of aiokafka before it repeats a request."""

_WAITING: Final = 64
"""Record batches on their way while an epoch is sent again."""

_INDEFINITE: Final = (KafkaError, TimeoutError, AssertionError)
"""What aiokafka raises; AssertionError is its word for a call that the state of a transaction does not allow."""

_log = logging.getLogger("arrowstream")

Batches = Iterator[tuple[Partition, EncodedBatch]]


class TransactionalLink(ProducerLink):
    """A connection whose producer has a transaction open for the epoch that is being written.

    A producer that has failed is replaced. The first request of the new one ends the transaction of the old one,
    whatever was on its way; then the stored epoch says how it ended, and the log has what is to be sent again.

    Parameters
    ----------
    producing
        Where to connect, and how.
    name
        Name of the sink.
    checkpoint
        The checkpoints of the run.
    log
        The record batches of epochs that the servers do not show yet.
    call
        Calls a function on a worker thread.

    Attributes
    ----------
    epoch : int
        The newest epoch that the servers show.
    group : str
        The group whose offsets say so.
    """

    def __init__(
        self,
        producing: Producing,
        name: str,
        checkpoint: CheckpointContext,
        log: OutputLog,
        call: Callable[..., Awaitable[Any]],
    ) -> None:
        super().__init__(producing)
        self._id = f"{checkpoint.job}-{name}"
        self.group = epoch_group(checkpoint.job, name)
        self._checkpoint = checkpoint
        self._name = name
        self._log = log
        self._call = call
        self._begun: float | None = None
        """When the transaction was begun; None if none is open that holds what is in the log."""
        self._successor: TakenOver | None = None
        """Why nothing can be written any more: a new producer would end the transactions of the other run."""
        self.epoch = 0

    async def recover(self) -> None:
        """End the transaction that an earlier run has left, and find out which epoch the servers show.

        Raises
        ------
        SinkError
            The servers have no transactions, or do not answer.
        """
        self.epoch = await self._open()

    async def earlier(self, topic: str | None) -> tuple[ReaderNote, ...]:
        """Return a note if the servers show epochs of this job with another checkpoint folder; after `recover`.

        Parameters
        ----------
        topic
            The topic that the sink writes; None if its rows say it.
        """
        try:
            async with asyncio.timeout(_END_SECONDS):
                return await earlier_runs(self._producer.client, self._checkpoint, self._name, topic)
        except _INDEFINITE as error:
            # Only a note: a user may write without the right to look at groups.
            _log.warning("%s: earlier runs of this job were not looked for: %s", self._name, reason(error))
            return ()

    async def producer(self, records: int) -> Any:
        """Return a producer; for records, one with a transaction that holds the epoch so far.

        Raises
        ------
        SinkError
            The servers do not answer, or another run has taken over.
        """
        await self._reopen(self.epoch)
        self._records += records
        if records and self._begun is None:
            try:
                await self._begin(self._log.growing())
            except _INDEFINITE as error:
                raise await self.failed(error) from error
        return self._producer

    async def drop(self, *, flush: bool = True) -> None:
        """Close the producer, whose transaction is lost: nobody waits for its deliveries."""
        self._begun = None
        waiter = getattr(getattr(self._producer, "_txn_manager", None), "_transaction_waiter", None)
        await super().drop(flush=False)
        if waiter is not None and waiter.done():
            waiter.exception()  # or asyncio would report that nobody has asked for it

    async def commit(self, epoch: int, topics: Iterable[str]) -> None:
        """Commit the transaction of an epoch that is sealed in the log, or send it again, until the servers show it.

        Parameters
        ----------
        epoch
            The epoch.
        topics
            The topics of its records.

        Raises
        ------
        SinkError
            The servers did not take it in time, or another run has taken over.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self._producing.delivery_seconds
        while (failure := await self._attempt(epoch, topics)) is not None:
            if loop.time() > end:
                raise failure
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _attempt(self, epoch: int, topics: Iterable[str]) -> SinkError | None:
        """Try to commit an epoch; return why that has failed, if another attempt may help."""
        try:
            await self._reopen(epoch)
        except TakenOver:
            raise
        except SinkError as error:
            return error
        try:
            if self.epoch < epoch:
                if self._begun is None:
                    await self._begin(self._log.sealed(epoch))
                await self._end(epoch, topics)
        except _INDEFINITE as error:
            failure = await self.failed(error)
            failure.__cause__ = error
            if isinstance(failure, TakenOver):
                raise failure from error
            return failure
        return None

    async def abort(self) -> None:
        """End the open transaction, so that readers need not wait until its time is over; close the connection."""
        if self._begun is not None:
            with suppress(*_INDEFINITE):
                async with asyncio.timeout(_END_SECONDS):
                    await self._producer.abort_transaction()
        await self.drop()

    async def failed(self, error: BaseException) -> SinkError:
        """Drop the producer after a failure in its transaction; return the failure as an error of the sink."""
        begun = self._begun
        age = 0.0 if begun is None else asyncio.get_running_loop().time() - begun
        await self.drop()
        # The servers end a transaction whose time is over as if there were another producer.
        fenced = isinstance(error, ProducerFenced) and age < TRANSACTION_SECONDS
        return self._taken_over() if fenced else self._no_transaction(error)

    async def _open(self) -> int:
        """Open a producer; return the epoch that the servers show."""
        self._producer = await open_producer(self._producing, self._id)
        try:
            async with asyncio.timeout(_END_SECONDS):
                return await newest_epoch(self._producer.client, self.group)
        except (*_INDEFINITE, NotImplementedError) as error:
            raise await self.failed(error) from error

    async def _reopen(self, epoch: int) -> None:
        """Open a producer if there is none; check that nobody has committed an epoch after this one."""
        if self._successor is not None:
            raise self._successor
        if self._producer is None:
            found = await self._open()
            if found > max(self.epoch, epoch):
                await self.drop()
                raise self._taken_over()
            self.epoch = max(self.epoch, found)

    async def _begin(self, batches: Batches) -> None:
        """Begin a transaction with what its epoch has so far."""
        producer = self._producer
        await producer.begin_transaction()
        begun = asyncio.get_running_loop().time()
        waiting: list[asyncio.Future[Any]] = []
        try:
            while (found := await self._call(next, batches, None)) is not None:
                (topic, number), batch = found
                self._records += batch.record_count
                prebuilt = PrebuiltBatch(batch, transactional=True)
                waiting.append(await producer.send_batch(prebuilt, topic, partition=number))
                if len(waiting) == _WAITING:
                    await self._delivered(waiting)
            await self._delivered(waiting)
        finally:
            for future in waiting:
                future.cancel()
        self._begun = begun

    async def _delivered(self, waiting: list[asyncio.Future[Any]]) -> None:
        """Wait until all record batches are delivered: the end of a transaction does not say whether they are."""
        async with asyncio.timeout(self._producing.delivery_seconds):
            await asyncio.gather(*waiting)
        waiting.clear()

    async def _end(self, epoch: int, topics: Iterable[str]) -> None:
        """Commit the transaction together with the number of its epoch."""
        loop = asyncio.get_running_loop()
        before = loop.time()
        async with asyncio.timeout(_END_SECONDS):
            offsets = {TopicPartition(topic, 0): epoch for topic in topics}
            await self._producer.send_offsets_to_transaction(offsets, self.group)
            reach(Failpoint.KAFKA_EPOCH_SENT)
            await self._producer.commit_transaction()
        self.epoch = epoch
        self._begun = None
        if loop.time() - before >= _PAUSE_SECONDS or self._records > MOST_RECORDS // 2:
            # aiokafka may have repeated a request. One that arrives late would end the next transaction too early,
            # but not that of another producer.
            await self.drop()

    def _taken_over(self) -> TakenOver:
        self._successor = TakenOver(
            "another run has taken over the transactions of this sink",
            expected=f"one run at a time with the transactional id {self._id!r}",
            found=f"a newer producer of this id at {self._producing.servers}",
            hint="the other run uses a copy of this run's checkpoint folder: end one of the two, and give each job a "
            "folder of its own",
        )
        return self._successor

    def _no_transaction(self, error: BaseException) -> SinkError:
        old = isinstance(error, NotImplementedError)
        return SinkError(
            f"the Kafka servers at {self._producing.servers} did not complete a transaction",
            expected="servers with transactions: Apache Kafka from 2.5 on"
            if old
            else "every record of the epoch, and its end, accepted by the servers",
            found=f"no answer within {_END_SECONDS:g} s"
            if isinstance(error, TimeoutError)
            else reason(error),
            hint="idempotent=False, for servers without transactions: then each row comes at least once"
            if old
            else "a run with the same checkpoint folder goes on from the last complete epoch",
        )
