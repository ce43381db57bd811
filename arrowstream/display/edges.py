"""The edges of a graph as SVG: curves with arrows and labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from arrowstream.display.escape import cut, loose_width, text
from arrowstream.display.scene import MARGIN, OUTPUT, Scene, label_of
from arrowstream.plan.outline import Edge

_LABEL_ADVANCE = 6.2
"""Pixels of a character of a label, on average."""

_WIDEST_PITCH = 96.0
"""Largest distance, in pixels, of two edges that meet one side of a box."""

_SHIFT = 7
"""Pixels between edges that pass a layer together."""


def draw_edges(scene: Scene) -> Iterator[str]:
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


def _ports(scene: Scene, ends: dict[str, list[int]], *, first: bool) -> dict[int, float]:
    """Return where each edge meets its box, in the order of what comes next on its way."""
    centre, found = scene.placed.centre, {}

    def following(number: int) -> float:
        edge = scene.edges[number]
        way = scene.placed.ways[edge.source, edge.target]
        return way[0 if first else -1] if way else centre[edge.target if first else edge.source]

    for id, numbers in ends.items():
        order = sorted(numbers, key=following)
        pitch = _pitch(scene, len(order))
        main = [at for at, number in enumerate(order) if scene.edges[number].kind == "rows"]
        # One way of rows among side outputs goes straight on.
        middle = main[0] if len(main) == 1 else (len(order) - 1) / 2
        for at, number in enumerate(order):
            found[number] = centre[id] + (at - middle) * pitch + MARGIN
    return found


def _pitch(scene: Scene, edges: int) -> float:
    """Return the distance of `edges` edges that meet one side of a box."""
    return min((scene.across - 40) / edges, _WIDEST_PITCH)


def _edge(scene: Scene, edge: Edge, start: float, end: float, crowd: tuple[int, int]) -> str:
    """Draw an edge from `start` to `end`; `crowd` are the numbers of edges that leave and enter its boxes."""
    same = [other for other in scene.edges if (other.source, other.target) == (edge.source, edge.target)]
    shift = _SHIFT * (same.index(edge) - (len(same) - 1) / 2) + MARGIN
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
        f'<path class="as-tip" d="{_arrow(end, tip)}" fill="currentColor"/>'
    )
    if label_of(edge):
        out, into = crowd
        if into == 1 or out > 1:
            drawn += _words(label_of(edge), end, tip - 10, x > end, _room(scene, into))
        else:
            next_x = ways[0] + shift if ways else end
            drawn += _words(
                label_of(edge), start, scene.bounds[first][1] + 15, next_x > start, _room(scene, out)
            )
    goes_to = "" if edge.target == OUTPUT else text(edge.target)
    return (
        f'<g aria-hidden="true" data-from="{text(edge.source)}" data-to="{goes_to}" data-kind="{edge.kind}">'
        f"{drawn}</g>"
    )


def _room(scene: Scene, edges: int) -> float:
    """Return the width, in pixels, of the label of one of `edges` edges at a box."""
    return scene.across / 2 if edges == 1 else _pitch(scene, edges) - 12


def _words(label: str, x: float, y: float, on_the_left: bool, room: float) -> str:
    """Write the label of an edge, on the side to which the edge does not bend."""
    anchor, x = ("end", x - 7) if on_the_left else ("start", x + 7)
    return (
        f'<text class="as-label" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="currentColor">'
        f"<title>{text(label)}</title>{text(cut(label, max(room / _LABEL_ADVANCE, 2), loose_width))}</text>"
    )


def _bend(x: float, y: float, to_x: float, to_y: float) -> str:
    """Return a curve that leaves and arrives vertically."""
    if abs(x - to_x) < 1:
        return f"L{to_x:.1f} {to_y:.1f}"
    half = (y + to_y) / 2
    return f"C{x:.1f} {half:.1f} {to_x:.1f} {half:.1f} {to_x:.1f} {to_y:.1f}"


def _arrow(x: float, y: float) -> str:
    """Return a triangle whose tip is at a box."""
    return f"M{x - 4:.1f} {y - 7:.1f}L{x:.1f} {y - 0.5:.1f}L{x + 4:.1f} {y - 7:.1f}Z"
