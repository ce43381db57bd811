"""Measuring on a noisy machine: rivals take turns, medians are compared, figures stand beside budgets."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

Scale = Literal["full", "quick", "tiny"]
"""How much to do: for the record, for a look, or only to see that it runs."""

ROUNDS: Mapping[Scale, int] = {"full": 7, "quick": 5, "tiny": 1}


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number.

    Parameters
    ----------
    what
        What was measured.
    value, unit
        The median.
    at_least, at_most
        The budget, if there is one.
    note
        What a reader needs to judge it.
    """

    what: str
    value: float
    unit: str
    at_least: float | None = None
    at_most: float | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the budget is met; None without one."""
        if self.at_least is not None:
            return self.value >= self.at_least
        return None if self.at_most is None else self.value <= self.at_most

    @property
    def cells(self) -> tuple[str, str, str, str, str]:
        """The columns of the table: what, measured, budget, met, note."""
        budget = ""
        if self.at_least is not None:
            budget = f"≥ {quantity(self.at_least, self.unit)}"
        elif self.at_most is not None:
            budget = f"≤ {quantity(self.at_most, self.unit)}"
        mark = {True: "✓", False: "✗", None: ""}[self.met]
        return self.what, quantity(self.value, self.unit), budget, mark, self.note


@dataclass(frozen=True, slots=True)
class Section:
    """The figures of one benchmark under its title."""

    title: str
    figures: tuple[Figure, ...]
    notes: tuple[str, ...] = ()
    """Lines below the figures, such as what could not be measured."""


HEADINGS = ("what", "measured", "budget", "met", "note")


def quantity(value: float, unit: str) -> str:
    """A number to three digits with its unit, as in ``1,430 us`` or ``0.93x``."""
    size = abs(value)
    text = f"{value:,.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"
    return text + (unit if unit == "x" else f" {unit}")


def in_turn(rivals: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Measure every rival once a round, A B A B, so that a slow moment of the machine hits all of them."""
    measured: dict[str, list[float]] = {name: [] for name in rivals}
    for _ in range(rounds):
        for name, measure in rivals.items():
            measured[name].append(measure())
    return measured


def checked_in_turn(
    rivals: Mapping[str, Callable[[], float]], rounds: int, check: Callable[[], None]
) -> dict[str, list[float]]:
    """Run every rival once, check that their results are the same, and then measure them in turn."""
    for warm_up in rivals.values():
        warm_up()
    check()
    return in_turn(rivals, rounds)


def timed(work: Callable[[], object]) -> Callable[[], float]:
    """`work` as something that gives the seconds it took."""

    def measure() -> float:
        begin = time.perf_counter()
        work()
        return time.perf_counter() - begin

    return measure


def measured(name: str, work: Callable[[], object], processor: dict[str, list[float]]) -> Callable[[], float]:
    """`work` as something that gives the seconds it took, and appends the process's own ones to those of its name."""

    def measure() -> float:
        begin, used = time.perf_counter(), time.process_time()
        work()
        processor.setdefault(name, []).append(time.process_time() - used)
        return time.perf_counter() - begin

    return measure


def ratio(over: list[float], under: list[float]) -> float:
    """The median of the rounds' own ratios: each round compares like with like."""
    return statistics.median(a / b for a, b in zip(over, under, strict=True))


def percentile(values: list[float], percent: float) -> float:
    """The smallest value that `percent` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)]


def as_text(sections: list[Section]) -> str:
    """All sections as one aligned table for a terminal."""
    rows = [figure.cells for section in sections for figure in section.figures]
    widths = [max(len(row[place]) for row in [HEADINGS, *rows]) for place in range(len(HEADINGS))]

    def line(cells: tuple[str, ...]) -> str:
        return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()

    lines = [line(HEADINGS)]
    for section in sections:
        lines += ["", section.title, *(line(figure.cells) for figure in section.figures), *section.notes]
    return "\n".join(lines)


def as_markdown(sections: list[Section], header: list[str]) -> str:
    """All sections as a page."""
    lines = ["# Benchmark results", "", *(f"- {line}" for line in header)]
    return "\n".join(["\n".join([*lines, ""]), *map(_part, sections)])


def with_sections(page: str, sections: list[Section], when: str) -> str:
    """Return a page on which these sections are new, and say when they were measured; unknown ones come last."""
    first, *parts = page.split("\n## ")
    known = {part.partition("\n")[0]: part for part in parts}
    for section in sections:
        dated = replace(section, notes=(*section.notes, f"Measured after the rest of this page: {when}."))
        known[section.title] = _part(dated).removeprefix("## ")
    return "\n## ".join([first, *known.values()])


def _part(section: Section) -> str:
    lines = [f"## {section.title}", "", f"| {' | '.join(HEADINGS)} |", "|---|---:|---:|:-:|---|"]
    lines += [f"| {' | '.join(figure.cells)} |" for figure in section.figures]
    lines += [line for note in section.notes for line in ("", note)]
    return "\n".join([*lines, ""])
