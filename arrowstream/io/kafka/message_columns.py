"""Which columns of rows become which parts of Kafka records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import polars as pl

from arrowstream.core.hints import did_you_mean
from arrowstream.errors import SchemaError

_TEXTS: Final = (pl.String, pl.Categorical, pl.Enum)


@dataclass(frozen=True, slots=True)
class MessageColumns:
    """Names of the columns that a record is made of; None for what it does not have.

    Parameters
    ----------
    key
        Text, bytes or a whole number.
    partition
        Number of the partition; null for the one of the key.
    timestamp
        Time of the record; null for the time of writing.
    headers
        List of structs of `key` and `value`.
    tombstone
        True for a record without a value.
    topic
        Name of the topic.
    value
        Columns of the value; None for all but those of partition, headers, tombstone and topic.
    """

    key: str | None = None
    partition: str | None = None
    timestamp: str | None = None
    headers: str | None = None
    tombstone: str | None = None
    topic: str | None = None
    value: tuple[str, ...] | None = None

    def value_names(self, schema: pl.Schema) -> list[str]:
        """Return the names of the value's columns, in order."""
        if self.value is not None:
            return list(self.value)
        elsewhere = {self.partition, self.headers, self.tombstone, self.topic}
        return [name for name in schema if name not in elsewhere]

    def value_schema(self, schema: pl.Schema) -> pl.Schema:
        """Return names and types of the value's columns."""
        return pl.Schema({name: schema[name] for name in self.value_names(schema)})

    def values_of(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the value's columns of those rows that have a value."""
        if self.tombstone is not None:
            rows = rows.filter(pl.col(self.tombstone).not_().fill_null(True))
        return rows.select(self.value_names(rows.schema))

    def check(self, schema: pl.Schema) -> None:
        """Raise SchemaError if a column is missing, has another type, or none is left for the value."""
        for argument, (fits, expected, hint) in _TYPES.items():
            name = getattr(self, argument)
            if name is None:
                continue
            _demand(argument, name, schema)
            if not fits(schema[name]):
                raise SchemaError(
                    f"the column {name!r} cannot be the {argument} of Kafka records",
                    expected=expected,
                    found=str(schema[name]),
                    hint=hint,
                )
        for name in self.value or ():
            _demand("value", name, schema)
        if not self.value_names(schema):
            raise SchemaError(
                "no column is left for the value of Kafka records",
                expected="a column that is not the partition, headers, tombstone or topic",
                found=", ".join(schema) or "no columns",
                hint="name the columns of the value: value=['a', 'b']",
            )


def _demand(argument: str, name: str, schema: pl.Schema) -> None:
    if name not in schema:
        raise SchemaError(
            f"there is no column {name!r} for the {argument} of Kafka records",
            expected=f"one of {', '.join(schema)}",
            found=repr(name),
            hint=did_you_mean(name, schema),
        )


def _is_key(dtype: pl.DataType) -> bool:
    return dtype in (*_TEXTS, pl.Binary) or dtype.is_integer()


def _is_time(dtype: pl.DataType) -> bool:
    return dtype in (pl.Datetime, pl.Int64)


def _is_list_of_headers(dtype: pl.DataType) -> bool:
    if not isinstance(dtype, pl.List) or not isinstance(dtype.inner, pl.Struct):
        return False
    types = dict(dtype.inner.to_schema())
    return (
        set(types) == {"key", "value"}
        and types["key"] == pl.String
        and types["value"] in (pl.Binary, pl.String)
    )


_TYPES: Final[dict[str, tuple[Callable[[pl.DataType], bool], str, str]]] = {
    "key": (_is_key, "String, Binary or a whole number", "cast the column to String"),
    "partition": (
        lambda dtype: dtype.is_integer(),
        "a whole number",
        "cast the column to Int32, or name the column of the key and leave the partition out",
    ),
    "timestamp": (
        _is_time,
        "Datetime, or Int64 in ms since 1970",
        "cast the column to Datetime",
    ),
    "headers": (
        _is_list_of_headers,
        "List(Struct({'key': String, 'value': Binary}))",
        "make a struct of key and value of each header, and a list of them",
    ),
    "tombstone": (
        lambda dtype: dtype == pl.Boolean,
        "Boolean",
        "compute a column of Boolean",
    ),
    "topic": (lambda dtype: dtype in _TEXTS, "String", "cast the column to String"),
}
"""For each part of a record: which types it may have, these in words, and what to do about others."""
