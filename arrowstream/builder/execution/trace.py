"""The trace of the first rows of a pipeline: what they look like after every step, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl

from arrowstream.core.plural import counted
from arrowstream.shown import Shown

_CELL = 48
"""Longest text of a cell, in characters."""

UNCHANGED, DROPPED = "·", "dropped"
"""The texts of cells of rows that a step leaves as they are, and of those that it drops."""


@dataclass(frozen=True, slots=True)
class TraceStep:
    """The rows after one step.

    Parameters
    ----------
    id
        The id of the step, as `explain()` has it; ``source`` for the rows as they came.
    text
        The step in one line.
    frame
        The rows that come out of it.
    rows
        For each of them the number of the source row, from 0, that it comes from; None if they are rows of the step's
        own, such as those of a window.
    dropped
        The source rows that came in and that none of them comes from.
    error
        The error of the step, as text; None if it went well. No step follows it.
    """

    id: str
    text: str
    frame: pl.DataFrame
    rows: tuple[int, ...] | None
    dropped: tuple[int, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Trace(Shown):
    """The first rows of a pipeline after every step. ``print`` and a notebook show them side by side.

    Parameters
    ----------
    name
        The pipeline's name.
    steps
        The source, then every step in order.
    """

    _shown_by: ClassVar[str] = "trace.trace"
    name: str
    steps: tuple[TraceStep, ...]

    def frame(self, id: str) -> pl.DataFrame:
        """Return the rows after a step.

        Raises
        ------
        KeyError
            No step of the trace has this id.
        """
        for step in self.steps:
            if step.id == id:
                return step.frame
        raise KeyError(id)

    def cells(self) -> tuple[tuple[str, ...], ...]:
        """Return the side-by-side table as texts: a row for each source row, a cell for each step.

        A cell has the values that are new or changed; ``·`` if none is, ``dropped`` where the row leaves, and nothing
        after that, or where the rows are the step's own.
        """
        source = self.steps[0]
        return tuple(tuple(self._cells_of(number)) for number in range(source.frame.height))

    def _cells_of(self, number: int) -> Iterator[str]:
        before: list[dict[str, Any]] = []
        for step in self.steps:
            if number in step.dropped:
                yield DROPPED
                before = []
                continue
            now = _rows_of(step, number)
            if len(before) != len(now):
                before = [before[0] if before else {}] * len(now)
            yield _cut(" | ".join(map(_changes, now, before)))
            before = now

    def __str__(self) -> str:
        """Return the table, then the rows of the steps that have rows of their own, then the error, if any."""
        source, *_ = self.steps
        heads = [_head(step, before) for before, step in zip((None, *self.steps), self.steps, strict=False)]
        shown = [place for place, step in enumerate(self.steps) if step.rows is not None]
        table = [["row", *(heads[place] for place in shown)]]
        for number, cells in enumerate(self.cells()):
            table.append([str(number), *(cells[place] for place in shown)])
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [f"trace of {self.name}: {counted(source.frame.height, 'rows')} of {source.text}"]
        for row in table:
            lines.append(
                "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
            )
        for step in self.steps:
            if step.error is not None:
                lines.append(f"{step.text} fails: {step.error}")
            elif step.rows is None:
                lines += [
                    f"after {step.text}, {counted(step.frame.height, 'rows')} of its own:",
                    str(step.frame),
                ]
        return "\n".join(lines)


def _head(step: TraceStep, before: TraceStep | None) -> str:
    gone = [name for name in (before.frame.columns if before else ()) if name not in step.frame.columns]
    return _cut(f"{step.text} without {', '.join(gone)}" if gone and step.rows is not None else step.text)


def _rows_of(step: TraceStep, number: int) -> list[dict[str, Any]]:
    """Return the rows of a step that come from one source row: several after `explode`."""
    if step.rows is None:
        return []
    return [step.frame.row(place, named=True) for place in _places(step.rows, number)]


def _places(rows: Sequence[int], number: int) -> Iterator[int]:
    return (place for place, each in enumerate(rows) if each == number)


def _changes(row: dict[str, Any], before: dict[str, Any]) -> str:
    """Return the values of a row that are not those of the row before the step."""
    texts = {name: f"{name}={value}" for name, value in row.items()}
    new = [text for name, text in texts.items() if name not in before or text != f"{name}={before[name]}"]
    return ", ".join(new) or UNCHANGED


def _cut(text: str) -> str:
    text = text.replace("\n", " ")
    return text if len(text) <= _CELL else f"{text[: _CELL - 3]}..."
