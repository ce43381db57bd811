"""The steps of the builder that choose and compute columns and rows, by expressions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from arrowstream.builder.base import GraphBuilder
from arrowstream.core.mistakes.explain import explain_calls
from arrowstream.operators.cast import Cast
from arrowstream.operators.drop import Drop
from arrowstream.operators.explode import Explode
from arrowstream.operators.filter import Filter
from arrowstream.operators.rename import Rename
from arrowstream.operators.select import Select
from arrowstream.operators.unnest import Unnest
from arrowstream.operators.with_columns import WithColumns

if TYPE_CHECKING:
    import polars as pl
    from polars._typing import IntoExpr
    from polars.selectors import Selector

    IntoColumn = str | Selector | pl.Expr


@explain_calls
@dataclass(frozen=True, slots=True)
class ColumnSteps(GraphBuilder):
    """Steps of expressions, which are fused with their neighbours."""

    def select(self, *exprs: IntoExpr | Iterable[IntoExpr], **named: IntoExpr) -> Self:
        """Keep only these columns and expressions, as `polars.LazyFrame.select`.

        At least one expression must refer to a column of its row: constants alone would give one row for every
        batch.

        Parameters
        ----------
        exprs
            Expressions, column names, selectors, constants, or one iterable of them.
        named
            The same, under the name of the keyword.

        Returns
        -------
        Builder
            A new builder, with this step at the end.

        Raises
        ------
        PlanError
            No input is given, or an input cannot become an expression.

        Notes
        -----
        Fused with the expressions around it: no extra task or channel, and some 40 us for a batch of 1,000 rows
        over all of them. Choosing a column costs nothing for each row; a computed one costs what Polars or pyarrow
        take for it. No state. At the start of a pipeline only the columns that are needed are read from a file.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Source
        >>> bids = Source.from_frame(pl.DataFrame({"auction": [1], "price": [4.0], "city": ["Ulm"]}))
        >>> Pipeline.builder().source(bids).select("auction", eur=pl.col("price") * 0.5).collect_sync().rows()
        [(1, 2.0)]
        """
        return self._then(Select.of(*exprs, **named))

    def with_columns(self, *exprs: IntoExpr | Iterable[IntoExpr], **named: IntoExpr) -> Self:
        """Add or replace columns, as `polars.LazyFrame.with_columns`.

        All new columns are computed from the columns that come in, not from one another.

        Parameters
        ----------
        exprs
            Expressions, column names, selectors, constants, or one iterable of them.
        named
            The same, under the name of the keyword.

        Returns
        -------
        Builder
            A new builder, with this step at the end.

        Raises
        ------
        PlanError
            No input is given, or an input cannot become an expression.

        Notes
        -----
        Fused with the expressions around it. For each row it costs what Polars or pyarrow take for the new columns;
        the others are passed on in the memory they have. No state.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Source
        >>> builder = Pipeline.builder().source(Source.from_frame(pl.DataFrame({"x": [1, 2]})))
        >>> builder.with_columns(twice=pl.col("x") * 2).collect_sync().rows()
        [(1, 2), (2, 4)]
        """
        return self._then(WithColumns.of(*exprs, **named))

    def filter(self, *predicates: IntoExpr | Iterable[IntoExpr], **constraints: IntoExpr) -> Self:
        """Keep only rows for which every predicate is true, as `polars.LazyFrame.filter`; null counts as false.

        Parameters
        ----------
        predicates
            Boolean expressions, names of boolean columns, or iterables of them.
        constraints
            ``column=value`` stands for ``pl.col("column") == value``.

        Returns
        -------
        Builder
            A new builder, with this step at the end.

        Raises
        ------
        PlanError
            No predicate is given, or an input isn't a predicate.

        Notes
        -----
        Fused with the expressions around it. For each row it costs the predicates, and a copy of the rows that
        stay. No state. At the start of a pipeline over Parquet or Arrow files, rows are left out while they are
        read.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Source
        >>> frame = pl.DataFrame({"x": [1, 2, 3], "kind": ["a", "a", "b"]})
        >>> builder = Pipeline.builder().source(Source.from_frame(frame))
        >>> builder.filter(pl.col("x") > 1, kind="a").collect_sync().rows()
        [(2, 'a')]
        """
        return self._then(Filter.of(*predicates, **constraints))

    def drop(self, *columns: IntoColumn | Iterable[IntoColumn]) -> Self:
        """Drop these columns, as `polars.LazyFrame.drop`; a missing name is an error.

        Parameters
        ----------
        columns
            Names and selectors.

        Returns
        -------
        Builder
            A new builder, with this step at the end.

        Raises
        ------
        PlanError
            No column is named, or an input is neither a name nor a selector.

        Notes
        -----
        Fused with the expressions around it. Costs nothing for each row: the other columns stay in the memory they
        have. No state.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Source
        >>> builder = Pipeline.builder().source(Source.from_frame(pl.DataFrame({"x": [1], "y": [2]})))
        >>> builder.drop("x").collect_sync().columns
        ['y']
        """
        return self._then(Drop.of(*columns))

    def rename(self, mapping: Mapping[str, str]) -> Self:
        """Rename columns by ``{old: new}``, as `polars.LazyFrame.rename`.

        Parameters
        ----------
        mapping
            Old names, which must be there, and the new ones.

        Returns
        -------
        Builder
            A new builder, with this step at the end.

        Raises
        ------
        PlanError
            `mapping` is empty, or isn't a mapping from name to name.

        Notes
        -----
        Fused with the expressions around it. Costs nothing for each row: only names change. No state.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Source
        >>> builder = Pipeline.builder().source(Source.from_frame(pl.DataFrame({"x": [1], "y": [2]})))
        >>> builder.rename({"x": "id"}).collect_sync().columns
        ['id', 'y']
        """
        return self._then(Rename.of(mapping))

    def cast(self, dtypes: Any, *, strict: bool = True) -> Self:
        """Cast columns by ``{column: type}``, or all to one type, as `polars.LazyFrame.cast`.

        Parameters
        ----------
        dtypes
            A mapping from column names, selectors or types (all columns of that type) to types, Polars'
            or Python's; or one type.
        strict
            True if a value that does not fit its new type is an error, False if it becomes null.

        Returns
        -------
        Builder
            A new builder, with this step at the end.

        Raises
        ------
        PlanError
            A key does not choose columns, a value is not a type, or the mapping is empty.

        Notes
        -----
        Fused with the expressions around it. Costs a pass over the columns that change their type, most where text
        is read or written; the others stay in the memory they have. No state.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Source
        >>> builder = Pipeline.builder().source(Source.from_frame(pl.DataFrame({"x": [1.0], "y": [2]})))
        >>> builder.cast({"x": pl.Int8}).collect_sync().dtypes
        [Int8, Int64]
        """
        return self._then(Cast.of(dtypes, strict=strict))

    def explode(self, *columns: IntoColumn | Iterable[IntoColumn]) -> Self:
        """Make a row for each element of list or array columns, as `polars.LazyFrame.explode` of Polars 2.

        The other columns repeat. A null list gives one row with null; an empty list gives no row. Polars
        before 2 gave a null row for an empty list too: here the result is the same on every version.

        Parameters
        ----------
        columns
            Names and selectors of list or array columns. With several, the lists of a row must be equally
            long; where they are not, the run fails.

        Returns
        -------
        Builder
            A new builder, with this step at the end.

        Raises
        ------
        PlanError
            No column is named, or an input is neither a name nor a selector.

        Notes
        -----
        Fused with the expressions around it, and always run by Polars. The elements are not copied; each costs a
        copy of the other columns' values in its row. No state.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Source
        >>> frame = pl.DataFrame({"k": ["a", "b", "c"], "xs": [[1, 2], [], None]})
        >>> Pipeline.builder().source(Source.from_frame(frame)).explode("xs").collect_sync().rows()
        [('a', 1), ('a', 2), ('c', None)]
        """
        return self._then(Explode.of(*columns))

    def unnest(self, *columns: IntoColumn | Iterable[IntoColumn]) -> Self:
        """Replace struct columns by their fields, as `polars.LazyFrame.unnest`.

        Parameters
        ----------
        columns
            Names and selectors of struct columns. A field must not have the name of a column that stays.

        Returns
        -------
        Builder
            A new builder, with this step at the end.

        Raises
        ------
        PlanError
            No column is named, or an input is neither a name nor a selector.

        Notes
        -----
        Fused with the expressions around it, and always run by Polars. Costs almost nothing for each row: the
        fields become columns without a copy. No state.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Source
        >>> frame = pl.DataFrame({"at": [{"x": 1, "y": 2}], "k": ["a"]})
        >>> Pipeline.builder().source(Source.from_frame(frame)).unnest("at").collect_sync().rows(named=True)
        [{'x': 1, 'y': 2, 'k': 'a'}]
        """
        return self._then(Unnest.of(*columns))
