"""`filter_map`: filter and map in one, by expressions or by a function."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from arrowstream.operators.base import Expressions, Operator
from arrowstream.operators.filter import Filter
from arrowstream.operators.function_step import FunctionStep
from arrowstream.operators.with_columns import WithColumns


@dataclass(frozen=True, slots=True, eq=False)
class FilterMap(FunctionStep):
    """Each batch as ``fn(batch)`` makes it, and none where `fn` returns None.

    Parameters, and the errors raised, are those of `FunctionStep`. Where `fn` returns None for a batch
    without rows, pass ``schema=``.

    Examples
    --------
    >>> import polars as pl
    >>> from arrowstream import Pipeline, Source
    >>> def checked(record):
    ...     return record if record["x"].null_count == 0 else None
    >>> source = Source.from_frame([pl.DataFrame({"x": [1, 2]}), pl.DataFrame({"x": [3, None]})])
    >>> Pipeline.builder().source(source).filter_map(checked).collect_sync()["x"].to_list()
    [1, 2]
    """

    name: ClassVar[str] = "filter_map"

    @staticmethod
    def frames(result: Any) -> Iterable[Any]:
        return () if result is None else (result,)


def filter_mapping(what: Any, **options: Any) -> tuple[Expressions | Operator, ...]:
    """The steps for `filter_map`: a function alone, or a filter and the expressions after it."""
    if callable(what):
        return (FilterMap(what, **options),)
    return (Filter.of(what), WithColumns.of(**options)) if options else (Filter.of(what),)
