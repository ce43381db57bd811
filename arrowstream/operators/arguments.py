"""Inputs that users may write where Polars takes expressions, turned into plain tuples once.

The rules are Polars' own: a string is a column, another value is a constant, one iterable stands for
its elements, and keyword arguments name their expressions. A mistake raises in the call that contains it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

import polars as pl
import polars.selectors as cs

from arrowstream.core.hints import did_you_mean
from arrowstream.core.mistakes.explain import unknown_argument
from arrowstream.errors import PlanError, SchemaError

Column = str | cs.Selector
"""A column by name, or a selector of columns."""

_CLOSE = 0.75
"""Least similarity of a misspelt option to the right name, from 0 to 1."""


def parse_expressions(
    step: str, exprs: tuple[Any, ...], named: Mapping[str, Any], options: Collection[str] = ()
) -> tuple[pl.Expr, ...]:
    """Parse positional and named inputs of a step such as `select`, each into one expression.

    Parameters
    ----------
    options
        Keyword arguments of the step itself: a name close to one of them, with a value that isn't an expression,
        counts as a misspelt option.

    Raises
    ------
    PlanError
        Inputs are missing, one cannot become an expression, or an option is misspelt.
    """
    for name, value in named.items():
        close = [] if isinstance(value, pl.Expr) else get_close_matches(name, options, 1, _CLOSE)
        if close:
            raise PlanError(
                f"{step}() has no option {name!r} here",
                expected=f"the options {', '.join(options)}, or an expression",
                found=f"{name}={value!r}",
                hint=f"did you mean {close[0]!r}? A column of this name is {name}=pl.lit(...) or pl.col(...)",
            )
    if len(exprs) == 1 and isinstance(exprs[0], Mapping):
        raise PlanError(
            f"{step}() got a mapping",
            expected="expressions, or keyword arguments",
            found=type(exprs[0]).__name__,
            hint=f"write {step}(**mapping)",
        )
    inputs = exprs[0] if len(exprs) == 1 and _is_group(exprs[0]) else exprs
    parsed = [parse_expression(step, value) for value in inputs]
    parsed += [parse_expression(step, value).alias(name) for name, value in named.items()]
    if not parsed:
        raise PlanError(f"{step}() has no expression", expected="at least one column or expression")
    return tuple(parsed)


def check_options(step: str, given: Iterable[str], known: Collection[str]) -> None:
    """Refuse keyword arguments that a step does not have.

    Raises
    ------
    WrongCall
        A keyword is unknown.
    """
    for name in given:
        if name not in known:
            raise unknown_argument(step, name, known)


def parse_expression(step: str, value: Any) -> pl.Expr:
    """Parse one input: an expression, a column's name, or a constant.

    Raises
    ------
    PlanError
        Polars cannot make a constant of the value.
    """
    if isinstance(value, pl.Expr):
        return value
    if isinstance(value, str):
        return pl.col(value)
    try:
        return pl.lit(value)
    except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise PlanError(
            f"{step}() cannot make an expression of this",
            expected="an expression, a column name or a constant",
            found=f"{type(value).__name__} {value!r}",
            hint=f"a function of whole batches goes into map(...): {error}",
        ) from None


def parse_columns(step: str, columns: tuple[Any, ...]) -> tuple[Column, ...]:
    """Parse column names and selectors, alone or in iterables.

    Raises
    ------
    PlanError
        No column is named, or an input is neither a name nor a selector.
    """
    parsed = tuple(_parse_column(step, column) for column in flatten(columns))
    if not parsed:
        raise PlanError(f"{step}() names no column", expected="at least one column name or selector")
    return parsed


def flatten(values: Iterable[Any]) -> Iterator[Any]:
    """Yield the values, and the elements of each iterable in its place."""
    for value in values:
        if _is_group(value):
            yield from value
        else:
            yield value


def _is_group(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, str | bytes | pl.Series | pl.Expr)


def _parse_column(step: str, column: Any) -> Column:
    if isinstance(column, str | cs.Selector):
        return column
    try:
        if isinstance(column, pl.Expr):
            return column.meta.as_selector()
    except pl.exceptions.PolarsError:
        pass  # an expression that computes: refused below, as everything that doesn't choose columns
    raise PlanError(
        f"{step}() takes columns",
        expected="column names or selectors",
        found=f"{type(column).__name__} {column!s}",
        hint="compute with with_columns(...) first" if isinstance(column, pl.Expr) else None,
    )


def parse_keys(step: str, by: Any, argument: str = "by", *, repeated: bool = False) -> tuple[str, ...]:
    """Parse the names of key columns: one, or an iterable of them; None for no keys.

    Parameters
    ----------
    step
        Name of the operator, for errors.
    by
        The names.
    argument
        Name of the argument, for errors.
    repeated
        Whether a name may come twice.

    Raises
    ------
    PlanError
        An element isn't a name, or a name comes twice.
    """
    names = () if by is None else tuple(flatten((by,)))
    for name in names:
        if not isinstance(name, str):
            raise PlanError(
                f"{step}({argument}=...) takes names of columns",
                expected="a name or a list of names",
                found=f"{type(name).__name__} {name!s}",
                hint="compute a key with with_columns(...) first",
            )
    if not repeated and len(set(names)) < len(names):
        raise PlanError(f"{step}({argument}=...) names a column twice", found=", ".join(names))
    return names


def key_schema(step: str, by: tuple[str, ...], schema: pl.Schema, argument: str = "by") -> pl.Schema:
    """Return the schema of the key columns, after checking them.

    Raises
    ------
    SchemaError
        A column is missing.
    PlanError
        A column's type cannot be a key.
    """
    for name in by:
        if name not in schema:
            raise SchemaError(
                f"{step}({argument}=...) names a column that is not there",
                expected=f"one of the columns {', '.join(schema.names())}",
                found=name,
                hint=did_you_mean(name, schema),
            )
        if schema[name].is_nested() or schema[name] == pl.Object:
            raise PlanError(
                f"{step}({argument}=...) names a column of a type that cannot be a key",
                expected="numbers, text, binary, booleans, dates, times, categories",
                found=f"{name}: {schema[name]}",
                hint="take its parts out into columns first, as with unnest(...)",
            )
    return pl.Schema({name: schema[name] for name in by})
