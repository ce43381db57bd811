"""Avro schemas as Polars types, and as schemas of the same bytes that Polars' own reader takes.

That reader panics at maps and at enums that may be null, and knows no name that refers to a type above. In bytes, a
map is an array of records with a key and a value, and the value of an enum is an int: they are read as these.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import polars as pl

if TYPE_CHECKING:
    from polars._typing import PolarsDataType

_PLAIN: Final[dict[str, PolarsDataType]] = {
    "boolean": pl.Boolean(),
    "int": pl.Int32(),
    "long": pl.Int64(),
    "float": pl.Float32(),
    "double": pl.Float64(),
    "bytes": pl.Binary(),
    "string": pl.String(),
}
_LOGICAL: Final[dict[tuple[str, str], PolarsDataType]] = {
    ("int", "date"): pl.Date(),
    ("int", "time-millis"): pl.Time(),
    ("long", "time-micros"): pl.Time(),
    ("long", "timestamp-millis"): pl.Datetime("ms", "UTC"),
    ("long", "timestamp-micros"): pl.Datetime("us", "UTC"),
    ("long", "local-timestamp-millis"): pl.Datetime("ms"),
    ("long", "local-timestamp-micros"): pl.Datetime("us"),
}
_CAST: Final[dict[tuple[str, str], PolarsDataType]] = {
    ("long", "timestamp-nanos"): pl.Datetime("ns", "UTC"),
    ("long", "local-timestamp-nanos"): pl.Datetime("ns"),
}
"""Logical types that Polars reads as plain numbers."""

_DIGITS: Final = 38
"""Most digits of a decimal in Polars."""

_FIXED_BYTES: Final = 16
"""Most bytes of a decimal in Polars."""


class UnfitType(Exception):
    """A type of Avro that no column can have; the text says which, and why."""


Convert = Callable[[pl.Expr], pl.Expr]


@dataclass(frozen=True, slots=True)
class AvroType:
    """A type as Polars reads it and as the column has it.

    Parameters
    ----------
    schema
        Avro schema of the same bytes, for Polars.
    dtype
        Type of the column.
    convert
        Makes the values of the column out of those that Polars reads; None if they are the same.
    """

    schema: Any
    dtype: PolarsDataType
    convert: Convert | None = None


class AvroTypes:
    """The types of one schema; a type may be named once and be used again below."""

    __slots__ = ("_known", "_records")

    def __init__(self) -> None:
        self._known: dict[str, AvroType | None] = {}
        self._records = 0

    def fields(self, schema: dict[str, Any]) -> dict[str, AvroType]:
        """Return the types of the fields of a record, which is the type of a row."""
        found: dict[str, AvroType] = {}

        def row(schema: dict[str, Any], space: str) -> AvroType:
            found.update(self._fields(schema, space))
            return self._row(found)

        self._defined(schema, "", row)
        return found

    def of(self, schema: Any, space: str = "") -> AvroType:
        """Return the type of a schema in a namespace.

        Raises
        ------
        UnfitType
            No column can have the type.
        """
        if isinstance(schema, str):
            if schema in _PLAIN:
                return AvroType(schema, _PLAIN[schema])
            return self._named(schema, space)
        if isinstance(schema, list):
            return self._union(schema, space)
        if not isinstance(schema, dict):
            raise UnfitType(f"{schema!r}, which is not a type")
        match schema.get("type"):
            case "record" | "error":
                return self._defined(schema, space, self._record)
            case "enum":
                return self._defined(schema, space, _enum)
            case "fixed":
                return self._defined(schema, space, _fixed)
            case "array":
                return _array(self.of(schema.get("items"), space))
            case "map":
                value = self.of(schema.get("values"), space)
                return _array(self._row({"key": AvroType("string", pl.String()), "value": value}))
            case str() as name if name in _PLAIN:
                return _logical(name, schema)
            case inner:
                return self.of(inner, space)

    def _named(self, name: str, space: str) -> AvroType:
        full = name if "." in name or not space else f"{space}.{name}"
        known = self._known.get(full, self._known.get(name))
        if known is not None:
            return known
        if full in self._known:
            raise UnfitType(f"{name}, which contains itself")
        raise UnfitType(name if name == "null" else f"{name}, which the schema does not define")

    def _union(self, schema: list[Any], space: str) -> AvroType:
        others = [item for item in schema if item != "null"]
        if len(schema) != 2 or len(others) != 1 or isinstance(others[0], list):
            raise UnfitType(f"a union of {', '.join(map(_name, schema))}")
        found = self.of(others[0], space)
        return replace(found, schema=[item if item == "null" else found.schema for item in schema])

    def _defined(
        self, schema: dict[str, Any], space: str, made: Callable[[dict[str, Any], str], AvroType]
    ) -> AvroType:
        name = str(schema.get("name", ""))
        space = name.rpartition(".")[0] or str(schema.get("namespace", space))
        full = name if "." in name or not space else f"{space}.{name}"
        self._known[full] = None
        self._known[full] = found = made(schema, space)
        return found

    def _record(self, schema: dict[str, Any], space: str) -> AvroType:
        return self._row(self._fields(schema, space))

    def _fields(self, schema: dict[str, Any], space: str) -> dict[str, AvroType]:
        fields: dict[str, AvroType] = {}
        for field in schema.get("fields") or []:
            name = field["name"]
            if name in fields:
                raise UnfitType(f"a record with two fields {name!r}")
            try:
                fields[name] = self.of(field.get("type"), space)
            except UnfitType as error:
                raise UnfitType(f"{name}: {error}") from None
        if not fields:
            raise UnfitType("a record without fields")
        return fields

    def _row(self, fields: dict[str, AvroType]) -> AvroType:
        self._records += 1
        schema = {
            "type": "record",
            "name": f"r{self._records}",
            "fields": [{"name": name, "type": field.schema} for name, field in fields.items()],
        }
        converts = {name: field.convert for name, field in fields.items() if field.convert is not None}
        return AvroType(
            schema,
            pl.Struct({name: field.dtype for name, field in fields.items()}),
            partial(_converted_fields, converts) if converts else None,
        )


def _converted_fields(converts: dict[str, Convert], record: pl.Expr) -> pl.Expr:
    return record.struct.with_fields(convert(pl.field(name)) for name, convert in converts.items())


def _array(items: AvroType) -> AvroType:
    schema, convert = {"type": "array", "items": items.schema}, items.convert
    if convert is None:
        return AvroType(schema, pl.List(items.dtype))
    return AvroType(schema, pl.List(items.dtype), lambda values: values.list.eval(convert(pl.element())))


def _logical(name: str, schema: dict[str, Any]) -> AvroType:
    kind = (name, schema.get("logicalType", ""))
    if kind in _LOGICAL:
        return AvroType({"type": name, "logicalType": kind[1]}, _LOGICAL[kind])
    if kind == ("bytes", "decimal"):
        return _decimal(schema, {"type": "bytes"})
    if kind in _CAST:
        dtype = _CAST[kind]
        return AvroType(name, dtype, lambda values: values.cast(dtype))
    # Readers must take an unknown logical type as the type under it.
    return AvroType(name, _PLAIN[name])


def _enum(schema: dict[str, Any], space: str) -> AvroType:
    symbols = schema.get("symbols") or []
    dtype = pl.Enum(symbols)
    numbers = list(range(len(symbols)))
    return AvroType("int", dtype, lambda values: values.replace_strict(numbers, symbols, return_dtype=dtype))


def _fixed(schema: dict[str, Any], space: str) -> AvroType:
    size = schema.get("size")
    if not isinstance(size, int) or size < 1:
        raise UnfitType(f"a fixed of {size} bytes")
    plain = {"type": "fixed", "name": f"f{size}", "size": size}
    if schema.get("logicalType") == "decimal":
        if size > _FIXED_BYTES:
            raise UnfitType(f"a decimal of {size} bytes")
        return _decimal(schema, plain)
    return AvroType(plain, pl.Binary())


def _decimal(schema: dict[str, Any], plain: dict[str, Any]) -> AvroType:
    digits, scale = schema.get("precision"), schema.get("scale", 0)
    if not isinstance(digits, int) or not isinstance(scale, int) or not 0 <= scale <= digits <= _DIGITS:
        raise UnfitType(f"a decimal of {digits} digits, {scale} of them after the point")
    logical = {"logicalType": "decimal", "precision": digits, "scale": scale}
    return AvroType({**plain, **logical}, pl.Decimal(digits, scale))


def _name(schema: Any) -> str:
    return (
        schema
        if isinstance(schema, str)
        else str(schema.get("type"))
        if isinstance(schema, dict)
        else "union"
    )
