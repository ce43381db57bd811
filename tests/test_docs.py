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
from docs.build import FOLDER, build, operators
from docs.docstrings import load, read
from docs.pages import GROUPS, Form, Pages

MODULES = [
    module.name
    for module in pkgutil.walk_packages(arrowstream.__path__, "arrowstream.")
    if not module.name.endswith("__main__")
]
PAGES: Pages = {name: forms for pages in GROUPS.values() for name, forms in pages.items()}


ELSEWHERE = {"window": {"late"}, "scan": {"named"}, "reduce": {"named"}}
"""Said in the text, not among the parameters."""


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
    """What it is, parameters, cost, errors, and an example that begins with a pipeline."""
    method = operators(package)[name]
    said = [read(package[form.documented], method) for form in PAGES[name]]
    first = said[0]
    assert first.text and first.notes
    assert "ost" in first.notes and re.search("[Ss]tate|[Hh]old|[Hh]eld|kept|nothing itself", first.notes)
    assert "Pipeline" in "".join(example for part in said for example in part.examples)
    assert any(part.raises for part in said)
    documented = {parameter for part in said for parameter in part.parameters}
    given = {parameter.name for parameter in method.parameters} - {"self", "options", "what", "fn", "handler"}
    assert given <= documented | ELSEWHERE.get(name, set())


def test_nothing_is_documented_twice_in_one_page() -> None:
    for forms in PAGES.values():
        names = [form.documented for form in forms]
        assert len(set(names)) == len(names)
        assert all(isinstance(form, Form) for form in forms)


@pytest.mark.parametrize("page", sorted(FOLDER.glob("*.md")), ids=lambda page: page.stem)
def test_a_page_names_only_what_its_reader_can_write(page: Path) -> None:
    found = re.search(r"`arrowstream\.operators|`\w+Step`|_us`|_ns`", page.read_text())
    assert found is None, found


def _methods(kind: type) -> Iterator[tuple[str, Any]]:
    for name, value in vars(kind).items():
        method = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        if not name.startswith("_") and (inspect.isfunction(method) or isinstance(method, property)):
            yield name, method


@pytest.mark.parametrize("module", MODULES)
def test_a_public_method_has_a_docstring_or_overrides_one_that_has(module: str) -> None:
    found = importlib.import_module(module)
    kinds = [kind for kind in vars(found).values() if inspect.isclass(kind) and kind.__module__ == module]
    missing = [
        f"{kind.__name__}.{name}"
        for kind in kinds
        if not kind.__name__.startswith("_") and Protocol not in kind.__bases__
        for name, method in _methods(kind)
        if not any(getattr(vars(base).get(name), "__doc__", None) for base in kind.__mro__)
    ]
    assert not missing
