"""What MkDocs calls while it builds the site: the navigation, and pages for linked files outside of `docs`.

Pages link to each other, and to files of the checkout such as an example, by relative paths, which is what readers of
the checkout need. On the site each linked file is a page: Markdown as it is, notebooks by cells, others as text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from os.path import relpath
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

from docs.docstrings import ROOT
from docs.navigation import DOCS, PROJECT, navigation

ENTRIES = ("README.md", "ARCHITECTURE.md", "CHANGELOG.md", "benchmarks/results.md")
"""The files outside of `docs` that the navigation lists."""

BOOSTS = {"guide/": 2, "howto/": 2, "decisions/": 0.3, f"{PROJECT}/": 0.3}
"""How much the pages of a folder count in a search: what explains how to use arrowstream comes first."""

LINK = re.compile(r"(?<=\]\()(?P<path>[^()#\s:]+)(?P<anchor>#[^()\s]*)?(?=\))")
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
LANGUAGES = {".py": "python", ".toml": "toml"}


def on_config(config: MkDocsConfig) -> None:
    """Set the navigation."""
    config.nav = navigation()


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each file outside of `docs` that a page links to."""
    waiting = [*DOCS.rglob("*.md"), *(ROOT / entry for entry in ENTRIES)]
    seen = {*waiting}
    while waiting:
        path = waiting.pop()
        if DOCS not in path.parents:
            listed = path in {ROOT / entry for entry in ENTRIES}
            level = InclusionLevel.INCLUDED if listed else InclusionLevel.NOT_IN_NAV
            files.append(File.generated(config, site_path(path), content=text_of(path), inclusion=level))
        if path.suffix == ".md":
            linked = {target for target in links(path) if target.is_file()} - seen
            waiting += linked
            seen |= linked
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links to files outside of `docs`, and those that such files have, to their pages."""
    here = page.file.src_uri
    page.meta["search"] = {
        "boost": next((boost for start, boost in BOOSTS.items() if here.startswith(start)), 1)
    }
    path = ROOT / here.removeprefix(f"{PROJECT}/") if here.startswith(f"{PROJECT}/") else DOCS / here

    def led(found: re.Match[str]) -> str:
        target = (path.parent / found["path"]).resolve()
        if not target.is_file():
            return found[0]  # MkDocs reports it
        return relpath(site_path(target), str(PurePosixPath(here).parent)) + (found["anchor"] or "")

    pieces = [(LINK.sub(led, text) if not code else text) for text, code in pieces_of(markdown)]
    return "".join(pieces)


def pieces_of(markdown: str) -> Iterator[tuple[str, bool]]:
    """Yield the text of a page in order, each part with whether it is code."""
    end = 0
    for block in CODE.finditer(markdown):
        yield markdown[end : block.start()], False
        yield block[0], True
        end = block.end()
    yield markdown[end:], False


def links(path: Path) -> Iterator[Path]:
    """Yield the files that a page links to."""
    for text, code in pieces_of(path.read_text()):
        if not code:
            yield from ((path.parent / found["path"]).resolve() for found in LINK.finditer(text))


@cache
def site_path(path: Path) -> str:
    """Return the place of a file's page below the root of the site's sources."""
    if DOCS in path.parents:
        return path.relative_to(DOCS).as_posix()
    name = path.relative_to(ROOT).as_posix()
    return f"{PROJECT}/{name}" if path.suffix == ".md" else f"{PROJECT}/{name}.md"


def text_of(path: Path) -> str:
    """Return a file as Markdown."""
    text = path.read_text()
    if path.suffix == ".md":
        return text
    if path.suffix == ".ipynb":
        return "\n\n".join(cells(json.loads(text)))
    return f"# {path.relative_to(ROOT).as_posix()}\n\n{block(LANGUAGES.get(path.suffix, 'text'), text)}\n"


def cells(notebook: dict[str, Any]) -> Iterator[str]:
    """Yield the cells of a notebook as Markdown, each with what it printed and showed as text."""
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] != "code":
            yield source
            continue
        yield block("python", source)
        for output in cell["outputs"]:
            shown = output.get("text") or output.get("data", {}).get("text/plain")
            if shown:
                yield block("text", "".join(shown))


def block(language: str, text: str) -> str:
    """Return a block of code, which may have blocks of code in it."""
    return f"````{language}\n{text.rstrip()}\n````"
