"""Fetched records as columns: bytes by the compiled decoder, or aiokafka's objects one by one."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pyarrow as pa

from arrowstream.errors import ArrowstreamError, SourceError
from arrowstream.io.kafka.columns import SourceColumns
from arrowstream.io.kafka.partition_name import Partition, partition_name
from arrowstream.io.kafka.reading.fetch import Chunk, whole_batches
from arrowstream.io.kafka.reading.partition_rows import PartitionRows
from arrowstream.io.kafka.records.decode import decode_records

Fetched = Sequence[tuple[Partition, Any]]
"""What a poll returned and was not decoded yet, by partition: chunks, or lists of objects with a record each."""

STEP_BYTES: Final = 8 * 1024 * 1024
"""Bytes of rows that are decoded at a time. What was fetched and is not decoded yet stays as it is, compressed."""

_USUAL_RATIO: Final = 8
"""Bytes that a compressed byte is taken for before it is decoded."""


def in_order(polled: Mapping[Any, Sequence[Any]]) -> Fetched:
    """Return what a poll returned as it is decoded, one after the other."""
    found: list[tuple[Partition, Any]] = []
    for (topic, number), items in polled.items():
        whole = items if isinstance(items[0], Chunk) else [items]
        found.extend(((topic, number), each) for each in whole)
    return found


def guessed_bytes(fetched: Fetched) -> int:
    """Return about how many bytes there will be once they are decoded: 0 for objects."""
    chunks = [item for _, item in fetched if isinstance(item, Chunk)]
    return sum(len(each.data) * (_USUAL_RATIO if each.is_compressed else 1) for each in chunks)


def ends_between_batches(ends: Mapping[Partition, int], fetched: Fetched) -> dict[Partition, int]:
    """Return the ends of partitions, those inside of a fetched record batch moved to its end."""
    found = dict(ends)
    for partition, each in fetched:
        if isinstance(each, Chunk) and each.fetch_offset < found.get(partition, 0) < each.next_offset:
            found[partition] = whole_batches(each.data, found[partition])
    return found


def warm_up(columns: SourceColumns) -> None:
    """Load what decodes these columns, or compile it: without records, nothing else is done."""
    decode_records(b"", 0, keys=columns.has("key"), headers=columns.has("headers"))


def decode(
    fetched: Fetched, columns: SourceColumns, ends: Mapping[Partition, int], *, max_decompressed_bytes: int
) -> tuple[list[PartitionRows], Fetched]:
    """Decode a step of what was fetched: `STEP_BYTES`, and up to one record batch more.

    Parameters
    ----------
    fetched
        Chunks, or aiokafka's records, by partition.
    columns
        The columns to make.
    ends
        Offsets from which on records of a partition are left out.
    max_decompressed_bytes
        Bytes up to which one compressed record batch may grow.

    Returns
    -------
    parts : list
        Rows that each fit into a batch.
    rest : Fetched
        What is left for another step.

    Raises
    ------
    SourceError
        The bytes are not record batches; the error names the partition.
    """
    parts: list[PartitionRows] = []
    waiting, left = deque(fetched), STEP_BYTES
    while waiting and left > 0:
        partition, item = waiting.popleft()
        if isinstance(item, Chunk):
            part, rest = _from_bytes(partition, item, columns, max_decompressed_bytes, left)
        else:
            part, rest = _from_objects(partition, item, columns), None
        left -= part.rows.nbytes
        if partition in ends:
            part = part.before(ends[partition])
        if rest is not None and part.next_offset == rest.fetch_offset:
            waiting.appendleft((partition, rest))
        parts.extend(part.for_batches())
    return parts, tuple(waiting)


def _from_bytes(
    partition: Partition, chunk: Chunk, columns: SourceColumns, max_decompressed_bytes: int, step_bytes: int
) -> tuple[PartitionRows, Chunk | None]:
    """Return the first rows of a chunk, and the chunk as it is read on, or None if that was all."""
    try:
        records = decode_records(
            chunk.data,
            chunk.fetch_offset,
            keys=columns.has("key"),
            headers=columns.has("headers"),
            read_committed=chunk.aborted is not None,
            aborted=chunk.aborted or (),
            max_decompressed_bytes=max_decompressed_bytes,
            step_bytes=step_bytes,
        )
    except ArrowstreamError as error:
        raise SourceError(
            f"records of {partition_name(partition)} cannot be read",
            position=f"{partition_name(partition)} offsets from {chunk.fetch_offset}",
            expected=error.expected,
            found=f"{error.what}{'' if error.found is None else f': {error.found}'}",
            hint=error.hint,
        ) from error
    metadata = {
        "key": records.keys,
        "headers": records.headers,
        "timestamp": records.timestamps,
        "offset": records.offsets,
    }
    rows = columns.batch(partition, records.values, metadata)
    rest = replace(chunk, fetch_offset=records.next_offset) if records.more else None
    after = max(records.next_offset, chunk.next_offset) if rest is None else records.next_offset
    return PartitionRows(partition, rows, records.offsets.to_numpy(), after), rest


def _from_objects(partition: Partition, records: Sequence[Any], columns: SourceColumns) -> PartitionRows:
    """Return aiokafka's records as columns: a loop over rows, for an aiokafka whose insides have changed."""
    offsets = np.array([record.offset for record in records], np.int64)
    metadata = {
        "key": pa.array([record.key for record in records], pa.large_binary()),
        "timestamp": pa.array([record.timestamp for record in records], pa.int64()).cast(
            pa.timestamp("ms", "UTC")
        ),
        "offset": pa.array(offsets),
    }
    if columns.has("headers"):
        pairs = [[{"key": key, "value": value} for key, value in record.headers] for record in records]
        kind = pa.large_list(pa.struct({"key": pa.large_string(), "value": pa.large_binary()}))
        metadata["headers"] = pa.array(pairs, kind)
    values = pa.array([record.value for record in records], pa.large_binary())
    return PartitionRows(partition, columns.batch(partition, values, metadata), offsets, int(offsets[-1]) + 1)
