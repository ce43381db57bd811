"""The choice between host memory and devices, for a stage that a backend with its own memory can run.

It weighs whole paths (`path`): a device pays if the time that it saves, in all stages where the rows stay on it, is
more than the transfers cost. The best paths are kept for each power of two of rows and for the memories that hold the
batch, and found again once a cost has moved. Hysteresis and probes are those of `choice`, with paths in place of
backends; which backend of the host runs a batch that stays there, is a choice like that of any stage.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Literal, NamedTuple

from arrowstream.backends.base import Backend
from arrowstream.plan.placement.chain import MOVED, Chain
from arrowstream.plan.placement.choice import TUNING, Choice, Placement, Standing, choose, fitted
from arrowstream.plan.placement.costs import WARM_UP, LineCost, measure
from arrowstream.plan.placement.crossover import about_devices
from arrowstream.plan.placement.path import HOST, Held, Leg, Memory, paths
from arrowstream.plan.placement.transfer import Direction, Edge

_FORGETTING = 0.95
"""Factor on the rows of a batch in the share of rows that is kept, with each later batch."""

_HOST = ""
"""The name, among those of device backends, of all backends of the host together."""


class Way(NamedTuple):
    """The cost of the cheapest path through a backend of the stage, and the number of samples of the backend."""

    fixed: float
    slope: float
    samples: int

    def predict(self, rows: int) -> float:
        """Return the expected time of a batch of `rows` rows on the whole path, in microseconds."""
        return self.fixed + self.slope * rows


class DevicePlacement(Placement):
    """The choice for a segment that at least one backend with its own memory can run.

    Parameters
    ----------
    backends
        The backends that can run the segment: a device's alone if the segment is pinned to it, else also one of the
        host.
    refused, pin
        See `Placement`.
    name
        Name of the stage.
    entrance, exit
        The edges before and after the stage.
    """

    __slots__ = (
        "_device_costs",
        "_joined",
        "_joins",
        "_joins_at",
        "_kept",
        "_least_rows",
        "_rows_in",
        "_rows_out",
        "_ways",
        "_weighed",
        "chain",
        "device_from",
        "entrance",
        "exit",
        "memories",
        "name",
        "next_step",
        "number",
    )

    def __init__(
        self,
        backends: Sequence[Backend],
        refused: Mapping[str, str],
        pin: str,
        name: str,
        entrance: Edge,
        exit: Edge,
    ) -> None:
        hosts = {backend.name: backend.start_cost for backend in backends if backend.form is None}
        devices = {backend.name: backend for backend in backends if backend.form is not None}
        super().__init__(hosts or {name: device.start_cost for name, device in devices.items()}, refused, pin)
        self._device_costs = (
            {name: LineCost(*device.start_cost) for name, device in devices.items()} if hosts else self._costs
        )
        # Records do not wait for probes of a device either (`PlacementTuning.few_rows`).
        self._least_rows = {
            name: max(device.least_rows, TUNING.few_rows + 1) if hosts else 0
            for name, device in devices.items()
        }
        self.device_from = min(self._least_rows.values())
        """Rows of the smallest batch that a device may get."""
        self._joins = sorted({device.least_rows for device in devices.values()})
        self.memories: dict[str, Memory] = {backend.name: backend.form for backend in backends}
        self.name, self.entrance, self.exit = name, entrance, exit
        self._rows_in = self._rows_out = 0.0
        self._kept = 1.0
        self._ways: dict[tuple[Held, int, int], tuple[int, dict[str, Way]]] = {}
        self._weighed: dict[tuple[Held, int, int], Standing] = {}
        self._joins_at = self._joined = 0
        self.number = 0
        self.next_step: Literal["groups", "rows"] | None = None
        """Whether the next step takes groups of rows that are on a device, or the rows there; None if neither."""
        self.chain = Chain([self])

    def leg(self) -> Leg:
        """Return the stage as paths see it; its costs change with what is learnt, the share of rows kept does not."""
        return Leg(
            {**self._costs, **self._device_costs},
            self.memories,
            self._least_rows,
            self.entrance.upload,
            self.entrance.download,
            self._kept,
        )

    @property
    def is_last(self) -> bool:
        """True if rows are needed in host memory after the stage."""
        return self.number == len(self.chain.links) - 1

    @property
    def brings_back(self) -> bool:
        """True if the stage brings its rows to host memory."""
        return self.is_last and self.next_step is None

    def stay_after(self, takes: Literal["groups", "rows"]) -> None:
        """Let rows stay where they are, as the next step takes them, or groups of them; call it before `connect`."""
        self.next_step = takes
        self.exit.has_groups = takes == "groups"

    def choose(self, rows: int, held: Held = HOST) -> Choice:
        """Choose the backend for a batch of `rows` rows in the memories `held`; the time includes its transfers."""
        if self.is_pinned:
            assert self._only is not None
            return self._on_device(Choice(self._only, 0.0, self._reason), rows, held)
        if rows < self.device_from and held is HOST:
            return super().choose(rows)
        allowed = sum(rows >= least for least in self._least_rows.values())
        key = (held, rows.bit_length(), allowed)
        known = self._ways.get(key)
        if known is None or known[0] != self.chain.moves:
            known = self._ways[key] = (self.chain.moves, self._find(rows, held))
            if None not in held and key in self._weighed:
                # Rows on a device may be those of a probe, which is to measure the cheapest path from there on.
                self._weighed[key] = self._weighed[key]._replace(winner=_cheapest(known[1], rows))
        counts, ways = True, known[1]
        if None not in held and (name := self._unmeasured(ways, rows, held)) is not None:
            return self._on_device(Choice(name, 0.0, "probe"), rows, held)
        if len(ways) > 1:
            choice, self._weighed[key] = choose(rows, ways, self._weighed.get(key))
            if choice.backend != _HOST:
                return self._on_device(choice, rows, held)
            counts = choice.counts
        choice = super().choose(rows)
        arrival = 0.0 if None in held else self._download(rows, held)
        return choice._replace(predicted_us=choice.predicted_us + arrival, counts=choice.counts and counts)

    def _unmeasured(self, ways: Mapping[str, Way], rows: int, held: Held) -> str | None:
        """Return a device that has the rows and was never measured in this stage, unless it is far too dear.

        Before a device pays, only probes bring rows there: what each one measures is a whole residence.
        """
        for name, way in ways.items():
            if name != _HOST and way.samples <= WARM_UP and self.memories[name] in held:
                least = ways[_cheapest(ways, rows)].predict(rows)
                if way.predict(rows) <= TUNING.first_probe_within * least:
                    return name
        return None

    def _find(self, rows: int, held: Held) -> dict[str, Way]:
        """Return the cheapest path through the host's backends, and through each device's."""
        legs, end = self.chain.beginning_at(self.number)
        ways: dict[str, Way] = {}
        for name, path in paths(legs, end, rows, held).items():
            way = Way(path.fixed, path.slope, self._cost(name).samples)
            side = _HOST if self.memories[name] is None else name
            if side not in ways or way.predict(rows) < ways[side].predict(rows):
                ways[side] = way
        return ways

    def _on_device(self, choice: Choice, rows: int, held: Held) -> Choice:
        """Return the choice of a device's backend with the time of this stage alone."""
        form = self.memories[choice.backend]
        assert form is not None
        micros = self._device_costs[choice.backend].predict(rows)
        if form not in held:
            micros += self.entrance.uploads[form].predict(rows, self.entrance.width)
            micros += 0.0 if None in held else self._download(rows, held)
        if self.is_last:
            micros += self.exit.downloads[form].predict(self._kept * rows, self.exit.width)
        return choice._replace(predicted_us=micros)

    def _download(self, rows: int, held: Held) -> float:
        downloads, width = self.entrance.downloads, self.entrance.width
        return min(downloads[form].predict(rows, width) for form in held if form is not None)

    def _cost(self, name: str) -> LineCost:
        return self._costs[name] if self.memories[name] is None else self._device_costs[name]

    @property
    def is_pinned(self) -> bool:
        """True if no backend of the host may run the stage."""
        return self._only in self._device_costs

    def joins_up_to(self) -> int:
        """Return the number of rows up to which small batches that wait together are joined.

        It is the least number that a device's backend gets, if the backend is the cheapest from there on; else 0.
        """
        if self._joins_at != self.chain.moves:
            self._joins_at = self.chain.moves
            self._joined = next((rows for rows in self._joins if self._goes_out(rows)), 0)
        return self._joined

    def _goes_out(self, rows: int) -> bool:
        """Return whether a batch in host memory is cheaper on a device."""
        return _cheapest(self._find(rows, HOST), rows) != _HOST

    def observe(self, choice: Choice, rows: int, seconds: float) -> None:
        """Learn the seconds that the batch of `choice` took, without its transfers."""
        if choice.counts:
            # What a device was assumed to cost says nothing about the host, nor the other way round.
            alike = self._costs if self.memories[choice.backend] is None else self._device_costs
            cost = alike[choice.backend]
            before = (cost.fixed, cost.slope)
            if cost.samples == WARM_UP:
                measure(cost, rows, seconds * 1e6, alike.values())
                self.chain.update()
            else:
                cost.observe(rows, seconds * 1e6)
                self.chain.changed(cost, before, rows)

    def observe_arrival(self, choice: Choice, held: Held, rows: int, nbytes: int, seconds: float) -> None:
        """Learn the seconds that rows took from the memories `held` to that of a choice, if that was one transfer."""
        edge, memory = self.entrance, self.memories[choice.backend]
        if choice.counts and memory is not None and None in held:
            self._observe_transfer(edge, edge.uploads[memory], rows, nbytes, seconds)
        elif choice.counts and memory is None and len(held) == 1:
            (form,) = held
            assert form is not None
            self._observe_transfer(edge, edge.downloads[form], rows, nbytes, seconds)

    def observe_leaving(self, choice: Choice, rows: int, nbytes: int, seconds: float) -> None:
        """Learn the seconds that rows took from the device of a choice to host memory after the last stage."""
        form = self.memories[choice.backend]
        if choice.counts and form is not None:
            self._observe_transfer(self.exit, self.exit.downloads[form], rows, nbytes, seconds)

    def _observe_transfer(
        self, edge: Edge, direction: Direction, rows: int, nbytes: int, seconds: float
    ) -> None:
        line = direction.line
        before = (line.fixed, line.slope)
        edge.measure(rows, nbytes)
        direction.observe(rows, nbytes, seconds * 1e6)
        self.chain.changed(line, before, nbytes)

    def observe_kept(self, rows: int, kept: int) -> None:
        """Learn how many rows of a batch came out."""
        self._rows_in = _FORGETTING * self._rows_in + rows
        self._rows_out = _FORGETTING * self._rows_out + kept
        share = self._rows_out / max(self._rows_in, 1.0)
        if abs(share - self._kept) > MOVED * self._kept:
            self._kept = share
            self.chain.update()

    def explain(self) -> str:
        """Return what `Placement.explain` says, a line for each device, and the fitted costs of transfers."""
        lines = [f"backend: {super().reason}", *self._about_devices()]
        if costs := fitted(self.measured.items()):
            lines.append(f"costs: {costs}")
        edge = self.entrance
        ways = [
            *((f"to {form}", edge.upload[form], way.line.samples) for form, way in edge.uploads.items()),
            *(
                (f"from {form}", self.exit.download[form], way.line.samples)
                for form, way in edge.downloads.items()
            ),
        ]
        if transfers := [f"{name} {cost} ({samples:,} batches)" for name, cost, samples in ways if samples]:
            lines.append(f"transfers: {', '.join(transfers)}")
        return "\n".join(lines)

    @property
    def reason(self) -> str:
        """The backend and the reason, and from how many rows of a batch that enters the chain a device pays."""
        return "; ".join([super().reason, *self._about_devices()])

    def _about_devices(self) -> Iterator[str]:
        names = [link.name for link in self.chain.links]
        yield from about_devices(self.chain.legs, self.chain.edges[-1].download, self.number, names)
        if self.next_step == "groups":
            yield "rows that are on a device are grouped there for the next step"
        elif self.next_step == "rows":
            yield "the next step takes rows where they are"

    @property
    def measured(self) -> dict[str, LineCost]:
        """The cost of each backend that has run a batch."""
        return {name: cost for name in self.memories if (cost := self._cost(name)).samples}


def _cheapest(ways: Mapping[str, Way], rows: int) -> str:
    """Return the side with the cheapest way; of equal ones, the first."""
    return min(ways, key=lambda side: ways[side].predict(rows))


def connect(placements: Iterable[Placement | None]) -> None:
    """Make a chain of each run of neighbouring stages that devices can run.

    Parameters
    ----------
    placements
        For each stage of a line, in order, its placement; None for one that has none.
    """
    for runs_on_device, run in groupby(placements, lambda placement: isinstance(placement, DevicePlacement)):
        if runs_on_device:
            links = [placement for placement in run if isinstance(placement, DevicePlacement)]
            for number, (before, link) in enumerate(zip([None, *links], links, strict=False)):
                link.number = number
                if before is not None:
                    before.exit = link.entrance
            chain = Chain(links)
            for link in links:
                link.chain = chain
