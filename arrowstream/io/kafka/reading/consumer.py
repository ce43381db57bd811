"""Opening and closing aiokafka's consumers within a bounded time, with errors that say what is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import KafkaError
from aiokafka.protocol.group import JoinGroupRequest, LeaveGroupRequest

from arrowstream.errors import SourceError
from arrowstream.io.kafka.connection import GRACE_SECONDS, STOP_SECONDS, hint, no_answer, reasons, start
from arrowstream.io.kafka.partition_name import Partition, partition_name

_LOOK_SECONDS: Final = 0.05
"""Time between two looks at a consumer that ends."""

_GROUP_TASKS: Final = ("_coordination_task", "_heartbeat_task", "_commit_refresh_task")
"""Tasks of aiokafka that keep a consumer in its group."""


async def open_consumer(servers: str, options: Mapping[str, Any], security: Mapping[str, Any]) -> Any:
    """Return a started consumer without topics.

    Parameters
    ----------
    servers
        Hosts and ports, separated by commas.
    options
        Options of `AIOKafkaConsumer`.
    security
        Those of its options that concern encryption and login.

    Raises
    ------
    SourceError
        No server answered, or the login failed.
    """
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, **options, **security)
    try:
        await start(consumer, close_consumer, servers, security)
    except (KafkaError, OSError) as error:  # a timeout is an OSError
        wrong = await reasons(servers, security)
        raise SourceError(
            f"no Kafka server answers at {servers}",
            expected=f"a server that accepts {security['security_protocol']} connections",
            found=wrong or no_answer(error),
            hint=hint(wrong),
        ) from error
    return consumer


async def close_consumer(consumer: Any) -> None:
    """Leave the group and close all connections; drop them where that fails or takes too long."""
    stopping = asyncio.ensure_future(consumer.stop())
    coordinator = getattr(consumer, "_coordinator", None)
    leaving = asyncio.ensure_future(_leave_while_joining(coordinator, stopping))
    try:
        is_done = await _ends(stopping)
    finally:
        leaving.cancel()
        await asyncio.wait({leaving}, timeout=GRACE_SECONDS)
    if not is_done:
        for name in _GROUP_TASKS:
            task = getattr(coordinator, name, None)
            if task is not None:
                # A heartbeat that went on would keep partitions that nobody reads.
                task.cancel()
        for part in (consumer._fetcher, consumer._client):
            if part is not None:
                await _ends(asyncio.ensure_future(part.close()))


async def _leave_while_joining(coordinator: Any, stopping: asyncio.Future[None]) -> None:
    """Leave a group that a consumer is about to join, which `stop` would wait for.

    The group waits for all its members before it gives out partitions. A member that waited too and left after that
    would take its part of them, which would have no reader until the next heartbeat of the others. The request goes
    over the connection for fetches: on the other one the server answers the join first.
    """
    left = ""
    while not stopping.done():
        await asyncio.wait({stopping}, timeout=_LOOK_SECONDS)
        if _is_joining(coordinator) and coordinator.member_id != left:
            left = coordinator.member_id
            with suppress(KafkaError):
                request = LeaveGroupRequest(coordinator.group_id, left)
                await coordinator._client.send(coordinator.coordinator_id, request)


def _is_joining(coordinator: Any) -> bool:
    """Return whether a group knows the consumer as a member that has not got its partitions yet."""
    return (
        isinstance(coordinator, GroupCoordinator)
        and not coordinator._coordination_task.done()
        and coordinator._heartbeat_task is None
        and coordinator.coordinator_id is not None
        and coordinator.member_id != JoinGroupRequest.UNKNOWN_MEMBER_ID
    )


async def _ends(closing: asyncio.Future[None]) -> bool:
    """Return whether something that is being closed ends well and in time.

    It runs in a task of its own: aiokafka awaits tasks that it has cancelled, some of which end with CancelledError,
    which must not look like a cancellation of the caller. Some of its tasks catch a cancellation and go on.
    """
    try:
        await asyncio.wait({closing}, timeout=STOP_SECONDS)
    finally:
        closing.cancel()
    await asyncio.wait({closing}, timeout=GRACE_SECONDS)
    return closing.done() and not closing.cancelled() and closing.exception() is None


async def cluster_partitions(consumer: Any) -> dict[str, set[int]]:
    """Return the numbers of the partitions of all topics except Kafka's own. Asking creates no topic."""
    cluster = await consumer._client.fetch_all_metadata()
    topics = sorted(cluster.topics(exclude_internal_topics=True))
    return {topic: set(cluster.partitions_for_topic(topic) or ()) for topic in topics}


def failure(error: BaseException, partitions: Mapping[Partition, int], servers: str) -> SourceError:
    """Return the error of a consumer that cannot go on.

    Parameters
    ----------
    error
        What aiokafka raised.
    partitions
        Next offset of each partition that it owns.
    servers
        Hosts and ports, separated by commas.
    """
    name = type(error).__name__
    offsets = ", ".join(f"{partition_name(each)} at {offset}" for each, offset in partitions.items())
    hints = {
        "OffsetOutOfRangeError": "records were deleted before they were read: start='earliest' reads what is "
        "left, with checkpoints together with from_checkpoint='ignore'",
        "RecordTooLargeError": "a record is larger than one fetch",
        "TopicAuthorizationFailedError": "the user needs the right to read the topic",
        "GroupAuthorizationFailedError": "the user needs the right to read with this group",
        "KafkaError": "the servers may be gone, or no longer take the login: aiokafka does not say which",
    }
    return SourceError(
        f"reading from Kafka at {servers} failed",
        found=f"{name}: {error}",
        expected=f"records of {offsets}" if offsets else "an answer of the servers",
        hint=hints.get(name),
    )
