"""What the docstrings of a class or function say, as values; Griffe reads them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import griffe

ROOT = Path(__file__).parents[1]

INTERNAL = {"self", "cls", "then", "check", "before", "branches", "rest"}
"""Parameters that the builder gives, not its user."""

STARS = {griffe.ParameterKind.var_positional: "*", griffe.ParameterKind.var_keyword: "**"}


@dataclass(slots=True)
class Parameter:
    """A parameter as it is documented, with the type and default of the call."""

    name: str
    text: str
    annotation: str | None = None
    default: str | None = None


@dataclass(slots=True)
class Documented:
    """A docstring by its sections; for a class, with what its bases say about parameters and errors."""

    text: str = ""
    parameters: dict[str, Parameter] = field(default_factory=dict)
    raises: list[tuple[str, str]] = field(default_factory=list)
    notes: str = ""
    examples: list[str] = field(default_factory=list)


@cache
def load() -> griffe.Module:
    """The package as Griffe sees it: its source, which is not run."""
    loaded = griffe.load("arrowstream", search_paths=[ROOT], docstring_parser="numpy")
    assert isinstance(loaded, griffe.Module)
    return loaded


def call_of(item: griffe.Object) -> griffe.Object:
    """What the user's arguments go to: `of`, where a class has it."""
    of = item.members.get("of") if isinstance(item, griffe.Class) else None
    return of if isinstance(of, griffe.Function) else item


def parameters_of(item: griffe.Object) -> dict[str, griffe.Parameter]:
    """The parameters of a call, without those that the user never gives."""
    call = call_of(item)
    found = _taken(call)
    # An `of` without parameters of its own in its docstring leaves them to the fields of its class.
    if call is not item and "Parameters\n" not in (call.docstring.value if call.docstring else ""):
        found = {**_taken(item), **found}
    return found


def _taken(item: griffe.Object) -> dict[str, griffe.Parameter]:
    given = item.parameters if isinstance(item, griffe.Function | griffe.Class) else ()
    return {parameter.name: parameter for parameter in given if parameter.name not in INTERNAL}


def read(item: griffe.Object) -> Documented:
    """What is said about `item`, with the types and defaults of its parameters."""
    found = Documented()
    for source in _sources(item):
        own = source is item
        for section in source.docstring.parse("numpy", warnings=False) if source.docstring else ():
            match section:
                case griffe.DocstringSectionText() if own:
                    found.text = section.value
                case griffe.DocstringSectionParameters():
                    for entry in section.value:
                        found.parameters.setdefault(entry.name, Parameter(entry.name, entry.description))
                case griffe.DocstringSectionRaises():
                    for raised in section.value:
                        error = (str(raised.annotation), raised.description.strip())
                        found.raises += [error] if error not in found.raises else []
                case griffe.DocstringSectionAdmonition() if own and section.title == "Notes":
                    found.notes = section.value.contents
                case griffe.DocstringSectionExamples() if own:
                    found.examples = [text for _, text in section.value]
                case _:
                    pass
    _complete(found, parameters_of(item))
    return found


def _sources(item: griffe.Object) -> Iterator[griffe.Object]:
    """What documents `item`: what it is called by, itself, and the classes of this package it derives from."""
    call = call_of(item)
    if call is not item:
        yield call
    yield item
    if isinstance(item, griffe.Class):
        yield from item.mro()


def _complete(found: Documented, taken: dict[str, griffe.Parameter]) -> None:
    """Only what the call takes, in its order, with types and defaults."""
    documented, found.parameters = found.parameters, {}
    for name, parameter in taken.items():
        if name in documented:
            found.parameters[name] = _shown(parameter, documented[name].text)


def _shown(parameter: griffe.Parameter, text: str) -> Parameter:
    annotation = None if parameter.annotation is None else str(parameter.annotation)
    stars = STARS.get(parameter.kind, "") if parameter.kind is not None else ""
    default = None if parameter.default is None or stars else quoted(str(parameter.default))
    return Parameter(f"{stars}{parameter.name}", text, annotation, default)


def quoted(source: str) -> str:
    """A default as it stands in the source, its quotes double."""
    return f'"{source[1:-1]}"' if source.startswith("'") and '"' not in source else source
