"""`drop`: all columns except the given ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl

from arrowstream.expressions.text import columns_text
from arrowstream.operators.arguments import Column, parse_columns
from arrowstream.operators.base import Expressions, Frame


@dataclass(frozen=True, slots=True, eq=False)
class Drop(Expressions):
    """All columns except the given ones, as `polars.LazyFrame.drop`; a missing name is an error.

    Parameters
    ----------
    columns
        Names and selectors.
    """

    name: ClassVar[str] = "drop"
    columns: tuple[Column, ...]

    @classmethod
    def of(cls, *columns: Any) -> Drop:
        """Make the step from names, selectors, or iterables of them.

        Raises
        ------
        PlanError
            No column is named, or an input is neither a name nor a selector.
        """
        return cls(parse_columns(cls.name, columns))

    def apply(self, frame: Frame) -> Frame:
        return frame.drop(*self.columns)

    def expressions(self) -> tuple[pl.Expr, ...]:
        return ()

    def describe(self) -> str:
        return f"drop({columns_text(self.columns)})"
