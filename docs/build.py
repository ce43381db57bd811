"""A page for each operator and connector, from docstrings, with an index of each: ``python -m docs.build``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import griffe

from docs import connector_pages, sql_functions
from docs.docstrings import ROOT, load, read
from docs.pages import GROUPS, Part
from docs.render import body, opening, signature, usage

FOLDER = ROOT / "docs" / "operators"
ENDS = {"source", "sink"}
"""What returns a builder and is no operator."""


def operators(package: griffe.Module) -> dict[str, griffe.Function]:
    """The builder's methods that give a builder, or what becomes one: the operators."""
    found = {}
    steps = package["builder.steps.Steps"]
    assert isinstance(steps, griffe.Class)
    for kind in steps.mro():
        for name, method in kind.members.items():
            if isinstance(method, griffe.Function) and not name.startswith("_") and name not in ENDS:
                returns = str(method.returns)
                if returns == "Self" or returns.endswith("[Self]"):
                    found[name] = method
    return found


def build(folder: Path) -> None:
    """Write every page into `folder`."""
    package = load()
    methods = operators(package)
    folder.mkdir(parents=True, exist_ok=True)
    for group, pages in GROUPS.items():
        for name, parts in pages.items():
            text = "\n".join(page(package, methods[name], parts, group)).rstrip() + "\n"
            (folder / f"{name}.md").write_text(text)
    (folder / "index.md").write_text("\n".join(index(methods)) + "\n")


def index(methods: dict[str, griffe.Function]) -> Iterator[str]:
    """The list of all operators."""
    yield "# Operators"
    yield ""
    yield "Every operator is a method of the builder that `Pipeline.builder()` gives. Pages are made from the"
    yield "docstrings by `make docs`; their examples run as tests."
    for group, pages in GROUPS.items():
        yield from ("", f"## {group}", "", "| operator | what it does |", "|---|---|")
        for name in pages:
            yield f"| [`{name}`]({name}.md) | {summary(methods[name])} |"


def summary(method: griffe.Function) -> str:
    """The first paragraph of the builder's docstring."""
    return opening(method).split("\n\n")[0].replace("\n", " ")


def page(
    package: griffe.Module, method: griffe.Function, parts: tuple[Part, ...], group: str
) -> Iterator[str]:
    """The page of one operator: the builder's method, then what belongs to it."""
    yield from (f"# {method.name}", "")
    yield f"[{group}](index.md#{group.lower().replace(' ', '-')})"
    yield from ("", "```python", f"Builder.{signature(method)}", "```", "")
    yield from body(read(method), "##")
    for part in parts:
        item = package[part.documented]
        yield from (f"## `{part.usage or usage(method.name, item)}`", "")
        yield from body(read(item), "###")


if __name__ == "__main__":
    build(FOLDER)
    print(f"{sum(map(len, GROUPS.values()))} pages in {FOLDER.relative_to(ROOT)}")
    connector_pages.build(connector_pages.FOLDER)
    print(f"{connector_pages.COUNT} pages in {connector_pages.FOLDER.relative_to(ROOT)}")
    sql_functions.build(sql_functions.PAGE)
    print(f"the functions of SQL in {sql_functions.PAGE.relative_to(ROOT)}")
