"""`filter`: only rows for which a condition is true."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import polars as pl

from arrowstream.errors import PlanError
from arrowstream.expressions.text import expression_text
from arrowstream.operators.arguments import flatten
from arrowstream.operators.base import Expressions, Frame


@dataclass(frozen=True, slots=True, eq=False)
class Filter(Expressions):
    """Rows for which every predicate is true, as `polars.LazyFrame.filter`; null counts as false.

    Parameters
    ----------
    predicates
        Boolean expressions; a row stays where all are true.
    """

    name: ClassVar[str] = "filter"
    predicates: tuple[pl.Expr, ...]

    @classmethod
    def of(cls, *predicates: Any, **constraints: Any) -> Filter:
        """Make the step from what `polars.LazyFrame.filter` accepts, except masks of ready-made booleans.

        Parameters
        ----------
        predicates
            Boolean expressions, names of boolean columns, or iterables of them.
        constraints
            ``column=value`` stands for ``pl.col("column") == value``.

        Raises
        ------
        PlanError
            No predicate is given, or an input isn't a predicate.
        """
        parsed = [_parse_predicate(predicate) for predicate in flatten(predicates)]
        parsed += [pl.col(column).eq(value) for column, value in constraints.items()]
        if not parsed:
            raise PlanError("filter() has no predicate", expected="at least one boolean expression")
        return cls(tuple(parsed))

    def apply(self, frame: Frame) -> Frame:
        return frame.filter(*self.predicates)

    def expressions(self) -> tuple[pl.Expr, ...]:
        return self.predicates

    def with_expressions(self, exprs: tuple[pl.Expr, ...]) -> Filter:
        return replace(self, predicates=exprs)

    def describe(self) -> str:
        return f"filter({', '.join(map(expression_text, self.predicates))})"


def _parse_predicate(value: Any) -> pl.Expr:
    if isinstance(value, pl.Expr):
        return value
    if isinstance(value, str):
        return pl.col(value)
    found = f"{type(value).__name__} {value!r}"
    hint = "a mask of booleans fits the rows of one batch only: put it into a column"
    if callable(value):
        found = f"the function {getattr(value, '__qualname__', repr(value))}"
        hint = ".map(fn) calls a function of a batch, which may return fewer rows"
    raise PlanError(
        "filter() takes boolean expressions",
        expected='expressions such as pl.col("x") > 0, or names of boolean columns',
        found=found,
        hint=hint,
    )
