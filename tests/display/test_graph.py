"""The graph as SVG: every stage once, text inside of its box, edges from box to box, names for screen readers."""

import re
from itertools import combinations, pairwise
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shown_html import HOSTILE, graph_of, stages_of, text_of

from arrowstream.display.boxes import ADVANCE, PADDING, WIDEST, columns_text, kind_of, short_type, size_of
from arrowstream.display.graph import svg
from arrowstream.display.style import shown, style
from arrowstream.plan.outline import Edge, Node, Outline

pytestmark = pytest.mark.once

COLUMNS = (("auction", "Int64"), ("when", "Datetime(time_unit='us', time_zone='UTC')"), ("price", "Float64"))
AUTO = "auto: arrow below ~45,000 rows, polars above"


def step(id: str, **more: object) -> Node:
    return Node(id, "expressions", id, steps=(f"{id}(x > 1)",), backend=AUTO, columns_out=COLUMNS, **more)  # type: ignore[arg-type]


RICH = Outline(
    "bids",
    (
        Node(
            "source",
            "source",
            "file bids/*.parquet (parquet)",
            reads=("columns: 3 of 9",),
            columns_out=COLUMNS,
        ),
        Node("bad rows of source", "side", "file bad/", guarantee="atomic"),
        step("filter"),
        Node("join/orders/source", "source", "kafka orders at localhost:9092 (earliest, group g)"),
        step("join/orders/map"),
        Node("join/users/source", "source", "frame"),
        Node(
            "join",
            "inputs",
            "join",
            steps=("join(on='k')",),
            policies=("late rows: file late/",),
            remark="never",
        ),
        Node("late rows of join", "side", "file late/"),
        Node("split", "split", "split", steps=("split(kind)",)),
        Node(
            "a/window",
            "operator",
            "window",
            steps=("window(size=10s, on=when).agg(n = len(), most = max(price))",),
        ),
        step("b/select"),
        Node(
            "b/sink",
            "sink",
            "tcp 127.0.0.1:9001",
            guarantee="at least once: sent again after a lost connection",
        ),
        Node("batch", "operator", "batch", steps=("batch(rows=10)", "batch(rows=20)")),
        Node("sink 1", "sink", "file out.parquet", guarantee="atomic"),
        Node("sink 2", "sink", "fn print", guarantee="at most once"),
    ),
    (
        Edge("source", "bad rows of source", "bad rows"),
        Edge("source", "filter"),
        Edge("filter", "join"),
        Edge("join/orders/source", "join/orders/map"),
        Edge("join/orders/map", "join", label="orders"),
        Edge("join/users/source", "join", label="users"),
        Edge("join", "late rows of join", "late rows"),
        Edge("join", "split"),
        Edge("split", "a/window", label="a"),
        Edge("split", "b/select", label="b"),
        Edge("b/select", "b/sink"),
        Edge("a/window", "batch"),
        Edge("split", "batch", label="c"),
        Edge("split", "batch", label="a branch with a name that is too long for its place"),
        Edge("batch", "sink 1"),
        Edge("batch", "sink 2"),
    ),
    True,
)

LONG = Outline(
    "long",
    (Node("source", "source", "frame"), *(step(f"step-{number}") for number in range(30))),
    (
        Edge("source", "step-0"),
        *(Edge(f"step-{number}", f"step-{number + 1}") for number in range(29)),
        Edge("step-3", "step-20", label="skip"),
    ),
    True,
)

HOSTILE_GRAPH = Outline(
    HOSTILE[0],
    tuple(
        Node(
            f"{hostile}{number}",
            "operator",
            hostile,
            steps=(hostile, "a", "b", "c", "d", "e"),
            columns_out=((hostile, hostile),),
            guarantee=hostile,
            policies=(hostile,),
            remark=hostile,
        )
        for number, hostile in enumerate(HOSTILE)
    ),
    tuple(
        Edge(f"{one}{number}", f"{other}{number + 1}", label=one)
        for number, (one, other) in enumerate(pairwise(HOSTILE))
    ),
    True,
)

NAMED = {"rich": RICH, "long": LONG, "hostile": HOSTILE_GRAPH, "empty": Outline("empty", (), (), True)}


def number(element: ET.Element, name: str) -> float:
    return float(element.attrib[name])


