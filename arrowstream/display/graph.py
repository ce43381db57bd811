"""The graph of a pipeline as SVG: `svg(outline)` is a pure function, and needs no script."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from arrowstream.core.plural import counted
from arrowstream.display.boxes import HEIGHT, PADDING, Box, box_of, box_width, columns_text, kind_of, notes
from arrowstream.display.escape import cut, lines, text
from arrowstream.display.layout import Placed, place
from arrowstream.plan.outline import Edge, Node, Outline

OUTPUT = "\0output"
"""The id of the place where rows come out of a pipeline without a sink; no stage has it."""

_GAP, _LANE, _MARGIN = 28, 18, 6
_BETWEEN = 34
"""Pixels between two layers; with labels, some more."""
_LABELLED = 48
_STUB = 30
"""Height, in pixels, of the place where rows come out."""
_LABEL_ADVANCE = 6.2
_WIDEST_PITCH = 96.0
"""Largest distance, in pixels, of two edges that meet one side of a box."""
_SHIFT = 7
"""Pixels between edges that pass a layer together."""


@dataclass(frozen=True, slots=True)
class _Scene:
    """A graph with places for everything, in pixels."""

    boxes: dict[str, Box]
    edges: tuple[Edge, ...]
    placed: Placed
    across: int
    top: dict[str, float]
    bounds: tuple[tuple[float, float], ...]
    """Top and bottom of each layer."""
    size: tuple[float, float]

    def level(self, id: str) -> int:
        """Return the number of the layer of a box."""
        return next(number for number, layer in enumerate(self.placed.layers) if id in layer)

    def bottom(self, id: str) -> float:
        """Return the lower end of a box."""
        return self.top[id] + (_STUB if id == OUTPUT else self.boxes[id].height)


def svg(outline: Outline) -> str:
    """Draw a graph.

    Parameters
    ----------
    outline
        The graph.

    Returns
    -------
    str
        An ``<svg>`` element without ids, so that a page can hold any number. The group of each stage has the attributes
        ``data-stage`` (its id), ``tabindex`` and ``aria-label``; each edge has ``data-from`` and ``data-to``. Colours
        come from `display.style`; without it, lines and text have the colour of the text around.

    Examples
    --------
    >>> svg(Outline("p", (Node("source", "source", "frame"),), (), True)).startswith("<svg ")
    True
    """
    scene = _scene(outline)
    across, down = scene.size
    parts = [
        f'<svg class="as-graph" xmlns="http://www.w3.org/2000/svg" width="{across:g}" height="{down:g}" '
        f'viewBox="0 0 {across:g} {down:g}" role="group" aria-label="{text(described(outline))}">',
        *_edges(scene),
        *(_stage(scene, id) for layer in scene.placed.layers for id in layer),
        "</svg>",
    ]
    return "".join(parts)


def described(outline: Outline) -> str:
    """Return the graph in a sentence, for those who do not see it.

    Examples
    --------
    >>> described(Outline("bids", (Node("source", "source", "frame"),), (), True))
    'Graph of pipeline bids: 1 source, 0 stages, 0 sinks'
    """
    kinds = [node.kind for node in outline.nodes]
    sources, sinks = kinds.count("source"), kinds.count("sink") + kinds.count("side")
    stages = counted(len(kinds) - sources - sinks, "stages" if outline.planned else "steps")
    return (
        f"Graph of pipeline {cut(outline.name, 60)}: {counted(sources, 'sources')}, {stages}, "
        f"{counted(sinks, 'sinks')}"
    )


def ends(outline: Outline) -> tuple[str, ...]:
    """Return the ids of the stages whose rows come out of the pipeline, as it has no sink there."""
    going_on = {edge.source for edge in outline.edges if edge.kind == "rows"}
    return tuple(
        node.id for node in outline.nodes if node.kind not in ("sink", "side") and node.id not in going_on
    )


def _scene(outline: Outline) -> _Scene:
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
    y = float(_MARGIN)
    labelled = {edge.target for edge in edges if _label(edge)}
    for number, layer in enumerate(placed.layers):
        if number:
            y += _LABELLED if labelled.intersection(layer) else _BETWEEN
        tall = max((_STUB if id == OUTPUT else boxes[id].height for id in layer), default=0.0)
        bounds.append((y, y + tall))
        top.update((id, y) for id in layer)
        y += tall
    right = max(placed.centre.values(), default=0.0) + across / 2
    right = max([right, *(x + _LANE for way in placed.ways.values() for x in way)])
    return _Scene(boxes, edges, placed, across, top, tuple(bounds), (right + 2 * _MARGIN, y + _MARGIN))


def _label(edge: Edge) -> str:
    return edge.label if edge.kind == "rows" else edge.kind


def _edges(scene: _Scene) -> Iterator[str]:
    """Draw the edges; those that leave or enter one box are spread along its side."""
    leaving: dict[str, list[int]] = defaultdict(list)
    entering: dict[str, list[int]] = defaultdict(list)
    for number, edge in enumerate(scene.edges):
        leaving[edge.source].append(number)
        entering[edge.target].append(number)
    start, end = _ports(scene, leaving, first=True), _ports(scene, entering, first=False)
    for number, edge in enumerate(scene.edges):
        crowd = len(leaving[edge.source]), len(entering[edge.target])
        yield _edge(scene, edge, start[number], end[number], crowd)


def _ports(scene: _Scene, ends: dict[str, list[int]], *, first: bool) -> dict[int, float]:
    """Return where each edge meets its box, in the order of what comes next on its way."""
    centre, found = scene.placed.centre, {}

    def following(number: int) -> float:
        edge = scene.edges[number]
        way = scene.placed.ways[edge.source, edge.target]
        return way[0 if first else -1] if way else centre[edge.target if first else edge.source]

    for id, numbers in ends.items():
        order = sorted(numbers, key=following)
        pitch = _pitch(scene, len(order))
        main = [place for place, number in enumerate(order) if scene.edges[number].kind == "rows"]
        # One way of rows among side outputs goes straight on.
        middle = main[0] if len(main) == 1 else (len(order) - 1) / 2
        for place, number in enumerate(order):
            found[number] = centre[id] + (place - middle) * pitch + _MARGIN
    return found


def _pitch(scene: _Scene, edges: int) -> float:
    """Return the distance of `edges` edges that meet one side of a box."""
    return min((scene.across - 40) / edges, _WIDEST_PITCH)


def _edge(scene: _Scene, edge: Edge, start: float, end: float, crowd: tuple[int, int]) -> str:
    """Draw an edge from `start` to `end`; `crowd` are the numbers of edges that leave and enter its boxes."""
    same = [other for other in scene.edges if (other.source, other.target) == (edge.source, edge.target)]
    shift = _SHIFT * (same.index(edge) - (len(same) - 1) / 2) + _MARGIN
    first = scene.level(edge.source)
    x, y, path = start, scene.bottom(edge.source), [f"M{start:.1f} {scene.bottom(edge.source):.1f}"]
    if y < scene.bounds[first][1]:
        y = scene.bounds[first][1]
        path.append(f"V{y:.1f}")
    ways = scene.placed.ways[edge.source, edge.target]
    for number, way in enumerate(ways, first + 1):
        top, bottom = scene.bounds[number]
        path += [_bend(x, y, way + shift, top), f"V{bottom:.1f}"]
        x, y = way + shift, bottom
    tip = scene.top[edge.target]
    path.append(_bend(x, y, end, tip - 5))
    dashed = "" if edge.kind == "rows" else " as-side"
    drawn = (
        f'<path class="as-edge{dashed}" d="{"".join(path)}" fill="none" stroke="currentColor"/>'
        f'<path class="as-tip" d="M{end - 4:.1f} {tip - 7:.1f}L{end:.1f} {tip - 0.5:.1f}L{end + 4:.1f} {tip - 7:.1f}Z" '
        f'fill="currentColor"/>'
    )
    if _label(edge):
        out, into = crowd
        if into == 1 or out > 1:
            drawn += _words(_label(edge), end, tip - 10, x > end, _room(scene, into))
        else:
            next_x = ways[0] + shift if ways else end
            drawn += _words(_label(edge), start, scene.bounds[first][1] + 15, next_x > start, _room(scene, out))
    goes_to = "" if edge.target == OUTPUT else text(edge.target)
    return (
        f'<g aria-hidden="true" data-from="{text(edge.source)}" data-to="{goes_to}" data-kind="{edge.kind}">'
        f"{drawn}</g>"
    )


def _room(scene: _Scene, edges: int) -> float:
    """Return the width, in pixels, of the label of one of `edges` edges at a box."""
    return scene.across / 2 if edges == 1 else _pitch(scene, edges) - 12


def _words(label: str, x: float, y: float, on_the_left: bool, room: float) -> str:
    """Write the label of an edge, on the side to which the edge does not bend."""
    anchor, x = ("end", x - 7) if on_the_left else ("start", x + 7)
    return (
        f'<text class="as-label" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="currentColor">'
        f"<title>{text(label)}</title>{text(cut(label, max(int(room / _LABEL_ADVANCE), 2)))}</text>"
    )


def _bend(x: float, y: float, to_x: float, to_y: float) -> str:
    """Return a curve that leaves and arrives vertically."""
    if abs(x - to_x) < 1:
        return f"L{to_x:.1f} {to_y:.1f}"
    half = (y + to_y) / 2
    return f"C{x:.1f} {half:.1f} {to_x:.1f} {half:.1f} {to_x:.1f} {to_y:.1f}"


def _stage(scene: _Scene, id: str) -> str:
    left, top = scene.placed.centre[id] - scene.across / 2 + _MARGIN, scene.top[id]
    if id == OUTPUT:
        return (
            f'<g class="as-node as-output" aria-hidden="true"><rect class="as-box" x="{left:.1f}" y="{top:.1f}" '
            f'width="{scene.across}" height="{_STUB}" rx="6" fill="none" stroke="currentColor"/>'
            f'<text class="as-note" x="{left + scene.across / 2:.1f}" y="{top + 19:.1f}" text-anchor="middle" '
            f'fill="currentColor">rows come out here</text></g>'
        )
    box = scene.boxes[id]
    shown = []
    y = top + PADDING - 3
    for line in box.lines:
        y += HEIGHT[line.face]
        shown.append(
            f'<text class="as-{line.face}" x="{left + PADDING:.1f}" y="{y - 4:.1f}" fill="currentColor" '
            f'xml:space="preserve">{text(line.text)}</text>'
        )
    return (
        f'<g class="as-node as-{box.node.kind}" data-stage="{text(id)}" tabindex="0" role="img" '
        f'aria-label="{text(spoken(box.node))}"><title>{lines(full(box.node))}</title>'
        f'<rect class="as-box" x="{left:.1f}" y="{top:.1f}" width="{scene.across}" height="{box.height:.1f}" rx="6" '
        f'fill="none" stroke="currentColor"/>'
        f'<rect class="as-bar" x="{left:.1f}" y="{top + 6:.1f}" width="3" height="{box.height - 12:.1f}" rx="1.5" '
        f'fill="currentColor"/>{"".join(shown)}</g>'
    )


def spoken(node: Node) -> str:
    """Return what a screen reader says of a stage: kind, name, steps, backend, the number of columns.

    Examples
    --------
    >>> spoken(Node("filter", "expressions", "filter", steps=("filter(x > 1)",), columns_out=(("x", "Int64"),)))
    'step filter: filter(x > 1); 1 column out'
    """
    name = f"{kind_of(node)} {node.id}" if node.kind != "side" else node.id
    label = () if node.label in (node.id, node.id.rpartition("/")[2]) else (node.label,)
    columns = () if node.columns_out is None else (f"{counted(len(node.columns_out), 'columns')} out",)
    said = [cut(each, 200) for each in (*label, *node.reads, *node.steps, *notes(node), *columns)]
    return f"{cut(name, 120)}: {'; '.join(said)}" if said else cut(name, 120)


def full(node: Node) -> str:
    """Return all that is known of a stage, for the tip that a pointer brings up, a fact on each line."""
    facts = [node.id, *node.reads, *node.steps, *notes(node)]
    if node.columns_out is not None:
        facts.append(f"→ {cut(columns_text(node.columns_out), 1000)}")
    return "\n".join(cut(fact, 1000) for fact in facts)
