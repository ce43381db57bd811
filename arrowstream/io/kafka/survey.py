"""What a Kafka cluster says of itself: for `arrowstream doctor --kafka`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest

from arrowstream.io.kafka.partition_name import Partition
from arrowstream.io.kafka.reading.consumer import close_consumer, failure, open_consumer
from arrowstream.io.kafka.reading.server_offsets import committed_offsets, end_offsets
from arrowstream.io.kafka.security import KafkaSecurity

ANSWER_SECONDS: Final = 10.0
"""Time within which the cluster must answer everything that is asked of it."""

_REQUESTS: Final = {0: "Produce", 1: "Fetch", 3: "Metadata"}
"""Kafka's numbers of the requests whose versions are shown."""


@dataclass(frozen=True, slots=True)
class Survey:
    """A cluster at one moment.

    Parameters
    ----------
    seconds
        Time from the first connection to the answer about topics.
    cluster
        Id of the cluster; None if the servers do not say it.
    servers
        Each server with its number: ``1 at host:9092``.
    versions
        Least and highest version of requests that the servers take, by name of the request.
    topics
        Number of partitions of each topic, without Kafka's own.
    lags
        By group, the topics of which it has committed offsets: the records after them, and the number of partitions
        without a committed offset.
    """

    seconds: float
    cluster: str | None
    servers: tuple[str, ...]
    versions: Mapping[str, tuple[int, int]]
    topics: Mapping[str, int]
    lags: Mapping[str, Mapping[str, tuple[int, int]]]


async def survey(servers: str, security: KafkaSecurity | None, groups: Iterable[str]) -> Survey:
    """Ask a cluster about itself, its topics, and the lag of groups.

    Parameters
    ----------
    servers
        Hosts and ports, separated by commas.
    security
        Encryption and login.
    groups
        Names of consumer groups.

    Raises
    ------
    SourceError
        No server answers, or does not answer in time.
    PlanError
        A secret or a certificate cannot be read.
    """
    options = {"security_protocol": "PLAINTEXT"} if security is None else security.client_options()
    begin = time.monotonic()
    consumer = await open_consumer(servers, _options(None), options)
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            said = await _metadata(consumer)
            seconds = time.monotonic() - begin
            topics = {
                topic["topic"]: len(topic["partitions"])
                for topic in sorted(said["topics"], key=lambda topic: str(topic["topic"]))
                if not topic.get("is_internal")
            }
            partitions = [(topic, number) for topic, count in topics.items() for number in range(count)]
            lags = {
                group: await _lags(servers, group, options, await end_offsets(consumer, partitions))
                for group in groups
            }
        return Survey(
            seconds,
            said.get("cluster_id"),
            tuple(f"{each['node_id']} at {each['host']}:{each['port']}" for each in said["brokers"]),
            _versions(consumer),
            topics,
            lags,
        )
    except (KafkaError, OSError) as error:  # a timeout is an OSError
        raise failure(error, {}, servers) from error
    finally:
        await close_consumer(consumer)


async def _lags(
    servers: str, group: str, options: Mapping[str, Any], ends: Mapping[Partition, int]
) -> dict[str, tuple[int, int]]:
    """Return the records after the committed offsets, and the partitions without one, of each topic."""
    consumer = await open_consumer(servers, _options(group), options)
    try:
        committed = await committed_offsets(consumer, ends)
    finally:
        await close_consumer(consumer)
    found: dict[str, tuple[int, int]] = {}
    for topic in sorted({topic for topic, _ in committed}):
        own = [each for each in ends if each[0] == topic]
        known = [each for each in own if each in committed]
        found[topic] = sum(max(0, ends[each] - committed[each]) for each in known), len(own) - len(known)
    return found


async def _metadata(consumer: Any) -> dict[str, Any]:
    client = consumer._client
    answer = await client.send(client.get_random_node(), MetadataRequest(None))
    said: dict[str, Any] = answer.to_object()
    return said


def _versions(consumer: Any) -> dict[str, tuple[int, int]]:
    """Return the versions of requests that a server takes, from the first message of a connection to it."""
    ranges = next(iter(consumer._client._conns.values()))._versions
    return {name: ranges[number] for number, name in _REQUESTS.items() if number in ranges}


def _options(group: str | None) -> dict[str, Any]:
    """Return options of a consumer that only asks; one with a group does not join it."""
    return {"group_id": group, "isolation_level": "read_committed", "enable_auto_commit": False}
