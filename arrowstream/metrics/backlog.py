"""What a source has not read yet, for metrics."""

from __future__ import annotations

from collections.abc import Mapping


class Backlog:
    """Base of readers: what is left to read, as far as a source knows. May be asked from any thread."""

    __slots__ = ()

    @property
    def lag(self) -> Mapping[str, int]:
        """Number of offsets from the next row to the end of each partition that is read; empty if unknown."""
        return {}

    @property
    def rebalances(self) -> int:
        """Number of times that a group has given out its partitions again."""
        return 0
