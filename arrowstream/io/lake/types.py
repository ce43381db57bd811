"""Which types the tables of a lake have, and as which of them a column is stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from arrowstream.errors import SchemaError

PARTITION_TYPES = (pl.String, pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.Boolean, pl.Date)
"""Types, as they are stored, whose values the sinks write as the values of partitions."""
_LARGEST = 2**63 - 1


class UnstorableType(Exception):
    """A lake has no type for a column.

    Parameters
    ----------
    expected
        What to write in its place.
    hint
        How to make it.
    """

    def __init__(self, expected: str, hint: str) -> None:
        self.expected = expected
        self.hint = hint


@dataclass(frozen=True, slots=True)
class LakeTypes:
    """The types of one kind of table.

    Parameters
    ----------
    table
        The kind with its article, for errors: ``a Delta table``.
    same
        Types that are stored as they are.
    wider
        Types that are stored as another one, which has all their values.
    all_partitions
        True if a table can be partitioned by all its columns.
    """

    table: str
    same: tuple[type[pl.DataType], ...]
    wider: Mapping[pl.DataType, pl.DataType]
    all_partitions: bool = False

    def stored_type(self, dtype: pl.DataType) -> pl.DataType:
        """Return the type of Polars that a column has in the table, which has every value of `dtype`.

        Raises
        ------
        Unfit
            The table has no such type.
        """
        if isinstance(dtype, pl.List | pl.Array):
            return pl.List(self._within(dtype.inner))
        if isinstance(dtype, pl.Struct) and dtype.fields:
            return pl.Struct({field.name: self._within(field.dtype) for field in dtype.fields})
        if isinstance(dtype, pl.Datetime):
            return pl.Datetime("us", None if dtype.time_zone is None else "UTC")
        if isinstance(dtype, pl.Categorical | pl.Enum):
            return pl.String()
        if dtype in self.wider:
            return self.wider[dtype]
        if isinstance(dtype, self.same):
            return dtype
        if isinstance(dtype, pl.Duration):
            raise UnstorableType(
                "a number in place of a Duration", 'write pl.col("x").dt.total_microseconds()'
            )
        if isinstance(dtype, pl.Time):
            raise UnstorableType("text or a number in place of a Time", 'write pl.col("x").cast(pl.String)')
        raise UnstorableType(
            f"a type that {self.table} has", 'cast the column, such as pl.col("x").cast(pl.String)'
        )

    def _within(self, dtype: object) -> pl.DataType:
        """Return the stored type of values in a list or struct, which are not checked one by one."""
        assert isinstance(dtype, pl.DataType)
        if isinstance(dtype, pl.Datetime) and dtype.time_unit != "us":
            raise UnstorableType(
                "times in microseconds within lists and structs", 'cast them to pl.Datetime("us")'
            )
        if isinstance(dtype, pl.Time):
            raise UnstorableType("texts in place of Time within lists and structs", "cast them to pl.String")
        return self.stored_type(dtype)

    def stored_schema(self, schema: pl.Schema, partition_by: Sequence[str]) -> pl.Schema:
        """Return the columns of a table for rows of this schema.

        Raises
        ------
        SchemaError
            The table has no type for a column, two names are the same to it, or it cannot be partitioned so.
        """
        found = {}
        names: dict[str, str] = {}
        for name, dtype in schema.items():
            other = names.setdefault(name.lower(), name)
            if other != name:
                raise SchemaError(
                    f"two columns have one name in {self.table}",
                    expected="names that differ not only in upper and lower case",
                    found=f"{other!r} and {name!r}",
                )
            try:
                found[name] = self.stored_type(dtype)
            except UnstorableType as unfit:
                raise SchemaError(
                    f"{self.table} cannot store the column {name!r}",
                    expected=unfit.expected,
                    found=str(dtype),
                    hint=unfit.hint.replace('"x"', f'"{name}"'),
                ) from None
        for name in partition_by:
            if not isinstance(found.get(name), PARTITION_TYPES):
                raise SchemaError(
                    f"{self.table} cannot be partitioned by {name!r}",
                    expected="a column of texts, whole numbers, dates or truth values",
                    found=str(schema[name])
                    if name in schema
                    else f"rows with the columns {', '.join(schema)}",
                )
        if not len(found) > (0 if self.all_partitions else len(set(partition_by))):
            which = "a column" if self.all_partitions else "a column that is not a partition"
            raise SchemaError(f"{self.table} needs {which}", found=", ".join(schema) or "no column")
        return pl.Schema(found)


def changed(name: str, dtype: pl.DataType) -> Iterator[tuple[str, pl.Expr]]:
    """Yield what values must be to be stored without a change, with an expression that finds the others."""
    number = pl.col(name).to_physical()
    if isinstance(dtype, pl.Time) or (isinstance(dtype, pl.Datetime) and dtype.time_unit == "ns"):
        yield "times of whole microseconds", number % 1000 != 0
    elif isinstance(dtype, pl.Datetime) and dtype.time_unit == "ms":
        limit = _LARGEST // 1000
        yield "times that microseconds can count", ~number.is_between(-limit, limit)
