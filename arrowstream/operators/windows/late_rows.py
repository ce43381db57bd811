"""Rows that come after their window has closed."""

from __future__ import annotations

import polars as pl

from arrowstream.core.batch import Batch


class LateRows:
    """Keeps late rows until they are asked for.

    Parameters
    ----------
    schema
        Of the rows as they came in.
    """

    def __init__(self, schema: pl.Schema) -> None:
        self._columns = schema.names()
        self._held: list[pl.DataFrame] = []

    def sift(self, rows: pl.DataFrame, is_late: pl.Expr) -> pl.DataFrame:
        """The rows that are in time; the others are kept here."""
        late = rows.select(is_late).to_series()
        if not late.any():
            return rows
        self._held.append(rows.filter(late).select(self._columns))
        return rows.filter(~late)

    def take(self) -> Batch | None:
        """The late rows since this was last asked."""
        held, self._held = self._held, []
        return Batch(pl.concat(held)) if held else None
