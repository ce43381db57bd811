"""Rows of two sides in one schema, as a snapshot has them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

_SIDE = "side"


class SideRows:
    """Frames with the columns of both sides next to each other, of which those of the other side are null.

    Parameters
    ----------
    schemas
        The schema of each side.

    Examples
    --------
    >>> both = SideRows([pl.Schema({"x": pl.Int64}), pl.Schema({"x": pl.String})])
    >>> saved = both.of(1, pl.DataFrame({"x": ["a"]}))
    >>> saved.columns, [(side, rows.rows()) for side, rows, _ in both.apart(saved)]
    (['side', '0 x', '1 x'], [(1, [('a',)])])
    """

    __slots__ = ("_schemas",)

    def __init__(self, schemas: Sequence[pl.Schema]) -> None:
        self._schemas = schemas

    def of(self, side: int, rows: pl.DataFrame) -> pl.DataFrame:
        """Return rows of a side in the columns of both."""
        columns = [pl.repeat(side, rows.height, dtype=pl.Int8, eager=True).alias(_SIDE)]
        for number, schema in enumerate(self._schemas):
            for name, dtype in schema.items():
                nulls = pl.Series([None], dtype=dtype)
                column = rows[name] if number == side else nulls.new_from_index(0, rows.height)
                columns.append(column.alias(f"{number} {name}"))
        return pl.DataFrame(columns)

    def apart(self, saved: pl.DataFrame) -> Iterator[tuple[int, pl.DataFrame, pl.DataFrame]]:
        """Yield each side that has rows, its rows, and these rows as they are saved."""
        for side, schema in enumerate(self._schemas):
            rows = saved.filter(pl.col(_SIDE) == side)
            if rows.height:
                yield side, rows.select(**{name: pl.col(f"{side} {name}") for name in schema}), rows
