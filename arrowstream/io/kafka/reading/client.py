"""`ConsumerClient`: a consumer with what watches over it, from its first connection to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any, Final, TypeVar

from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.structs import TopicPartition

from arrowstream.core.step_context import StepContext
from arrowstream.io.kafka.partition_name import Partition
from arrowstream.io.kafka.reading.answers import OverdueAnswers
from arrowstream.io.kafka.reading.consumer import close_consumer, cluster_partitions, failure, open_consumer
from arrowstream.io.kafka.reading.fetch import hand_out_bytes, is_supported, share_bytes
from arrowstream.io.kafka.reading.interruptions import Interruptions
from arrowstream.io.kafka.reading.ownership import Ownership
from arrowstream.io.kafka.reading.partition_offsets import PartitionOffsets
from arrowstream.io.kafka.reading.watch import Watch
from arrowstream.io.kafka.subscription import Subscription

T = TypeVar("T")

UNASSIGNED_SECONDS: Final = 10
"""Time without a partition of the group after which that is logged."""


class ConsumerClient:
    """aiokafka's consumer, the partitions that it owns, and tasks that find new ones and watch it.

    Parameters
    ----------
    subscription
        What is read, and how.
    context
        Clock and log of the run.
    progress
        What the reader has handed out.
    on_change
        Called when the partitions change, before new ones are read.

    Attributes
    ----------
    consumer
        aiokafka's consumer, which `open` starts.
    ownership : Ownership
        The partitions that it owns.
    watch : Watch
        Looks for a consumer that is stuck.
    interruptions : Interruptions
        Times without a server.
    failed : asyncio.Future
        Done once one of the tasks has failed.
    failure : BaseException or None
        Why it has failed.
    """

    def __init__(
        self,
        subscription: Subscription,
        context: StepContext,
        progress: PartitionOffsets,
        on_change: Callable[[], None],
    ) -> None:
        self._subscription = subscription
        self._context = context
        self._progress = progress
        self._tasks: list[asyncio.Task[None]] = []
        self._fetcher: Any = None
        self.consumer: Any = None
        self.ownership = Ownership(on_change)
        self.interruptions = Interruptions(context, subscription.servers)
        self.watch: Watch
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.failure: BaseException | None = None

    async def open(self) -> None:
        """Connect, and say what is to be read.

        Raises
        ------
        SourceError
            No server answers, or a topic is missing; nothing stays open.
        """
        asked = self._subscription
        plain = {"security_protocol": "PLAINTEXT"}
        security = plain if asked.security is None else asked.security.client_options()
        self.consumer = await open_consumer(asked.servers, asked.consumer_options(), security)
        self.watch = Watch(
            self._context.clock, self.consumer, self._progress, asked.stuck_seconds, self._fail
        )
        try:
            await self._begin()
        except BaseException:
            await self.close()
            raise

    async def _begin(self) -> None:
        topics = self._subscription.topics
        if is_supported():
            self._fetcher = self.consumer._fetcher
            hand_out_bytes(self._fetcher)
        else:
            self._context.logger.warning(
                "this version of aiokafka works in another way inside than arrowstream knows: records are read one "
                "by one, which takes some 20 times the time; pip install 'arrowstream[kafka]' gets the right one"
            )
        partitions = topics.partitions(await self.asked(cluster_partitions(self.consumer)))
        if self._subscription.is_subscribed:
            self.consumer.subscribe(topics.names, pattern=topics.pattern, listener=self.ownership)
            self._start(self._notice_no_partitions())
        else:
            self.ownership.own(partitions)
            if topics.numbers is None:
                self._start(self._discover())
        self._start(self.watch.run())
        client = self.consumer._client
        self._start(OverdueAnswers(self._context.clock, client, self._subscription.answer_seconds).run())
        self._start(self.interruptions.run(client))

    async def close(self) -> None:
        """End the tasks, leave the group, close the connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await close_consumer(self.consumer)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine next to the reads; its failure is theirs."""
        task = asyncio.create_task(work)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    async def _discover(self) -> None:
        """Look for new partitions, where no group does."""
        while True:
            await self._context.clock.sleep(self._subscription.discovery_seconds)
            with suppress(KafkaError):  # the next look may have an answer
                found = self._subscription.topics.partitions(await cluster_partitions(self.consumer))
                if frozenset(found) != self.ownership.partitions:
                    self.ownership.own(found)

    async def _notice_no_partitions(self) -> None:
        """Log, once each time, that the group has not given out partitions for some seconds."""
        seconds = 0
        while True:
            await self._context.clock.sleep(1)
            seconds = 0 if self.ownership.partitions else seconds + 1
            if seconds == UNASSIGNED_SECONDS:
                self._context.logger.warning(
                    "%s: no partitions assigned for %d s by group %s; it may still be forming, or other members may "
                    "hold them",
                    self._context.id,
                    seconds,
                    self._subscription.group,
                )

    def _fail(self, error: BaseException) -> None:
        """End the read that is under way, or the next one."""
        if self.failure is None:
            self.failure = error
            self.failed.set_result(None)

    def share_bytes(self, partitions: int) -> None:
        """Bound what is fetched for this number of partitions and not read yet."""
        if self._fetcher is not None:
            share_bytes(self._fetcher, partitions)

    async def wait_for(self, *futures: asyncio.Future[Any]) -> None:
        """Wait until one of the futures is done, a task has failed, or the partitions change."""
        waited = {*futures, self.failed, self.ownership.changed}
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)

    async def asked(self, answer: Awaitable[T]) -> T:
        """Return an answer of the servers; errors say where reading was."""
        try:
            return await answer
        except KafkaError as error:
            raise failure(error, self._progress.offsets, self._subscription.servers) from error

    async def commit(self, offsets: Mapping[Partition, int]) -> bool:
        """Commit offsets of owned partitions; return False if the group rebalances and does not take them."""
        try:
            async with asyncio.timeout(self._subscription.stuck_seconds):
                await self.consumer.commit({TopicPartition(*each): at for each, at in offsets.items()})
        except (CommitFailedError, IllegalStateError):
            return False
        except (KafkaError, TimeoutError) as error:
            raise failure(error, offsets, self._subscription.servers) from error
        return True

    def ends(self, kind: str) -> dict[Partition, int]:
        """Return the last known ends of owned partitions: ``highwater`` or ``last_stable_offset``."""
        ends: dict[Partition, int | None] = {}
        # Another thread may ask, in the middle of a rebalance.
        with suppress(AssertionError, AttributeError):
            for each in self.consumer.assignment():
                ends[each.topic, each.partition] = getattr(self.consumer, kind)(each)
        return {
            each: end
            for each, end in ends.items()
            if end is not None and end >= 0 and each in self._progress.owned
        }
