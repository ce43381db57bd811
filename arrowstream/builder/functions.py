"""The steps of the builder that call functions of batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, overload

from arrowstream.builder.base import GraphBuilder
from arrowstream.core.mistakes.explain import explain_calls
from arrowstream.operators.filter_map import filter_mapping
from arrowstream.operators.flat_map import flat_mapping
from arrowstream.operators.map import mapping

if TYPE_CHECKING:
    import polars as pl
    from polars._typing import IntoExpr
    from polars.selectors import Selector

    from arrowstream.core.schemas import SchemaLike
    from arrowstream.operators.functions.frame_forms import FrameForm

    IntoColumn = str | Selector | pl.Expr


@explain_calls
@dataclass(frozen=True, slots=True)
class FunctionSteps(GraphBuilder):
    """Steps that call a user's function, or transform rows by expressions under the names of streaming engines."""

    @overload
    def map(
        self, fn: Callable[[Any], Any], /, *, frame: FrameForm = "arrow", schema: SchemaLike | None = None
    ) -> Self: ...

    @overload
    def map(self, *exprs: IntoExpr | Iterable[IntoExpr], **named: IntoExpr) -> Self: ...

    def map(
        self,
        *exprs: Callable[[Any], Any] | IntoExpr | Iterable[IntoExpr],
        frame: FrameForm | IntoExpr = None,
        schema: SchemaLike | IntoExpr = None,
        **named: IntoExpr,
    ) -> Self:
        """Transform rows by expressions, as `with_columns`, or batches by a function ``fn(batch)``.

        One callable argument is a function; it may return fewer or more rows than it got, as anything Arrow-like: a
        Polars or pandas frame, a `pyarrow.Table` or `RecordBatch`, ... Its results must not depend on where the
        stream is cut into batches. Other arguments are expressions, all computed from the columns that come in.

        Parameters
        ----------
        exprs
            Expressions, column names, selectors, constants, or one iterable of them; or a function of a batch. An
            ``async def`` is awaited on the event loop; a plain function that takes long runs on a worker thread.
        frame
            The form of the batch that a function gets: ``"arrow"`` (a `pyarrow.RecordBatch`, the default),
            ``"polars"``, ``"pandas"`` (with Arrow's types, so that integers with nulls stay integers) or
            ``"cudf"``.
        schema
            Names and types of what the function returns: a schema of Polars or pyarrow, pairs, or a dict. Without
            it, the function is called with a batch without rows when the pipeline is built, and the schema is that
            of its result.
        named
            Expressions under the names of the keywords.

        Returns
        -------
        Builder
            A new builder, with this step at the end.

        Raises
        ------
        PlanError
            No argument is given, an input cannot become an expression, `frame` is unknown, or the schema of a
            function cannot be learnt.
        MissingExtra
            The library of `frame` is not installed.
        SchemaError
            The function returns other columns or types than its schema says; narrower types are widened.

        Notes
        -----
        Expressions are fused with those around them, and cost what Polars or pyarrow take for the new columns of a
        row. A function runs as a stage. It costs some 10 us a batch on top of the function itself, and the
        conversion to the form of `frame`: nothing for numbers, some 7 ns a row for text that goes from Arrow to
        Polars or back; pandas and cuDF take more. No state.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Source
        >>> builder = Pipeline.builder().source(Source.from_frame(pl.DataFrame({"x": [1, 2]})))
        >>> builder.map(twice=pl.col("x") * 2).collect_sync().rows()
        [(1, 2), (2, 4)]
        >>> def ranked(frame):
        ...     return frame.with_columns(big=pl.col("x") > 1)
        >>> source = Source.from_frame(pl.DataFrame({"x": [1, 2]}))
        >>> Pipeline.builder().source(source).map(ranked, frame="polars").collect_sync().rows()
        [(1, False), (2, True)]
        """
        return self._then(mapping(*exprs, **_given(frame, schema), **named))

    def flat_map(
        self,
        what: Callable[[Any], Any] | IntoColumn,
        *,
        frame: FrameForm | None = None,
        schema: SchemaLike | None = None,
    ) -> Self:
        """Turn one batch into many by a function ``fn(batch)``, or make a row for each element of a list column.

        A function returns an iterable of frames or a single frame, or is a generator, plain or async. All its
        frames must have the same schema. Where it gives no frame for a batch without rows, pass ``schema=``. The
        name of a column, or a selector, is exploded, as by `explode`.

        Parameters
        ----------
        what
            A function, or the name or selector of a list column. An ``async def`` is awaited on the event loop; a
            plain function that takes long runs on a worker thread.
        frame
            The form of the batch that a function gets: ``"arrow"`` (a `pyarrow.RecordBatch`, the default),
            ``"polars"``, ``"pandas"`` (with Arrow's types, so that integers with nulls stay integers) or
            ``"cudf"``.
        schema
            Names and types of what the function returns: a schema of Polars or pyarrow, pairs, or a dict. Without
            it, the function is called with a batch without rows when the pipeline is built, and the schema is that
            of its result.

        Returns
        -------
        Builder
            A new builder, with this step at the end.

        Raises
        ------
        PlanError
            `what` is neither a function nor a column, `frame` is unknown, or the schema of the function cannot be
            learnt.
        MissingExtra
            The library of `frame` is not installed.
        SchemaError
            The function returns other columns or types than its schema says; narrower types are widened.

        Notes
        -----
        A function runs as a stage, which costs as much as ``map(fn)``; each frame that it gives becomes a batch, so
        many small frames cost more in the stages after it. It holds the frames of one batch. A column costs what
        `explode` costs, and has no state.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Source
        >>> def halves(frame):
        ...     yield frame.filter(pl.col("x") < 2)
        ...     yield frame.filter(pl.col("x") >= 2)
        >>> source = Source.from_frame(pl.DataFrame({"x": [3, 1, 2]}))
        >>> Pipeline.builder().source(source).flat_map(halves, frame="polars").collect_sync()["x"].to_list()
        [1, 3, 2]
        >>> frame = pl.DataFrame({"k": ["a", "b", "c"], "xs": [[1, 2], [], None]})
        >>> Pipeline.builder().source(Source.from_frame(frame)).flat_map("xs").collect_sync().rows()
        [('a', 1), ('a', 2), ('c', None)]
        """
        return self._then(flat_mapping(what, frame, schema))

    @overload
    def filter_map(
        self, what: Callable[[Any], Any], *, frame: FrameForm = "arrow", schema: SchemaLike | None = None
    ) -> Self: ...

    @overload
    def filter_map(self, what: IntoExpr, **named: IntoExpr) -> Self: ...

    def filter_map(
        self,
        what: Callable[[Any], Any] | IntoExpr,
        *,
        frame: FrameForm | IntoExpr = None,
        schema: SchemaLike | IntoExpr = None,
        **named: IntoExpr,
    ) -> Self:
        """Keep the rows for which a condition is true and compute columns, or transform batches by ``fn(batch)``.

        A condition and expressions do what `filter` and then `with_columns` do, as one step, so that an option set
        after it (`on_error`, `backend`) applies to both parts. A function gives the result for each batch, and no
        batch where it returns None; where it returns None for a batch without rows, pass ``schema=``.

        Parameters
        ----------
        what
            A boolean expression, or a function. An ``async def`` is awaited on the event loop; a plain function
            that takes long runs on a worker thread.
        frame
            The form of the batch that a function gets: ``"arrow"`` (a `pyarrow.RecordBatch`, the default),
            ``"polars"``, ``"pandas"`` (with Arrow's types, so that integers with nulls stay integers) or
            ``"cudf"``.
        schema
            Names and types of what the function returns: a schema of Polars or pyarrow, pairs, or a dict. Without
            it, the function is called with a batch without rows when the pipeline is built, and the schema is that
            of its result.
        named
            Expressions under the names of the keywords; only with a condition.

        Returns
        -------
        Builder
            A new builder, with this step at the end.

        Raises
        ------
        PlanError
            `what` is neither a function nor a predicate, an expression is wrong, `frame` is unknown, or the schema
            of the function cannot be learnt.
        MissingExtra
            The library of `frame` is not installed.
        SchemaError
            The function returns other columns or types than its schema says; narrower types are widened.

        Notes
        -----
        Expressions are fused with those around them: each row costs the condition, and each row that stays the
        columns. A function runs as a stage, which costs as much as ``map(fn)``. No state.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Source
        >>> builder = Pipeline.builder().source(Source.from_frame(pl.DataFrame({"x": [1, 2]})))
        >>> builder.filter_map(pl.col("x") > 1, y=pl.col("x") * 2).collect_sync().rows()
        [(2, 4)]
        >>> def checked(record):
        ...     return record if record["x"].null_count == 0 else None
        >>> source = Source.from_frame([pl.DataFrame({"x": [1, 2]}), pl.DataFrame({"x": [3, None]})])
        >>> Pipeline.builder().source(source).filter_map(checked).collect_sync()["x"].to_list()
        [1, 2]
        """
        return self._then(filter_mapping(what, **_given(frame, schema), **named))


def _given(frame: Any, schema: Any) -> dict[str, Any]:
    """Return the arguments that are not None by name: with expressions, they name columns."""
    return {name: value for name, value in (("frame", frame), ("schema", schema)) if value is not None}
