"""`cast`: columns as other types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl
import polars.selectors as cs

from arrowstream.core.checks import check_flag
from arrowstream.core.hints import type_name_hint
from arrowstream.errors import PlanError
from arrowstream.expressions.text import expression_text
from arrowstream.operators.arguments import parse_columns
from arrowstream.operators.base import Expressions, Frame


@dataclass(frozen=True, slots=True, eq=False)
class Cast(Expressions):
    """Columns as other types, as `polars.LazyFrame.cast`.

    Parameters
    ----------
    casts
        Pairs of a choice of columns and the type they get.
    strict
        True if a value that does not fit its new type is an error, False if it becomes null.
    """

    name: ClassVar[str] = "cast"
    casts: tuple[tuple[cs.Selector, pl.DataType], ...]
    strict: bool

    @classmethod
    def of(cls, dtypes: Any, *, strict: bool = True) -> Cast:
        """Make the step from ``{column: type}``, or one type for all columns.

        Parameters
        ----------
        dtypes
            A mapping from column names, selectors or types (all columns of that type) to types, Polars'
            or Python's; or one type.
        strict
            True if a value that does not fit its new type is an error, False if it becomes null.

        Raises
        ------
        PlanError
            A key does not choose columns, a value is not a type, or the mapping is empty.
        """
        check_flag("strict", strict)
        if not isinstance(dtypes, Mapping):
            return cls(((cs.all(), _parse_type(dtypes)),), strict)
        if not dtypes:
            raise PlanError("cast() names no column", expected="{column: type} with at least one pair")
        return cls(
            tuple((_parse_key(key), _parse_type(dtype)) for key, dtype in dtypes.items()),
            strict,
        )

    def apply(self, frame: Frame) -> Frame:
        return frame.cast(dict(self.casts), strict=self.strict)

    def expressions(self) -> tuple[pl.Expr, ...]:
        return tuple(columns.as_expr().cast(dtype, strict=self.strict) for columns, dtype in self.casts)

    def describe(self) -> str:
        casts = [f"{expression_text(columns)}: {dtype}" for columns, dtype in self.casts]
        return f"cast({', '.join([*casts, *([] if self.strict else ['strict=False'])])})"


def _parse_key(key: Any) -> cs.Selector:
    if isinstance(key, pl.DataType) or (isinstance(key, type) and issubclass(key, pl.DataType)):
        return cs.by_dtype(key)
    (column,) = parse_columns("cast", (key,))
    return cs.by_name(column) if isinstance(column, str) else column


def _parse_type(dtype: Any) -> pl.DataType:
    try:
        if not isinstance(dtype, pl.DataTypeExpr):
            # Polars itself completes a bare type, such as `pl.Datetime`, to one exact type.
            return pl.select(pl.lit(None).cast(dtype)).dtypes[0]
        reason = "a type computed from columns goes into with_columns(pl.col(...).cast(...))"
    except (TypeError, pl.exceptions.PolarsError) as error:
        named = type_name_hint(dtype) if isinstance(dtype, str) else None
        reason = named or str(error)
    raise PlanError(
        "cast() takes types",
        expected="a Polars or Python type, such as pl.Int64 or float",
        found=f"{type(dtype).__name__} {dtype!r}",
        hint=reason,
    )
