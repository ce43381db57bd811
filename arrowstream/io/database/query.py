"""`DatabaseQuery`: what a database source reads, and how."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from arrowstream.core.hints import did_you_mean
from arrowstream.errors import SchemaError
from arrowstream.io.database.address import DatabaseAddress


@dataclass(frozen=True, slots=True)
class DatabaseQuery:
    """A query and how its rows are read.

    Parameters
    ----------
    address
        The database.
    text
        The query.
    declared
        Types of columns that the user declares.
    partition_on
        Column by whose ranges the rows are read at the same time; None for one read.
    partitions
        Number of ranges.
    poll
        Seconds between two reads of new rows; None to end after the first.
    increasing
        Column by which rows are new; None for none.
    """

    address: DatabaseAddress
    text: str
    declared: pl.Schema = field(default_factory=pl.Schema)
    partition_on: str | None = None
    partitions: int = 4
    poll: float | None = None
    increasing: str | None = None

    @property
    def label(self) -> str:
        """The query for errors."""
        return f"the query of {self.address.label}"

    def check(self, schema: pl.Schema) -> None:
        """Check the columns that say how rows are read.

        Raises
        ------
        SchemaError
            The query does not give one, or its type does not fit.
        """
        if self.partition_on is not None:
            _check("partition_on", self.partition_on, schema, (pl.Date,))
        if self.increasing is not None:
            _check("increasing", self.increasing, schema, (pl.Date, pl.Datetime, pl.String))


def _check(what: str, name: str, schema: pl.Schema, kinds: tuple[type[pl.DataType], ...]) -> None:
    if name not in schema:
        raise SchemaError(
            f"{what} names a column that the query does not give",
            expected=f"one of {', '.join(schema)}",
            found=repr(name),
            hint=did_you_mean(name, schema),
        )
    if not schema[name].is_integer() and not isinstance(schema[name], kinds):
        names = ", ".join(kind.__name__ for kind in kinds)
        raise SchemaError(
            f"{what} names a column of a type that does not fit",
            expected=f"a column of whole numbers, {names}",
            found=f"{name}: {schema[name]}",
        )
