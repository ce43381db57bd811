"""From the columns of the schema that messages were written with to those that a reader wants.

As in Avro, fields that the reader does not have are dropped, those that the writer did not have get the reader's
default, and numbers become wider ones. Next to Avro's rules, values become the column types that Avro lacks, such as
Int16 and other time zones, if each of them fits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import polars as pl

from arrowstream.errors import BadMessage, SchemaError
from arrowstream.io.messages.first_bad import first_bad

FieldPath = tuple[str, ...]
Defaults = Mapping[FieldPath, pl.Series]
"""Values of missing fields, each a series of length 1, by the names of the records and of the field."""

_TEXT: Final = (pl.String, pl.Enum, pl.Categorical)
_UNITS: Final = ("ms", "us", "ns")


class Unresolvable(Exception):
    """A type of the writer that cannot become that of the reader; the text says which."""


def resolved(written: pl.Schema, wanted: pl.Schema, defaults: Defaults) -> list[pl.Expr]:
    """Return the columns that a reader wants, of a frame of the writer's.

    Raises
    ------
    Misfit
        A type cannot become that of the reader.
    """
    return [
        (
            _cast(pl.col(name), written[name], dtype, (name,), defaults)
            if name in written
            else _missing((name,), dtype, defaults)
        ).alias(name)
        for name, dtype in wanted.items()
    ]


def evolved(frame: pl.DataFrame, columns: list[pl.Expr], wanted: pl.Schema) -> pl.DataFrame:
    """Return the columns that a reader wants, as `resolved` says.

    Raises
    ------
    BadMessage
        A value does not fit its column.
    """
    try:
        return frame.select(columns)
    except pl.exceptions.PolarsError as error:
        raise BadMessage(
            "a value of a message does not fit the declared column",
            index=first_bad(frame, lambda part: _fits(part, columns)),
            expected=", ".join(f"{name}: {dtype}" for name, dtype in wanted.items()),
            found=str(error).partition("\n")[0],
            hint="declare a wider type",
        ) from error


def _fits(frame: pl.DataFrame, columns: list[pl.Expr]) -> bool:
    try:
        frame.select(columns)
    except pl.exceptions.PolarsError:
        return False
    return True


def check_becomes(columns: pl.Schema, wanted: pl.Schema, what: str) -> None:
    """Raise SchemaError unless the columns of a schema, which `what` names, become the declared ones."""
    try:
        resolved(columns, wanted, {})
    except Unresolvable as error:
        raise SchemaError(
            f"{what} does not become the declared columns",
            expected="types that become those of the columns",
            found=str(error),
            hint=f"declare another type, or leave schema= out for those of {what}",
        ) from error


def converted(schema: pl.Schema, wanted: pl.Schema, defaults: Defaults) -> list[pl.Expr]:
    """Return the columns of rows in the types of their fields, for a sink.

    Raises
    ------
    SchemaError
        A column does not become its field.
    """
    try:
        return resolved(schema, wanted, defaults)
    except Unresolvable as error:
        raise SchemaError(
            "a column does not have the type of its field",
            expected="a type that becomes that of the field",
            found=str(error),
            hint="cast the column before the sink",
        ) from error


def defaults_of(schema: Any, wanted: Any, path: FieldPath = ()) -> dict[FieldPath, pl.Series]:
    """Return the defaults of a record and of the records in it.

    Parameters
    ----------
    schema
        The record: its ``fields`` have their ``default``.
    wanted
        Types of the columns, or fields of a struct, by name.
    path
        Names of the records around it.

    Raises
    ------
    SchemaError
        A default is not a value of its type.
    """
    found: dict[FieldPath, pl.Series] = {}
    for field in schema["fields"]:
        name, dtype = field["name"], wanted[field["name"]]
        if field.get("default") is not None:
            found[(*path, name)] = _default(field["default"], dtype, name)
        kinds = field["type"] if isinstance(field["type"], list) else [field["type"]]
        for kind in kinds:
            if isinstance(kind, dict) and "fields" in kind and isinstance(dtype, pl.Struct):
                inner = {each.name: each.dtype for each in dtype.fields}
                found |= defaults_of(kind, inner, (*path, name))
    return found


def _default(value: Any, dtype: Any, name: str) -> pl.Series:
    try:
        if dtype == pl.Binary:
            value = value.encode("latin-1")
        nested = isinstance(dtype, pl.List | pl.Struct)
        return pl.Series([value], dtype=dtype) if nested else pl.Series([value]).cast(dtype)
    except (AttributeError, TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise SchemaError(
            f"the default of the Avro field {name!r} is not a value of its type",
            expected=str(dtype),
            found=repr(value),
        ) from error


def _missing(path: FieldPath, dtype: Any, defaults: Defaults) -> pl.Expr:
    return pl.lit(defaults[path]).first() if path in defaults else pl.lit(None, dtype)


def _cast(values: pl.Expr, written: Any, wanted: Any, path: FieldPath, defaults: Defaults) -> pl.Expr:
    if written == wanted and not any(each[:-1][: len(path)] == path for each in defaults):
        return values
    if isinstance(written, pl.Struct) and isinstance(wanted, pl.Struct):
        there = {field.name: field.dtype for field in written.fields}
        fields = [
            (
                _cast(
                    values.struct.field(each.name), there[each.name], each.dtype, (*path, each.name), defaults
                )
                if each.name in there
                else _missing((*path, each.name), each.dtype, defaults)
            ).alias(each.name)
            for each in wanted.fields
        ]
        return pl.when(values.is_not_null()).then(pl.struct(fields))
    if isinstance(written, pl.Array):
        values, written = values.arr.to_list(), pl.List(written.inner)
    if isinstance(written, pl.List) and isinstance(wanted, pl.List | pl.Array):
        items = values.list.eval(_cast(pl.element(), written.inner, wanted.inner, path, defaults))
        return items.cast(wanted) if isinstance(wanted, pl.Array) else items
    if not _becomes(written, wanted):
        raise Unresolvable(f"{'.'.join(path)}: {written} does not become {wanted}")
    if written == pl.Enum and wanted != pl.String:
        values = values.cast(pl.String)
    return values.cast(wanted)


def _becomes(written: Any, wanted: Any) -> bool:
    """Return whether values of a type may become another one; a value that does not fit fails later."""
    if written.is_integer():
        return bool(wanted.is_integer() or wanted.is_float())
    if isinstance(written, pl.Datetime) and isinstance(wanted, pl.Datetime):
        finer = _UNITS.index(wanted.time_unit) >= _UNITS.index(written.time_unit)
        return finer and (written.time_zone is None) == (wanted.time_zone is None)
    if isinstance(written, pl.Decimal) and isinstance(wanted, pl.Decimal):
        return wanted.scale >= written.scale
    if written == pl.Float32:
        return bool(wanted == pl.Float64)
    if written == pl.Binary or wanted == pl.Binary:
        return {type(written), type(wanted)} == {pl.Binary, pl.String}
    return type(written) in _TEXT and type(wanted) in _TEXT
