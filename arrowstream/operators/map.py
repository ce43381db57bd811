"""`map(fn)`: the result of the user's function for each batch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from arrowstream.operators.arguments import check_options, parse_expressions
from arrowstream.operators.functions.step import FUNCTION_OPTIONS, FunctionStep
from arrowstream.operators.with_columns import WithColumns


@dataclass(frozen=True, slots=True, eq=False)
class MapFunction(FunctionStep):
    """The result of ``fn(batch)`` for each batch; `fn` may return fewer or more rows than it got.

    `fn` returns anything Arrow-like: a Polars or pandas frame, a `pyarrow.Table` or `RecordBatch`, ... Its results
    must not depend on where the stream is cut into batches.
    """

    name: ClassVar[str] = "map"

    @staticmethod
    def frames(result: Any) -> Iterable[Any]:
        return (result,)


def mapping(*exprs: Any, **named: Any) -> MapFunction | WithColumns:
    """Make the step for `map`: one callable is a function of the batch, other arguments are expressions."""
    if len(exprs) == 1 and callable(exprs[0]):
        check_options("map", named, FUNCTION_OPTIONS)
        return MapFunction(exprs[0], **named)
    return WithColumns(parse_expressions("map", exprs, named, FUNCTION_OPTIONS))
