"""The sources and sinks that a job names, from the table of connectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from arrowstream.config.toml_file import Value
from arrowstream.jobs.connector_table import SINKS, SOURCES, ByFormat, Connector, Fields, Option
from arrowstream.jobs.job_errors import located
from arrowstream.jobs.paths import path, paths, uri
from arrowstream.jobs.values import duration, types


def _texts(value: Value) -> str | list[str]:
    return value.texts() if isinstance(value.found, list) else value.text()


def _text_or_count(value: Value) -> str | int:
    return value.text() if isinstance(value.found, str) else value.count()


def _scalar(value: Value) -> Any:
    """Return a value as it is; one from outside of the file is text."""
    outside = value.at in value.file.given
    return value.text() if isinstance(value.found, str) or outside else value.found


def _options(value: Value) -> dict[str, Any]:
    return {name: _scalar(item) for name, item in value.table().items()}


def _path_or_options(value: Value) -> str | dict[str, Any]:
    return path(value) if isinstance(value.found, str) else _options(value)


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


def _start(value: Value) -> Any:
    if isinstance(value.found, datetime):
        return value.found
    if isinstance(value.found, dict):
        return {name: offset.count(0) for name, offset in value.table().items()}
    return value.text()


def _text_or_path(value: Value) -> str:
    """Return JSON text as it is, anything else as a path."""
    return value.text() if value.text().lstrip()[:1] in ("{", "[", '"') else path(value)


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
    "options": _options,
    "path or options": _path_or_options,
    "bad_rows": _bad_rows,
    "nulls": _nulls,
    "duration": duration,
    "counts": lambda value: [item.count(0) for item in value.items()],
    "start": _start,
    "text or path": _text_or_path,
    "uri": uri,
}


def _read(option: Option, value: Value, table: Mapping[str, Value]) -> Any:
    if isinstance(option, ByFormat):
        return _read(_of_format(option, value, table), value, table)
    if isinstance(option, Fields):
        value.check_keys(option.options, option.required)
        with located(value):
            return option.make(**_values(option.options, value))
    return value.one_of(option) if isinstance(option, tuple) else _READERS[option](value)


def _of_format(option: ByFormat, value: Value, table: Mapping[str, Value]) -> Fields:
    """Return the fields of the format that the table around the value names."""
    name = table["format"].text() if "format" in table else option.default
    if name not in option.formats:
        known = ", ".join(map(repr, option.formats))
        raise value.error(f"messages of the format {name!r} have no options, only those of {known}")
    return option.formats[name]


def _values(options: Mapping[str, Option], value: Value) -> dict[str, Any]:
    table = value.table()
    return {key: _read(options[key], table[key], table) for key in options if key in table}


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
    with located(value):
        return entry.call(**_values(options, value))


def side_sink(value: Value) -> Any:
    """Make the sink of late rows or dead letters that a table describes."""
    return connector(value, SINKS)


def join_table(value: Value) -> Any:
    """Make the source of the table of a join: the path of a file, or a table that describes a source."""
    return path(value) if isinstance(value.found, str) else connector(value, SOURCES)


def place_of(value: Value, kinds: Mapping[str, Connector]) -> Value:
    """Return the value that errors of this source or sink refer to: its first option."""
    first, *_ = kinds[value.need("kind").text()].options or ("kind",)
    return value.table().get(first, value)


__all__ = ["SINKS", "SOURCES", "Connector", "connector", "join_table", "place_of", "side_sink"]
