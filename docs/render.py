"""Docstrings and signatures as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator

import griffe

from docs.docstrings import STARS, Documented, Parameter, parameters_of, quoted


def opening(method: griffe.Function) -> str:
    """The docstring of a method."""
    assert method.docstring is not None, method.path
    return markdown(method.docstring.value)


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
        yield from (f"- `{error.strip('()')}`: {hanging(text)}" for error, text in said.raises)
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
