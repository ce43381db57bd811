"""The boxes of a graph: which lines of text a stage has, and how much room they need."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Literal

from arrowstream.core.plural import counted
from arrowstream.display.escape import cut, loose_width, visible, width
from arrowstream.plan.outline import Node, Outline

Face = Literal["kind", "name", "step", "note", "columns"]
"""What a line of a box is: the kind of the stage, its name, an expression, a remark, the columns that come out."""

ADVANCE = {"kind": 6.2, "name": 7.9, "step": 7.0, "note": 6.2, "columns": 7.0}
"""Pixels of a character, of proportional faces on average; a little more than any common font takes."""

HEIGHT = {"kind": 15, "name": 18, "step": 16, "note": 15, "columns": 17}
"""Pixels from line to line."""

PADDING = 12
"""Pixels between the frame of a box and its text."""

NARROWEST, WIDEST = 190, 360
"""Least and largest width of a box in pixels."""

_STEP_LINES = 4
_NOTES = 3
_WORDS = {"source": "source", "operator": "step", "split": "split", "inputs": "streams meet", "sink": "sink"}


@dataclass(frozen=True, slots=True)
class TextLine:
    """One line of a box: how it looks, and its text, which is not escaped yet."""

    face: Face
    text: str


@dataclass(frozen=True, slots=True)
class Box:
    """A box with its lines; `height` is in pixels."""

    node: Node
    lines: tuple[TextLine, ...]

    @property
    def height(self) -> float:
        """The height in pixels."""
        return sum(HEIGHT[line.face] for line in self.lines) + 2 * PADDING - 4


def size_of(face: Face) -> Callable[[str], float]:
    """Return the function that gives the width of a text, in characters of this face."""
    return loose_width if face in ("kind", "note") else width


def box_width(outline: Outline) -> int:
    """Return a width, in pixels, that suits all boxes of a graph."""
    widest = max(
        (
            ADVANCE[line.face] * size_of(line.face)(line.text)
            for node in outline.nodes
            for line in _lines(node, WIDEST)
        ),
        default=0.0,
    )
    return min(max(NARROWEST, round(widest) + 2 * PADDING + 2), WIDEST)


def box_of(node: Node, across: int) -> Box:
    """Return the box of a stage, each line cut to a box of `across` pixels."""
    return Box(node, tuple(_lines(node, across)))


def kind_of(node: Node) -> str:
    """Return the kind of a stage in words.

    Examples
    --------
    >>> kind_of(Node("filter+select", "expressions", "filter+select", steps=("filter(x > 1)", "select(x)")))
    '2 steps, fused'
    """
    if node.kind == "side":
        return node.id.partition(" of ")[0]
    if node.kind == "expressions" and not node.fused:
        return "step"
    if node.kind == "expressions" or (node.kind == "operator" and node.fused):
        return f"{counted(len(node.steps), 'steps')}, fused"
    return _WORDS[node.kind]


def notes(node: Node) -> tuple[str, ...]:
    """Return what is said of a stage besides its steps: backend and reason, guarantee, policies, remark."""
    backend = None if node.backend is None else f"backend {node.backend}"
    said = (backend, node.guarantee, *node.policies, node.remark)
    return tuple(each for each in said if each)


def columns_text(columns: tuple[tuple[str, str], ...]) -> str:
    """Return columns on one line: ``item: String, price: Float64``."""
    return ", ".join(f"{name}: {short_type(dtype)}" for name, dtype in columns) or "no columns"


def short_type(dtype: str) -> str:
    """Return the text of a type without the names of its arguments.

    Examples
    --------
    >>> short_type("Datetime(time_unit='us', time_zone=None)"), short_type("List(Duration(time_unit='ms'))")
    ("Datetime('us')", "List(Duration('ms'))")
    """
    return re.sub(r"(?<=[( ])time_(?:unit|zone)=", "", dtype.replace(", time_zone=None", ""))


def _lines(node: Node, across: int) -> Iterator[TextLine]:
    room = across - 2 * PADDING

    def line(face: Face, value: str) -> TextLine:
        return TextLine(face, cut(value, room / ADVANCE[face], size_of(face)))

    yield line("kind", kind_of(node))
    for each in _wrapped([node.label], int(room / ADVANCE["name"]), 2):
        yield line("name", each)
    shown = [*node.reads, *node.steps]
    if shown != [node.label]:
        for each in _wrapped(shown, int(room / ADVANCE["step"]), _STEP_LINES):
            yield line("step", each)
    for note in notes(node)[:_NOTES]:
        loose = max(loose_width(note) / len(note), 1.0)
        for each in _wrapped([note], int(room / ADVANCE["note"] / loose), 2):
            yield line("note", each)
    if node.columns_out is not None and node.kind not in ("sink", "side"):
        yield line("columns", f"→ {columns_text(node.columns_out)}")


def _wrapped(texts: Sequence[str], columns: int, most: int) -> list[str]:
    """Return texts on at most `most` lines of `columns` characters, and one that counts those that are left out."""
    found: list[str] = []
    for number, each in enumerate(texts):
        parts = wrap(visible(each[:500]), columns, subsequent_indent="  ", break_on_hyphens=False)
        left = len(texts) - number
        if left > 1 and len(found) + len(parts) >= most and found:
            return [*found, f"+ {left:,} more"]
        if len(found) + len(parts) > most:
            room = max(most - len(found), 1)
            parts = [*parts[: room - 1], cut(" ".join(parts[room - 1 :]), columns)]
        found += parts
    return found
