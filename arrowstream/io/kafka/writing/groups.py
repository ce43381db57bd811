"""Records of a batch, grouped by topic and partition, in record batches that are small enough."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from typing import NamedTuple

import numpy as np

from arrowstream.errors import SinkError
from arrowstream.io.kafka.partition_name import Partition
from arrowstream.io.kafka.records.buffers import Integers
from arrowstream.io.kafka.records.compression import Codec
from arrowstream.io.kafka.records.encode import EncodableRecords, EncodedBatch


@dataclass(frozen=True, slots=True, eq=False)
class PartitionGroup:
    """Records of one partition.

    Parameters
    ----------
    partition
        Topic and partition.
    columns
        The records.
    rows
        Rows of the batch that they were made of, in order.
    one_each
        Whether each row is a record of its own; if not, all rows are one record.
    """

    partition: Partition
    columns: EncodableRecords
    rows: Integers
    one_each: bool = True


class ProducerBatch(NamedTuple):
    """Neighbouring records of a group, which are one record batch: from `first` to `last`, without the last."""

    group: PartitionGroup
    first: int
    last: int

    @property
    def partition(self) -> Partition:
        """Topic and partition."""
        return self.group.partition

    @property
    def records(self) -> int:
        """Number of records."""
        return self.last - self.first

    @property
    def rows(self) -> Integers:
        """Rows of the batch that the records were made of."""
        return self.group.rows[self.first : self.last] if self.group.one_each else self.group.rows

    @property
    def size(self) -> int:
        """Bytes of the records before compression."""
        return self.group.columns.size(self.first, self.last)

    def halves(self) -> list[ProducerBatch]:
        """Return both halves of at least two records."""
        middle = (self.first + self.last) // 2
        return [ProducerBatch(self.group, self.first, middle), ProducerBatch(self.group, middle, self.last)]

    def encode(self, codec: Codec, level: int | None) -> EncodedBatch:
        """Return the record batch."""
        return self.group.columns.encode(self.first, self.last, codec, level)


def producer_batches(
    groups: Sequence[PartitionGroup], most: int, limits: Mapping[str, int]
) -> list[ProducerBatch]:
    """Divide groups into record batches, those of different partitions in turn: a request takes one of each.

    Parameters
    ----------
    groups
        The records.
    most
        Bytes that no record batch may have more of.
    limits
        The same for topics whose servers take less, but for single records.

    Raises
    ------
    SinkError
        A record is too large.
    """
    divided = [
        list(_divided(group, most, min(limits.get(group.partition[0], most), most))) for group in groups
    ]
    return [batch for turn in zip_longest(*divided) for batch in turn if batch is not None]


def _divided(group: PartitionGroup, most: int, wanted: int) -> Iterator[ProducerBatch]:
    found = group.columns.split(wanted)
    if len(found.too_large):
        too_large = found.too_large if wanted == most else group.columns.split(most).too_large
        if len(too_large):
            raise _too_large(group, int(too_large[0]), most)
    alone = [(row, row + 1) for row in found.too_large.tolist()]
    for first, last in sorted([*found.batches, *alone]):
        yield ProducerBatch(group, first, last)


def _too_large(group: PartitionGroup, record: int, most: int) -> SinkError:
    size = group.columns.size(record, record + 1)
    rows = group.rows[record : record + 1] if group.one_each else group.rows
    what = f"row {int(rows[0]):,} of the batch makes" if len(rows) == 1 else f"{len(rows):,} rows make"
    topic, number = group.partition
    return SinkError(
        "a record is too large",
        expected=f"at most {most:,} bytes with the record batch around it (max_message_bytes)",
        found=f"{what} a record of {size:,} bytes, for {topic}[{number}]",
        hint="allow more with max_message_bytes=, and with max.message.bytes of the topic",
    )


def sorted_by(codes: Integers) -> tuple[Integers | None, list[tuple[int, int]]]:
    """Return the order that brings equal codes together, None if they are, and the bounds of each code then.

    The order is stable: rows with equal codes stay in theirs.
    """
    order = None
    if len(codes) and (np.diff(codes) < 0).any():
        order = np.argsort(codes, kind="stable")
        codes = codes[order]
    changes = np.flatnonzero(np.diff(codes)) + 1
    bounds = [0, *changes.tolist(), len(codes)]
    return order, list(pairwise(bounds))
