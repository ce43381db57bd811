"""`filter_map`: filter and map in one, by expressions or by a function."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl

from arrowstream.expressions.lineage import Names
from arrowstream.expressions.text import expression_text
from arrowstream.operators.arguments import check_options, parse_expressions
from arrowstream.operators.base import Expressions, Frame, Operator
from arrowstream.operators.filter import Filter
from arrowstream.operators.functions.step import FUNCTION_OPTIONS, FunctionStep
from arrowstream.operators.with_columns import WithColumns


@dataclass(frozen=True, slots=True, eq=False)
class FilterMap(FunctionStep):
    """The result of ``fn(batch)`` for each batch; no batch where `fn` returns None.

    Parameters, and the errors raised, are those of ``map(fn)``. Where `fn` returns None for a batch
    without rows, pass ``schema=``.
    """

    name: ClassVar[str] = "filter_map"

    @staticmethod
    def frames(result: Any) -> Iterable[Any]:
        return () if result is None else (result,)


@dataclass(frozen=True, slots=True, eq=False)
class FilterMapExpressions(Expressions):
    """Rows for which a condition is true, with columns added or replaced: `Filter`, then `WithColumns`.

    It is one step, so that an option set after it (`on_error`, `backend`) applies to both parts.
    """

    name: ClassVar[str] = "filter_map"
    condition: Filter
    columns: WithColumns

    def apply(self, frame: Frame) -> Frame:
        return self.columns.apply(self.condition.apply(frame))

    def with_expressions(self, exprs: tuple[pl.Expr, ...]) -> FilterMapExpressions:
        count = len(self.condition.predicates)
        condition = self.condition.with_expressions(exprs[:count])
        return FilterMapExpressions(condition, self.columns.with_expressions(exprs[count:]))

    def expressions(self) -> tuple[pl.Expr, ...]:
        return (*self.condition.expressions(), *self.columns.expressions())

    def names_after(self, names: Names) -> Names | None:
        return self.columns.names_after(names)

    def describe(self) -> str:
        return f"filter_map({', '.join(map(expression_text, self.expressions()))})"


def filter_mapping(what: Any, **options: Any) -> Expressions | Operator:
    """Make the step for `filter_map`, from a function alone or from a condition and expressions."""
    if callable(what):
        check_options("filter_map", options, FUNCTION_OPTIONS)
        return FilterMap(what, **options)
    condition = Filter.of(what)
    if not options:
        return condition
    columns = parse_expressions("filter_map", (), options, FUNCTION_OPTIONS)
    return FilterMapExpressions(condition, WithColumns(columns))
