"""The choice between host memory and devices, for a stage that a backend with its own memory can run.

It weighs whole paths (`path`): a device pays if the time that it saves, in all stages where the rows stay on it, is
more than the transfers cost. The best paths are kept for each power of two of rows and for the memories that hold
the batch, and found again once a cost has moved (`ways`). Hysteresis and probes are those of `choice`, with paths in
place of backends; which backend of the host runs a batch that stays there, is a choice like that of any stage.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from arrowstream.backends.base import Backend
from arrowstream.plan.placement.chain import Chain, Link, StageCosts
from arrowstream.plan.placement.choice import TUNING, Choice, Placement, fitted
from arrowstream.plan.placement.columns import ColumnUse
from arrowstream.plan.placement.costs import LineCost
from arrowstream.plan.placement.crossover import about_devices
from arrowstream.plan.placement.path import HOST, Held, Memory
from arrowstream.plan.placement.transfer import TransferEdge
from arrowstream.plan.placement.ways import HOST_SIDE, Ways


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
    use
        The use of columns on a device.
    """

    __slots__ = ("_joined", "_joined_at", "_joins", "_ways", "device_from", "is_pinned", "link")

    def __init__(
        self,
        backends: Sequence[Backend],
        refused: Mapping[str, str],
        pin: str,
        name: str,
        entrance: TransferEdge,
        exit: TransferEdge,
        use: ColumnUse,
    ) -> None:
        hosts = {backend.name: backend.start_cost for backend in backends if backend.form is None}
        devices = [backend for backend in backends if backend.form is not None]
        super().__init__(hosts or {device.name: device.start_cost for device in devices}, refused, pin)
        self.is_pinned = not hosts
        """True if no backend of the host may run the stage."""
        sides = StageCosts({}, self._costs)
        if hosts:
            sides = StageCosts(self._costs, {device.name: LineCost(*device.start_cost) for device in devices})
        # Records do not wait for probes of a device either (`PlacementTuning.few_rows`).
        least_rows = {
            device.name: max(device.least_rows, TUNING.few_rows + 1) if hosts else 0 for device in devices
        }
        memories: dict[str, Memory] = {backend.name: backend.form for backend in backends}
        self.link = Link(name, sides, memories, least_rows, entrance, exit, use)
        self.device_from = min(least_rows.values())
        """Rows of the smallest batch that a device may get."""
        self._ways = Ways(self.link)
        self._joins = sorted({device.least_rows for device in devices})
        self._joined_at = self._joined = 0

    def choose(self, rows: int, held: Held = HOST) -> Choice:
        """Choose the backend for a batch of `rows` rows in the memories `held`; the time includes its transfers."""
        link = self.link
        if self.is_pinned:
            side = Choice(next(iter(self._costs)), 0.0, self._reason)
        elif rows < self.device_from and held is HOST:
            return super().choose(rows)
        else:
            side = self._ways.choose(rows, held)
        if side.backend in link.costs.device:
            return side._replace(predicted_us=link.device_us(side.backend, rows, held))
        choice = side
        if side.backend == HOST_SIDE:
            choice = super().choose(rows)
            choice = choice._replace(counts=choice.counts and side.counts)
        micros = self._costs[choice.backend].predict(rows) + link.arrival_us(None, rows, held)
        return choice._replace(predicted_us=micros)

    def joins_up_to(self) -> int:
        """Return the number of rows up to which small batches that wait together are joined.

        It is the least number that a device's backend gets, if the backend is the cheapest from there on; else 0.
        """
        if self._joined_at != self.link.chain.moves:
            self._joined_at = self.link.chain.moves
            self._joined = next((rows for rows in self._joins if self._ways.cheapest(rows) != HOST_SIDE), 0)
        return self._joined

    def observe(self, choice: Choice, rows: int, seconds: float) -> None:
        """Learn the seconds that the batch of `choice` took, without its transfers."""
        if choice.counts:
            self.link.observe(choice.backend, rows, seconds)

    def observe_arrival(self, choice: Choice, held: Held, rows: int, nbytes: int, seconds: float) -> None:
        """Learn the seconds that rows took from the memories `held` to that of a choice, if that was one transfer."""
        memory = self.link.memories[choice.backend]
        if memory is not None and choice.counts and None in held:
            self.link.observe_upload(memory, rows, nbytes, seconds)
        elif memory is None and choice.counts and None not in held and len(held) == 1:
            (form,) = held
            assert form is not None
            self.link.observe_download(self.link.entrance, form, rows, nbytes, seconds)

    def observe_leaving(self, choice: Choice, rows: int, nbytes: int, seconds: float) -> None:
        """Learn the seconds that rows took from the device of a choice to host memory after the last stage."""
        form = self.link.memories[choice.backend]
        if form is not None and choice.counts:
            self.link.observe_download(self.link.exit, form, rows, nbytes, seconds)

    def explain(self) -> str:
        """Return what `Placement.explain` says, a line for each device, and the fitted costs of transfers."""
        lines = [f"backend: {super().reason}", *self._about_devices()]
        if costs := fitted(self.measured.items()):
            lines.append(f"costs: {costs}")
        entrance, exit = self.link.entrance, self.link.exit
        transfers = [
            *((f"to {form}", entrance.upload[form], way.line) for form, way in entrance.uploads.items()),
            *((f"from {form}", exit.download[form], way.line) for form, way in exit.downloads.items()),
        ]
        said = [f"{name} {cost} ({line.samples:,} batches)" for name, cost, line in transfers if line.samples]
        return "\n".join([*lines, *([f"transfers: {', '.join(said)}"] if said else [])])

    @property
    def reason(self) -> str:
        """The backend and the reason, and from how many rows of a batch that enters the chain a device pays."""
        return "; ".join([super().reason, *self._about_devices()])

    def _about_devices(self) -> Iterator[str]:
        chain = self.link.chain
        names = [link.name for link in chain.links]
        yield from about_devices(chain.legs, chain.edges[-1].download, self.link.number, names)
        if self.link.stays_for == "groups":
            yield "rows that are on a device are grouped there for the next step"
        elif self.link.stays_for == "rows":
            yield "the next step takes rows where they are"

    @property
    def measured(self) -> dict[str, LineCost]:
        """The cost of each backend that has run a batch."""
        return {name: cost for name in self.link.memories if (cost := self.link.cost(name)).samples}


def connect(placements: Iterable[Placement | None]) -> None:
    """Make a chain of each run of neighbouring stages that devices can run.

    Parameters
    ----------
    placements
        For each stage of a line, in order, its placement; None for one that has none.
    """
    for runs_on_device, run in groupby(placements, lambda placement: isinstance(placement, DevicePlacement)):
        if runs_on_device:
            Chain([placement.link for placement in run if isinstance(placement, DevicePlacement)])
