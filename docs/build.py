"""A page for each operator, from its docstrings, and an index of them: ``python -m docs.build``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import griffe

from docs.docstrings import ROOT, STARS, Documented, Parameter, load, parameters_of, quoted, read
from docs.pages import GROUPS, Form

FOLDER = ROOT / "docs" / "operators"
ENDS = {"source", "sink"}
"""What returns a builder and is no operator."""


def operators(package: griffe.Module) -> dict[str, griffe.Function]:
    """The builder's methods that give a builder, or what becomes one: the operators."""
    builder = package["builder.Steps"]
    found = {}
    for name, method in builder.members.items():
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
        for name, forms in pages.items():
            text = "\n".join(page(package, methods[name], forms, group)).rstrip() + "\n"
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


def opening(method: griffe.Function) -> str:
    """The builder's docstring, without its references to other docstrings."""
    assert method.docstring is not None, method.path
    return markdown(re.sub(r"[,;] see `[^`]+`", "", method.docstring.value))


def page(
    package: griffe.Module, method: griffe.Function, forms: tuple[Form, ...], group: str
) -> Iterator[str]:
    """The page of one operator."""
    yield from (f"# {method.name}", "")
    if all(package[form.documented] is not method for form in forms):
        yield from (opening(method), "")
    yield f"[{group}](index.md#{group.lower().replace(' ', '-')})"
    yield from ("", "```python", f"Builder.{signature(method)}", "```", "")
    for form in forms:
        item = package[form.documented]
        if len(forms) > 1:
            yield from (f"## `{form.usage or usage(method.name, item)}`", "")
        yield from body(read(item, method), "###" if len(forms) > 1 else "##")


def body(said: Documented, level: str) -> Iterator[str]:
    """The sections of one docstring."""
    yield from (markdown(said.text), "")
    if said.parameters:
        yield from (f"{level} Parameters", "")
        yield from map(bullet, said.parameters.values())
        yield ""
    if said.notes:
        yield from (f"{level} Cost and notes", "", markdown(said.notes), "")
    if said.raises:
        yield from (f"{level} Errors", "")
        yield from (f"- `{error}`: {hanging(text)}" for error, text in said.raises)
        yield ""
    if said.examples:
        yield from (f"{level} Example", "")
        for example in said.examples:
            yield from ("```python", example, "```", "")


def bullet(parameter: Parameter) -> str:
    """One parameter."""
    kind = "" if parameter.annotation is None else f" (`{parameter.annotation}`"
    if kind:
        kind += ")" if parameter.default is None else f", default `{parameter.default}`)"
    return f"- **`{parameter.name}`**{kind}: {hanging(parameter.text)}"


def signature(method: griffe.Function) -> str:
    """The call as it is declared, on one line if it fits."""
    text: str = method.signature().replace("Self", "Builder")
    if len(text) <= 90:
        return text
    start, _, rest = text.partition("(")
    inside, _, returns = rest.rpartition(")")
    return f"{start}(\n    " + ",\n    ".join(re.split(r", (?![^\[(]*[\])])", inside)) + f",\n){returns}"


def usage(name: str, item: griffe.Object) -> str:
    """The call as a user writes it: names and defaults, without types."""
    if isinstance(item.parent, griffe.Class):
        name = f"{item.parent.name}.{item.name}"
    parts: list[str] = []
    named_only = False
    for parameter in parameters_of(item).values():
        if parameter.kind is griffe.ParameterKind.keyword_only and not named_only:
            named_only = True
            if not any(part.startswith("*") for part in parts):
                parts.append("*")
        star = STARS.get(parameter.kind, "") if parameter.kind is not None else ""
        default = "" if parameter.default is None or star else f"={quoted(str(parameter.default))}"
        parts.append(f"{star}{parameter.name}{default}")
    return f"{name}({', '.join(parts)})"


def markdown(text: str) -> str:
    """Docstring markup as Markdown: literals have one backtick there."""
    return text.replace("``", "`")


def hanging(text: str) -> str:
    """Text of a list item: its further lines are indented."""
    return markdown(text).strip().replace("\n", "\n  ")


if __name__ == "__main__":
    build(FOLDER)
    print(f"{sum(map(len, GROUPS.values()))} pages in {FOLDER.relative_to(ROOT)}")
