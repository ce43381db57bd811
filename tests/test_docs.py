"""The pages of operators are what the docstrings give, and there is one for each operator."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import griffe
import pytest

import arrowstream
from arrowstream import Builder, Pipeline, Settings, Sink, Source, channel
from arrowstream.core.channel import Receiver, Sender
from docs.build import FOLDER, build, operators
from docs.docstrings import load, read
from docs.pages import GROUPS, Pages, Part

pytestmark = [pytest.mark.once, pytest.mark.untraced]

MODULES = [
    module.name
    for module in pkgutil.walk_packages(arrowstream.__path__, "arrowstream.")
    if not module.name.endswith("__main__")
]
PAGES: Pages = {name: parts for pages in GROUPS.values() for name, parts in pages.items()}


@pytest.fixture(scope="module")
def package() -> griffe.Module:
    return load()


def test_the_pages_are_up_to_date(tmp_path: Path) -> None:
    build(tmp_path)
    made = {page.name: page.read_text() for page in tmp_path.iterdir()}
    kept = {page.name: page.read_text() for page in FOLDER.iterdir()}
    assert made == kept, "run `make docs`"


def test_every_operator_has_a_page(package: griffe.Module) -> None:
    assert sorted(operators(package)) == sorted(PAGES)
    assert sum(map(len, GROUPS.values())) == len(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_says_all_of_it(name: str, package: griffe.Module) -> None:
    """What it is, parameters, result, cost, errors, and an example that begins with a pipeline."""
    method = operators(package)[name]
    said = read(method)
    assert said.text and "\nReturns\n" in method.docstring.value  # type: ignore[union-attr]
    assert "ost" in said.notes and re.search("[Ss]tate|[Hh]old|[Hh]eld|kept|nothing itself", said.notes)
    assert said.raises
    assert "Pipeline" in "".join(said.examples) and f".{name}(" in "".join(said.examples)
    assert {parameter.name for parameter in method.parameters} - {"self"} == {*said.parameters}


def test_nothing_is_documented_twice_in_one_page() -> None:
    for parts in PAGES.values():
        names = [part.documented for part in parts]
        assert len(set(names)) == len(names)
        assert all(isinstance(part, Part) for part in parts)


PUBLIC = (Builder, Pipeline, Source, Sink, Settings, Sender, Receiver)
"""What users call, apart from functions and a few methods of what these give."""

CALLED = [
    (f"{kind.__name__}.{name}", method)
    for kind in PUBLIC
    for name, method in inspect.getmembers(kind)
    if not name.startswith("_") and callable(method)
] + [("channel", channel)]


@pytest.mark.parametrize(("name", "method"), CALLED, ids=[name for name, _ in CALLED])
def test_a_public_call_names_its_arguments_and_documents_each(name: str, method: Any) -> None:
    """No argument hides in ``**options``: what a step takes besides expressions by name is in its signature."""
    taken = inspect.signature(method).parameters
    assert "options" not in taken
    described = re.search(
        r"\n *Parameters\n *-+\n(.*?)(?:\n\n *\w+\n *-+\n|\Z)", inspect.getdoc(method) or "", re.S
    )
    assert described or not set(taken) - {"self"}, "no section Parameters"
    if described:
        names = {
            each.strip(" *")
            for line in re.findall(r"^(\S.*)$", described[1], re.M)
            for each in line.split(",")
        }
        assert set(taken) - {"self"} == names


@pytest.mark.parametrize("page", sorted(FOLDER.glob("*.md")), ids=lambda page: page.stem)
def test_a_page_names_only_what_its_reader_can_write(page: Path) -> None:
    found = re.search(r"`arrowstream\.operators|`\w+Step`|_us`|_ns`", page.read_text())
    assert found is None, found


def _methods(kind: type) -> Iterator[tuple[str, Any]]:
    for name, value in vars(kind).items():
        method = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        if not name.startswith("_") and (
            inspect.isfunction(inspect.unwrap(method)) or isinstance(method, property)
        ):
            yield name, method


def test_a_public_method_has_a_docstring_or_overrides_one_that_has() -> None:
    """One test for all modules: a thousand tests take ten times as long as what they look at."""
    missing = [
        f"{module}: {kind.__name__}.{name}"
        for module in MODULES
        for kind in vars(importlib.import_module(module)).values()
        if inspect.isclass(kind) and kind.__module__ == module
        if not kind.__name__.startswith("_") and Protocol not in kind.__bases__
        for name, method in _methods(kind)
        if not any(getattr(vars(base).get(name), "__doc__", None) for base in kind.__mro__)
    ]
    assert not missing
