"""`Target`: the table that a sink adds rows to, as its columns and partitions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from arrowstream.io.delta.features import check_writable, fields_of
from arrowstream.io.delta.location import DeltaLocation
from arrowstream.io.delta.types import TYPES, delta_schema
from arrowstream.io.lake.misfits import check_needed, no_column, other_partitions, other_type


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
        named = f"the Delta table {location}"
        partitions = tuple(table.metadata().partition_columns)
        if partition_by and tuple(partition_by) != partitions:
            raise other_partitions(named, partitions, partition_by)
        fields = fields_of(table)
        needed = [name for name, field in fields.items() if not field["nullable"]]
        check_needed(named, (*partitions, *needed), schema)
        stored = TYPES.stored_schema(schema, partitions)
        for field in json.loads(delta_schema(stored).to_json())["fields"]:
            name = field["name"]
            if name not in fields:
                raise no_column(named, name, fields, "DeltaTable.alter.add_columns")
            expected = fields[name]["type"]
            if field["type"] != expected:
                raise other_type(named, name, _text(expected), _text(field["type"]), schema[name])
        return cls(stored, partitions, tuple(needed))

    def check_again(self, location: DeltaLocation, table: Any) -> None:
        """Raise SchemaError or SinkError if another writer has changed the table so that the rows do not fit."""
        partitions = tuple(table.metadata().partition_columns)
        if partitions != self.partition_by:
            raise other_partitions(f"the Delta table {location}", partitions, self.partition_by)
        Target.of(location, table, self.schema, ())


def _text(found: Any) -> str:
    return found if isinstance(found, str) else json.dumps(found)
