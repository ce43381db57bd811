"""Places for the boxes of a graph: in layers from top to bottom, with few crossings and straight edges.

The way of Sugiyama, Tagawa and Toda, "Methods for visual understanding of hierarchical system structures" (1981):
layers by longest paths, the order inside a layer by the means of neighbours, then places next to the neighbours. The
last step is exact for one layer at a time: isotonic regression gives the nearest places, in least squares, that keep
the order and the distance.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

NodePair = tuple[str, str]

_LIGHT = 0.0001
"""Weight of a box that stands aside: below half a pixel for the others."""

_LANE_WEIGHT = 0.3
"""Weight of an edge that passes a layer: boxes stand in the middle, edges bend."""

_SWEEPS = 12
"""Passes down and up, of the order and of the places; graphs of pipelines settle in a few."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Where the boxes are.

    Parameters
    ----------
    layers
        The boxes of each layer, from left to right.
    centre
        The horizontal centre of each box, in units of `gap`'s.
    ways
        For each edge, the centres on the layers that it crosses between its ends.
    """

    layers: tuple[tuple[str, ...], ...]
    centre: Mapping[str, float]
    ways: Mapping[NodePair, tuple[float, ...]]


class _Size(NamedTuple):
    """The width of a place, and how much it counts where several want to be in one place."""

    width: float
    weight: float


def place(
    nodes: Sequence[str],
    edges: Sequence[NodePair],
    *,
    box: float,
    lane: float,
    gap: float,
    aside: Collection[str] = (),
) -> Placed:
    """Place the boxes of a graph without cycles.

    Parameters
    ----------
    nodes
        The boxes; each comes after those that its edges come from.
    edges
        Pairs of boxes.
    box, lane, gap
        Width of a box, width of an edge that passes a layer, and least distance of two of these.
    aside
        Boxes that no others are placed by: they stand to the right of the main way.

    Returns
    -------
    Placed
        The layers, with the left end of the leftmost at 0.
    """
    edges = list(dict.fromkeys(edges))
    level = _levels(nodes, edges)
    rows: list[list[str]] = [[] for _ in range(max(level.values(), default=-1) + 1)]
    for node in nodes:
        rows[level[node]].append(node)
    above: dict[str, list[str]] = defaultdict(list)
    below: dict[str, list[str]] = defaultdict(list)
    passing: dict[NodePair, list[str]] = {}
    lanes: set[str] = set()
    for source, target in edges:
        chain = [f"\0{source}\0{target}\0{number}" for number in range(level[source] + 1, level[target])]
        passing[source, target] = chain
        lanes.update(chain)
        for number, each in enumerate(chain, level[source] + 1):
            rows[number].append(each)
        for one, other in zip([source, *chain], [*chain, target], strict=True):
            below[one].append(other)
            above[other].append(one)
    rows = _ordered(rows, above, below, aside)
    sizes = {
        each: _Size(lane, _LANE_WEIGHT) if each in lanes else _Size(box, _LIGHT if each in aside else 1.0)
        for row in rows
        for each in row
    }
    centre = _centres(rows, above, below, sizes, gap)
    left = min((centre[each] - sizes[each].width / 2 for each in centre), default=0.0)
    ways = {edge: tuple(centre[each] - left for each in chain) for edge, chain in passing.items()}
    layers = tuple(tuple(each for each in row if each not in lanes) for row in rows)
    return Placed(layers, {node: centre[node] - left for node in nodes}, ways)


def _levels(nodes: Sequence[str], edges: Sequence[NodePair]) -> dict[str, int]:
    """Return the layer of each box: below all that its rows come from; other inputs begin next to where they meet."""
    above: dict[str, list[str]] = {node: [] for node in nodes}
    below: dict[str, list[str]] = {node: [] for node in nodes}
    for source, target in edges:
        above[target].append(source)
        below[source].append(target)
    level: dict[str, int] = {}
    divided: set[str] = set()
    for node in nodes:
        level[node] = max((level[each] + 1 for each in above[node]), default=0)
        if any(len(below[each]) > 1 or each in divided for each in above[node]):
            divided.add(node)
    for node in reversed(nodes):
        if below[node] and node not in divided:
            level[node] = min(level[each] for each in below[node]) - 1
    return level


def _ordered(
    rows: Sequence[Sequence[str]],
    above: Mapping[str, list[str]],
    below: Mapping[str, list[str]],
    aside: Collection[str],
) -> list[list[str]]:
    """Return the layers sorted by the mean place of neighbours: of passes down and up that with fewest crossings."""
    now = [sorted(row, key=lambda each: each in aside) for row in rows]
    best, fewest = [list(row) for row in now], _crossings(now, below)
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        near = above if down else below
        for row, fixed in _pairs(now, down):
            at = {each: place for place, each in enumerate(fixed)}
            own = {each: place for place, each in enumerate(row)}
            mean = {each: _mean([at[other] for other in near.get(each, ())], own[each]) for each in row}
            row.sort(key=lambda each: (mean[each], own[each]))
        if (crossed := _crossings(now, below)) < fewest:
            best, fewest = [list(row) for row in now], crossed
    return best


def _crossings(rows: Sequence[Sequence[str]], below: Mapping[str, list[str]]) -> int:
    """Return how often two edges cross."""
    found = 0
    for row, following in pairwise(rows):
        at = {each: place for place, each in enumerate(following)}
        ends = [sorted(at[other] for other in below.get(each, ())) for each in row]
        flat = [end for each in ends for end in each]
        found += sum(one > other for number, one in enumerate(flat) for other in flat[number + 1 :])
    return found


def _centres(
    rows: list[list[str]],
    above: Mapping[str, list[str]],
    below: Mapping[str, list[str]],
    sizes: Mapping[str, _Size],
    gap: float,
) -> dict[str, float]:
    """Return a centre for each place: next to its neighbours, in the order of its layer."""
    centre: dict[str, float] = {}
    for row in rows:
        right = 0.0
        for each in row:
            centre[each] = right + sizes[each].width / 2
            right += sizes[each].width + gap
    for sweep in range(2 * _SWEEPS + 1):  # the last one places boxes below those that their rows come from
        down = sweep % 2 == 0
        for row, _ in _pairs(rows, down):
            near = above if down else below
            wanted = [
                _wanted(
                    (above if sizes[each].weight == _LIGHT else near).get(each, ()),
                    centre,
                    sizes,
                    centre[each],
                )
                for each in row
            ]
            offsets = [0.0]
            for one, other in pairwise(row):
                offsets.append(offsets[-1] + (sizes[one].width + sizes[other].width) / 2 + gap)
            free = _increasing(
                [want - offset for want, offset in zip(wanted, offsets, strict=True)],
                [sizes[each].weight for each in row],
            )
            for each, place, offset in zip(row, free, offsets, strict=True):
                centre[each] = place + offset
    return centre


def _wanted(
    neighbours: Sequence[str], centre: Mapping[str, float], sizes: Mapping[str, _Size], default: float
) -> float:
    """Return the centre of the neighbours; those that stand aside do not count, unless there are no others."""
    heavy = [each for each in neighbours if sizes[each].weight > _LIGHT] or neighbours
    return _mean([centre[each] for each in heavy], default)


def _pairs(rows: list[list[str]], down: bool) -> Iterator[tuple[list[str], list[str]]]:
    """Return each layer that is to be placed, with the one before it."""
    order = rows if down else rows[::-1]
    return zip(order[1:], order, strict=False)


def _mean(values: Sequence[float], default: float) -> float:
    return sum(values) / len(values) if values else default


def _increasing(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Return the numbers nearest to `values`, by weight, that do not decrease, by pooling adjacent violators."""
    pools: list[tuple[float, float, int]] = []
    for value, weight in zip(values, weights, strict=True):
        mean, count = value, 1
        while pools and pools[-1][0] > mean:
            before, heavy, many = pools.pop()
            mean = (mean * weight + before * heavy) / (weight + heavy)
            weight, count = weight + heavy, count + many
        pools.append((mean, weight, count))
    return [mean for mean, _, count in pools for _ in range(count)]
