"""Names of partitions, and positions of Kafka readers."""

from __future__ import annotations

import re
from collections.abc import Mapping

from arrowstream.core.snapshot_store import SourcePosition
from arrowstream.errors import SourceError

Partition = tuple[str, int]
"""Topic and number of a partition; aiokafka's `TopicPartition` is equal to it."""

_NAME = re.compile(r"(?P<topic>[A-Za-z0-9._-]+)\[(?P<number>\d+)\]")


def partition_name(partition: Partition) -> str:
    """Return the name of a partition in positions, metrics and errors.

    Examples
    --------
    >>> partition_name(("flights", 3))
    'flights[3]'
    """
    topic, number = partition
    return f"{topic}[{number}]"


def partition_of(name: object) -> Partition | None:
    """Return the partition that has a name, or None if no partition can have it.

    Examples
    --------
    >>> partition_of("flights[3]"), partition_of("flights")
    (('flights', 3), None)
    """
    found = _NAME.fullmatch(name) if isinstance(name, str) else None
    return None if found is None else (found["topic"], int(found["number"]))


def source_position(offsets: Mapping[Partition, int]) -> SourcePosition:
    """Return the position of a reader whose next offset of each partition is in `offsets`."""
    return {"version": 1, "offsets": {partition_name(each): offset for each, offset in offsets.items()}}


def offsets_of(position: SourcePosition) -> dict[Partition, int]:
    """Return the next offset of each partition in a position.

    Raises
    ------
    SourceError
        It is not a position of a Kafka reader.
    """
    found = position.get("offsets")
    offsets = found if position.get("version") == 1 and isinstance(found, dict) else {None: None}
    result = {}
    for name, offset in offsets.items():
        partition = partition_of(name)
        if partition is None or not isinstance(offset, int):
            raise SourceError(
                "the source cannot continue after this position",
                expected="version 1 with the offsets of partitions, such as {'topic[0]': 7}",
                found=repr(dict(position)),
                hint="it is of another source or another version of arrowstream: run without the snapshots",
            )
        result[partition] = offset
    return result
