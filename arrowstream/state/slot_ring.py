"""The slots of numbered keys; new keys take over the slots of evicted ones."""

from __future__ import annotations

from arrowstream.state.arrays import Array


class SlotRing:
    """A map from key numbers to slots.

    Keys are numbered as they come; in a full ring, a new key takes the slot of the oldest one.

    Parameters
    ----------
    size
        The number of slots; None for no limit.

    Attributes
    ----------
    oldest
        The number of the oldest key held; earlier keys were evicted.
    stop
        The number that the next key gets.
    """

    __slots__ = ("oldest", "size", "stop")

    def __init__(self, size: int | None) -> None:
        self.size = size
        self.oldest = 0
        self.stop = 0

    def __len__(self) -> int:
        """Return the number of keys held."""
        return self.stop - self.oldest

    def missing(self, count: int) -> int:
        """Return the number of slots missing for `count` new keys."""
        return 0 if self.size is None else max(0, len(self) + count - self.size)

    def most(self, count: int) -> int:
        """Return `count`, capped at the ring's size."""
        return count if self.size is None else min(count, self.size)

    def slots(self, numbers: Array) -> Array:
        """Return the slots of key numbers, int64."""
        # Before the first eviction they are equal, and the division would take most of the time.
        return numbers if self.size is None or not self.oldest else numbers % self.size

    def numbers(self, slots: Array) -> Array:
        """Return the numbers of the keys that have these slots now, int64."""
        if self.size is None or not self.oldest:
            return slots
        last = self.stop - 1
        return last - (last - slots) % self.size
