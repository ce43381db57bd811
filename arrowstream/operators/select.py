"""`select`: only these columns and expressions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import polars as pl

from arrowstream.expressions.lineage import Names, chosen
from arrowstream.expressions.text import expression_text
from arrowstream.operators.arguments import parse_expressions
from arrowstream.operators.base import Expressions, Frame


@dataclass(frozen=True, slots=True, eq=False)
class Select(Expressions):
    """Exactly the given columns and expressions, as `polars.LazyFrame.select`.

    Parameters
    ----------
    exprs
        The output columns, in this order. At least one must refer to a column of its row: constants alone
        would give one row for every batch.
    """

    name: ClassVar[str] = "select"
    exprs: tuple[pl.Expr, ...]

    @classmethod
    def of(cls, *exprs: Any, **named: Any) -> Select:
        """Make the step from what `polars.LazyFrame.select` accepts.

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
        return frame.select(self.exprs)

    def expressions(self) -> tuple[pl.Expr, ...]:
        return self.exprs

    def with_expressions(self, exprs: tuple[pl.Expr, ...]) -> Select:
        return replace(self, exprs=exprs)

    def names_after(self, names: Names) -> Names | None:
        return chosen(self.exprs, names)

    def describe(self) -> str:
        return f"select({', '.join(map(expression_text, self.exprs))})"
