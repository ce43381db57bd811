"""Groups that a form of rows may make where its rows lie, so that a few groups leave it in place of all rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

Function = Literal["sum", "min", "max", "count", "len"]
"""An aggregation of a plain column, null left out; "len" counts rows. All have one result in any order of the rows:
values that are added are no floats, and of floats that are compared a form makes no groups if one is NaN or -0.0."""


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One aggregation.

    Parameters
    ----------
    name
        The name of the column that comes out.
    function
        The function. A sum of no values is 0, a minimum or maximum of none is null.
    column
        The column whose values it takes; None for "len".
    dtype
        The type that comes out. Sums of integers wrap around in it.
    """

    name: str
    function: Function
    column: str | None
    dtype: pa.DataType


@dataclass(frozen=True, slots=True)
class Panes:
    """Stretches of time of equal length, by which rows are grouped: pane p begins at ``start + p * length``.

    Parameters
    ----------
    name
        The name of the column with the number of the pane, int64.
    column
        The column of times. Its ticks count in its own unit; integers are ticks.
    start, length
        Where pane 0 begins, and the length of panes, in ticks.
    first, last
        The least and the greatest time for which groups are wanted, in ticks.
    """

    name: str
    column: str
    start: int
    length: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Grouping:
    """How rows are grouped. The columns that come out: the pane if there are any, the keys, `row`, the aggregates.

    Parameters
    ----------
    keys
        The key columns, which are no floats; null is a key. Without keys and panes all rows are one group.
    row
        The name of the column with the number of the group's first row within the batch, from 0, int64.
    aggregates
        The aggregations.
    panes
        The panes, or None.
    """

    keys: tuple[str, ...]
    row: str
    aggregates: tuple[Aggregate, ...]
    panes: Panes | None = None

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns that it reads, each once.

        Examples
        --------
        >>> total = Aggregate("total", "sum", "x", pa.int64())
        >>> Grouping(("k",), "row", (total, Aggregate("n", "len", None, pa.int64()))).reads
        ('k', 'x')
        """
        values = (aggregate.column for aggregate in self.aggregates if aggregate.column is not None)
        times = () if self.panes is None else (self.panes.column,)
        return tuple(dict.fromkeys((*times, *self.keys, *values)))
