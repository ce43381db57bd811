"""Neighbouring stages that devices can run: what each one costs, as the paths of batches see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from arrowstream.plan.placement.columns import ColumnUse, needed, unchanged
from arrowstream.plan.placement.costs import WARM_UP, LineCost, measure
from arrowstream.plan.placement.path import Held, Leg, LinearCost, Memory
from arrowstream.plan.placement.transfer import TransferEdge

AHEAD = 8
"""Number of stages, from the one that chooses on, that a path is followed through."""

MOVED = 0.1
"""Change of an expected time, as a share of it, from which paths are found again."""

_FORGETTING = 0.95
"""Factor on the rows of a batch in the share of rows that is kept, with each later batch."""


class StageCosts(NamedTuple):
    """The fitted costs of a stage: of the backends of the host, and of those of devices. Each side scales its own.

    What a device was assumed to cost says nothing about the host, nor the other way round.
    """

    host: Mapping[str, LineCost]
    device: Mapping[str, LineCost]


class Link:
    """One stage of a chain: its costs, and what is learnt of them.

    Parameters
    ----------
    name
        Name of the stage.
    costs
        The costs of its backends.
    memories
        The memory in which each of them computes.
    least_rows
        Smallest batch in rows that a device's backend gets.
    entrance, exit
        The edges before and after the stage.
    use
        The use of columns on a device.
    """

    __slots__ = (
        "_rows_in",
        "_rows_out",
        "chain",
        "costs",
        "entrance",
        "exit",
        "kept",
        "least_rows",
        "memories",
        "name",
        "number",
        "stays_for",
        "use",
    )

    def __init__(
        self,
        name: str,
        costs: StageCosts,
        memories: Mapping[str, Memory],
        least_rows: Mapping[str, int],
        entrance: TransferEdge,
        exit: TransferEdge,
        use: ColumnUse,
    ) -> None:
        self.name, self.costs, self.memories, self.least_rows = name, costs, memories, least_rows
        self.entrance, self.exit, self.use = entrance, exit, use
        self.kept = 1.0
        """Number of rows that come out for each that comes in."""
        self._rows_in = self._rows_out = 0.0
        self.number = 0
        self.stays_for: Literal["groups", "rows"] | None = None
        """What the next step takes from where rows are, if it does; set it before the chain is made."""
        self.chain = Chain([self])

    def leg(self) -> Leg:
        """Return the stage as paths see it; its costs change with what is learnt, the rest stays."""
        return Leg(
            {**self.costs.host, **self.costs.device},
            self.memories,
            self.least_rows,
            self.entrance.upload,
            self.entrance.download,
            self.kept,
        )

    @property
    def is_last(self) -> bool:
        """True if no stage that devices can run follows."""
        return self.number == len(self.chain.links) - 1

    @property
    def brings_back(self) -> bool:
        """True if the stage brings its rows to host memory."""
        return self.is_last and self.stays_for is None

    def cost(self, backend: str) -> LineCost:
        """Return the cost of a backend."""
        return (self.costs.host if self.memories[backend] is None else self.costs.device)[backend]

    def arrival_us(self, memory: Memory, rows: int, held: Held) -> float:
        """Return the expected time of bringing a batch from the memories `held` into another one, in microseconds."""
        if memory in held:
            return 0.0
        micros = 0.0 if memory is None else self.entrance.upload_us(memory, rows)
        if None not in held:
            micros += min(self.entrance.download_us(form, rows) for form in held if form is not None)
        return micros

    def device_us(self, backend: str, rows: int, held: Held) -> float:
        """Return the expected time of this stage on a device, its own transfers included, in microseconds."""
        form = self.memories[backend]
        assert form is not None
        micros = self.costs.device[backend].predict(rows) + self.arrival_us(form, rows, held)
        return micros + (self.exit.download_us(form, self.kept * rows) if self.is_last else 0.0)

    def observe(self, backend: str, rows: int, seconds: float) -> None:
        """Learn the seconds that a batch took on a backend, without its transfers."""
        alike = self.costs.host if self.memories[backend] is None else self.costs.device
        cost = alike[backend]
        before = (cost.fixed, cost.slope)
        if cost.measured:
            cost.observe(rows, seconds * 1e6)
            self.chain.changed(cost, before, rows)
            return
        if cost.samples == WARM_UP:
            measure(cost, rows, seconds * 1e6, alike.values())
        else:
            cost.observe(rows, seconds * 1e6)
        self.chain.update()

    def observe_upload(self, form: str, rows: int, nbytes: int, seconds: float) -> None:
        """Learn the seconds that rows before the stage took from host memory to a device."""
        line = self.entrance.uploads[form].line
        before = (line.fixed, line.slope)
        self.entrance.observe_upload(form, rows, nbytes, seconds * 1e6)
        self.chain.changed(line, before, nbytes)

    def observe_download(self, edge: TransferEdge, form: str, rows: int, nbytes: int, seconds: float) -> None:
        """Learn the seconds that rows before or after the stage took from a device to host memory."""
        line = edge.downloads[form].line
        before = (line.fixed, line.slope)
        edge.observe_download(form, rows, nbytes, seconds * 1e6)
        self.chain.changed(line, before, nbytes)

    def observe_kept(self, rows: int, kept: int) -> None:
        """Learn how many rows of a batch came out."""
        self._rows_in = _FORGETTING * self._rows_in + rows
        self._rows_out = _FORGETTING * self._rows_out + kept
        share = self._rows_out / max(self._rows_in, 1.0)
        if abs(share - self.kept) > MOVED * self.kept:
            self.kept = share
            self.chain.update()


class Chain:
    """Stages in a row that devices can run; before the first and after the last one, rows are in host memory.

    Parameters
    ----------
    links
        The stages, in order; each becomes one of this chain.
    """

    __slots__ = ("_used", "edges", "legs", "links", "moves")

    def __init__(self, links: Sequence[Link]) -> None:
        self.links = tuple(links)
        for number, link in enumerate(links):
            link.number, link.chain = number, self
            if number:
                links[number - 1].exit = link.entrance
        self.edges = (*(link.entrance for link in links), links[-1].exit)
        uses = [link.use for link in links]
        columns = self.edges[0].columns
        for number, edge in enumerate(self.edges):
            edge.share(self.edges[0])
            # Rows that are on a device before the first stage were all made there.
            around = unchanged(uses[:number], columns) if number else frozenset()
            edge.cross(needed(uses[number:]), [name for name in edge.columns if name not in around])
        if links[-1].stays_for == "groups":
            self.edges[-1].of_groups()
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

    def beginning_at(self, number: int) -> tuple[tuple[Leg, ...], Mapping[str, LinearCost]]:
        """Return the legs of a path that begins at a stage, and the downloads at its end."""
        end = min(number + AHEAD, len(self.legs))
        return self.legs[number:end], self.edges[end].download
