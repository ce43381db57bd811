"""The cheapest path of a batch through stages whose backends compute in different memories.

A path names a backend for each stage. It costs what the stages cost, each for the share of rows that reaches it, and
a transfer wherever two neighbours compute in different memories. The best path is found from the last stage to the
first, by dynamic programming: all that a stage needs to know of those after it is the best continuation from each
memory. These are pure functions, and every cost is a line over rows, so that a path's cost is one too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from math import inf
from typing import NamedTuple, Protocol

Memory = str | None
"""Where rows lie: the name of a device's form, or None for host memory, whose forms cost nothing to pass on."""

Held = frozenset[Memory]
"""The memories that hold a batch; one that was just converted is in several."""

HOST: Held = frozenset([None])
"""A batch that is in host memory only."""


class LinearCost(Protocol):
    """A line over rows: microseconds a batch, and microseconds a row."""

    @property
    def fixed(self) -> float: ...

    @property
    def slope(self) -> float: ...


class Leg(NamedTuple):
    """One stage, as paths see it.

    Parameters
    ----------
    costs
        The cost of each backend that can run it, without transfers.
    memories
        The memory in which each of these backends computes.
    least_rows
        Smallest batch in rows that a backend gets; where none is left for a batch, all are.
    upload, download
        The cost of taking the rows that come in from host memory to each device, and back.
    kept
        Number of rows that come out for each that comes in.
    """

    costs: Mapping[str, LinearCost]
    memories: Mapping[str, Memory]
    least_rows: Mapping[str, int]
    upload: Mapping[str, LinearCost]
    download: Mapping[str, LinearCost]
    kept: float = 1.0

    def eligible(self, rows: float) -> Sequence[str]:
        """Return the backends that may get a batch of `rows` rows."""
        least = self.least_rows
        return [name for name in self.costs if rows >= least.get(name, 0)] or list(self.costs)


class Path(NamedTuple):
    """A backend for each of several stages, and what they and the transfers cost for a batch that enters the first.

    Parameters
    ----------
    fixed, slope
        Microseconds a batch, and microseconds a row of those that enter.
    backend
        The first stage's backend; empty at the end of a path.
    rest
        The path of the stages after it.
    """

    fixed: float
    slope: float
    backend: str = ""
    rest: Path | None = None

    def predict(self, rows: float) -> float:
        """Return the expected time of a batch of `rows` rows, in microseconds."""
        return self.fixed + self.slope * rows

    @property
    def backends(self) -> tuple[str, ...]:
        """The backend of each stage."""
        found, path = [], self
        while path.rest is not None:
            found.append(path.backend)
            path = path.rest
        return tuple(found)


def paths(
    legs: Sequence[Leg], end: Mapping[str, LinearCost], rows: float, held: Held = HOST
) -> dict[str, Path]:
    """Return the cheapest path that begins with each backend of the first stage.

    Parameters
    ----------
    legs
        The stages, at least one.
    end
        The cost of bringing the last stage's rows back from each device.
    rows
        Rows of the batch; each later stage is entered by the share that the stages before it keep.
    held
        The memories that hold the batch.

    Returns
    -------
    dict of str to Path
        By backend, in the order of the first stage's. Of equal continuations the one whose backend comes first wins.
    """
    entering = [rows]
    for leg in legs[:-1]:
        entering.append(entering[-1] * leg.kept)
    rest: dict[Memory, Path] = {None: Path(0.0, 0.0)}
    for form, cost in end.items():
        rest[form] = Path(cost.fixed, cost.slope)
    for number in range(len(legs) - 1, 0, -1):
        rest = _continuations(legs[number], entering[number], set(legs[number - 1].memories.values()), rest)
    found = _staying(legs[0], rows, rest)
    for name, path in found.items():
        fixed, slope = _transfer(legs[0], rows, held, legs[0].memories[name])
        found[name] = Path(path.fixed + fixed, path.slope + slope, name, path.rest)
    return found


def cheapest(legs: Sequence[Leg], end: Mapping[str, LinearCost], rows: float, held: Held = HOST) -> Path:
    """Return the cheapest of all `paths`; of equal ones, the first."""
    return min(paths(legs, end, rows, held).values(), key=lambda path: path.fixed + path.slope * rows)


def _staying(leg: Leg, rows: float, rest: Mapping[Memory, Path]) -> dict[str, Path]:
    """Return the path of each backend of a stage, for rows that are where it computes."""
    found, kept, costs, memories = {}, leg.kept, leg.costs, leg.memories
    for name in leg.eligible(rows):
        cost, after = costs[name], rest[memories[name]]
        found[name] = Path(cost.fixed + after.fixed, cost.slope + kept * after.slope, name, after)
    return found


def _continuations(
    leg: Leg, rows: float, froms: Collection[Memory], rest: Mapping[Memory, Path]
) -> dict[Memory, Path]:
    """Return the cheapest path through a stage from each of several memories."""
    # A transfer depends on the memory alone, so that only the cheapest backend of each one can be on a best path.
    inside: dict[Memory, tuple[float, Path]] = {}
    for name, path in _staying(leg, rows, rest).items():
        memory, micros = leg.memories[name], path.fixed + path.slope * rows
        if memory not in inside or micros < inside[memory][0]:
            inside[memory] = (micros, path)
    best: dict[Memory, Path] = {}
    for begin in froms:
        least = inf
        for memory, (micros, path) in inside.items():
            if memory != begin:
                fixed, slope = _transfer(leg, rows, frozenset([begin]), memory)
                micros += fixed + slope * rows
            if micros < least:
                least = micros
                best[begin] = (
                    path
                    if memory == begin
                    else Path(path.fixed + fixed, path.slope + slope, path.backend, path.rest)
                )
    return best


def _transfer(leg: Leg, rows: float, held: Held, memory: Memory) -> tuple[float, float]:
    """Return the cost of bringing rows into a memory: nothing if it holds them; between devices, through the host."""
    if memory in held:
        return 0.0, 0.0
    fixed = slope = 0.0
    if None not in held:
        downloads = (leg.download[form] for form in held if form is not None)
        cost = min(downloads, key=lambda cost: cost.fixed + cost.slope * rows)
        fixed, slope = cost.fixed, cost.slope
    if memory is not None:
        cost = leg.upload[memory]
        fixed, slope = fixed + cost.fixed, slope + cost.slope
    return fixed, slope
