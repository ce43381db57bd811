"""The choice of the backend for a batch: the cheapest by fitted costs, with hysteresis and probes of the second-best.

Batches of one stream may differ much in size, so the choice is kept for each power of two of rows: small
batches can stay with one backend and large ones with another at the same time. The choice is deterministic:
the same batches with the same timings are placed the same way.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from math import inf
from typing import NamedTuple, Protocol

from arrowstream.plan.placement.costs import WARM_UP, LineCost, measure


@dataclass(frozen=True, slots=True)
class PlacementTuning:
    """The constants of the choice.

    Parameters
    ----------
    probe_every
        Batches before the second-best backend is probed again; with 4 batches a probe, 2 % of all batches are probes.
    probe_at_most_every
        Batches before a backend that is not `close` is probed again, at most: each probe doubles them up to this
        number. Such a probe costs several batches' time, and the best one, once dearer, loses its place without it.
    probe_batches
        Batches of one probe in a row. The first one after another backend's does not count: the backend's memory was
        freed and has left the caches, so that it can take twice as long.
    probe_within
        Largest expected cost of a probe, as a multiple of the best.
    first_probe_after
        Batches before the first probe at a size. It comes early, since start costs and lines fitted at other sizes
        may be far off.
    first_probe_within
        Largest expected cost of the first probe at a size, as a multiple of the best.
    close
        Largest expected cost of a backend, as a multiple of the best, at which either may well be the cheaper one.
    close_probe_after
        Batches before the first probe of a close backend, which goes on until the backend is measured: single probes
        would show the cheaper one after more than 50 batches.
    tolerance
        Largest expected cost of the present backend, as a multiple of the best, at which it stays.
    gain
        Largest gain that one batch adds to the sum of gains, as a share of a batch.
    enough
        Sum of gains, in batches, at which the best backend takes over: after 5 batches in a row for a large gain,
        after more for a smaller one.
    rest
        Smallest number of batches between two changes.
    alike
        Batches of one number of rows that are placed by one choice, and measured by the first of them, while nothing
        speaks for another backend. Between large batches little of the choice is left in the processor's caches: it
        takes 10 us then, ten times as long as in a row.
    few_rows
        Largest batch, in rows, at which nothing is probed while a batch is expected to take less than `few_us`
        microseconds: a probe takes ten times as long, and the records after it wait.
    most_rows
        Largest batch, in rows, that `explain()` reports on.
    """

    probe_every: int = 196
    probe_at_most_every: int = 1_568
    probe_batches: int = 4
    probe_within: float = 4.0
    first_probe_after: int = 16
    first_probe_within: float = 10.0
    close: float = 1.75
    close_probe_after: int = 6
    tolerance: float = 1.05
    gain: float = 0.2
    enough: float = 0.999
    rest: int = 50
    alike: int = 4
    few_rows: int = 64
    few_us: float = 100.0
    most_rows: float = 1e9


TUNING = PlacementTuning()


class Choice(NamedTuple):
    """The backend for one batch, the expected time in microseconds, and the reason for the choice.

    The measured time `counts` only if no other backend ran directly before. A choice is made for every batch, like a
    `Standing`, hence a named tuple: a frozen dataclass costs twice as much.
    """

    backend: str
    predicted_us: float
    reason: str
    counts: bool = True


class Standing(NamedTuple):
    """The state of the choice for batches of one size.

    Parameters
    ----------
    winner
        The backend in use.
    lost
        Sum of gains, in batches, that a clearly cheaper backend would have brought.
    rest
        Batches left before the winner may change again.
    unprobed
        Batches since the last probe of the second-best; during a probe, minus the number of its batches left.
    tried
        True once the second-best has been measured at this size.
    gap
        Batches before the second-best is probed again, unless it is close.
    """

    winner: str
    lost: float = 0.0
    rest: int = 0
    unprobed: int = 0
    tried: bool = False
    gap: int = TUNING.probe_every


class Weighed(Protocol):
    """The cost of one of several ways: microseconds a batch, microseconds a row, and the number of its samples."""

    @property
    def fixed(self) -> float: ...

    @property
    def slope(self) -> float: ...

    @property
    def samples(self) -> int: ...

    def predict(self, rows: int) -> float: ...


def choose(rows: int, costs: Mapping[str, Weighed], standing: Standing | None) -> tuple[Choice, Standing]:
    """Return the backend for a batch of `rows` rows, and the standing after it. A pure function.

    Parameters
    ----------
    rows
        The number of rows of the batch.
    costs
        The fitted costs of every backend that can run the segment; at least two.
    standing
        The standing for batches of this size, or None for the first.
    """
    if standing is None:
        standing = Standing(min(costs, key=lambda name: costs[name].predict(rows)), unprobed=1)
    tuning = TUNING
    winner, lost, rest, unprobed, tried, gap = standing
    present = rival = costs[winner]
    second, rival_us = winner, inf
    for name, cost in costs.items():
        if cost is not present and (expected := cost.fixed + cost.slope * rows) < rival_us:
            second, rival, rival_us = name, cost, expected
    present_us = present.fixed + present.slope * rows
    lost = (
        lost + min(1.0 - rival_us / present_us, tuning.gain)
        if present_us > tuning.tolerance * rival_us
        else 0.0
    )
    rest = rest - 1 if rest else 0
    if unprobed < 0:
        return Choice(second, rival_us, "probe"), Standing(winner, lost, rest, unprobed + 1, tried, gap)
    enough = lost >= tuning.enough
    if enough and tried and not rest:
        return Choice(second, rival_us, "cheapest", False), Standing(second, 0.0, tuning.rest, 1, tried)
    far = rival_us > tuning.close * present_us
    due = unprobed >= (gap if far else tuning.probe_every)
    if tried and due and rival_us <= tuning.probe_within * present_us:
        gap = min(2 * gap, tuning.probe_at_most_every) if far else tuning.probe_every
        return Choice(second, rival_us, "probe", False), Standing(
            winner, lost, rest, 1 - tuning.probe_batches, tried, gap
        )
    # A backend that has not been measured at this size gets one probe before it can take over.
    if not tried and rival_us <= tuning.first_probe_within * present_us:
        close = rival_us <= tuning.close * present_us
        first_after = tuning.close_probe_after if close else tuning.first_probe_after
        if enough or unprobed >= first_after:
            choice = Choice(second, rival_us, "probe")
            # The batch is a measurement unless it warms the backend up. A measurement that shows a cheaper backend
            # is enough for it to take over: so far the choice rested on assumed costs.
            if rival.samples >= WARM_UP:
                return choice, Standing(winner, tuning.enough, rest, 0, True)
            return choice, Standing(winner, lost, rest, first_after if close else 0, False)
    choice = Choice(winner, present_us, "cheapest", unprobed > 0)
    return choice, Standing(winner, lost, rest, unprobed + 1, tried, gap)


class Placement:
    """The choice for one segment, with the costs learnt so far.

    Parameters
    ----------
    available
        The backends that can run the segment, by name, each with its assumed cost before any is measured:
        microseconds a batch, and microseconds a row.
    refused
        The other backends, by name, each with the reason.
    pin
        The backend the user asked for, or ``"auto"``.
    devices
        Of the refused backends those with a memory of their own, which are asked for where they are there, by name.

    Examples
    --------
    >>> placement = Placement({"arrow": (20.0, 0.0055), "polars": (170.0, 0.0022)}, {})
    >>> placement.choose(100).backend, placement.choose(1_000_000).backend
    ('arrow', 'polars')
    >>> placement.explain()
    'backend: auto: arrow below ~45,000 rows, polars above'
    """

    __slots__ = (
        "_again",
        "_again_rows",
        "_costs",
        "_devices",
        "_for_few",
        "_left",
        "_only",
        "_reason",
        "_repeated",
        "_standings",
    )

    def __init__(
        self,
        available: Mapping[str, tuple[float, float]],
        refused: Mapping[str, str],
        pin: str = "auto",
        devices: Collection[str] = (),
    ) -> None:
        self._costs = {name: LineCost(*cost) for name, cost in available.items()}
        self._standings: dict[int, Standing] = {}
        self._again: Choice | None = None
        """The choice for the next batches of `_again_rows` rows, as many as are `_left`."""
        self._again_rows = self._left = self._repeated = 0
        # The backend for few rows as long as no batch of their size has taken long.
        self._for_few = min(available, key=lambda name: available[name][0])
        self._only = pin if pin != "auto" else next(iter(available)) if len(available) == 1 else None
        self._devices = tuple(f"{name}: not used: {refused[name]}" for name in devices)
        if pin != "auto":
            self._reason = f"pinned: {pin}"
        elif self._only is not None:
            because = "; ".join(f"{name} refused ({why})" for name, why in refused.items())
            self._reason = f"{self._only} only" + (f": {because}" if because else "")
        else:
            self._reason = ""

    def choose(self, rows: int) -> Choice:
        """Choose the backend for a batch of `rows` rows."""
        if self._again is not None and rows == self._again_rows and self._left:
            self._left -= 1
            self._repeated += 1
            return self._again
        if self._only is not None:
            return Choice(self._only, self._costs[self._only].predict(rows), self._reason)
        size, standings = rows.bit_length(), self._standings
        if self._repeated:
            self._count_repeated()
        if rows <= TUNING.few_rows and size not in standings:
            cost = self._costs[self._for_few]
            if (expected := cost.fixed + cost.slope * rows) < TUNING.few_us:
                return Choice(self._for_few, expected, "cheapest")
            standings[size] = Standing(self._for_few, unprobed=1)
        choice, standings[size] = choose(rows, self._costs, standings.get(size))
        self._repeat(choice, rows, standings[size])
        return choice

    def _repeat(self, choice: Choice, rows: int, standing: Standing) -> None:
        """Let the next batches of as many rows have the same choice if it is settled, up to the next probe."""
        _, lost, rest, unprobed, tried, gap = standing
        self._left = 0
        if tried and not lost and not rest and choice.counts and choice.reason == "cheapest":
            before_probe = (gap if unprobed >= TUNING.probe_every else TUNING.probe_every) - unprobed
            # One that was due, and did not come, would cost too much.
            self._left = TUNING.alike - 1 if before_probe < 0 else min(TUNING.alike - 1, before_probe)
            self._again, self._again_rows = (
                Choice(choice.backend, choice.predicted_us, choice.reason, False),
                rows,
            )

    def _count_repeated(self) -> None:
        """Count the batches that had the choice of the one before them."""
        size = self._again_rows.bit_length()
        standing = self._standings[size]
        self._standings[size] = standing._replace(unprobed=standing.unprobed + self._repeated)
        self._repeated = 0

    def observe(self, choice: Choice, rows: int, seconds: float) -> None:
        """Learn the seconds that the batch of `choice` took."""
        if not choice.counts:
            return
        cost = self._costs[choice.backend]
        if cost.samples == WARM_UP:
            measure(cost, rows, seconds * 1e6, self._costs.values())
        else:
            cost.observe(rows, seconds * 1e6)

    def explain(self) -> str:
        """Return the backend and the reason; after the first measurement also the fitted costs."""
        about = [] if self._reason else self._devices
        lines = [f"backend: {self._reason or self._crossovers()}", *about]
        if costs := fitted(self.measured.items()):
            lines.append(f"costs: {costs}")
        return "\n".join(lines)

    @property
    def reason(self) -> str:
        """The backend and the reason for it: pinned, the only one, or the cheapest for each range of rows."""
        return self._reason or "; ".join([self._crossovers(), *self._devices])

    @property
    def measured(self) -> dict[str, LineCost]:
        """The cost of each backend that has run a batch."""
        return {name: cost for name, cost in self._costs.items() if cost.samples}

    def _crossovers(self) -> str:
        """Return the cheapest backend for each range of rows, in words: the lower envelope of the lines."""
        costs = self._costs
        name = min(costs, key=lambda name: costs[name].predict(1))
        ranges: list[str] = []
        while meetings := {
            rows: other
            for other in costs
            if costs[other].slope < costs[name].slope
            and (rows := _meeting(costs[name], costs[other])) <= TUNING.most_rows
        }:
            ranges.append(f"{name} below ~{min(meetings):,.0f} rows")
            name = meetings[min(meetings)]
        return f"auto: {', '.join(ranges)}, {name} above" if ranges else f"auto: {name} at every size"


def fitted(costs: Iterable[tuple[str, LineCost]]) -> str:
    """Return the costs that have samples, in words."""
    return ", ".join(f"{name} {cost} ({cost.samples:,} batches)" for name, cost in costs if cost.samples)


def _meeting(first: LineCost, flatter: LineCost) -> float:
    """Return the number of rows above which the flatter of two lines is the lower one, to two digits."""
    rows = (flatter.fixed - first.fixed) / (first.slope - flatter.slope)
    return round(rows, 2 - len(str(int(rows))))
