"""The steps of the builder that change rows or batches, by expressions or functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, overload

from arrowstream.builder.base import GraphBuilder
from arrowstream.core.mistakes.explain import explain_calls
from arrowstream.operators.cast import Cast
from arrowstream.operators.drop import Drop
from arrowstream.operators.explode import Explode
from arrowstream.operators.filter import Filter
from arrowstream.operators.filter_map import filter_mapping
from arrowstream.operators.flat_map import flat_mapping
from arrowstream.operators.map import mapping
from arrowstream.operators.process import Processor, ProcessorStep
from arrowstream.operators.rename import Rename
from arrowstream.operators.select import Select
from arrowstream.operators.unnest import Unnest
from arrowstream.operators.with_columns import WithColumns

if TYPE_CHECKING:
    import polars as pl
    from polars._typing import IntoExpr
    from polars.selectors import Selector

    from arrowstream.core.schemas import SchemaLike
    from arrowstream.operators.functions.frame_forms import FrameForm
    from arrowstream.operators.parallel_map import Executor
    from arrowstream.operators.zero_copy.columns import ZeroCopyColumns

    IntoColumn = str | Selector | pl.Expr


@explain_calls
@dataclass(frozen=True, slots=True)
class RowSteps(GraphBuilder):
    """Steps that change rows or batches. The docstrings of the operators document them."""

    def select(self, *exprs: IntoExpr | Iterable[IntoExpr], **named: IntoExpr) -> Self:
        """Keep only these columns and expressions, as in Polars; see `Select`."""
        return self._then(Select.of(*exprs, **named))

    def with_columns(self, *exprs: IntoExpr | Iterable[IntoExpr], **named: IntoExpr) -> Self:
        """Add or replace columns, as in Polars; see `WithColumns`."""
        return self._then(WithColumns.of(*exprs, **named))

    @overload
    def map(
        self, fn: Callable[[Any], Any], /, *, frame: FrameForm = "arrow", schema: SchemaLike | None = None
    ) -> Self: ...

    @overload
    def map(self, *exprs: IntoExpr | Iterable[IntoExpr], **named: IntoExpr) -> Self: ...

    def map(self, *exprs: Any, **named: Any) -> Self:
        """Transform rows by expressions, as `with_columns`; or batches by ``fn``, see `MapFunction`."""
        return self._then(mapping(*exprs, **named))

    def filter(self, *predicates: IntoExpr | Iterable[IntoExpr], **constraints: IntoExpr) -> Self:
        """Keep only rows for which every predicate is true, as in Polars; see `Filter`."""
        return self._then(Filter.of(*predicates, **constraints))

    def drop(self, *columns: IntoColumn | Iterable[IntoColumn]) -> Self:
        """Drop these columns, as in Polars; see `Drop`."""
        return self._then(Drop.of(*columns))

    def rename(self, mapping: Mapping[str, str]) -> Self:
        """Rename columns by ``{old: new}``, as in Polars; see `Rename`."""
        return self._then(Rename.of(mapping))

    def cast(self, dtypes: Any, *, strict: bool = True) -> Self:
        """Cast columns by ``{column: type}``, or all to one type; strict: a value that does not fit is an error."""
        return self._then(Cast.of(dtypes, strict=strict))

    def explode(self, *columns: IntoColumn | Iterable[IntoColumn]) -> Self:
        """Make a row for each element of these list columns, as in Polars; see `Explode`."""
        return self._then(Explode.of(*columns))

    def unnest(self, *columns: IntoColumn | Iterable[IntoColumn]) -> Self:
        """Replace struct columns by their fields, as in Polars; see `Unnest`."""
        return self._then(Unnest.of(*columns))

    def flat_map(
        self,
        what: Callable[[Any], Any] | IntoColumn,
        *,
        frame: FrameForm | None = None,
        schema: SchemaLike | None = None,
    ) -> Self:
        """Turn one batch into many by ``fn``, see `FlatMap`; or make a row for each element of a list column."""
        return self._then(flat_mapping(what, frame, schema))

    @overload
    def filter_map(
        self, what: Callable[[Any], Any], *, frame: FrameForm = "arrow", schema: SchemaLike | None = None
    ) -> Self: ...

    @overload
    def filter_map(self, what: IntoExpr, **options: IntoExpr) -> Self: ...

    def filter_map(self, what: Any, **options: Any) -> Self:
        """Filter rows, then compute expressions; or transform batches by ``fn``, see `FilterMap`."""
        return self._then(filter_mapping(what, **options))

    def process(self, processor: Processor | Callable[[], Processor]) -> Self:
        """Transform batches by a user's `Processor`, with state and resources; see `ProcessorStep`."""
        return self._then(ProcessorStep(processor))

    def parallel_map(
        self,
        fn: Callable[[Any], Any],
        *,
        workers: int = 4,
        executor: Executor = "thread",
        frame: FrameForm = "arrow",
        schema: SchemaLike | None = None,
    ) -> Self:
        """Transform several batches at the same time by `fn`, in order; see `ParallelMap`."""
        from arrowstream.operators.parallel_map import ParallelMap

        return self._then(ParallelMap(fn, frame, schema, workers=workers, executor=executor))

    def map_zero_copy(self, *fns: Callable[[ZeroCopyColumns], Any]) -> Self:
        """Change columns in place as NumPy arrays; see `MapZeroCopy`."""
        from arrowstream.operators.map_zero_copy import MapZeroCopy

        return self._then(MapZeroCopy(fns))
