"""`KafkaReader`: a running Kafka source."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final

from aiokafka.errors import NoOffsetForPartitionError
from aiokafka.structs import TopicPartition

from arrowstream.core.batch import Element, Partitions
from arrowstream.core.notes import ReaderNote
from arrowstream.core.snapshot_store import SourcePosition
from arrowstream.core.step_context import StepContext
from arrowstream.io.kafka.partition_name import Partition, offsets_of, partition_name, source_position
from arrowstream.io.kafka.reading.client import ConsumerClient
from arrowstream.io.kafka.reading.decode import (
    Fetched,
    decode,
    ends_between_batches,
    guessed_bytes,
    in_order,
    warm_up,
)
from arrowstream.io.kafka.reading.partition_offsets import PartitionOffsets
from arrowstream.io.kafka.reading.partition_rows import PartitionRows, take_batch
from arrowstream.io.kafka.reading.server_offsets import (
    check_ends,
    check_resumed,
    end_offsets,
    starting_offsets,
    topic_partitions,
)
from arrowstream.io.kafka.start import Start
from arrowstream.io.kafka.subscription import Subscription
from arrowstream.io.source import Reader

_POLL_MS: Final = 1_000
_INLINE_BYTES: Final = 128 * 1024
"""Bytes up to which decoding takes less time than handing it to a thread and back."""


class KafkaReader(Reader):
    """Reads the partitions that its consumer owns; the first read connects.

    Parameters
    ----------
    subscription
        What to read, and how.
    context
        Clock, log and threads of the run.
    resume
        Position of an earlier run, after which reading goes on.
    """

    def __init__(
        self, subscription: Subscription, context: StepContext, resume: SourcePosition | None
    ) -> None:
        self._subscription = subscription
        self._context = context
        self._resume: Mapping[Partition, int] | None = None if resume is None else offsets_of(resume)
        self._progress = PartitionOffsets()
        self._client: ConsumerClient | None = None
        self._settled = -1
        """Generation of the ownership whose partitions are being read."""
        self._poll: asyncio.Task[dict[Any, Any]] | None = None
        self._fetched: Fetched = ()
        """What a poll returned and was not decoded yet."""
        self._warming: asyncio.Future[None] | None = None
        """Loads the decoder, or compiles it: that takes up to some seconds the first time."""
        self._parts: deque[PartitionRows] = deque()
        self._mark: Partitions | None = None
        """What is handed out before the next rows."""

    def position(self) -> SourcePosition | None:
        """Return the offsets; None as long as it is not known where a first run begins."""
        if self._resume is None and not self._progress.begun:
            return None
        return source_position(self._progress.offsets or self._resume or {})

    async def read(self) -> Element | None:
        client = self._client or await self._open()
        client.watch.begin_read()
        try:
            while (element := self._at_hand(client)) is None:
                if self._is_over(client):
                    return None
                await self._advance(client)
            return element
        finally:
            client.watch.end_read()

    async def close(self) -> None:
        await self._end_poll()
        if self._client is not None:
            await self._client.close()
        if self._warming is not None:
            await asyncio.gather(self._warming, return_exceptions=True)

    async def acknowledge(self, position: SourcePosition) -> bool:
        """Commit to the group that the rows before `position` have reached the sinks.

        Partitions that the consumer does not own any more are left out: their new owner commits.

        Parameters
        ----------
        position
            A position that this reader gave.

        Returns
        -------
        bool
            False while the group rebalances, which takes no commits.

        Raises
        ------
        SourceError
            The servers do not take the commit.
        """
        client, offsets = self._client, self._progress.unacknowledged(offsets_of(position))
        if client is not None and self._subscription.group is not None:
            owned = client.ownership.partitions
            offsets = {each: at for each, at in offsets.items() if owned is None or each in owned}
            if offsets and not await client.commit(offsets):
                return False
        self._progress.acknowledged |= offsets
        return True

    @property
    def lag(self) -> dict[str, int]:
        """Number of offsets from the next row to the end of each owned partition, as far as the end is known."""
        lag = self._progress.lag(self._ends("highwater"))
        return {partition_name(each): offsets for each, offsets in lag.items()}

    @property
    def unstable(self) -> dict[str, int]:
        """Number of offsets of each owned partition that belong to open transactions or come after one."""
        high, stable = self._ends("highwater"), self._ends("last_stable_offset")
        return {partition_name(each): max(0, high[each] - end) for each, end in sorted(stable.items())}

    def _ends(self, kind: str) -> dict[Partition, int]:
        return {} if self._client is None else self._client.ends(kind)

    @property
    def rebalances(self) -> int:
        """Number of times that the partitions were given out again since the first time."""
        return self._progress.rebalances

    @property
    def notes(self) -> tuple[ReaderNote, ...]:
        notes = () if self._client is None else self._client.interruptions.notes
        count = self._progress.rows_given_away
        if not count:
            return notes
        what = "offsets went to other members of the group before they were acknowledged, which may read them again"
        return (*notes, ReaderNote(what, count, f"group {self._subscription.group}", lost=False))

    async def _open(self) -> ConsumerClient:
        if self._warming is None:
            load = partial(warm_up, self._subscription.columns)
            self._warming = asyncio.ensure_future(self._context.threads.call(load))
        client = ConsumerClient(self._subscription, self._context, self._progress, self._drop_rows)
        await client.open()
        self._client = client
        return client

    def _drop_rows(self) -> None:
        """Forget the rows that wait: whoever owns their partitions reads them from the last position."""
        self._parts.clear()
        self._fetched = ()

    def _at_hand(self, client: ConsumerClient) -> Element | None:
        """Return a mark or a batch that needs no wait, or None."""
        failure = client.failure or client.ownership.failure
        if failure is not None:
            raise failure
        while self._mark is None and self._parts:
            batch, taken = take_batch(self._parts)
            ended = [
                part.partition for part in taken if self._progress.advance(part.partition, part.next_offset)
            ]
            if ended:
                client.consumer.pause(*topic_partitions(ended))
                self._mark = self._marked()
            if batch is not None:
                return batch
        mark, self._mark = self._mark, None
        return mark

    def _marked(self) -> Partitions:
        return Partitions(frozenset(partition_name(each) for each in self._progress.unfinished))

    def _is_over(self, client: ConsumerClient) -> bool:
        """Return whether the stream ends: its partitions are known and have come to their ends."""
        is_settled = self._settled == client.ownership.generation
        return self._subscription.stop_at_end and is_settled and not self._progress.unfinished

    async def _advance(self, client: ConsumerClient) -> None:
        """Come closer to the next element: settle what is read, or read."""
        if client.ownership.partitions is None:
            await self._wait_for_partitions(client)
        elif self._settled != client.ownership.generation:
            await self._settle(client, client.ownership.generation, client.ownership.partitions)
        else:
            await self._fetch(client, self._settled)

    async def _wait_for_partitions(self, client: ConsumerClient) -> None:
        """Wait until the group has given out partitions; a poll meanwhile raises what is wrong with the group."""
        if self._poll is None:
            self._poll = asyncio.ensure_future(client.consumer.getmany(timeout_ms=_POLL_MS))
        await client.wait_for(self._poll)
        if self._poll.done() and client.ownership.partitions is None:
            poll, self._poll = self._poll, None
            await client.asked(_error(poll))
        else:
            await self._end_poll()

    async def _settle(
        self, client: ConsumerClient, generation: int, partitions: frozenset[Partition]
    ) -> None:
        """Begin to read these partitions, where `starting_offsets` says."""
        asked = self._subscription
        if not asked.is_subscribed:
            client.consumer.assign(topic_partitions(partitions))
        resume = self._resume or {}
        is_first, continues = not self._progress.begun, asked.checkpointed and self._resume is not None
        # With checkpoints, what was committed and `start` count for the first assignment of the first run only.
        grouped = asked.group is not None and not (asked.checkpointed and (continues or not is_first))
        start = Start("earliest") if continues else asked.start
        find = partial(starting_offsets, start=start, resume=resume, progress=self._progress)
        starts = await client.asked(find(client.consumer, partitions, grouped=grouped))
        ends = await client.asked(end_offsets(client.consumer, partitions)) if asked.stop_at_end else {}
        if continues and is_first:
            known = await client.asked(self._check_resumed(client.consumer, partitions))
            ends |= known if asked.stop_at_end else {}
        if generation != client.ownership.generation:
            return
        if asked.start.offsets or asked.isolation == "read_uncommitted":
            check_ends(starts, ends)
        chosen = is_first and not asked.checkpointed and (asked.start.word != "committed" or bool(resume))
        for partition, offset in starts.items():
            client.consumer.seek(TopicPartition(*partition), offset)
        self._progress.begin(starts, ends)
        client.share_bytes(len(starts))
        self._settled = generation
        self._mark = self._marked()
        over = self._progress.owned - self._progress.unfinished
        client.consumer.pause(*topic_partitions(over))
        if asked.group is not None and chosen:
            # Whoever gets these partitions next goes on from here, not from what the group committed before.
            await client.commit(starts)

    async def _check_resumed(self, consumer: Any, partitions: frozenset[Partition]) -> dict[Partition, int]:
        resume = dict(self._resume or {})
        if self._subscription.topics.pattern is not None:
            gone = sorted(partition_name(each) for each in resume.keys() - partitions)
            if gone:
                self._context.logger.warning(
                    "%s: %s, which the checkpoint knows, do not exist any more: what was not read there is lost",
                    self._context.id,
                    ", ".join(gone),
                )
            resume = {each: at for each, at in resume.items() if each in partitions}
        return await check_resumed(consumer, resume, partitions)

    async def _fetch(self, client: ConsumerClient, generation: int) -> None:
        """Get what the servers have, and decode it."""
        if not self._fetched:
            if self._poll is None:
                self._poll = asyncio.ensure_future(client.consumer.getmany(timeout_ms=_POLL_MS))
            await client.wait_for(self._poll)
            if generation != client.ownership.generation or not self._poll.done():
                await self._end_poll()
                return
            poll, self._poll = self._poll, None
            self._fetched = in_order(await client.asked(_result(poll)))
            self._progress.ends = ends_between_batches(self._progress.ends, self._fetched)
        if self._fetched:
            client.watch.end_read()  # the time of decoding is not the consumer's
            try:
                await self._decode(client, generation)
            finally:
                client.watch.begin_read()
                client.watch.moved()

    async def _decode(self, client: ConsumerClient, generation: int) -> None:
        """Decode some of what a poll returned."""
        if self._warming is not None and not self._warming.done():
            await client.wait_for(self._warming)
            return
        work = partial(
            decode,
            self._fetched,
            self._subscription.columns,
            self._progress.ends,
            max_decompressed_bytes=self._subscription.max_decompressed_bytes,
        )
        inline = guessed_bytes(self._fetched) <= _INLINE_BYTES
        parts, rest = work() if inline else await self._context.threads.call(work)
        if generation == client.ownership.generation:
            self._fetched = rest
            self._parts.extend(part for part in parts if not self._progress.is_over(part.partition))

    async def _end_poll(self) -> None:
        """Give up a poll: what it brings belongs to partitions as they were."""
        poll, self._poll = self._poll, None
        if poll is not None:
            poll.cancel()
            await asyncio.gather(poll, return_exceptions=True)


async def _result(poll: asyncio.Task[dict[Any, Any]]) -> dict[Any, Any]:
    return await poll


async def _error(poll: asyncio.Task[dict[Any, Any]]) -> None:
    """Raise what a poll for partitions that are still to come has raised; the reader itself sets their offsets."""
    with suppress(NoOffsetForPartitionError):
        await poll
