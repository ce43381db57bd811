"""`explode`: a row for each element of a list."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl
import polars.selectors as cs

from arrowstream.errors import SchemaError
from arrowstream.expressions.lineage import Names
from arrowstream.expressions.text import columns_text
from arrowstream.operators.arguments import Column, parse_columns
from arrowstream.operators.base import Expressions, Frame

_TAKES_EMPTY_AS_NULL = "empty_as_null" in inspect.signature(pl.DataFrame.explode).parameters


@dataclass(frozen=True, slots=True, eq=False)
class Explode(Expressions):
    """A row for each element of list or array columns, as `polars.LazyFrame.explode` of Polars 2.

    The other columns repeat. A null list gives one row with null; an empty list gives no row. Polars
    before 2 gave a null row for an empty list too: here the result is the same on every version.

    Parameters
    ----------
    columns
        Names and selectors of list or array columns. With several, the lists of a row must be equally
        long; where they are not, the run fails.
    """

    name: ClassVar[str] = "explode"
    columns: tuple[Column, ...]

    @classmethod
    def of(cls, *columns: Any) -> Explode:
        """Make the step from names, selectors, or iterables of them.

        Raises
        ------
        PlanError
            No column is named, or an input is neither a name nor a selector.
        """
        return cls(parse_columns(cls.name, columns))

    def apply(self, frame: Frame) -> Frame:
        if isinstance(frame, pl.LazyFrame):
            # While planning: Polars itself would raise only at the first row.
            self._check_types(frame.select(*self.columns).collect_schema())
        if _TAKES_EMPTY_AS_NULL:
            return frame.explode(*self.columns, empty_as_null=False)
        return frame.filter(self._has_elements()).explode(*self.columns)

    def expressions(self) -> tuple[pl.Expr, ...]:
        return ()

    def names_after(self, names: Names) -> Names | None:
        # Without one, an item of a list may be what event time was put into.
        return names or None

    def describe(self) -> str:
        return f"explode({columns_text(self.columns)})"

    def _check_types(self, schema: pl.Schema) -> None:
        for name, dtype in schema.items():
            if not isinstance(dtype, pl.List | pl.Array):
                raise SchemaError(
                    f"explode() cannot take column {name!r} apart",
                    expected="a list or array column",
                    found=f"{name}: {dtype}",
                )

    def _has_elements(self) -> pl.Expr:
        """Return an expression, true where a row gives rows: a list is null or not empty, or is an array."""
        chosen = cs.empty()
        for column in self.columns:
            chosen = chosen | (cs.by_name(column) if isinstance(column, str) else column)
        arrays = (chosen & cs.array()).as_expr()
        lists = (chosen & cs.list()).as_expr()
        return pl.any_horizontal(
            lists.is_null() | (lists.list.len() > 0), arrays.is_null() | arrays.is_not_null()
        )
