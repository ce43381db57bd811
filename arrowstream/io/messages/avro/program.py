"""Programs that read datums: how they are made, and the values that they have read."""

from __future__ import annotations

from dataclasses import dataclass, field

from arrowstream.io.messages.wire.byte_ranges import Bytes, Int64s

Instruction = list[int]


class BadDatum(Exception):
    """A datum that cannot be read.

    Parameters
    ----------
    index
        Its place among those that are read together.
    found
        What is wrong with it.
    """

    def __init__(self, index: int, found: str) -> None:
        super().__init__(found)
        self.index = index


@dataclass(slots=True)
class AvroProgram:
    """Program of a schema while it is made.

    Attributes
    ----------
    steps, fills
        As `read_datums` takes them.
    slots, loops
        Number of slots and loops.
    level
        Slots of the row or item that is being described: each gets a value for each of them.
    """

    steps: list[Instruction] = field(default_factory=list)
    fills: list[int] = field(default_factory=list)
    slots: int = 0
    loops: int = 0
    level: list[int] = field(default_factory=list)

    def slot(self, count: int = 1) -> int:
        """Return the first of some new slots."""
        first = self.slots
        self.slots += count
        self.level += range(first, self.slots)
        return first

    def add(self, code: int, slot: int, *arguments: int) -> None:
        """Append a step."""
        self.steps.append([code, slot, *arguments, *([0] * (3 - len(arguments)))])


@dataclass(frozen=True, slots=True)
class ReadSlots:
    """The values that a program has read.

    Parameters
    ----------
    data
        Buffer of the datums.
    out, bases, counts
        As in `read_datums`.
    """

    data: Bytes
    out: Int64s
    bases: Int64s
    counts: Int64s

    def of(self, slot: int) -> Int64s:
        """Return the values of a slot."""
        first = self.bases[slot]
        return self.out[first : first + self.counts[slot]]
