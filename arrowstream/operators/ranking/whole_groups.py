"""Groups that keep all their rows, and come out sorted or with columns computed over them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

import polars as pl

from arrowstream.operators.ranking.complete_groups import CompleteGrouping, in_one
from arrowstream.operators.windows.panes import PANE, Rows


class WholeGroups(CompleteGrouping):
    """All rows of groups, in the order in which they came.

    Parameters
    ----------
    schema
        The schema of the rows.
    finish
        Makes what comes out of the rows of complete groups, which have a first column `PANE` and are sorted by it.
    """

    in_order: ClassVar[bool] = True
    __slots__ = ("_finish", "_schema")

    def __init__(self, schema: pl.Schema, finish: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
        self._schema = schema
        self._finish = finish

    @property
    def reads(self) -> list[str]:
        return list(self._schema)

    def reduced(self, rows: Sequence[Rows]) -> pl.DataFrame:
        return self.merged(rows)

    def merged(self, parts: Sequence[Rows]) -> pl.DataFrame:
        return in_one(parts, self._schema).sort(PANE, maintain_order=True)

    def complete(self, groups: pl.DataFrame) -> Iterator[pl.DataFrame]:
        yield self._finish(groups)
