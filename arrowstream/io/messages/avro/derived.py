"""The Avro schema of columns, where a user gives none."""

from __future__ import annotations

import re
from typing import Any, Final

import polars as pl

from arrowstream.errors import SchemaError

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")

_PLAIN: Final[dict[Any, str]] = {
    pl.Boolean: "boolean",
    **dict.fromkeys((pl.Int8, pl.Int16, pl.Int32, pl.UInt8, pl.UInt16), "int"),
    **dict.fromkeys((pl.Int64, pl.UInt32, pl.UInt64), "long"),
    pl.Float32: "float",
    pl.Float64: "double",
    pl.String: "string",
    pl.Categorical: "string",
    pl.Binary: "bytes",
}
_LOGICAL: Final[dict[Any, tuple[str, str]]] = {pl.Date: ("int", "date"), pl.Time: ("long", "time-micros")}
_UNITS: Final = {"ms": "millis", "us": "micros", "ns": "nanos"}


def derived_schema(schema: pl.Schema) -> dict[str, Any]:
    """Return the schema of a record with these columns, each of which may be null.

    Raises
    ------
    SchemaError
        Avro has no such type, or no such name.
    """
    return _record("Row", dict(schema))


def _record(name: str, fields: dict[str, Any]) -> dict[str, Any]:
    if not fields:
        raise SchemaError(
            "an Avro record has at least one field", expected="a column", found=f"none in {name}"
        )
    types = [
        {"name": _named(field), "type": ["null", _type(f"{name}_{field}", dtype)], "default": None}
        for field, dtype in fields.items()
    ]
    return {"type": "record", "name": name, "fields": types}


def _named(name: str) -> str:
    if not _NAME.match(name):
        raise SchemaError(
            f"a field of Avro cannot have the name {name!r}",
            expected="letters, digits and _, and no digit first",
            found=repr(name),
            hint=f'rename the column before the sink: .rename({{{name!r}: "..."}})',
        )
    return name


def _type(path: str, dtype: Any) -> Any:
    if isinstance(dtype, pl.Struct):
        return _record(path, {field.name: field.dtype for field in dtype.fields})
    if isinstance(dtype, pl.List | pl.Array):
        return {"type": "array", "items": ["null", _type(path, dtype.inner)]}
    if isinstance(dtype, pl.Enum):
        symbols = dtype.categories.to_list()
        if symbols and all(map(_NAME.match, symbols)):
            return {"type": "enum", "name": path, "symbols": symbols}
        return "string"
    if isinstance(dtype, pl.Decimal):
        return {
            "type": "bytes",
            "logicalType": "decimal",
            "precision": dtype.precision or 38,
            "scale": dtype.scale,
        }
    if isinstance(dtype, pl.Datetime):
        local = "" if dtype.time_zone else "local-"
        return {"type": "long", "logicalType": f"{local}timestamp-{_UNITS[dtype.time_unit]}"}
    base = dtype.base_type()
    if base in _LOGICAL:
        plain, logical = _LOGICAL[base]
        return {"type": plain, "logicalType": logical}
    if base not in _PLAIN:
        raise SchemaError(
            f"Avro has no type for the column {path.removeprefix('Row_')}",
            expected="numbers, text, bytes, dates, times, datetimes, decimals, enums, lists and structs",
            found=str(dtype),
            hint="cast the column before the sink",
        )
    return _PLAIN[base]
