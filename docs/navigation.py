"""The navigation of the documentation site: every page of `docs`, by what a reader comes for."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from arrowstream.jobs.connector_table import SINKS, SOURCES
from docs.docstrings import ROOT
from docs.pages import GROUPS

DOCS = ROOT / "docs"
PROJECT = "project"
"""The folder of the site with the files that lie outside of `docs`, such as the README."""

HOWTO = ("jobs", "kafka", "recovery", "testing", "deployment")
GUIDE = (
    *("pipelines", "files", "event-time", "changes", "checkpoints", "running", "notebooks", "gpu", "testing"),
    *("sql", "sql-functions", "kafka", "messages", "databases", "lakes", "iceberg"),
)
"""The pages of the folder in their order; a name without a page is passed over, other pages follow."""

REFERENCE = (
    "pipeline",
    "builder",
    "results",
    "settings",
    "errors",
    "channels",
    "functions",
    "messages",
    "testing",
)


def navigation() -> list[dict[str, Any]]:
    """Return the navigation as MkDocs has it in its configuration."""
    return [
        {"Start": ["index.md", "tutorial.md", "concepts.md"]},
        {"Notebooks": [f"{PROJECT}/notebooks/{path.name}.md" for path in notebooks()]},
        {"How-to": ["howto/index.md", *pages("howto", HOWTO)]},
        {"Guide": [*pages("guide", GUIDE), "jobs.md"]},
        {"Operators": ["operators/index.md", *operators()]},
        {"Connectors": ["connectors/index.md", *connectors()]},
        {"API": ["reference/index.md", *pages("reference", REFERENCE)]},
        {"Compare": ["compare.md", "migration.md"]},
        {
            "Project": [
                {"README": f"{PROJECT}/README.md"},
                {"Architecture": f"{PROJECT}/ARCHITECTURE.md"},
                {"Changelog": f"{PROJECT}/CHANGELOG.md"},
                {"Benchmarks": f"{PROJECT}/benchmarks/results.md"},
                "seed.md",
                {"Decisions": ["decisions/README.md", *pages("decisions")]},
            ]
        },
    ]


def pages(folder: str, first: Iterable[str] = ()) -> list[str]:
    """Return the pages of a folder of `docs`: those of `first` in their order, then all others.

    Parameters
    ----------
    folder
        The name of the folder.
    first
        Names of pages, without ``.md``; those that do not exist are left out.
    """
    found = {page.stem for page in (DOCS / folder).glob("*.md")} - {"index", "README"}
    chosen = [name for name in first if name in found]
    return [f"{folder}/{name}.md" for name in (*chosen, *sorted(found - {*chosen}))]


def notebooks() -> list[Path]:
    """Return the notebooks in their order."""
    return sorted((ROOT / "notebooks").glob("*.ipynb"))


def operators() -> list[dict[str, list[str]]]:
    """Return the pages of operators by group."""
    return [{group: [f"operators/{name}.md" for name in names]} for group, names in GROUPS.items()]


def connectors() -> list[dict[str, list[str]]]:
    """Return the pages of sources and of sinks."""
    return [
        {title: [f"connectors/{entry.call.__name__}.md" for entry in kinds.values()]}
        for title, kinds in (("Sources", SOURCES), ("Sinks", SINKS))
    ]


def missing(listed: Iterable[Any]) -> set[Path]:
    """Return the pages of `docs` that a navigation does not list.

    Parameters
    ----------
    listed
        The navigation.
    """
    return {*DOCS.rglob("*.md")} - {DOCS / page for page in _flat(listed)}


def _flat(listed: Iterable[Any]) -> Iterable[str]:
    for entry in listed:
        if isinstance(entry, str):
            yield entry
        elif isinstance(entry, dict):
            yield from _flat(entry.values())
        else:
            yield from _flat(entry)
