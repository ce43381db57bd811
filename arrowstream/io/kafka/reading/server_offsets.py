"""Offsets that a server knows: beginnings, ends, times, and what a group has committed."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from aiokafka.errors import OffsetOutOfRangeError, for_code
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.structs import TopicPartition

from arrowstream.errors import SourceError
from arrowstream.io.kafka.partition_name import Partition, partition_name
from arrowstream.io.kafka.reading.partition_offsets import PartitionOffsets
from arrowstream.io.kafka.start import Start

_READ_COMMITTED: Final = 1
_WAIT_MS: Final = 100
_FETCH_BYTES: Final = 64 * 1024
_AGAIN: Final = "from_checkpoint='ignore', or another checkpoint folder"


def topic_partitions(partitions: Iterable[Partition]) -> list[Any]:
    """Return partitions as aiokafka names them."""
    return [TopicPartition(*partition) for partition in sorted(partitions)]


async def end_offsets(consumer: Any, partitions: Iterable[Partition]) -> dict[Partition, int]:
    """Return the offset after the last record of each partition: the last stable one with ``read_committed``."""
    ends = await consumer.end_offsets(topic_partitions(partitions))
    return {(topic, number): offset for (topic, number), offset in ends.items()}


def check_ends(starts: Mapping[Partition, int], ends: Mapping[Partition, int]) -> None:
    """Raise if reading would start after the end of a partition.

    Raises
    ------
    SourceError
        It would, perhaps as the topic was deleted and created again.
    """
    for partition, end in ends.items():
        if starts[partition] > end:
            raise SourceError(
                f"reading of {partition_name(partition)} would start after its end",
                expected=f"an offset up to {end}",
                found=str(starts[partition]),
                hint="if the topic was deleted and created again, read it with start='earliest'",
            )


async def _end_from(consumer: Any, partition: Partition, offset: int) -> int | None:
    """Return the end of a partition as a fetch from this offset says it; None if the offset is after the end."""
    topic, number = partition
    client = consumer._client
    request = FetchRequest(
        _WAIT_MS, 1, _FETCH_BYTES, _READ_COMMITTED, [(topic, [(number, offset, _FETCH_BYTES)])]
    )
    answer = await client.send(client.cluster.leader_for_partition(TopicPartition(*partition)), request)
    for _, [(_, code, high, stable, *_)] in answer.topics:
        if code == OffsetOutOfRangeError.errno:
            return None
        if code:
            raise for_code(code)
        return int(stable if stable >= offset else high)
    return offset  # some servers say nothing where there are no records


async def check_resumed(
    consumer: Any, resume: Mapping[Partition, int], partitions: Collection[Partition]
) -> dict[Partition, int]:
    """Raise if the records after a checkpoint are not the ones that were there when it was taken.

    Parameters
    ----------
    consumer
        The consumer.
    resume
        Next offset of each partition at the checkpoint.
    partitions
        The partitions that exist.

    Returns
    -------
    dict
        The ends of the partitions of `resume`.

    Raises
    ------
    SourceError
        A partition is gone, the servers have deleted records before they were read, or a topic was deleted and
        created again with fewer records.
    """
    known = [each for each in resume if each in partitions]
    first = await consumer.beginning_offsets(topic_partitions(known))
    ends = await end_offsets(consumer, known)
    for partition, offset in sorted(resume.items()):
        name = partition_name(partition)
        listed = ends.get(partition)
        # Some servers list ends that are too low; a fetch does not err.
        end = (
            await _end_from(consumer, partition, offset) if listed is not None and offset > listed else listed
        )
        if end is None:
            raise SourceError(
                f"{name} does not have the records that the checkpoint continues from",
                expected=f"records up to offset {offset}, where the checkpoint ends",
                found="no such partition" if listed is None else f"none after offset {listed}",
                hint=f"if the topic was deleted and created again, read it from the start: {_AGAIN}",
            )
        if offset < first[partition]:
            raise SourceError(
                f"records of {name} were deleted before they were read",
                expected=f"records from offset {offset} on, where the checkpoint ends",
                found=f"records from offset {first[partition]} on",
                hint="let the topic keep records for longer than a run is away (retention.ms); what is left is "
                f"read by a run that starts again: {_AGAIN}",
            )
        ends[partition] = end
    return ends


async def committed_offsets(consumer: Any, partitions: Iterable[Partition]) -> dict[Partition, int]:
    """Return the offsets that the consumer's group has committed; partitions without one are left out."""
    names = topic_partitions(partitions)
    found = await asyncio.gather(*(consumer.committed(name) for name in names))
    return {(topic, number): at for (topic, number), at in zip(names, found, strict=True) if at is not None}


async def first_offsets(consumer: Any, start: Start, partitions: Iterable[Partition]) -> dict[Partition, int]:
    """Return where partitions start; what a group has committed is not looked at."""
    given = {each: start.offset(each) for each in partitions}
    rest = topic_partitions(each for each, offset in given.items() if offset is None)
    if start.time_ms is not None:
        found = await consumer.offsets_for_times(dict.fromkeys(rest, start.time_ms))
        asked = {each: at.offset for each, at in found.items() if at is not None}
        # Without a record of this time or later, reading starts with those that will come.
        asked |= await consumer.end_offsets([each for each in rest if each not in asked])
    elif start.word == "latest":
        asked = await consumer.end_offsets(rest)
    else:
        asked = await consumer.beginning_offsets(rest)
    return {
        each: asked[TopicPartition(*each)] if offset is None else offset for each, offset in given.items()
    }


async def starting_offsets(
    consumer: Any,
    partitions: Iterable[Partition],
    *,
    start: Start,
    resume: Mapping[Partition, int],
    progress: PartitionOffsets,
    grouped: bool,
) -> dict[Partition, int]:
    """Return where reading starts, or goes on, in partitions that a reader has been given.

    A partition that the reader had before goes on after its last row, or after what another member has committed
    since. Of the others, one in `resume` goes on there. At the first assignment of a reader, others start as `start`
    says; after that, where the group has committed, else at the beginning.

    Parameters
    ----------
    consumer
        The consumer, which must not own them yet.
    partitions
        The partitions.
    start
        What the user asked for.
    resume
        Position of an earlier run.
    progress
        What the reader has handed out so far.
    grouped
        Whether the consumer has a group.
    """
    is_first = not progress.begun
    committed = await committed_offsets(consumer, partitions) if grouped else {}
    known = progress.keep(partitions, committed)
    known |= {each: resume[each] for each in partitions if each in resume and each not in known}
    if not is_first or start.word == "committed":
        known = {**{each: committed[each] for each in partitions if each in committed}, **known}
    rest = [each for each in partitions if each not in known]
    others = await first_offsets(consumer, start if is_first else Start("earliest"), rest)
    return known | others
