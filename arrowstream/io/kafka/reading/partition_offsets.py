"""How far a reader has come in each partition, and how far there is to go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from arrowstream.io.kafka.partition_name import Partition


@dataclass(slots=True)
class PartitionOffsets:
    """Offsets by partition: handed out, acknowledged, and where the stream ends.

    Attributes
    ----------
    next : dict
        Next offset to hand out, of every partition that the reader has ever owned.
    owned : frozenset
        Partitions that the reader owns now.
    ends : dict
        Offset at which a partition ends, for a reader that stops at the end.
    acknowledged : dict
        Offset up to which rows have reached the sinks, of every partition that the reader has ever owned.
    begun : bool
        True once the reader has owned partitions, or has been given none.
    rebalances : int
        Number of times that the partitions changed owners, after the first time.
    rows_given_away : int
        Offsets of partitions that went to another member before they were acknowledged, which may read them again.
    """

    next: dict[Partition, int] = field(default_factory=dict)
    owned: frozenset[Partition] = frozenset()
    ends: dict[Partition, int] = field(default_factory=dict)
    acknowledged: dict[Partition, int] = field(default_factory=dict)
    rebalances: int = 0
    rows_given_away: int = 0
    begun: bool = False

    def begin(self, starts: Mapping[Partition, int], ends: Mapping[Partition, int]) -> None:
        """Own exactly the partitions of `starts`, and read from these offsets on.

        Parameters
        ----------
        starts
            Next offset of each partition.
        ends
            Where partitions end; those that already have an end keep it.
        """
        lost = self.owned - starts.keys()
        self.rows_given_away += sum(self.next[each] - self.acknowledged.get(each, 0) for each in lost)
        self.rebalances += self.begun
        self.begun = True
        self.owned = frozenset(starts)
        for partition, offset in starts.items():
            if offset != self.next.get(partition):
                self.next[partition] = self.acknowledged[partition] = offset
        self.ends = {**ends, **self.ends}

    def advance(self, partition: Partition, offset: int) -> bool:
        """Note that the rows before `offset` were handed out; return True if the partition has just ended."""
        before, self.next[partition] = self.next[partition], offset
        end = self.ends.get(partition)
        return end is not None and before < end <= offset

    def unacknowledged(self, offsets: Mapping[Partition, int]) -> dict[Partition, int]:
        """Return which of these offsets are after what was acknowledged, in owned partitions."""
        return {
            partition: offset
            for partition, offset in offsets.items()
            if partition in self.owned and offset > self.acknowledged[partition]
        }

    @property
    def unfinished(self) -> frozenset[Partition]:
        """The owned partitions that have not ended."""
        return frozenset(each for each in self.owned if not self.is_over(each))

    def is_over(self, partition: Partition) -> bool:
        """Return True if all rows of a partition up to its end were handed out."""
        end = self.ends.get(partition)
        return end is not None and self.next[partition] >= end

    @property
    def offsets(self) -> dict[Partition, int]:
        """Next offset of each partition that the reader owns."""
        return {partition: self.next[partition] for partition in sorted(self.owned)}

    def lag(self, ends: Mapping[Partition, int]) -> dict[Partition, int]:
        """Return how many offsets before its end each owned partition is, if its end is known.

        Parameters
        ----------
        ends
            Offset after the last record of partitions, as a server last reported it.
        """
        return {each: max(0, ends[each] - self.next[each]) for each in sorted(self.owned) if each in ends}

    def keep(
        self, partitions: Iterable[Partition], committed: Mapping[Partition, int]
    ) -> dict[Partition, int]:
        """Return where to read on in partitions that the reader has owned before: after its rows and those of others.

        Parameters
        ----------
        partitions
            Partitions that the reader owns again.
        committed
            What members of the group have committed.
        """
        return {
            each: max(self.next[each], committed.get(each, 0)) for each in partitions if each in self.next
        }
