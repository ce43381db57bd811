"""The cheapest path of a batch through stages whose backends compute in different memories.

A path names a backend for each stage. It costs what the stages cost, each for the share of rows that reaches it, and
a transfer wherever two neighbours compute in different memories. The best path is found from the last stage to the
first, by dynamic programming: all that a stage needs to know of those after it is the best continuation from each
memory. These are pure functions, and every cost is a line over rows, so that a path's cost is one too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

Memory = str | None
"""Where rows lie: the name of a device's form, or None for host memory, whose forms cost nothing to pass on."""

Held = frozenset[Memory]
"""The memories that hold a batch; one that was just converted is in several."""

HOST: Held = frozenset([None])
"""A batch that is in host memory only."""


class Cost(Protocol):
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

    costs: Mapping[str, Cost]
    memories: Mapping[str, Memory]
    least_rows: Mapping[str, int]
    upload: Mapping[str, Cost]
    download: Mapping[str, Cost]
    kept: float = 1.0

    def backends(self, rows: float) -> Iterator[str]:
        """Yield the backends that may get a batch of `rows` rows."""
        allowed = [name for name in self.costs if rows >= self.least_rows.get(name, 0)]
        yield from allowed or self.costs


class Path(NamedTuple):
    """The backends of stages in order, and what they and the transfers cost for a batch that enters the first one.

    Parameters
    ----------
    fixed, slope
        Microseconds a batch, and microseconds a row of those that enter.
    backends
        A backend for each stage.
    """

    fixed: float
    slope: float
    backends: tuple[str, ...]

    def predict(self, rows: float) -> float:
        """Return the expected time of a batch of `rows` rows, in microseconds."""
        return self.fixed + self.slope * rows


def paths(legs: Sequence[Leg], end: Mapping[str, Cost], rows: float, held: Held = HOST) -> dict[str, Path]:
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
    rest: dict[Memory, Path] = {None: Path(0.0, 0.0, ())}
    for form, cost in end.items():
        rest[form] = Path(cost.fixed, cost.slope, ())
    for number in range(len(legs) - 1, 0, -1):
        leg, size = legs[number], entering[number]
        froms = set(legs[number - 1].memories.values())
        rest = {memory: _cheapest(_through(leg, size, frozenset([memory]), rest), size) for memory in froms}
    return _through(legs[0], rows, held, rest)


def cheapest(legs: Sequence[Leg], end: Mapping[str, Cost], rows: float, held: Held = HOST) -> Path:
    """Return the cheapest of all `paths`; of equal ones, the first."""
    return _cheapest(paths(legs, end, rows, held), rows)


def _cheapest(found: Mapping[str, Path], rows: float) -> Path:
    return min(found.values(), key=lambda path: path.fixed + path.slope * rows)


def _through(leg: Leg, rows: float, held: Held, rest: Mapping[Memory, Path]) -> dict[str, Path]:
    """Return the cheapest path of each backend of a stage, given the best continuations."""
    found: dict[str, Path] = {}
    for name in leg.backends(rows):
        memory, cost = leg.memories[name], leg.costs[name]
        after = rest[memory]
        fixed, slope = cost.fixed + after.fixed, cost.slope + leg.kept * after.slope
        if memory not in held:
            for transfer in _transfers(leg, rows, held, memory):
                fixed, slope = fixed + transfer.fixed, slope + transfer.slope
        found[name] = Path(fixed, slope, (name, *after.backends))
    return found


def _transfers(leg: Leg, rows: float, held: Held, memory: Memory) -> Iterator[Cost]:
    """Yield the transfers that bring rows into a memory that lacks them; between devices, by way of the host."""
    if None not in held:
        downloads = (leg.download[form] for form in held if form is not None)
        yield min(downloads, key=lambda cost: cost.fixed + cost.slope * rows)
    if memory is not None:
        yield leg.upload[memory]
