"""`with_columns`: columns added or replaced."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import polars as pl

from arrowstream.expressions.lineage import Names, added
from arrowstream.expressions.text import expression_text
from arrowstream.operators.arguments import parse_expressions
from arrowstream.operators.base import Expressions, Frame


@dataclass(frozen=True, slots=True, eq=False)
class WithColumns(Expressions):
    """All columns, with these added or replaced by name, as `polars.LazyFrame.with_columns`.

    Parameters
    ----------
    exprs
        The new columns; all are computed from the columns that come in, not from one another.
    """

    name: ClassVar[str] = "with_columns"
    exprs: tuple[pl.Expr, ...]

    @classmethod
    def of(cls, *exprs: Any, **named: Any) -> WithColumns:
        """Make the step from what `polars.LazyFrame.with_columns` accepts.

        Parameters
        ----------
        exprs
            Expressions, column names, selectors, constants, or one iterable of them.
        named
            The same, under the name of the keyword.

        Raises
        ------
        PlanError
            No input is given, or an input cannot become an expression.
        """
        return cls(parse_expressions(cls.name, exprs, named))

    def apply(self, frame: Frame) -> Frame:
        return frame.with_columns(self.exprs)

    def expressions(self) -> tuple[pl.Expr, ...]:
        return self.exprs

    def with_expressions(self, exprs: tuple[pl.Expr, ...]) -> WithColumns:
        return replace(self, exprs=exprs)

    def names_after(self, names: Names) -> Names | None:
        return added(self.exprs, names)

    def describe(self) -> str:
        return f"with_columns({', '.join(map(expression_text, self.exprs))})"
