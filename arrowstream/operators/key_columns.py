"""Which columns are the key of a row: what users write as `by`, checked."""

from __future__ import annotations

from typing import Any

import polars as pl

from arrowstream.errors import PlanError, SchemaError
from arrowstream.nearest import did_you_mean
from arrowstream.operators.inputs import flatten


def parse_keys(step: str, by: Any) -> tuple[str, ...]:
    """The names of key columns: one, or an iterable of them; None for no keys.

    Raises
    ------
    PlanError
        Something is no name, or a name comes twice.
    """
    names = () if by is None else tuple(flatten((by,)))
    for name in names:
        if not isinstance(name, str):
            raise PlanError(
                f"{step}(by=...) takes names of columns",
                expected="a name or a list of names",
                found=f"{type(name).__name__} {name!s}",
                hint="compute a key with with_columns(...) first",
            )
    if len(set(names)) < len(names):
        raise PlanError(f"{step}(by=...) names a column twice", found=", ".join(names))
    return names


def key_schema(step: str, by: tuple[str, ...], schema: pl.Schema) -> pl.Schema:
    """The key columns of `schema`, checked.

    Raises
    ------
    SchemaError
        A column is not there.
    PlanError
        A column's type cannot be a key.
    """
    for name in by:
        if name not in schema:
            raise SchemaError(
                f"{step}(by=...) names a column that is not there",
                expected=f"one of the columns {', '.join(schema.names())}",
                found=name,
                hint=did_you_mean(name, schema),
            )
        if schema[name].is_nested() or schema[name] == pl.Object:
            raise PlanError(
                f"{step}(by=...) names a column of a type that cannot be a key",
                expected="numbers, text, binary, booleans, dates, times, categories",
                found=f"{name}: {schema[name]}",
                hint="take its parts out into columns first, as with unnest(...)",
            )
    return pl.Schema({name: schema[name] for name in by})
