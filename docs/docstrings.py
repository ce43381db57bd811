"""What the docstrings of a class or function say, as values; Griffe reads them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import griffe

ROOT = Path(__file__).parents[1]


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
    given = call.parameters if isinstance(call, griffe.Function | griffe.Class) else ()
    return {parameter.name: parameter for parameter in given if parameter.name not in ("self", "cls", "then")}


def read(item: griffe.Object) -> Documented:
    """What is said about `item`; of a class with `of`, the parameters are those of `of`."""
    found = Documented()
    for source in _sources(item):
        own = source is item
        for section in source.docstring.parse("numpy", warnings=False) if source.docstring else ():
            match section:
                case griffe.DocstringSectionText() if own:
                    found.text = section.value
                case griffe.DocstringSectionParameters():
                    for entry in section.value:
                        for name in str(entry.name).split(", "):
                            found.parameters.setdefault(name.lstrip("*"), Parameter(name, entry.description))
                case griffe.DocstringSectionRaises():
                    found.raises += [
                        (str(entry.annotation), entry.description.strip()) for entry in section.value
                    ]
                case griffe.DocstringSectionAdmonition() if own and section.title == "Notes":
                    found.notes = section.value.contents
                case griffe.DocstringSectionExamples() if own:
                    found.examples = [text for _, text in section.value]
                case _:
                    pass
    _complete(found, item)
    return found


def _sources(item: griffe.Object) -> Iterator[griffe.Object]:
    """What documents `item`: what it is called by, itself, and the classes of this package it derives from."""
    call = call_of(item)
    if call is not item:
        yield call
    yield item
    if isinstance(item, griffe.Class):
        yield from item.mro()


def _complete(found: Documented, item: griffe.Object) -> None:
    """Only what the call takes, in its order, with types and defaults; everything, where it takes anything."""
    taken = parameters_of(item)
    order: dict[str, Any] = {name: taken[name] for name in taken if name in found.parameters}
    if order:
        found.parameters = {name: found.parameters[name] for name in order}
    found.parameters.pop("then", None)
    for name, parameter in order.items():
        shown = found.parameters[name]
        shown.annotation = None if parameter.annotation is None else str(parameter.annotation)
        shown.default = None if parameter.default is None else str(parameter.default)
        if parameter.kind is griffe.ParameterKind.var_positional:
            shown.name, shown.default = f"*{name}", None
        elif parameter.kind is griffe.ParameterKind.var_keyword:
            shown.name, shown.default = f"**{name}", None
