"""`Target`: the table that a sink adds rows to, as its columns and partitions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from arrowstream.core.hints import did_you_mean
from arrowstream.errors import SchemaError
from arrowstream.io.delta.features import check_writable, fields_of
from arrowstream.io.delta.location import DeltaLocation
from arrowstream.io.delta.types import TYPES, delta_schema


@dataclass(frozen=True, slots=True)
class Target:
    """Columns of a table, or of one that will be made.

    Parameters
    ----------
    schema
        The columns of the rows, in the types that the table stores.
    partition_by
        Columns by which the table is partitioned.
    required
        Columns that are never null.
    """

    schema: pl.Schema
    partition_by: tuple[str, ...]
    required: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, location: DeltaLocation, table: Any, schema: pl.Schema, partition_by: Sequence[str]
    ) -> Target:
        """Return the target for rows of this schema.

        Parameters
        ----------
        location
            Place of the table.
        table
            The table; None if it will be made.
        schema
            Schema of the rows.
        partition_by
            Columns of the partitions; none for those of the table.

        Raises
        ------
        SchemaError
            The table has other columns or partitions.
        SinkError
            The table has rules that cannot be kept.
        """
        if table is None:
            return cls(TYPES.stored_schema(schema, partition_by), tuple(partition_by))
        check_writable(table, location)
        partitions = tuple(table.metadata().partition_columns)
        if partition_by and tuple(partition_by) != partitions:
            raise _other_partitions(location, partitions, partition_by)
        missing = [name for name in partitions if name not in schema]
        fields = fields_of(table)
        needed = [name for name, field in fields.items() if not field["nullable"]]
        missing += [name for name in needed if name not in schema]
        if missing:
            raise SchemaError(
                f"the rows lack columns that the Delta table {location} needs",
                expected=", ".join(dict.fromkeys(missing)),
                found=f"the columns {', '.join(schema)}",
            )
        stored = TYPES.stored_schema(schema, partitions)
        made = delta_schema(stored)
        for field in json.loads(made.to_json())["fields"]:
            name = field["name"]
            if name not in fields:
                raise SchemaError(
                    f"the Delta table {location} has no column {name!r}",
                    expected=f"columns of {', '.join(fields)}",
                    found=name,
                    hint=did_you_mean(name, fields)
                    or "leave it out, or add it with DeltaTable.alter.add_columns",
                )
            if field["type"] != fields[name]["type"]:
                raise SchemaError(
                    f"the column {name!r} has another type in the Delta table {location}",
                    expected=_text(fields[name]["type"]),
                    found=f"{_text(field['type'])}, for {schema[name]}",
                    hint="cast the column to the type of the table first",
                )
        return cls(stored, partitions, tuple(needed))

    def check_again(self, location: DeltaLocation, table: Any) -> None:
        """Raise SchemaError or SinkError if another writer has changed the table so that the rows do not fit."""
        partitions = tuple(table.metadata().partition_columns)
        if partitions != self.partition_by:
            raise _other_partitions(location, partitions, self.partition_by)
        Target.of(location, table, self.schema, ())


def _other_partitions(location: DeltaLocation, expected: Sequence[str], found: Sequence[str]) -> SchemaError:
    return SchemaError(
        f"the Delta table {location} has other partitions",
        expected=f"partition_by={list(expected)}",
        found=f"partition_by={list(found)}",
    )


def _text(found: Any) -> str:
    return found if isinstance(found, str) else json.dumps(found)
