"""`Target`: a table that a sink adds rows to, as its columns and partitions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from arrowstream.errors import SinkError
from arrowstream.io.iceberg.location import IcebergLocation
from arrowstream.io.iceberg.types import TYPES, iceberg_schema
from arrowstream.io.lake.misfits import check_needed, no_column, other_partitions, other_type

if TYPE_CHECKING:
    from pyiceberg.table import Table

_HOUR_US = 3_600_000_000


@dataclass(frozen=True, slots=True)
class Target:
    """Columns of a table, or of one that will be made.

    Parameters
    ----------
    schema
        The columns of the rows, in the types that the table stores.
    arrow
        The same as Arrow has them, with the ids that the table gives them.
    keys
        Values of the partitions, by expressions of the columns of the rows.
    required
        Columns that are never null.
    """

    schema: pl.Schema
    arrow: Any
    keys: tuple[pl.Expr, ...]
    required: tuple[str, ...]

    @property
    def key_names(self) -> tuple[str, ...]:
        """Names of the columns of `keys`."""
        return tuple(key.meta.output_name() for key in self.keys)

    @classmethod
    def of(
        cls, location: IcebergLocation, table: Table, schema: pl.Schema, partition_by: Sequence[str]
    ) -> Target:
        """Return the target for rows of this schema.

        Parameters
        ----------
        location
            Name of the table.
        table
            The table, or one that is staged.
        schema
            Schema of the rows.
        partition_by
            Columns of the partitions; none for those of the table.

        Raises
        ------
        SchemaError
            The table has other columns or partitions.
        SinkError
            The table has a format or partitions that are not written.
        """
        from pyiceberg.io.pyarrow import schema_to_pyarrow

        named = f"the Iceberg table {location}"
        if table.format_version > 2:
            raise SinkError(
                f"{named} has a format that is not written",
                expected="format version 1 or 2",
                found=f"format version {table.format_version}",
            )
        transforms = _transforms(table)
        partitions = [
            source if kind == "identity" else f"{kind}({source})"
            for source, kind in transforms
            if kind != "void"
        ]
        if partition_by and list(partition_by) != partitions:
            raise other_partitions(named, partitions, partition_by)
        fields = {field.name: field for field in table.schema().fields}
        required = [name for name, field in fields.items() if field.required]
        check_needed(named, (*(source for source, _ in transforms), *required), schema)
        stored = TYPES.stored_schema(schema, [source for source, kind in transforms if kind == "identity"])
        made = iceberg_schema(stored)
        ours, theirs = (schema_to_pyarrow(each, include_field_ids=False) for each in (made, table.schema()))
        for name, dtype in schema.items():
            if name not in fields:
                raise no_column(named, name, fields, "Table.update_schema")
            if ours.field(name).type != theirs.field(name).type:
                expected, found = str(fields[name].field_type), str(made.find_type(name))
                raise other_type(named, name, expected, found, dtype)
        ordered = [name for name in fields if name in stored]
        keys = [
            _key(location, kind, source, stored[source]).alias(f"\0{number}")
            for number, (source, kind) in enumerate(transforms)
        ]
        return cls(
            pl.Schema({name: stored[name] for name in ordered}),
            schema_to_pyarrow(table.schema().select(*ordered)),
            tuple(keys),
            tuple(required),
        )


def _transforms(table: Table) -> list[tuple[str, str]]:
    """Return column and transform of each field of the partitions."""
    return [
        (str(table.schema().find_column_name(field.source_id)), str(field.transform))
        for field in table.spec().fields
    ]


def _key(location: IcebergLocation, kind: str, source: str, dtype: pl.DataType) -> pl.Expr:
    """Return the value of a partition as Iceberg stores it."""
    column = pl.col(source).cast(dtype)
    if kind == "identity":
        return column.to_physical() if isinstance(dtype, pl.Date) else column
    if kind == "void":
        return pl.lit(None, pl.Int32)
    if kind == "year":
        return column.dt.year() - 1970
    if kind == "month":
        return (column.dt.year() - 1970) * 12 + column.dt.month() - 1
    if kind == "day":
        return column.cast(pl.Date).to_physical()
    if kind == "hour":
        return column.to_physical() // _HOUR_US
    raise SinkError(
        f"the Iceberg table {location} has partitions that are not written",
        expected="partitions by columns as they are, or by their year, month, day or hour",
        found=f"{kind}({source})",
        hint="change them with Table.update_spec, or write to another table",
    )
