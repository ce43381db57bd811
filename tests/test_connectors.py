"""A connector is one entry of a table: jobs, pages and `explain()` come from it."""

import dataclasses
import importlib
import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import griffe
import polars as pl
import pytest

from arrowstream import Sink, Source
from arrowstream.io.messages.formats import MessageFormat
from arrowstream.jobs.connector_table import SINKS, SOURCES, ByFormat, Connector, Fields, Option
from arrowstream.jobs.job import Job
from docs import connector_pages
from docs.connector_pages import FOLDER, OPTIONS, SHARED, build, called, page
from docs.docstrings import load, read

pytestmark = pytest.mark.once

ENTRIES = [*(("source", *item) for item in SOURCES.items()), *(("sink", *item) for item in SINKS.items())]
NAMES = [f"{section} {kind}" for section, kind, _ in ENTRIES]


@pytest.fixture(scope="module")
def package() -> griffe.Module:
    return load()


def test_every_method_is_in_the_table() -> None:
    for owner, kinds, other in ((Source, SOURCES, set()), (Sink, SINKS, {"fanout"})):
        methods = {name for name in dir(owner) if not name.startswith("_")}
        assert methods - other == {entry.call.__name__ for entry in kinds.values()}


@pytest.mark.untraced
def test_the_pages_are_up_to_date(tmp_path: Path) -> None:
    build(tmp_path)
    made = {page.name: page.read_text() for page in tmp_path.iterdir()}
    kept = {page.name: page.read_text() for page in FOLDER.iterdir()}
    assert made == kept, "run `make docs`"


@pytest.mark.untraced
@pytest.mark.parametrize(("section", "kind", "entry"), ENTRIES, ids=NAMES)
def test_a_page_says_all_of_it(section: str, kind: str, entry: Connector, package: griffe.Module) -> None:
    """Parameters, cost, errors, and an example with a pipeline."""
    item = called(package, entry)
    said = read(item)
    assert set(said.parameters) == set(inspect.signature(entry.call).parameters)
    assert "Cost" in said.notes and re.search("[Hh]old|held", said.notes)
    assert said.raises
    assert "Pipeline" in "".join(said.examples)
    text = "\n".join(page(package, section, kind, entry))
    assert (f'[{section}]\nkind = "{kind}"' in text) == (entry.options is not None)


REQUIRED = {
    "from_kafka": {"servers", "topic"},
    "from_database": {"uri", "query"},
    "from_iceberg": {"table", "catalog"},
    "to_database": {"uri", "table"},
    "to_iceberg": {"table", "catalog"},
}
"""The arguments without a default, of other connectors than files."""


@pytest.mark.parametrize("entry", [entry for _, _, entry in ENTRIES if entry.options is not None])
def test_a_job_has_the_arguments_of_python(entry: Connector) -> None:
    assert entry.options is not None
    parameters = inspect.signature(entry.call).parameters
    assert set(entry.options) == set(parameters)
    assert next(iter(entry.options)) == next(iter(parameters))
    required = REQUIRED.get(entry.call.__name__, {next(iter(parameters))})
    assert set(entry.required) == required
    known = {each for each in walked(entry.options) if not isinstance(each, tuple)}
    assert known <= set(OPTIONS)


def walked(options: Mapping[str, Option]) -> Iterator[Option]:
    """The types of options, those of the fields of tables among them."""
    for option in options.values():
        if isinstance(option, Fields):
            names = {field.name for field in dataclasses.fields(option.make)}  # type: ignore[arg-type]
            assert set(option.options) == names
            yield from walked(option.options)
        elif isinstance(option, ByFormat):
            assert {option.default, *option.formats} <= set(get_args(MessageFormat))
            yield from walked(option.formats)
        else:
            yield option


@pytest.mark.untraced
def test_what_all_have_in_common_is_in_the_index(package: griffe.Module) -> None:
    text = (FOLDER / "index.md").read_text()
    for names in SHARED.values():
        for name in names:
            item = package[name]
            assert f".{item.name}`" in text
            assert read(item).text


TOY = '''
from arrowstream.testing import TestSource


def steps(size: int, label: str = "toy") -> TestSource:
    """Whole numbers.

    Parameters
    ----------
    size
        How many.
    label
        For nothing.
    """
    return TestSource.from_list(list(range(size)))
'''


def test_a_further_connector_is_one_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "toy_package").mkdir()
    (tmp_path / "toy_package" / "__init__.py").write_text("")
    (tmp_path / "toy_package" / "numbers.py").write_text(TOY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "toy_package.numbers", raising=False)
    module: Any = importlib.import_module("toy_package.numbers")

    entry = Connector(module.steps, {"size": "count", "label": ("toy", "tool")})
    monkeypatch.setitem(SOURCES, "steps", entry)

    job = tmp_path / "job.toml"
    job.write_text(f"""
source = {{ kind = "steps", size = 3, label = "tool" }}
sink = {{ kind = "file", path = "{tmp_path}/out.parquet" }}
""")
    pipeline = Job.load(job).pipeline()
    assert "source: test\n" in pipeline.explain()
    pipeline.run_sync()
    assert pl.read_parquet(tmp_path / "out.parquet")["value"].to_list() == [0, 1, 2]
    toy = griffe.load("toy_package", search_paths=[tmp_path], docstring_parser="numpy")
    assert isinstance(toy, griffe.Module)
    text = "\n".join(connector_pages.page(toy, "source", "steps", entry))
    assert text.startswith("# steps\n") and "**`size`** (`int`): How many." in text
    assert text.endswith(
        '- `size` (required): a whole number of at least 1\n- `label`: one of `"toy"`, `"tool"`'
    )
