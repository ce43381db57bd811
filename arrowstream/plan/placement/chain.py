"""Neighbouring stages that devices can run, as the paths of batches see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from arrowstream.plan.placement.costs import LineCost
from arrowstream.plan.placement.path import Cost, Leg
from arrowstream.plan.placement.transfer import Edge

AHEAD = 8
"""Number of stages, from the one that chooses on, that a path is followed through."""

MOVED = 0.1
"""Change of an expected time, as a share of it, from which paths are found again."""


class Link(Protocol):
    """A stage of a chain: its name, the edges before and after it, and its part of a path."""

    name: str
    entrance: Edge
    exit: Edge

    def leg(self) -> Leg: ...


class Chain:
    """Stages in a row that devices can run; before the first and after the last one, rows are in host memory.

    Parameters
    ----------
    links
        The stages, in order.
    """

    __slots__ = ("_used", "edges", "legs", "links", "moves")

    def __init__(self, links: Sequence[Link]) -> None:
        self.links = tuple(links)
        self.edges = (*(link.entrance for link in links), links[-1].exit)
        for edge in self.edges:
            edge.share(self.edges[0])
        self.moves = 0
        """Changes by the number of times that costs have moved; paths found at another number are out of date."""
        self._used: dict[LineCost, tuple[float, float]] = {}
        self.legs: tuple[Leg, ...] = ()
        self.update()

    def update(self) -> None:
        """Take the costs as they are now: paths are found again."""
        self.moves += 1
        self._used.clear()
        self.legs = tuple(link.leg() for link in self.links)

    def changed(self, cost: LineCost, before: tuple[float, float], size: int) -> None:
        """Update if a cost is far from what it was when paths were found.

        Parameters
        ----------
        cost
            The cost.
        before
            Its two coefficients before the last sample.
        size
            Number of rows of that sample, or bytes of a transfer.
        """
        fixed, slope = self._used.setdefault(cost, before)
        then = fixed + slope * size
        if abs(cost.predict(size) - then) > MOVED * then:
            self.update()

    def beginning_at(self, number: int) -> tuple[tuple[Leg, ...], Mapping[str, Cost]]:
        """Return the legs of a path that begins at a stage, and the downloads at its end."""
        end = min(number + AHEAD, len(self.legs))
        return self.legs[number:end], self.edges[end].download
