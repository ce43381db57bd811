"""Options of Avro messages, and schemas as users give them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from arrowstream.errors import SchemaError
from arrowstream.io.files.avro.types import AvroType, AvroTypes, UnfitType
from arrowstream.io.messages.registry.options import SchemaRegistry

AvroSchema = str | Path | Mapping[str, Any]
"""An Avro schema of a record: its JSON text, the path of a file with it, or its JSON values."""


@dataclass(frozen=True, slots=True)
class AvroOptions:
    """How Avro messages are read and written.

    Parameters
    ----------
    schema
        Avro schema of a record: JSON text, the path of a file, or a dict. It is the schema that messages are written
        with. With a registry, a source reads those schemas from there; this one is then the reader's, whose defaults
        stand for missing fields. By default it is made from the columns: each one may be null.
    registry
        The schema registry. Messages then begin with Confluent's header: a zero byte, and the id of their schema.
    subject
        Subject under which a sink registers its schema; by default ``<topic>-value``.
    """

    schema: AvroSchema | None = None
    registry: SchemaRegistry | None = None
    subject: str | None = None


def parsed(schema: AvroSchema) -> Any:
    """Return a schema as JSON values.

    Raises
    ------
    SchemaError
        The file cannot be read, or the text is not JSON.
    """
    if isinstance(schema, Mapping):
        return dict(schema)
    try:
        text = (
            schema if isinstance(schema, str) and schema.lstrip()[:1] in '{["' else Path(schema).read_text()
        )
        return json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise SchemaError(
            "the Avro schema cannot be read",
            expected="JSON text, the path of a file with it, or a dict",
            found=f"{str(schema)[:60]!r}: {error}",
        ) from error


def fields_of(schema: Any, what: str = "the Avro schema") -> dict[str, AvroType]:
    """Return the types of the fields of a record.

    Parameters
    ----------
    schema
        The schema, as JSON values.
    what
        Which one it is, for errors.

    Raises
    ------
    SchemaError
        It is not that of a record, or has a type that no column can have.
    """
    expected = (
        "a record of plain types, enums, fixed, records, arrays, maps, and unions of one of these with null"
    )
    if not isinstance(schema, Mapping) or schema.get("type") != "record":
        raise SchemaError(f"{what} is not that of a record", expected=expected, found=str(schema)[:200])
    try:
        return AvroTypes().fields(dict(schema))
    except UnfitType as error:
        raise SchemaError(
            f"{what} has a type that no column can have",
            expected=expected,
            found=str(error),
            hint="leave the field out, or write another type",
        ) from error
    except (
        AttributeError,
        KeyError,
        TypeError,
        ValueError,
        RecursionError,
        pl.exceptions.PolarsError,
    ) as error:
        raise SchemaError(f"{what} is not valid", expected=expected, found=repr(error)[:200]) from error


def with_references(schema: Any, named: dict[str, Any]) -> Any:
    """Return a schema in which the first use of each name is its definition; it is removed from `named`."""
    if isinstance(schema, str) and schema in named:
        return with_references(named.pop(schema), named)
    if isinstance(schema, list):
        return [with_references(each, named) for each in schema]
    if isinstance(schema, dict):
        inner = ("type", "items", "values")
        found = {
            key: with_references(value, named) if key in inner else value for key, value in schema.items()
        }
        if isinstance(fields := schema.get("fields"), list):
            found["fields"] = with_references(fields, named)
        return found
    return schema
