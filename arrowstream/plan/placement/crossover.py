"""From how many rows a batch a device pays, and where rows stay on it: in words, for `explain()`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from arrowstream.plan.placement.choice import TUNING
from arrowstream.plan.placement.path import Leg, LinearCost, Path, cheapest

_LARGE = 1_000_000
"""Rows of the batch for which the costs of a device that never pays are compared."""

_CLOSE = 1.005
"""Largest ratio of two numbers of rows between which the place where a device begins to pay is not looked for."""


def about_devices(
    legs: Sequence[Leg], end: Mapping[str, LinearCost], number: int, names: Sequence[str]
) -> Iterator[str]:
    """Say of each device of a stage from how many rows it pays, and which stages its rows then stay on it.

    Parameters
    ----------
    legs, end
        The stages that devices can run, and the downloads after the last one; see `path.paths`.
    number
        The stage.
    names
        The names of all stages.
    """
    leg = legs[number]
    for backend, memory in leg.memories.items():
        if memory is None:
            continue
        found = pays_between(legs, end, number, backend)
        if found is None:
            yield f"{backend}: never pays: {_comparison(legs, end, number, backend)}"
            continue
        least, most = found
        first, last = _stay(legs, cheapest(legs, end, least), number)
        if len(leg.costs) > 1:
            to = "" if most is None else f" to ~{_two_digits(most):,}"
            where = f" before {names[0]}" if number else ""
            how = "upload included" if first == number else "the rows are there already"
            yield f"{backend}: pays from ~{_two_digits(least):,}{to} rows a batch{where} ({how})"
        if first < last:
            between = "and" if first + 1 == last else "to"
            yield f"{names[first]} {between} {names[last]} stay on {memory}: one upload, one download"


def pays_between(
    legs: Sequence[Leg], end: Mapping[str, LinearCost], number: int, backend: str
) -> tuple[float, float | None] | None:
    """Return the rows between which the cheapest path of a batch in host memory has a backend for a stage.

    Parameters
    ----------
    legs, end, number
        See `about_devices`. The rows are those of the batch before the first stage.
    backend
        The backend.

    Returns
    -------
    tuple of (float, float or None), or None
        The fewest and the most rows, where the most is None if there is no end; None if the backend is on no cheapest
        path of a batch of up to `PlacementTuning.most_rows` rows.
    """

    def pays(rows: float) -> bool:
        return cheapest(legs, end, rows).backends[number] == backend

    least = _first(pays, 0.0)
    return None if least is None else (least, _first(lambda rows: not pays(rows), least))


def _first(holds: Callable[[float], bool], above: float) -> float | None:
    """Return the first number of rows for which something holds, of those above another; None if there is none."""
    below, rows = above, max(2 * above, 1.0)
    while not holds(rows):
        below, rows = rows, 2 * rows
        if below >= TUNING.most_rows:
            return None
    while below and rows > _CLOSE * below:
        middle = (below + rows) / 2
        below, rows = (below, middle) if holds(middle) else (middle, rows)
    return rows


def _comparison(legs: Sequence[Leg], end: Mapping[str, LinearCost], number: int, backend: str) -> str:
    """Return the cost of the best path with a backend, and that of the best one without it."""
    best = cheapest(legs, end, _LARGE)
    only = {backend: legs[number].costs[backend]}
    forced = cheapest([*legs[:number], legs[number]._replace(costs=only), *legs[number + 1 :]], end, _LARGE)
    return f"{_line(forced)} with its transfers, {_line(best)} without"


def _line(path: Path) -> str:
    return f"{path.fixed:.0f} us + {path.slope * 1000:.1f} ns/row"


def _stay(legs: Sequence[Leg], path: Path, number: int) -> tuple[int, int]:
    """Return the first and the last stage of those around a stage that compute in the same memory."""
    memories = [leg.memories[name] for leg, name in zip(legs, path.backends, strict=True)]
    first = last = number
    while first and memories[first - 1] == memories[number]:
        first -= 1
    while last + 1 < len(memories) and memories[last + 1] == memories[number]:
        last += 1
    return first, last


def _two_digits(rows: float) -> int:
    return int(round(rows, 2 - len(str(int(rows)))))
