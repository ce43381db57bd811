"""Late rows: rows that arrive after their window has closed."""

from __future__ import annotations

import polars as pl

from arrowstream.core.batch import Batch


class LateRows:
    """Late rows, kept until the runtime takes them.

    Parameters
    ----------
    schema
        The schema of the input rows; columns added since are dropped.
    """

    def __init__(self, schema: pl.Schema) -> None:
        self._columns = schema.names()
        self._held: list[pl.DataFrame] = []

    def sift(self, rows: pl.DataFrame, is_late: pl.Expr) -> pl.DataFrame:
        """Return the rows that are in time, and keep those for which `is_late` holds."""
        late = rows.select(is_late).to_series()
        if not late.any():
            return rows
        self._held.append(rows.filter(late).select(self._columns))
        return rows.filter(~late)

    def take(self) -> Batch | None:
        """Return the late rows since the last call, or None if there were none."""
        held, self._held = self._held, []
        return Batch(pl.concat(held)) if held else None
