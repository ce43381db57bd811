"""Where everything of a graph is, in pixels."""

from __future__ import annotations

from dataclasses import dataclass

from arrowstream.display.boxes import Box, box_of, box_width
from arrowstream.display.layout import Placed, place
from arrowstream.plan.outline import Edge, Outline

OUTPUT = "\0output"
"""The id of the place where rows come out of a pipeline without a sink; no stage has it."""

MARGIN = 6
"""Pixels around the graph."""

STUB = 30
"""Height, in pixels, of the place where rows come out."""

_GAP, _LANE = 28, 18
"""Pixels between two boxes, and those that an edge takes which passes between them."""

_BETWEEN, _LABELLED = 34, 48
"""Pixels between two layers, without and with labels of edges."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A graph with places for everything, in pixels; `bounds` are top and bottom of each layer."""

    boxes: dict[str, Box]
    edges: tuple[Edge, ...]
    placed: Placed
    across: int
    top: dict[str, float]
    bounds: tuple[tuple[float, float], ...]
    size: tuple[float, float]

    def level(self, id: str) -> int:
        """Return the number of the layer of a box."""
        return next(number for number, layer in enumerate(self.placed.layers) if id in layer)

    def bottom(self, id: str) -> float:
        """Return the lower end of a box."""
        return self.top[id] + (STUB if id == OUTPUT else self.boxes[id].height)


def ends(outline: Outline) -> tuple[str, ...]:
    """Return the ids of the stages whose rows come out of the pipeline, as it has no sink there."""
    going_on = {edge.source for edge in outline.edges if edge.kind == "rows"}
    return tuple(
        node.id for node in outline.nodes if node.kind not in ("sink", "side") and node.id not in going_on
    )


def scene_of(outline: Outline) -> Scene:
    """Return the places of the boxes of a graph, and of its edges."""
    across = box_width(outline)
    boxes = {node.id: box_of(node, across) for node in outline.nodes}
    out = ends(outline)
    edges = (*outline.edges, *(Edge(id, OUTPUT) for id in out))
    placed = place(
        [*boxes, *([OUTPUT] if out else [])],
        [(edge.source, edge.target) for edge in edges],
        box=across,
        lane=_LANE,
        gap=_GAP,
        aside={node.id for node in outline.nodes if node.kind == "side"},
    )
    top: dict[str, float] = {}
    bounds: list[tuple[float, float]] = []
    y = float(MARGIN)
    labelled = {edge.target for edge in edges if label_of(edge)}
    for number, layer in enumerate(placed.layers):
        if number:
            y += _LABELLED if labelled.intersection(layer) else _BETWEEN
        tall = max((STUB if id == OUTPUT else boxes[id].height for id in layer), default=0.0)
        bounds.append((y, y + tall))
        top.update((id, y) for id in layer)
        y += tall
    right = max(placed.centre.values(), default=0.0) + across / 2
    right = max([right, *(x + _LANE for way in placed.ways.values() for x in way)])
    return Scene(boxes, edges, placed, across, top, tuple(bounds), (right + 2 * MARGIN, y + MARGIN))


def label_of(edge: Edge) -> str:
    """Return what is written next to an edge: the name of a branch or input, or which rows leave."""
    return edge.label if edge.kind == "rows" else edge.kind
