"""The schema after a step, and every error of names and types in it, found before data moves."""

from __future__ import annotations

import re

import polars as pl

from arrowstream.core.hints import did_you_mean, missing_column
from arrowstream.core.rows.arrow_schema import arrow_schema
from arrowstream.core.rows.empty_frames import no_rows, nulls
from arrowstream.errors import PlanError, SchemaError
from arrowstream.operators.base import Expressions

# A panic in Polars' Rust code is not an `Exception`, but here it only means that Polars cannot run the step.
_FAILURES = (pl.exceptions.PolarsError, pl.exceptions.PanicException, TypeError, ValueError)

_SHOWN = 20


def outgoing_schema(step: Expressions, schema: pl.Schema, stage: str) -> pl.Schema:
    """Return the schema after `step` over rows of `schema`, as Polars' lazy plan gives it.

    Raises
    ------
    SchemaError
        A column is missing, types do not fit, or a type has no Arrow form.
    PlanError
        No column is left.
    """
    try:
        outgoing = step.apply(no_rows(schema).lazy()).collect_schema()
        arrow_schema(outgoing)
    except SchemaError as error:
        error.stage = stage
        raise
    except _FAILURES as error:
        raise _translated(error, step, schema, stage) from None
    if not outgoing:
        raise PlanError(
            f"{step.name}() leaves no column",
            stage=stage,
            expected="at least one column",
            found=step.describe(),
        )
    return outgoing


def check_on_no_rows(step: Expressions, schema: pl.Schema, outgoing: pl.Schema, stage: str) -> None:
    """Run `step` over no rows, to find type errors that the lazy plan lets pass, and lone constants.

    Raises
    ------
    SchemaError
        Types do not fit, or the rows have other types than the lazy plan gives.
    PlanError
        A row comes out although none went in.
    """
    try:
        result = step.apply(no_rows(schema))
    except _FAILURES as error:
        raise _translated(error, step, schema, stage) from None
    if result.schema != outgoing:
        raise _other_types(step, "no rows", outgoing, result.schema, stage)
    if result.height:
        raise PlanError(
            f"{step.name}() refers to no column, so it would give one row for every batch",
            stage=stage,
            expected="at least one expression over the columns of a row",
            found=step.describe(),
            hint="add constants with with_columns(...)",
        )


def check_on_nulls(step: Expressions, schema: pl.Schema, outgoing: pl.Schema, stage: str) -> None:
    """Run `step` over rows of nulls, which must have the same types as rows of values.

    Raises
    ------
    SchemaError
        A type is another one.
    """
    try:
        result = step.apply(nulls(schema, 2))
    except _FAILURES:
        return  # an expression may fail on a null
    if result.schema != outgoing:
        raise _other_types(step, "rows of nulls", outgoing, result.schema, stage)


def _other_types(
    step: Expressions, rows: str, outgoing: pl.Schema, found: pl.Schema, stage: str
) -> SchemaError:
    return SchemaError(
        f"{step.name}() gives other types for {rows} than for others",
        stage=stage,
        expected=_schema_text(outgoing),
        found=_schema_text(found),
        hint="write it another way, or use a newer Polars, which may give the same type for both",
    )


def _translated(error: BaseException, step: Expressions, schema: pl.Schema, stage: str) -> SchemaError:
    message = str(error).split("\n\n")[0]
    name = missing_column(error)
    if name is not None:
        return SchemaError(
            f"{step.name}() names a column that is not there",
            stage=stage,
            expected=f"one of the columns {_listing(schema.names())}",
            found=name,
            hint=_sql_over(name, schema) or did_you_mean(name, schema) or _sql_hint(name),
        )
    return SchemaError(
        f"{step.name}() does not fit the columns that come in",
        stage=stage,
        expected=f"expressions over {_schema_text(schema)}",
        found=f"{message}, in {step.describe()}",
    )


def _sql_over(name: str, schema: pl.Schema) -> str | None:
    """Return a hint if a column's name is an SQL expression over columns that there are."""
    try:
        used = pl.sql_expr(name).meta.root_names()
    except _FAILURES:
        return None
    return _sql_hint(name) if used and schema.keys() >= set(used) else None


def _sql_hint(name: str) -> str | None:
    """Return a hint if a column's name looks like an SQL expression."""
    is_sql = re.search(r"[<>=+*/()]", name)
    return f"text is the name of a column; pl.sql_expr({name!r}) reads it as SQL" if is_sql else None


def _schema_text(schema: pl.Schema) -> str:
    return _listing([f"{name}: {dtype}" for name, dtype in schema.items()])


def _listing(items: list[str]) -> str:
    """Join the items, `_SHOWN` of them at most."""
    rest = len(items) - _SHOWN
    return ", ".join([*items[:_SHOWN], *([f"and {rest} more"] if rest > 0 else [])])
