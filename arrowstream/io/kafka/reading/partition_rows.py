"""Rows of partitions as they wait to be handed out, and how several of them become one batch."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from arrowstream.core.batch import Batch
from arrowstream.core.position import Position, joined
from arrowstream.io.kafka.partition_name import Partition, partition_name

BATCH_ROWS: Final = 65_536
"""Rows up to which rows of partitions are joined into one batch."""

BATCH_BYTES: Final = 16 * 1024 * 1024
"""Bytes of rows up to which rows of partitions are joined into one batch."""


@dataclass(frozen=True, slots=True)
class PartitionRows:
    """Adjacent rows of one partition.

    Parameters
    ----------
    partition
        Their topic and partition.
    rows
        The rows; there may be none, where offsets belong to aborted transactions or were compacted away.
    offsets
        Offset of each row, ascending.
    next_offset
        Offset from which to read on after these rows.
    """

    partition: Partition
    rows: pa.RecordBatch
    offsets: npt.NDArray[np.int64]
    next_offset: int

    @property
    def position(self) -> Position:
        """Where the rows are in the partition: exact if no offset between them is missing."""
        first, stop = int(self.offsets[0]), int(self.offsets[-1]) + 1
        exact = stop - first == len(self.offsets)
        return Position(partition_name(self.partition), first, stop, exact=exact, unit="offsets")

    def before(self, end: int) -> PartitionRows:
        """Return the rows with offsets less than `end`."""
        if self.next_offset <= end:
            return self
        count = int(np.searchsorted(self.offsets, end))
        return PartitionRows(self.partition, self.rows.slice(0, count), self.offsets[:count], end)

    def for_batches(self) -> Iterator[PartitionRows]:
        """Yield the same rows, divided so that all fit into a batch."""
        count = len(self.offsets)
        size = self.rows.nbytes
        most = BATCH_ROWS if size <= BATCH_BYTES else min(BATCH_ROWS, max(1, count * BATCH_BYTES // size))
        for start in range(0, max(count, 1), most):
            offsets = self.offsets[start : start + most]
            is_last = start + most >= count
            stop = self.next_offset if is_last else int(offsets[-1]) + 1
            yield PartitionRows(self.partition, self.rows.slice(start, most), offsets, stop)


def take_batch(waiting: deque[PartitionRows]) -> tuple[Batch | None, list[PartitionRows]]:
    """Take the rows that fit into one batch from the front of a queue.

    Returns
    -------
    batch
        Their rows; None if they have none.
    taken
        What was taken of the queue.
    """
    taken: list[PartitionRows] = []
    rows = size = 0
    while waiting:
        first = waiting[0]
        rows += len(first.offsets)
        size += first.rows.nbytes
        if taken and (rows > BATCH_ROWS or size > BATCH_BYTES):
            break
        taken.append(waiting.popleft())
    filled = [part for part in taken if len(part.offsets)]
    if not filled:
        return None, taken
    batch = filled[0].rows if len(filled) == 1 else pa.concat_batches([part.rows for part in filled])
    return Batch(batch, joined((len(part.offsets), part.position) for part in filled)), taken
