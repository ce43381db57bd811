"""A page for each source and sink, from the table of connectors and the docstrings of its entries."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import griffe

from arrowstream.jobs.connector_table import SINKS, SOURCES, ByFormat, Connector, Fields, Option
from docs.docstrings import ROOT, load, read
from docs.render import body, markdown, opening, signature

FOLDER = ROOT / "docs" / "connectors"
COUNT = len(SOURCES) + len(SINKS)
OPTIONS = {
    "text": "text",
    "texts": "text, or a list of texts",
    "path": "a path; a relative one starts at the folder of the job file",
    "paths": "a path, a pattern, or a list of them; relative ones start at the folder of the job file",
    "flag": "`true` or `false`",
    "count": "a whole number of at least 1",
    "count from 0": "a whole number",
    "text or count": "text, or a whole number of at least 1",
    "options": 'a table of names and values, such as `{ aws_region = "eu-west-1" }`',
    "path or options": "a path; a relative one starts at the folder of the job file; or a table of names and values",
    "types": 'a table of columns and types, such as `{ x = "Float64" }`',
    "duration": 'a duration, such as `"10s"`, or a number of seconds',
    "text or path": "JSON text, or the path of a file with it; a relative one starts at the folder of the job file",
    "uri": "the URI of a database; the relative path of a file starts at the folder of the job file",
    "nulls": 'text, a list of texts, or a table of columns and texts, such as `{ x = "NA" }`',
    "counts": "a list of whole numbers",
    "start": "text, a time with its offset from UTC such as `2026-01-31T12:00:00Z`, or a table of partitions and "
    "offsets, such as `{ 0 = 17 }`",
    "bad_rows": '`"error"`, `"skip"`, or a sink, such as `{ kind = "file", path = "bad.ndjson" }`',
}
GUIDES = {
    "delta": "[Delta Lake tables](../guide/lakes.md)",
    "iceberg": "[Iceberg tables](../guide/iceberg.md)",
    "database": "[Databases](../guide/databases.md)",
    "kafka": "[Kafka](../guide/kafka.md) · [Message formats](../guide/messages.md)",
    "tcp": "[Message formats](../guide/messages.md)",
}
"""Pages of the guide about a kind of source and sink."""
SHARED = {
    "Every source": ("io.source.SourceSpec.with_event_time",),
    "Every sink": (
        "connectors.sink.Sink.fanout",
        "io.sink.SinkSpec.best_effort",
        "io.sink.SinkSpec.on_error",
    ),
}
"""What the index says about all of them."""


def build(folder: Path) -> None:
    """Write every page into `folder`."""
    package = load()
    folder.mkdir(parents=True, exist_ok=True)
    for section, kinds in (("source", SOURCES), ("sink", SINKS)):
        for kind, entry in kinds.items():
            text = "\n".join(page(package, section, kind, entry)).rstrip() + "\n"
            (folder / f"{entry.call.__name__}.md").write_text(text)
    (folder / "index.md").write_text("\n".join(index(package)).rstrip() + "\n")


def called(package: griffe.Module, entry: Connector) -> griffe.Function:
    """The function of an entry, as Griffe sees it."""
    module = entry.call.__module__.removeprefix(package.name).removeprefix(".")
    found = package[f"{module}.{entry.call.__qualname__}" if module else entry.call.__qualname__]
    assert isinstance(found, griffe.Function)
    return found


def page(package: griffe.Module, section: str, kind: str, entry: Connector) -> Iterator[str]:
    """The page of one connector; `section` is its place in a job."""
    item = called(package, entry)
    owner = f"{_owner(item)}." if isinstance(item.parent, griffe.Class) else ""
    guides = f" · {GUIDES[kind]}" if kind in GUIDES else ""
    yield from (f"# {owner}{item.name}", "", f"[Connectors](index.md#{section}s){guides}", "")
    yield from ("```python", f"{owner}{signature(item)}", "```", "")
    yield from body(read(item), "##")
    if entry.options is not None:
        yield from ("## In a job", "", "```toml", f"[{section}]", f'kind = "{kind}"', "```", "")
        yield from (
            f"- `{name}`{' (required)' if name in entry.required else ''}: {written(option)}"
            for name, option in entry.options.items()
        )


def _owner(item: griffe.Function) -> str:
    """The class that users call a constructor of: the one that inherits it."""
    assert isinstance(item.parent, griffe.Class)
    return re.sub("^(?:Database|File|Lake|Network)(Source|Sink)s$", r"\1", item.parent.name)


def written(option: Option) -> str:
    """What a job may write for an option."""
    if isinstance(option, ByFormat):
        return "; ".join(f'for `"{name}"`, {written(each)}' for name, each in option.formats.items())
    if isinstance(option, Fields):
        return "a table of " + ", ".join(
            f"`{name}` ({'required, ' * (name in option.required)}{written(each)})"
            for name, each in option.options.items()
        )
    if isinstance(option, tuple):
        return "one of " + ", ".join(f"`{name}`" for name in map(repr, option)).replace("'", '"')
    return OPTIONS[option]


def index(package: griffe.Module) -> Iterator[str]:
    """The list of all connectors, and what all sources and all sinks have."""
    yield from ("# Connectors", "")
    yield "Sources and sinks are immutable descriptions: nothing is opened before a pipeline runs. The pages are made"
    yield "from the docstrings by `make docs`; their examples run as tests."
    for title, kinds in (("Sources", SOURCES), ("Sinks", SINKS)):
        yield from ("", f"## {title}", "", "| connector | what it is | in a job |", "|---|---|---|")
        yield from rows(package, kinds)
    for title, names in SHARED.items():
        yield from ("", f"## {title}", "")
        for name in names:
            item = package[name]
            assert isinstance(item, griffe.Function)
            owner = "Sink" if item.is_public and item.name == "fanout" else ""
            yield from (
                f"### `{owner}.{item.name}`",
                "",
                "```python",
                f"{owner}.{signature(item)}",
                "```",
                "",
            )
            yield from body(read(item), "####")


def rows(package: griffe.Module, kinds: Mapping[str, Connector]) -> Iterator[str]:
    """A line of the index for each connector."""
    for kind, entry in kinds.items():
        item = called(package, entry)
        job = f'`kind = "{kind}"`' if entry.options is not None else ""
        first = markdown(opening(item)).split("\n\n")[0].replace("\n", " ")
        yield f"| [`{_owner(item)}.{item.name}`]({item.name}.md) | {first} | {job} |"
