"""The JSON schema of job files, with which editors complete, explain and check them.

It is made from the tables that the reader of jobs uses: the connectors, the steps and the error handlers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from arrowstream.config.toml_file import Value
from arrowstream.io.sink import SinkSpec
from arrowstream.io.source import SourceSpec
from arrowstream.jobs import handlers, steps, values
from arrowstream.jobs.connector_table import ByFormat, Connector, Fields, Option
from arrowstream.jobs.connectors import SINKS, SOURCES, join_table, side_sink
from arrowstream.jobs.docstrings import parameters, summary
from arrowstream.jobs.values import EVENT_TIME, Arguments, Either, OneOf, Reader
from arrowstream.operators.cast import Cast
from arrowstream.pipeline import Builder
from arrowstream.policies.handlers import ErrorHandler

Schema = dict[str, Any]

_VARIABLE: Schema = {"type": "string", "pattern": r"^\$\{[A-Za-z_]\w*(:-[^}]*)?\}$"}
_TEXT: Schema = {"type": "string"}
_TEXTS: Schema = {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}]}
_BY_NAME: Schema = {"type": "object", "additionalProperties": _TEXT}


def _or_variable(schema: Schema) -> Schema:
    return {"anyOf": [schema, _VARIABLE]}


_FLAG = _or_variable({"type": "boolean"})
_COUNT = _or_variable({"type": "integer", "minimum": 1})
_NUMBER = _or_variable({"type": "number"})
_DURATION: Schema = {"type": ["string", "number"]}
_HANDLER: Schema = {"$ref": "#/definitions/handler"}
_HANDLERS: Schema = {"anyOf": [_HANDLER, {"type": "array", "items": _HANDLER}]}
_STEPS: Schema = {"type": "array", "items": {"$ref": "#/definitions/step"}}

_OWN = {
    "agg": "Aggregates: SQL, an array of SQL with or without `AS name`, or a table from names to SQL.",
    "columns": "A table from names to SQL, or to a running function with its operand.",
    "late": "The sink of late rows.",
    "all_rows": "True to give each row with the bounds of its windows, in place of `agg`.",
    "stream": "The name of the [[source]] that is joined as a stream; it is not merged with others.",
    "table": "The table that rows are looked up in: the path of a file, or a source.",
}
"""Descriptions of arguments that jobs have in place of calls in Python."""

_NAMED: Schema = {"type": "object", "additionalProperties": {"type": ["string", "integer", "boolean"]}}

_OPTIONS: Mapping[str, Schema] = {
    "text": _TEXT,
    "texts": _TEXTS,
    "path": _TEXT,
    "paths": _TEXTS,
    "flag": _FLAG,
    "count": _COUNT,
    "count from 0": _or_variable({"type": "integer", "minimum": 0}),
    "text or count": {"anyOf": [_TEXT, _COUNT]},
    "options": _NAMED,
    "path or options": {"anyOf": [_TEXT, _NAMED]},
    "types": _BY_NAME,
    "bad_rows": {"anyOf": [{"enum": ["error", "skip"]}, {"$ref": "#/definitions/side_sink"}]},
    "nulls": {"anyOf": [*_TEXTS["anyOf"], _BY_NAME]},
    "duration": _DURATION,
    "text or path": _TEXT,
    "uri": _TEXT,
    "counts": {"type": "array", "items": {"type": "integer", "minimum": 0}},
    "start": {"anyOf": [_TEXT, {"type": "object", "additionalProperties": {"type": "integer"}}]},
}


def job_schema() -> Schema:
    """Return the JSON schema of a job file (draft 7)."""
    pipeline = {"name": _described(_TEXT, "Name of the pipeline; by default that of the file.")}
    checkpoint = {
        "path": _described(
            _TEXT, "Folder for the state of the job; its runs go on where the one before ended."
        ),
        "every": _described(_DURATION, "Time between two checkpoints; by default 10 s."),
    }
    source, sink = ({"$ref": f"#/definitions/{name}"} for name in ("source", "sink"))
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Job of arrowstream",
        **_table(
            {
                "sql": _described(_TEXT, "A query over the sources, which are its tables by their names."),
                "pipeline": _described(_table(pipeline), "The pipeline as a whole."),
                "checkpoint": _described(_table(checkpoint, ("path",)), "Checkpoints of the job's runs."),
                "source": _described(_one_or_more(source), "The source, or several that are merged."),
                "steps": _described(_STEPS, "The steps, in order."),
                "sink": _described(_one_or_more(sink), "The sink, or several that each get every batch."),
            },
            ("source", "sink"),
        ),
        "definitions": {
            "source": _connectors(SOURCES, _source_keys()),
            "sink": _connectors(SINKS, _sink_keys()),
            "side_sink": _connectors(SINKS, {}),
            "join_table": _connectors(SOURCES, {}),
            "step": _step(),
            "handler": _handler(),
        },
    }


def _source_keys() -> Mapping[str, Schema]:
    texts = parameters(SourceSpec.with_event_time)
    return {
        "name": _described(_TEXT, "Name of the source among several, and as a table of `sql`."),
        "event_time": _described(_TEXT, texts["column"]),
        **{key: _described(_form(read), texts[key]) for key, read in EVENT_TIME.items()},
        "on_error": _described(
            _HANDLERS, "Handlers of messages that cannot be decoded, of a source of messages."
        ),
        "steps": _described(_STEPS, "Steps of this source alone, before it is merged with others."),
    }


def _sink_keys() -> Mapping[str, Schema]:
    return {
        "on_error": _described(_HANDLERS, summary(SinkSpec.on_error)),
        "best_effort": _described(_COUNT, summary(SinkSpec.best_effort)),
    }


def _connectors(kinds: Mapping[str, Connector], also: Mapping[str, Schema]) -> Schema:
    made = [_connector(kind, entry, also) for kind, entry in kinds.items() if entry.options is not None]
    return made[0] if len(made) == 1 else {"anyOf": made}


def _connector(kind: str, entry: Connector, also: Mapping[str, Schema]) -> Schema:
    options = _described_options(entry.options or {}, entry.call)
    table = _table({"kind": {"const": kind}, **options, **also}, ("kind", *entry.required))
    return _described(table, summary(entry.call))


def _described_options(options: Mapping[str, Option], call: Callable[..., object]) -> Mapping[str, Schema]:
    texts = parameters(call)
    return {name: _described(_option(option), texts.get(name, "")) for name, option in options.items()}


def _option(option: Option) -> Schema:
    if isinstance(option, ByFormat):
        return {"anyOf": [_option(each) for each in option.formats.values()]}
    if isinstance(option, Fields):
        return _table(_described_options(option.options, option.make), option.required)
    return _or_variable({"enum": list(option)}) if isinstance(option, tuple) else _OPTIONS[option]


def _step() -> Schema:
    keys = {name: _key(name, key) for name, key in (*steps.STEPS.items(), *steps.MODIFIERS.items())}
    return {**_table(keys), "oneOf": [{"required": [name]} for name in steps.STEPS]}


def _key(name: str, key: steps.Key) -> Schema:
    method = getattr(Builder, name)
    texts = {**_OWN, **parameters(method)}
    return _described(_form(key.read, texts), summary(method))


def _handler() -> Schema:
    tables = [_handler_table(name, read) for name, (read, _) in handlers.TABLES.items()]
    return {"anyOf": [{"enum": list(handlers.ALONE)}, *tables]}


def _handler_table(name: str, read: Arguments) -> Schema:
    method = getattr(ErrorHandler, name)
    return _form(read, {name: summary(method), **parameters(method)}, alone=False)


def _form(read: Reader, texts: Mapping[str, str] = _OWN, *, alone: bool = True) -> Schema:
    """Return the schema of what a reader takes.

    Parameters
    ----------
    read
        The reader.
    texts
        Descriptions of the arguments, if it reads a table of them.
    alone
        True if the first argument may stand for the table.
    """
    if isinstance(read, OneOf):
        return _or_variable({"enum": list(read.names)})
    if not isinstance(read, Arguments):
        return _READERS[read]()
    forms = {name: _described(_form(each), texts.get(name, "")) for name, each in read.readers.items()}
    first, *_ = forms
    table = _table(forms, read.required)
    if isinstance(read, Either):
        table["oneOf"] = [{"required": [name]} for name in read.one_of]
        alone = alone and first in read.one_of
    return {"anyOf": [table, forms[first]]} if alone and not set(read.required) - {first} else table


def _running() -> Schema:
    return {
        "type": "object",
        "additionalProperties": {"anyOf": [_TEXT, *map(_running_table, values.RUNNING)]},
    }


def _running_table(name: str) -> Schema:
    more = values.RUNNING[name]
    method = getattr(pl.Expr, name)
    read = Arguments({name: values.expression, **more}, (name, *(key for key in more if key != "n")))
    return _form(read, {name: summary(method), **parameters(method)}, alone=False)


def _one_or_two(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "array", "items": schema, "minItems": 2, "maxItems": 2}]}


def _one_or_more(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "array", "items": schema, "minItems": 1}]}


def _table(properties: Mapping[str, Schema], required: tuple[str, ...] = ()) -> Schema:
    schema = {"type": "object", "properties": dict(properties), "additionalProperties": False}
    return {**schema, "required": list(required)} if required else schema


def _described(schema: Schema, text: str) -> Schema:
    return {"description": text, **schema} if text else schema


_READERS: dict[Reader, Callable[[], Schema]] = {
    Value.text: lambda: _TEXT,
    Value.texts: lambda: _TEXTS,
    Value.flag: lambda: _FLAG,
    Value.count: lambda: _COUNT,
    Value.number: lambda: _NUMBER,
    values.duration: lambda: _DURATION,
    values.length: lambda: _DURATION,
    values.reach: lambda: _one_or_two(_DURATION),
    values.times: lambda: _one_or_two(_TEXT),
    values.expression: lambda: _TEXT,
    values.expressions: lambda: _TEXTS,
    values.flags: lambda: {"anyOf": [_FLAG, {"type": "array", "items": _FLAG}]},
    values.columns: lambda: {"anyOf": [*_TEXTS["anyOf"], _BY_NAME]},
    values.types: lambda: _BY_NAME,
    values.renames: lambda: _BY_NAME,
    values.casts: lambda: {"anyOf": [_BY_NAME, _form(values.CASTS, parameters(Cast.of), alone=False)]},
    values.running: _running,
    side_sink: lambda: {"$ref": "#/definitions/side_sink"},
    join_table: lambda: {"anyOf": [_TEXT, {"$ref": "#/definitions/join_table"}]},
    steps.backend: lambda: _or_variable({"enum": list(steps.backend_names())}),
    handlers.handlers: lambda: _HANDLERS,
    handlers.true: lambda: {"const": True},
}
"""What each reader takes."""
