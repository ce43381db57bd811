"""`unnest`: the fields of a struct as columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl

from arrowstream.expressions.lineage import Names
from arrowstream.expressions.text import columns_text
from arrowstream.operators.arguments import Column, parse_columns
from arrowstream.operators.base import Expressions, Frame


@dataclass(frozen=True, slots=True, eq=False)
class Unnest(Expressions):
    """The fields of struct columns as columns in their place, as `polars.LazyFrame.unnest`.

    Parameters
    ----------
    columns
        Names and selectors of struct columns. A field must not have the name of a column that stays.
    """

    name: ClassVar[str] = "unnest"
    columns: tuple[Column, ...]

    @classmethod
    def of(cls, *columns: Any) -> Unnest:
        """Make the step from names, selectors, or iterables of them.

        Raises
        ------
        PlanError
            No column is named, or an input is neither a name nor a selector.
        """
        return cls(parse_columns(cls.name, columns))

    def apply(self, frame: Frame) -> Frame:
        return frame.unnest(*self.columns)

    def expressions(self) -> tuple[pl.Expr, ...]:
        return ()

    def names_after(self, names: Names) -> Names | None:
        return None  # fields may have any name

    def describe(self) -> str:
        return f"unnest({columns_text(self.columns)})"
