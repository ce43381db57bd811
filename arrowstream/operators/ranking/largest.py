"""The k largest rows of each group, merged batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
import polars as pl

from arrowstream.operators.ranking.complete_groups import CompleteGrouping, in_one
from arrowstream.operators.ranking.order import RowOrder, by_number, places_in_groups
from arrowstream.operators.windows.panes import PANE, Rows


class Largest(CompleteGrouping):
    """The first `k` rows of each group in an order.

    Parameters
    ----------
    k
        The most rows of a group.
    order
        The order of rows, whose first ones stay.
    schema
        The schema of the rows.
    within
        The keys of a group among those of its pane.
    """

    in_order: ClassVar[bool] = False
    __slots__ = ("_k", "_order", "_schema", "_within")

    def __init__(self, k: int, order: RowOrder, schema: pl.Schema, within: Sequence[str]) -> None:
        self._k = k
        self._order = order
        self._schema = schema
        self._within = within

    @property
    def reads(self) -> list[str]:
        return list(self._schema)

    def reduced(self, rows: Sequence[Rows]) -> pl.DataFrame:
        return self.merged(rows)

    def merged(self, parts: Sequence[Rows]) -> pl.DataFrame:
        rows = in_one(parts, self._schema)
        order, panes = self._order.indices(rows, self._within), rows[PANE].to_numpy()
        by_pane = by_number(panes[order])
        order = order[by_pane]
        places = places_in_groups(rows.select(PANE, *self._within)[pl.Series(order.astype(np.uint32))])
        return rows[pl.Series(order[places < self._k].astype(np.uint32))]

    def complete(self, groups: pl.DataFrame) -> Iterator[pl.DataFrame]:
        yield groups.select(list(self._schema))
