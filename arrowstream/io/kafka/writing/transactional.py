"""`TransactionalWriter`: a Kafka sink in a run with checkpoints, whose rows are shown epoch by epoch."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import polars as pl
from aiokafka.errors import ProducerFenced

from arrowstream.core.checkpoints.context import CheckpointContext
from arrowstream.core.checkpoints.failpoints import Failpoint, reach
from arrowstream.core.messages import Encoder
from arrowstream.core.notes import ReaderNote
from arrowstream.core.step_context import StepContext
from arrowstream.errors import SinkError
from arrowstream.io.kafka.message_columns import MessageColumns
from arrowstream.io.kafka.producing import Producing
from arrowstream.io.kafka.records.encode import EncodedBatch
from arrowstream.io.kafka.writing.delivery import Delivery, Outcome
from arrowstream.io.kafka.writing.groups import ProducerBatch
from arrowstream.io.kafka.writing.output_log import OutputLog
from arrowstream.io.kafka.writing.transaction import TransactionalLink
from arrowstream.io.kafka.writing.writer import KafkaWriter
from arrowstream.io.writer import Handle


class TransactionalDelivery(Delivery):
    """Sends record batches in the transaction of an epoch, and keeps them in its log.

    Parameters
    ----------
    link
        The connection.
    producing
        How records are sent.
    call
        Calls a function on a worker thread.
    log
        The log: it always has what was delivered, and nothing else once `deliver` has returned.
    """

    transactional = True

    def __init__(
        self,
        link: TransactionalLink,
        producing: Producing,
        call: Callable[..., Awaitable[Any]],
        log: OutputLog,
    ) -> None:
        super().__init__(link, producing, call)
        self._transactions = link
        self._log = log
        self._undo_to: int | None = None
        """Size of the log before the rows that are on their way; None without any."""

    async def deliver(self, batches: Sequence[ProducerBatch], *, inline: bool) -> list[Outcome]:
        await self.undo()
        self._undo_to = self._log.size
        final = await super().deliver(batches, inline=inline)
        self._undo_to = None
        return final

    async def undo(self) -> None:
        """Remove the rows of a delivery that was interrupted from the transaction and the log."""
        if self._undo_to is not None:
            await self._transactions.drop()
            self._log.truncate(self._undo_to)
            self._undo_to = None

    async def _settle(
        self, sent: Sequence[ProducerBatch], failed: dict[ProducerBatch, BaseException], final: list[Outcome]
    ) -> list[ProducerBatch]:
        for error in failed.values():
            if isinstance(error, ProducerFenced):
                raise await self._transactions.failed(error) from error
        assert self._undo_to is not None
        self._log.truncate(self._undo_to)
        return await super()._settle(sent, failed, final)

    def _encoded(self, batches: Sequence[ProducerBatch]) -> list[EncodedBatch]:
        encoded = super()._encoded(batches)
        for batch, encoded_batch in zip(batches, encoded, strict=True):
            self._log.append(batch.partition, encoded_batch)
        return encoded


class TransactionalWriter(KafkaWriter):
    """Writes the rows of each epoch in a transaction of their own, which is committed once the epoch is complete.

    Parameters
    ----------
    columns, topic, encoder, producing, schema, context
        Those of `KafkaWriter`.
    checkpoint
        The checkpoints of the run.
    """

    holds_until_commit = True

    def __init__(
        self,
        columns: MessageColumns,
        topic: str | None,
        encoder: Encoder,
        producing: Producing,
        schema: pl.Schema,
        context: StepContext,
        checkpoint: CheckpointContext,
    ) -> None:
        super().__init__(columns, topic, encoder, producing, schema, context)
        call = context.threads.call
        self._log = OutputLog(checkpoint.folder)
        self._transactions = TransactionalLink(producing, context.id, checkpoint, self._log, call)
        self._in_transaction = TransactionalDelivery(self._transactions, producing, call, self._log)
        self._prepared: int | None = None
        """The epoch that this writer has prepared and not committed."""
        self._fixed_topic = topic
        self._notes: tuple[ReaderNote, ...] = ()
        self._link, self._delivery = self._transactions, self._in_transaction

    async def recover(self, epoch: int, handle: Handle | None) -> None:
        await self._transactions.recover()
        shown = self._transactions.epoch
        if shown > epoch:
            raise SinkError(
                "the topics already show rows of later epochs, which would come again",
                expected=f"rows up to epoch {epoch}, from which this run continues",
                found=f"rows up to epoch {shown}, by the offsets of the group {self._transactions.group!r}",
                hint="use a new checkpoint folder, if the rows may come again, or delete the group: "
                f"kafka-consumer-groups.sh --delete --group {self._transactions.group}",
            )
        # The handle of a best-effort sink that was lost is of an earlier epoch.
        kept = None if handle is None else int(str(handle["epoch"]))
        await self._context.threads.call(self._log.keep_only, kept)
        await super().recover(epoch, handle)
        if handle is None and not epoch:
            self._notes = await self._transactions.earlier(self._fixed_topic)

    @property
    def notes(self) -> tuple[ReaderNote, ...]:
        return self._notes

    async def prepare(self, epoch: int) -> Handle:
        await self._in_transaction.undo()
        size, topics = self._log.size, sorted(self._log.topics)
        await self._context.threads.call(self._log.seal, epoch)
        self._prepared = epoch
        return {"version": 1, "epoch": epoch, "bytes": size, "topics": topics}

    async def commit(self, handle: Handle) -> None:
        epoch, topics = handle["epoch"], handle["topics"]
        assert isinstance(epoch, int)
        assert isinstance(topics, list)
        is_known = epoch == self._prepared or self._log.path(epoch).exists()
        if not handle["bytes"] or not is_known:
            return  # without rows, or committed: the log is removed after that
        await self._transactions.commit(epoch, [str(topic) for topic in topics])
        reach(Failpoint.KAFKA_COMMITTED)
        self._log.remove(epoch)
        self._prepared = None

    async def abort(self) -> None:
        """End the open transaction: the log has the rows that are prepared, and the next run sends them again."""
        await self._transactions.abort()
        self._log.close()
        await super().abort()
