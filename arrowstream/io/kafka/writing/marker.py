"""The newest epoch that topics show, which is stored among the offsets of a group."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from aiokafka.client import CoordinationType
from aiokafka.errors import CoordinatorLoadInProgressError, CoordinatorNotAvailableError, NotCoordinatorError
from aiokafka.errors import for_code as error_of_code
from aiokafka.protocol.admin import ListGroupsRequest
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

_OFFSET_FETCH: Final = 9
_VERSION: Final = 7
"""The first version that can wait for the end of transactions (KIP-447), since Kafka 2.5; aiokafka has older ones."""

_UNSTABLE: Final = 88
"""Code of an offset that belongs to a transaction which has not ended."""

_PAUSE_SECONDS: Final = 0.05
_FOR_A_WHILE: Final = (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    NotCoordinatorError,
)


class _Offsets(Response):
    API_KEY = _OFFSET_FETCH
    API_VERSION = _VERSION
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            CompactArray(
                ("name", CompactString("utf-8")),
                (
                    "partitions",
                    CompactArray(
                        ("number", Int32),
                        ("offset", Int64),
                        ("leader_epoch", Int32),
                        ("metadata", CompactString("utf-8")),
                        ("error_code", Int16),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("error_code", Int16),
        ("tags", TaggedFields),
    )


class _FetchOffsets(RequestStruct):
    FLEXIBLE_VERSION = True
    API_KEY = _OFFSET_FETCH
    API_VERSION = _VERSION
    RESPONSE_TYPE = _Offsets
    SCHEMA = Schema(
        ("group", CompactString("utf-8")),
        ("topics", CompactArray(CompactString("utf-8"))),
        ("require_stable", Boolean),
        ("tags", TaggedFields),
    )


class _AllOffsets(Request[_FetchOffsets]):
    """Asks for every offset of a group; stable ones are those that no open transaction changes."""

    API_KEY = _OFFSET_FETCH

    def __init__(self, group: str, stable: bool) -> None:
        self._group = group
        self._stable = stable

    def build(self, request_struct_class: Any) -> Any:
        return request_struct_class(self._group, None, self._stable, {})


async def newest_epoch(client: Any, group: str) -> int:
    """Return the newest epoch that was stored for a group; 0 without one; see `stored_epochs`."""
    return max((await stored_epochs(client, group)).values(), default=0)


async def stored_epochs(client: Any, group: str, *, stable: bool = True) -> dict[str, int]:
    """Return the newest epoch that was stored for a group, by topic.

    Parameters
    ----------
    client
        A client of aiokafka that is connected.
    group
        The group.
    stable
        Whether to wait for the end of a transaction that stores another one.

    Raises
    ------
    KafkaError
        The servers do not say it.
    NotImplementedError
        They are older than Kafka 2.5.
    """
    while True:
        try:
            node = await client.coordinator_lookup(CoordinationType.GROUP, group)
            answer = await client.send(node, _AllOffsets(group, stable))
            codes = {answer.error_code, *(code for _, parts, _ in answer.topics for *_, code, _ in parts)} - {
                0
            }
            if not codes:
                return {
                    topic: max(offset for _, offset, *_ in parts)
                    for topic, parts, _ in answer.topics
                    if parts
                }
            if codes != {_UNSTABLE}:
                raise error_of_code(min(codes - {_UNSTABLE}))
        except _FOR_A_WHILE:
            pass
        await asyncio.sleep(_PAUSE_SECONDS)


async def group_names(client: Any) -> list[str]:
    """Return the names of all groups that the user may see, sorted.

    Raises
    ------
    KafkaError
        A server does not say it.
    """
    found: set[str] = set()
    for broker in client.cluster.brokers():
        answer = await client.send(broker.nodeId, ListGroupsRequest())
        if answer.error_code:
            raise error_of_code(answer.error_code)
        found.update(name for name, _ in answer.groups)
    return sorted(found)
