"""What the members of a group were handed out, by partition and offset."""

from __future__ import annotations

import time
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from arrowstream.core.batch import Batch
from arrowstream.io.kafka.reading.reader import KafkaReader
from tools.kafka_soak.written import PARTITIONS

ACKNOWLEDGES: Final = 0.25
"""Seconds between two acknowledgements of a member."""


class Wrong(Exception):
    """Rows are missing, were handed out twice without a rebalance, or no longer come."""


class Handed:
    """Counts of offsets.

    Parameters
    ----------
    total
        Number of messages that are expected.

    Attributes
    ----------
    seen : int
        Number of different offsets.
    rows : int
        Number of rows.
    """

    def __init__(self, total: int) -> None:
        # Filled, as memory that is first used later would look as if the run's own grew.
        self._counts = [np.full(-(-total // PARTITIONS), 0, np.uint16) for _ in range(PARTITIONS)]
        self.seen = self.rows = 0

    def add(self, partition: int, offsets: npt.NDArray[np.int64]) -> None:
        """Count a batch's offsets of one partition, which are different."""
        counts = self._counts[partition]
        self.seen += int((counts[offsets] == 0).sum())
        self.rows += len(offsets)
        counts[offsets] += 1

    def add_batch(self, batch: pa.RecordBatch) -> None:
        """Count a batch of one or more partitions."""
        partitions, offsets = batch["partition"].to_numpy(), batch["offset"].to_numpy()
        for partition in np.unique(partitions):
            self.add(int(partition), offsets[partitions == partition])

    def check_whole(self, total: int) -> None:
        """Raise unless each offset of `total` messages, written to the partitions in turn, was handed out."""
        self.check([np.arange(len(range(first, total, PARTITIONS))) for first in range(PARTITIONS)])

    def missing(self, written: list[npt.NDArray[np.int64]]) -> dict[int, int]:
        """Return how many of the offsets each partition misses."""
        gaps = {at: int((self._counts[at][each] == 0).sum()) for at, each in enumerate(written)}
        return {at: count for at, count in gaps.items() if count}

    def check(self, written: list[npt.NDArray[np.int64]]) -> None:
        """Raise unless exactly the written offsets were handed out."""
        for partition, offsets in enumerate(written):
            found = np.flatnonzero(self._counts[partition])
            if not np.array_equal(found, offsets):
                gone, extra = np.setdiff1d(offsets, found), np.setdiff1d(found, offsets)
                raise Wrong(f"partition {partition}: {len(gone)} missing {gone[:5]}, {len(extra)} extra")


class Order:
    """Checks that one member is handed each partition in order, unless its group has rebalanced in between."""

    def __init__(self) -> None:
        self._acknowledged = time.monotonic()
        self._rebalances = -1
        self._next: dict[int, int] = {}

    def is_acknowledgement_due(self) -> bool:
        """Return True every 0.25 s: what a rebalance takes away in between comes twice."""
        now = time.monotonic()
        is_due = now - self._acknowledged >= ACKNOWLEDGES
        if is_due:
            self._acknowledged = now
        return is_due

    def split(self, reader: KafkaReader, batch: Batch) -> list[tuple[int, npt.NDArray[np.int64]]]:
        """Return the offsets of each partition in a batch."""
        if reader.rebalances != self._rebalances:
            self._rebalances = reader.rebalances
            self._next.clear()
        found = []
        frame = batch.polars().select("partition", "offset")
        for (partition,), rows in frame.group_by("partition", maintain_order=True):
            number, offsets = int(str(partition)), rows["offset"].to_numpy()
            if (np.diff(offsets) <= 0).any() or offsets[0] < self._next.get(number, 0):
                raise Wrong(f"partition {number}: offset {offsets[0]} came again without a rebalance")
            self._next[number] = int(offsets[-1]) + 1
            found.append((number, offsets))
        return found
