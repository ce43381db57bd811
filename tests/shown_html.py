"""Reading what a notebook shows: HTML that must be well formed and safe, and the SVG in it."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

TAGS = {
    "div",
    "style",
    "span",
    "b",
    "p",
    "pre",
    "code",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "br",
    "details",
    "summary",
    "svg",
    "g",
    "rect",
    "path",
    "text",
    "title",
}
"""The elements that are used: no script, no frame, no form, nothing that loads."""

ATTRIBUTES = {
    "class",
    "role",
    "aria-label",
    "aria-hidden",
    "scope",
    "title",
    "xmlns",
    "width",
    "height",
    "viewbox",
    "viewBox",
    "data-from",
    "data-to",
    "data-kind",
    "d",
    "fill",
    "stroke",
    "x",
    "y",
    "rx",
    "text-anchor",
    "data-stage",
    "tabindex",
    "xml:space",
}

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "a & b &lt; c",
    "'; </style></title></svg><script>",
    "tab\tline\nbell\x07nul\x00red\x1b[31m",
    "right \u202e to left, half \ud800",
    "long" * 2000,
    "価格" * 100,
)
"""Texts that users, files and messages may give."""


class Page(HTMLParser):
    """Checks that elements are closed in their order, and that only harmless ones are there."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.said: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS, tag
        assert {name for name, _ in attrs} <= ATTRIBUTES, attrs
        if tag != "br":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.said.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)


def text_of(html: str) -> str:
    """Check a piece of HTML, and return its text."""
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e\ud800-\udfff]", html)
    for sheet in re.findall(r"<style>(.*?)</style>", html, re.DOTALL):
        assert not re.search(r"//|@import|url\(|@font-face", sheet)
    return "\n".join(Page(html).said)


def graph_of(html: str) -> ET.Element:
    """Return the graph in a piece of HTML; it must be well-formed XML."""
    found = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert len(found) == 1
    return ET.fromstring(found[0].replace(' xmlns="http://www.w3.org/2000/svg"', ""))


def stages_of(graph: ET.Element) -> list[str]:
    """Return the ids of the stages that a graph shows."""
    return [each.attrib["data-stage"] for each in graph.iter("g") if "data-stage" in each.attrib]