class Drawn:
    """A graph that was drawn, as rectangles and edges."""

    def __init__(self, outline: Outline) -> None:
        self.graph = graph_of(svg(outline))
        self.groups = {
            each.attrib.get("data-stage", ""): each
            for each in self.graph.iter("g")
            if each.attrib.get("class", "").startswith("as-node")
        }
        self.rects: dict[str, tuple[float, float, float, float]] = {}
        for id, group in self.groups.items():
            rect = group.find("rect")
            assert rect is not None
            x, y, across, down = (number(rect, name) for name in ("x", "y", "width", "height"))
            self.rects[id] = x, y, x + across, y + down

    def check(self) -> None:
        across, down = number(self.graph, "width"), number(self.graph, "height")
        for left, top, right, bottom in self.rects.values():
            assert left >= 0 and top >= 0 and right <= across and bottom <= down
        for (a, b, c, d), (e, f, g, h) in combinations(self.rects.values(), 2):
            assert c < e or g < a or d < f or h < b, "boxes overlap"
        for id, group in self.groups.items():
            if id:
                self.check_text(id, group)
        for group in self.graph.iter("g"):
            if "data-from" in group.attrib:
                self.check_edge(group)

    def check_text(self, id: str, group: ET.Element) -> None:
        left, top, right, bottom = self.rects[id]
        heights = []
        for line in group.iter("text"):
            face = line.attrib["class"].removeprefix("as-")
            assert number(line, "x") == pytest.approx(left + PADDING, abs=0.1)
            assert left + PADDING + size_of(face)(line.text or "") * ADVANCE[face] <= right - PADDING + 1
            heights.append(number(line, "y"))
        assert heights == sorted(heights) and top + 9 < heights[0] and heights[-1] < bottom - 3

    def check_edge(self, group: ET.Element) -> None:
        path, tip = (each.attrib["d"] for each in group.iter("path"))
        points = [(float(x), float(y)) for x, y in re.findall(r"(-?[\d.]+) (-?[\d.]+)", path)]
        left, _, right, bottom = self.rects[group.attrib["data-from"]]
        assert left < points[0][0] < right and points[0][1] == pytest.approx(bottom, abs=0.2)
        left, top, right, _ = self.rects[group.attrib["data-to"]]
        assert left < points[-1][0] < right and points[-1][1] == pytest.approx(top - 5, abs=0.2)
        assert tip.startswith("M") and tip.endswith("Z")


@pytest.mark.parametrize("name", NAMED)
def test_every_stage_is_there_once_and_fits(name: str) -> None:
    outline = NAMED[name]
    drawn = Drawn(outline)
    drawn.check()
    assert len(stages_of(drawn.graph)) == len(outline.nodes) == len(set(stages_of(drawn.graph)))
    text_of(svg(outline))


@pytest.mark.parametrize("name", ["rich", "long"])
def test_every_edge_is_there(name: str) -> None:
    outline = NAMED[name]
    found = [each.attrib for each in graph_of(svg(outline)).iter("g") if "data-from" in each.attrib]
    edges = sorted(
        (each["data-from"], each["data-to"], each["data-kind"]) for each in found if each["data-to"]
    )
    assert edges == sorted((edge.source, edge.target, edge.kind) for edge in outline.edges)


def test_edges_that_pass_layers_pass_no_box() -> None:
    drawn = Drawn(LONG)
    (edge,) = (
        each
        for each in drawn.graph.iter("g")
        if (each.attrib.get("data-to")) == "step-20" and each.attrib["data-from"] == "step-3"
    )
    path = next(edge.iter("path")).attrib["d"]
    passed = [float(x) for x in re.findall(r"([\d.]+) [\d.]+V", path)]
    assert len(passed) == 16
    for x in passed:
        assert all(
            not left <= x <= right
            for id, (left, _, right, _) in drawn.rects.items()
            if id in {f"step-{each}" for each in range(4, 20)}
        )


def test_screen_readers_and_keyboards() -> None:
    graph = graph_of(svg(RICH))
    assert graph.attrib["aria-label"] == "Graph of pipeline bids: 3 sources, 7 stages, 5 sinks"
    names = {}
    for group in graph.iter("g"):
        if "data-stage" in group.attrib:
            assert group.attrib["tabindex"] == "0" and group.attrib["role"] == "img"
            assert group.find("title") is not None
            names[group.attrib["data-stage"]] = group.attrib["aria-label"]
        else:
            assert group.attrib["aria-hidden"] == "true"
    assert names["source"] == "source source: file bids/*.parquet (parquet); columns: 3 of 9; 3 columns out"
    assert names["b/sink"].startswith("sink b/sink: tcp 127.0.0.1:9001; at least once")
    assert names["late rows of join"] == "late rows of join: file late/"
    assert names["filter"] == f"step filter: filter(x > 1); backend {AUTO}; 3 columns out"
    assert names["split"] == "split split: split(kind)"


def test_a_name_alone() -> None:
    graph = graph_of(svg(Outline("p", (Node("map", "operator", "map"),), (), False)))
    assert graph.attrib["aria-label"] == "Graph of pipeline p: 0 sources, 1 step, 0 sinks"
    assert next(graph.iter("g")).attrib.get("data-from") == "map"
    assert [each.attrib.get("aria-label") for each in graph.iter("g") if "data-stage" in each.attrib] == [
        "step map"
    ]


