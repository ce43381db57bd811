"""The graph of a pipeline as SVG: `svg(outline)` is a pure function, and needs no script."""

from __future__ import annotations

from arrowstream.core.plural import counted
from arrowstream.display.boxes import HEIGHT, PADDING, columns_text, kind_of, notes
from arrowstream.display.edges import draw_edges
from arrowstream.display.escape import cut, lines, text
from arrowstream.display.scene import MARGIN, OUTPUT, STUB, Scene, scene_of
from arrowstream.plan.outline import Node, Outline


def svg(outline: Outline) -> str:
    """Draw a graph.

    Parameters
    ----------
    outline
        The graph.

    Returns
    -------
    str
        An ``<svg>`` element without ids, so that a page can hold any number. The group of each stage has the
        attributes ``data-stage`` (its id), ``tabindex`` and ``aria-label``; each edge has ``data-from`` and
        ``data-to``. Colours come from `display.style`; without it, all lines have the colour of the text around.

    Examples
    --------
    >>> svg(Outline("p", (Node("source", "source", "frame"),), (), True)).startswith("<svg ")
    True
    """
    scene = scene_of(outline)
    across, down = scene.size
    parts = [
        f'<svg class="as-graph" xmlns="http://www.w3.org/2000/svg" width="{across:g}" height="{down:g}" '
        f'viewBox="0 0 {across:g} {down:g}" role="group" aria-label="{text(described(outline))}">',
        *draw_edges(scene),
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


def _stage(scene: Scene, id: str) -> str:
    left, top = scene.placed.centre[id] - scene.across / 2 + MARGIN, scene.top[id]
    if id == OUTPUT:
        return (
            f'<g class="as-node as-output" aria-hidden="true"><rect class="as-box" x="{left:.1f}" y="{top:.1f}" '
            f'width="{scene.across}" height="{STUB}" rx="6" fill="none" stroke="currentColor"/>'
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
