"""`Pipeline.sql`: the pipeline that a SQL query describes."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from importlib import import_module
from typing import Any, Generic, TypeVar

from arrowstream.core.mistakes.explain import ExplainsNames, explain_calls
from arrowstream.errors import MissingExtra

Built = TypeVar("Built")


@explain_calls
class FromQuery(Generic[Built], metaclass=ExplainsNames):
    """A class with a builder, `Built`, that may come from a query."""

    @staticmethod
    def sql(query: str, /, **tables: Any) -> Built:
        """Build the pipeline of a SQL query, without its sink.

        The steps are those of the builder: WHERE is `filter`, GROUP BY with TUMBLE, HOP or SESSION is `window`, a
        JOIN is `join`. ``docs/guide/sql.md`` says what can be written, and where SQL and Polars differ.

        Parameters
        ----------
        query
            A SELECT, as DuckDB and Flink write it.
        tables
            The tables of the query by name: a builder, a source, a frame, or the path of a file.

        Returns
        -------
        Builder
            A builder that gives the rows of the query, to which steps and a sink can be added.

        Raises
        ------
        QueryError
            The query is wrong, or cannot run as a pipeline; the error names line and column.
        MissingExtra
            sqlglot is not installed (extra ``sql``).

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Source
        >>> frame = pl.DataFrame({"item": ["a", "b", "a"], "price": [10, 20, 30]})
        >>> bids = Pipeline.builder().source(Source.from_frame(frame))
        >>> Pipeline.sql("SELECT item, price FROM bids WHERE price > 10", bids=bids).collect_sync().rows()
        [('b', 20), ('a', 30)]
        """
        if importlib.util.find_spec("sqlglot") is None:
            raise MissingExtra(
                "Pipeline.sql() needs the extra 'sql', which is not installed",
                hint="pip install 'arrowstream[sql]'",
            )
        # Queries become builders, so this module finds what reads them only when it is asked for one.
        build: Callable[..., Built] = import_module("arrowstream.sql.query").build
        return build(query, tables)
