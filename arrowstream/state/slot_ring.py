"""Which slot the key of a number has: the first ones their own, and once keys are evicted the slots of these."""

from __future__ import annotations

from arrowstream.state.arrays import Array


class SlotRing:
    """Keys are numbered as they come; with a limited number of slots, a new key gets the slot of the oldest one.

    Parameters
    ----------
    size
        The slots there are; None for as many as keys.

    Attributes
    ----------
    oldest
        The number of the oldest key that is held; those before were evicted.
    stop
        The number that the next key gets.
    """

    __slots__ = ("oldest", "size", "stop")

    def __init__(self, size: int | None) -> None:
        self.size = size
        self.oldest = 0
        self.stop = 0

    def __len__(self) -> int:
        """The keys now held."""
        return self.stop - self.oldest

    def missing(self, count: int) -> int:
        """Slots missing for `count` new keys."""
        return 0 if self.size is None else max(0, len(self) + count - self.size)

    def most(self, count: int) -> int:
        """`count`, capped at the ring's size."""
        return count if self.size is None else min(count, self.size)

    def slots(self, numbers: Array) -> Array:
        """The slots of keys by their numbers."""
        # Before the first eviction they are the same, and dividing takes longer than all else here.
        return numbers if self.size is None or not self.oldest else numbers % self.size

    def numbers(self, slots: Array) -> Array:
        """The numbers of the keys that have these slots now."""
        if self.size is None or not self.oldest:
            return slots
        last = self.stop - 1
        return last - (last - slots) % self.size
