"""The sources and sinks that a job names, from the table of connectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from arrowstream.config.toml_file import Value
from arrowstream.jobs.connector_table import SINKS, SOURCES, Connector, Option
from arrowstream.jobs.job_errors import located
from arrowstream.jobs.paths import path, paths
from arrowstream.jobs.values import types


def _texts(value: Value) -> str | list[str]:
    return value.texts() if isinstance(value.found, list) else value.text()


def _text_or_count(value: Value) -> str | int:
    return value.text() if isinstance(value.found, str) else value.count()


def _scalar(value: Value) -> Any:
    """Return a value as it is; one from outside of the file is text."""
    outside = value.at in value.file.given
    return value.text() if isinstance(value.found, str) or outside else value.found


def _bad_rows(value: Value) -> Any:
    if not isinstance(value.found, str):
        return connector(value, SINKS)
    if "." in value.text() or "/" in value.text():
        raise value.error(f'a sink is a table, such as {{ kind = "file", path = "{value.text()}" }}')
    return value.one_of(("error", "skip"))


def _nulls(value: Value) -> Any:
    if isinstance(value.found, dict):
        return {name: text.text() for name, text in value.table().items()}
    return _texts(value)


_READERS: dict[str, Callable[[Value], Any]] = {
    "text": Value.text,
    "texts": _texts,
    "path": path,
    "paths": paths,
    "flag": Value.flag,
    "count": Value.count,
    "count from 0": lambda value: value.count(0),
    "text or count": _text_or_count,
    "types": types,
    "options": lambda value: {name: _scalar(item) for name, item in value.table().items()},
    "bad_rows": _bad_rows,
    "nulls": _nulls,
}


def _read(option: Option, value: Value) -> Any:
    return value.one_of(option) if isinstance(option, tuple) else _READERS[option](value)


def connector(value: Value, kinds: Mapping[str, Connector], also: tuple[str, ...] = ()) -> Any:
    """Make the source or sink that a table describes; the caller reads the keys in `also`.

    Raises
    ------
    JobError
        A key or a value is wrong.
    """
    name = value.need("kind")
    options = kinds[name.one_of(kinds)].options
    if options is None:
        raise name.error(f"{name.found!r} takes Python objects: write the pipeline with Pipeline.builder()")
    entry = kinds[name.text()]
    value.check_keys(("kind", *options, *also), required=entry.required)
    table = value.table()
    with located(value):
        return entry.call(**{key: _read(options[key], table[key]) for key in options if key in table})


def side_sink(value: Value) -> Any:
    """Make the sink of late rows or dead letters that a table describes."""
    return connector(value, SINKS)


def place_of(value: Value, kinds: Mapping[str, Connector]) -> Value:
    """Return the value that errors of this source or sink refer to: its first option."""
    first, *_ = kinds[value.need("kind").text()].options or ("kind",)
    return value.table().get(first, value)


__all__ = ["SINKS", "SOURCES", "Connector", "connector", "place_of", "side_sink"]
