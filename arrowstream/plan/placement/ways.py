"""The ways of a batch from one stage on: the best path through the host, and that through each device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from arrowstream.plan.placement.chain import Link
from arrowstream.plan.placement.choice import TUNING, Choice, Standing, choose
from arrowstream.plan.placement.costs import WARM_UP
from arrowstream.plan.placement.path import HOST, Held, paths

HOST_SIDE = ""
"""The name, among those of device backends, of all backends of the host together."""


class Way(NamedTuple):
    """The cheapest path through one side: through a device's backend, or through the host's.

    Parameters
    ----------
    fixed, slope
        Its cost: microseconds a batch, and microseconds a row.
    samples
        The number of samples of the backend in this stage; of the host's, the least.
    rarest
        The backend with this number.
    """

    fixed: float
    slope: float
    samples: int
    rarest: str

    def predict(self, rows: int) -> float:
        """Return the expected time of a batch of `rows` rows on the whole path, in microseconds."""
        return self.fixed + self.slope * rows


_Key = tuple[Held, int, int]
"""The memories that hold a batch, its number of rows as a power of two, and the number of devices that may get it."""


class Ways:
    """The ways of all batches of a stage, for each size, and from the memories that hold a batch.

    Parameters
    ----------
    link
        The stage.
    """

    __slots__ = ("_found", "_link", "_standings")

    def __init__(self, link: Link) -> None:
        self._link = link
        self._found: dict[_Key, tuple[int, dict[str, Way]]] = {}
        self._standings: dict[_Key, Standing] = {}

    def choose(self, rows: int, held: Held) -> Choice:
        """Choose a side for a batch: a device's backend, or `HOST_SIDE`; on a probe, perhaps one of the host's."""
        key = self._key(rows, held)
        ways = self._known(key, rows)
        if None not in held and (name := self._unmeasured(ways, rows, held)) is not None:
            return Choice(name, 0.0, "probe")
        if len(ways) == 1:
            return Choice(next(iter(ways)), 0.0, "cheapest")
        choice, self._standings[key] = choose(rows, ways, self._standings.get(key))
        way = ways[choice.backend]
        if choice.reason == "probe" and way.samples <= WARM_UP:
            # One of the host's may be the better one, and where a device is in use only probes measure it.
            return choice._replace(backend=way.rarest)
        return choice

    def cheapest(self, rows: int) -> str:
        """Return the side on which a batch in host memory is the cheapest."""
        return _cheapest(self._find(rows, HOST), rows)

    def _key(self, rows: int, held: Held) -> _Key:
        return held, rows.bit_length(), sum(rows >= least for least in self._link.least_rows.values())

    def _known(self, key: _Key, rows: int) -> dict[str, Way]:
        """Return the way on each side for batches like one of `rows` rows, found again if a cost has moved."""
        found, moves = self._found.get(key), self._link.chain.moves
        if found is not None and found[0] == moves:
            return found[1]
        held = key[0]
        ways = self._find(rows, held)
        self._found[key] = (moves, ways)
        if None not in held and key in self._standings:
            # Rows on a device may be those of a probe, which is to measure the cheapest path from there on.
            self._standings[key] = self._standings[key]._replace(winner=_cheapest(ways, rows))
        return ways

    def _find(self, rows: int, held: Held) -> dict[str, Way]:
        link = self._link
        legs, end = link.chain.beginning_at(link.number)
        found = paths(legs, end, rows, held)
        hosts = {name: path for name, path in found.items() if link.memories[name] is None}
        ways = {
            name: Way(path.fixed, path.slope, link.cost(name).samples, name)
            for name, path in found.items()
            if name not in hosts
        }
        if not hosts:
            return ways
        best = min(hosts.values(), key=lambda path: path.predict(rows))
        most = TUNING.first_probe_within * best.predict(rows)
        near = [name for name, path in hosts.items() if path.predict(rows) <= most]
        rarest = min(near, key=lambda name: link.cost(name).samples)
        return {HOST_SIDE: Way(best.fixed, best.slope, link.cost(rarest).samples, rarest), **ways}

    def _unmeasured(self, ways: Mapping[str, Way], rows: int, held: Held) -> str | None:
        """Return a device that has the rows and was never measured in this stage, unless it is far too dear.

        Before a device pays, only probes bring rows there: what each one measures is a whole residence.
        """
        for name, way in ways.items():
            if name != HOST_SIDE and way.samples <= WARM_UP and self._link.memories[name] in held:
                least = ways[_cheapest(ways, rows)].predict(rows)
                if way.predict(rows) <= TUNING.first_probe_within * least:
                    return name
        return None


def _cheapest(ways: Mapping[str, Way], rows: int) -> str:
    """Return the side with the cheapest way; of equal ones, the first."""
    return min(ways, key=lambda side: ways[side].predict(rows))
