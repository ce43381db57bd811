"""The order of rows: by columns, and of equal ones by arrival."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from arrowstream.errors import PlanError
from arrowstream.operators.arguments import key_schema, parse_keys
from arrowstream.state.arrays import Array, stable_order


@dataclass(frozen=True, slots=True)
class RowOrder:
    """Columns to sort by. NaN is larger than any number, and -0.0 equal to 0.0.

    Parameters
    ----------
    by
        The columns.
    descending
        Whether the largest values of each column come first.
    nulls_last
        Whether nulls of each column come last.
    """

    by: tuple[str, ...]
    descending: tuple[bool, ...]
    nulls_last: tuple[bool, ...]

    @classmethod
    def of(cls, step: str, by: Any, **flags: Any) -> RowOrder:
        """Make it from the arguments of a builder's method.

        Parameters
        ----------
        step
            Name of the method, for errors.
        by
            A name, or several.
        flags
            `descending` and `nulls_last`, or `reverse` for an order in which the largest come first and nulls last:
            one for all columns, or one for each.

        Raises
        ------
        PlanError
            No column is named, one is named twice, or there are more or fewer flags than columns.
        """
        names = parse_keys(step, by)
        if not names:
            raise PlanError(f"{step}(by=...) names no column", expected="a name, or a list of names")
        found = {name: _flags(step, name, value, len(names)) for name, value in flags.items()}
        if "reverse" in found:
            return cls(names, tuple(not flag for flag in found["reverse"]), (True,) * len(names))
        return cls(names, found["descending"], found["nulls_last"])

    def check(self, step: str, schema: pl.Schema) -> None:
        """Raise SchemaError or PlanError if a column is missing or has no order."""
        key_schema(step, self.by, schema)

    def sorted(self, rows: pl.DataFrame, groups: Sequence[str]) -> pl.DataFrame:
        """Return rows sorted by groups and these columns; equal ones keep their order.

        Parameters
        ----------
        rows
            The rows.
        groups
            Columns of groups, in ascending order with nulls first.
        """
        return rows[pl.Series(self.indices(rows, groups).astype(np.uint32))]

    def indices(self, rows: pl.DataFrame, groups: Sequence[str]) -> Array:
        """Return the indices of rows in the order of `sorted` (rows,), int64."""
        none = [False] * len(groups)
        if not groups and len(self.by) == 1 and rows[self.by[0]].null_count() == rows.height:
            return np.arange(rows.height)  # before Polars 2, the last null comes first in descending order
        found = pl.arg_sort_by(
            [*groups, *self.by],
            descending=[*none, *self.descending],
            nulls_last=[*none, *self.nulls_last],
            maintain_order=True,
        )
        return rows.select(found).to_series().to_numpy().astype(np.int64)

    def describe(self) -> str:
        """Return the columns for `explain()`."""
        return ", ".join(
            f"{name} descending" if down else name
            for name, down in zip(self.by, self.descending, strict=True)
        )


def by_number(numbers: Array) -> Array:
    """Return the indices that sort whole numbers; equal ones keep their order (rows,), int64."""
    first = int(numbers.min())
    if int(numbers.max()) - first < 1 << 32:
        return stable_order(numbers - first)
    return np.argsort(numbers, kind="stable")


def places_in_groups(groups: pl.DataFrame) -> Array:
    """Return the place of each row in its group, from 0 on, of rows sorted by groups (rows,), int64.

    Parameters
    ----------
    groups
        The columns of groups, at least one.
    """
    numbers = np.arange(groups.height)
    changes = groups.select(pl.any_horizontal(pl.all().ne_missing(pl.all().shift())))
    new = changes.to_series().to_numpy().copy()
    new[:1] = True
    places: Array = numbers - np.maximum.accumulate(np.where(new, numbers, 0))
    return places


def _flags(step: str, name: str, value: Any, columns: int) -> tuple[bool, ...]:
    flags = (value,) * columns if isinstance(value, bool) else tuple(value)
    if len(flags) != columns or not all(isinstance(flag, bool) for flag in flags):
        raise PlanError(
            f"{step}({name}=...) does not fit the columns of by",
            expected=f"True or False, or {columns} of them",
            found=repr(value),
        )
    return flags
