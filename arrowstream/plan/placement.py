"""Which backend runs a batch: the cheapest by fitted costs, without flapping, with a look at the other.

Batches of one stream may differ much in size, so the choice is kept for each power of two of rows: small
batches can stay with one backend and large ones with another at the same time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from arrowstream.plan.costs import LineCost

START_COSTS: Mapping[str, tuple[float, float]] = {"arrow": (20.0, 0.0055), "polars": (170.0, 0.0022)}
"""Costs before any sample: two operations over two numeric columns on two cores (us, us per row)."""

PROBE_EVERY = 50
"""Every so-manieth batch goes to the second-best backend, so that its cost stays known: 2 %."""

PROBE_WITHIN = 4.0
"""... unless it is expected to take more than so many times the best."""

GAIN = 1.2
"""A backend takes over only if the present one is expected to cost so many times as much, ..."""

STREAK = 5
"""... for so many batches in a row, ..."""

REST = 50
"""... and not before so many batches have passed since the last change."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A backend for one batch, what it is expected to take (us), and why it was chosen."""

    backend: str
    predicted_us: float
    reason: str


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the choice for batches of one size stands.

    Parameters
    ----------
    winner
        The backend in use.
    streak
        For how many batches in a row another one has been expected to be clearly cheaper.
    rest
        Batches to go before the winner may change again.
    """

    winner: str
    streak: int = 0
    rest: int = 0


def choose(
    rows: int, costs: Mapping[str, LineCost], standing: Standing | None, *, probe: bool
) -> tuple[Choice, Standing]:
    """The backend for a batch of `rows` rows, and the standing after it. A pure function.

    Parameters
    ----------
    costs
        The fitted costs of every backend that can run the segment; at least two.
    standing
        The standing for batches of this size, or None for the first.
    probe
        Whether it is time to look at the second-best.
    """
    expected = {name: cost.predict(rows) for name, cost in costs.items()}
    best = min(expected, key=expected.__getitem__)
    if standing is None:
        standing = Standing(best)
    winner, streak, rest = standing.winner, standing.streak, max(standing.rest - 1, 0)
    streak = streak + 1 if expected[winner] > GAIN * expected[best] else 0
    if streak >= STREAK and rest == 0:
        winner, streak, rest = best, 0, REST
    if probe:
        other = min((name for name in expected if name != winner), key=expected.__getitem__)
        if expected[other] <= PROBE_WITHIN * expected[winner]:
            return Choice(other, expected[other], "probe"), Standing(winner, streak, rest)
    return Choice(winner, expected[winner], "cheapest"), Standing(winner, streak, rest)


class Placement:
    """The choice for one segment, with what it has learnt.

    Parameters
    ----------
    available
        Names of the backends that can run the segment.
    refused
        Why the others cannot.
    pin
        The backend the user asked for, or ``"auto"``.
    """

    __slots__ = ("_batches", "_costs", "_only", "_reason", "_standings")

    def __init__(self, available: Sequence[str], refused: Mapping[str, str], pin: str = "auto") -> None:
        self._costs = {name: LineCost(*START_COSTS.get(name, START_COSTS["polars"])) for name in available}
        self._standings: dict[int, Standing] = {}
        self._batches = 0
        self._only = pin if pin != "auto" else available[0] if len(available) == 1 else None
        if pin != "auto":
            self._reason = f"pinned: {pin}"
        elif self._only is not None:
            because = "; ".join(f"{name} refused: {why}" for name, why in refused.items())
            self._reason = f"{self._only} only" + (f" ({because})" if because else "")
        else:
            self._reason = ""

    def choose(self, rows: int) -> Choice:
        """The backend for a batch of `rows` rows."""
        if self._only is not None:
            return Choice(self._only, self._costs[self._only].predict(rows), self._reason)
        self._batches += 1
        size = rows.bit_length()
        probe = self._batches % PROBE_EVERY == 0
        choice, self._standings[size] = choose(rows, self._costs, self._standings.get(size), probe=probe)
        return choice

    def observe(self, backend: str, rows: int, seconds: float) -> None:
        """Learn what a batch took."""
        self._costs[backend].observe(rows, seconds * 1e6)

    def explain(self) -> str:
        """The backend and the reason; once there are measurements, the fitted costs."""
        lines = [f"backend: {self._reason or self._crossover()}"]
        if any(cost.samples for cost in self._costs.values()):
            measured = [
                f"{name} {cost} ({cost.samples:,} batches)" for name, cost in self._costs.items() if cost.samples
            ]
            lines.append(f"costs: {', '.join(measured)}")
        return "\n".join(lines)

    def _crossover(self) -> str:
        """Where the two cheapest lines cross, in words."""
        by_fixed = sorted(self._costs, key=lambda name: self._costs[name].fixed)
        small, large = by_fixed[0], min(self._costs, key=lambda name: self._costs[name].slope)
        first, second = self._costs[small], self._costs[large]
        if small == large or first.slope <= second.slope:
            return f"auto: {small} at every size"
        rows = (second.fixed - first.fixed) / (first.slope - second.slope)
        digits = max(len(str(int(rows))) - 2, 0)
        return f"auto: {small} below ~{round(rows, -digits):,.0f} rows, {large} above"
