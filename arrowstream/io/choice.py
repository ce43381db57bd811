"""A query that a source can run without planning it."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True, slots=True)
class ColumnChoice:
    """Query of a pipeline whose read only chooses columns.

    Parameters
    ----------
    names
        Names of the columns, in their order.
    """

    names: tuple[str, ...]

    def __call__(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        return rows.select(self.names)
