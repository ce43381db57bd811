"""Checks of the aggregates of a step, and the schema of their results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from arrowstream.core.hints import did_you_mean, missing_column
from arrowstream.core.rows.arrow_schema import arrow_schema
from arrowstream.core.rows.empty_frames import no_rows
from arrowstream.errors import PlanError, SchemaError
from arrowstream.expressions.text import expression_text
from arrowstream.expressions.tree import levels, tree_of
from arrowstream.operators.aggregation.reserved_names import check_results

GROUP = "__group__"
"""The column by which rows without keys are grouped."""

_MOST_LEVELS = 600
"""The most levels of an aggregate: Polars computes it recursively, and overflows its stack at about 1,000."""


def check_depth(step: str, exprs: Sequence[pl.Expr]) -> None:
    """Raise if an expression is nested too deeply.

    Raises
    ------
    PlanError
        An expression has more levels than Polars can compute.
    """
    for expr in exprs:
        try:
            found = levels(tree_of(expr))
        except pl.exceptions.PolarsError:
            continue  # it holds a Python function
        if found > _MOST_LEVELS:
            raise PlanError(
                f"an aggregate of {step} is nested too deeply",
                expected=f"at most {_MOST_LEVELS} levels of functions and operators, some 300 joined terms",
                found=f"{found} levels",
                hint="compute what is aggregated in with_columns(...) before",
            )


_OF_RESULTS = "compute with the results in with_columns(...) after this step"
"""Of functions that give a value for no rows, as ``list.set_union([9])`` does."""


def output_schema(step: str, exprs: Sequence[pl.Expr], schema: pl.Schema, keys: Sequence[str]) -> pl.Schema:
    """Return names and types of the results of `exprs` over groups by `keys` of rows of `schema`.

    Raises
    ------
    SchemaError
        A column is missing, types do not fit, or a result has a reserved name.
    """
    frame = no_rows(schema).lazy()
    by: list[Any] = list(keys) or [pl.lit(0).alias(GROUP)]
    try:
        whole = frame.group_by(by).agg(*exprs).collect_schema()
        # Group by an empty column: a literal key would make one empty group, in which `get` fails.
        no_rows(pl.Schema({**schema, GROUP: pl.Int32()})).group_by(list(keys) or GROUP).agg(*exprs)
        arrow_schema(whole)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, TypeError, ValueError) as error:
        message, missing = str(error).split("\n\n")[0], missing_column(error)
        raise SchemaError(
            f"{step} does not fit the columns that come in",
            expected=f"aggregations over {', '.join(f'{name}: {dtype}' for name, dtype in schema.items())}",
            found=f"{message}, in {', '.join(map(expression_text, exprs))}",
            hint=_OF_RESULTS if "output length" in message else missing and did_you_mean(missing, schema),
        ) from None
    names = list(whole)[len(by) :]
    check_results(step, names)
    return pl.Schema({name: whole[name] for name in names})