def test_rows_without_a_sink_come_out() -> None:
    said = text_of(svg(Outline("p", (Node("source", "source", "frame"),), (), True)))
    assert "rows come out here" in said
    assert "rows come out here" not in text_of(svg(RICH))


def box_lines(**more: object) -> list[str]:
    outline = Outline("p", (Node("one", **more),), (), True)  # type: ignore[arg-type]
    (group,) = (each for each in graph_of(svg(outline)).iter("g") if "data-stage" in each.attrib)
    return [line.text or "" for line in group.iter("text")]


def test_lines_of_a_box() -> None:
    steps = tuple(f"step({number})" for number in range(9))
    found = box_lines(kind="expressions", label="many", steps=steps)
    assert found == ["9 steps, fused", "many", "step(0)", "step(1)", "step(2)", "+ 6 more"]
    kind, *found = box_lines(kind="expressions", label="one", steps=("x" * 1000,))
    assert kind == "step" and len(found) == 5 and found[-1].endswith("x…")
    _, *label = box_lines(kind="source", label=f"file {'y' * 200}")
    assert len(label) == 2 and label[0].startswith("file y") and label[1].endswith("…")
    assert box_lines(kind="operator", label="same", steps=("same",)) == ["step", "same"]
    notes = box_lines(kind="operator", label="map", backend="b", policies=("p", "q", "r"))
    assert notes == ["step", "map", "backend b", "p", "q"]


def test_words() -> None:
    assert kind_of(Node("dead letters of map", "side", "fn print")) == "dead letters"
    assert (
        kind_of(Node("m", "operator", "m", steps=("map_zero_copy(a)", "map_zero_copy(b)")))
        == "2 steps, fused"
    )
    assert kind_of(Node("m", "inputs", "m")) == "streams meet"
    assert columns_text(()) == "no columns"
    assert columns_text(COLUMNS[:2]) == "auction: Int64, when: Datetime('us', 'UTC')"
    assert short_type("Struct({'time_unit=': Int64})") == "Struct({'time_unit=': Int64})"


@given(st.data(), st.integers(1, 10))
def test_any_graph_fits(data: st.DataObject, count: int) -> None:
    texts = st.text(max_size=90)
    nodes = []
    for place in range(count):
        kind = data.draw(
            st.sampled_from(("source", "expressions", "operator", "split", "inputs", "sink", "side"))
        )
        steps = tuple(data.draw(st.lists(texts, max_size=6)))
        nodes.append(Node(f"n{place}", kind, data.draw(texts), steps=steps, guarantee=data.draw(texts)))
    pairs = [(one.id, other.id) for place, one in enumerate(nodes) for other in nodes[place + 1 :]]
    drawn_edges = data.draw(st.lists(st.sampled_from(pairs), max_size=12)) if pairs else []
    edges = tuple(Edge(one, other, label=data.draw(texts)) for one, other in drawn_edges)
    outline = Outline("p", tuple(nodes), edges, True)
    Drawn(outline).check()
    text_of(svg(outline))


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(("theme", "page"), [("light", "#ffffff"), ("dark", "#111111"), ("dark", "#1e1e1e")])
def test_text_can_be_read_in_every_theme(theme: str, page: str) -> None:
    """The contrast of WCAG 2 for text, 4.5, on boxes, bands, errors and the page; 3 for lines that mean something."""
    sheet = re.search(rf"\{{color-scheme:{theme};([^}}]*)\}}", style())
    assert sheet is not None
    colour = dict(each.removeprefix("--as-").split(":") for each in sheet[1].split(";") if each)
    for ground in (page, colour["box"], colour["band"]):
        for name in ("text", "soft", "source", "plain", "operator", "meet", "sink", "side"):
            assert contrast(colour[name], ground) >= 4.5, (name, ground)
        assert contrast(colour["edge"], ground) >= 3
    assert contrast(colour["side"], colour["bad"]) >= 4.5 and contrast(colour["text"], colour["bad"]) >= 4.5


def test_the_style_is_scoped_and_knows_the_themes() -> None:
    sheet = style()
    assert sheet.startswith("<style>") and sheet.endswith("</style>") and "<" not in sheet[7:-8]
    flat = re.sub(r"@media \([^)]*\)\{(.*?\})\}", r"\1", sheet[7:-8])
    selectors = [each for rule in re.findall(r"([^{}]+)\{", flat) for each in re.split(r",(?![^(]*\))", rule)]
    assert selectors and all(".arrowstream" in each for each in selectors)
    for theme in ('data-jp-theme-light="false"', ".vscode-dark", "prefers-color-scheme:dark"):
        assert theme in sheet
    assert len(sheet) < 8000
    assert shown("<p>a</p>").endswith("<p>a</p></div>")
    assert WIDEST < 400
