"""The columns of a join of two streams, and rows of one side alone in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import polars as pl

from arrowstream.operators.joins.columns import table_columns
from arrowstream.operators.joins.keys import JoinKeys

StreamHow = Literal["inner", "left", "right", "full", "semi", "anti"]


@dataclass(frozen=True, slots=True)
class StreamColumns:
    """The columns that come out: those of the left, then those of the right without its keys.

    Parameters
    ----------
    how
        Which rows come out.
    left
        Names of the left's columns.
    added
        New names by the names that the columns of the right have.
    keys
        Names of the key columns that come out, by their names on the right.
    schema
        Names and types of all columns that come out.
    """

    how: StreamHow
    left: tuple[str, ...]
    added: dict[str, str]
    keys: dict[str, str]
    schema: pl.Schema

    @classmethod
    def of(
        cls, left: pl.Schema, right: pl.Schema, keys: JoinKeys, how: StreamHow, suffix: str
    ) -> StreamColumns:
        """Return the columns for the schemas of both sides.

        Raises
        ------
        SchemaError
            Two columns would have the same name, or keys cannot be compared.
        """
        types = keys.types(left, right)
        found = table_columns(left, right, keys, "left" if how == "right" or how == "full" else how, suffix)
        names = dict(zip(keys.right, keys.left, strict=True))
        # Where rows of the right come out alone, their keys stand in the columns of the left.
        schema = pl.Schema({**found.schema, **types}) if how in ("right", "full") else found.schema
        return cls(how, tuple(left), found.added, names, schema)

    def paired(self, left: pl.DataFrame, right: pl.DataFrame) -> pl.DataFrame:
        """Return pairs of rows: row i of the left next to row i of the right."""
        added = [right[name].alias(new) for name, new in self.added.items()]
        return self._typed(left.hstack(added) if added else left)

    def alone(self, port: int, rows: pl.DataFrame) -> pl.DataFrame:
        """Return rows of the left (port 0) or of the right (1) without a partner."""
        if port:
            names = {**self.keys, **self.added}
            rows = rows.select(**{new: pl.col(name) for name, new in names.items()})
        return self._typed(rows)

    def _typed(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the rows with all columns in their order and type; a missing one is null."""
        if rows.schema == self.schema:
            return rows
        return rows.select(
            pl.col(name).cast(dtype) if name in rows.schema else pl.lit(None, dtype).alias(name)
            for name, dtype in self.schema.items()
        )
