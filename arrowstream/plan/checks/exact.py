"""Expressions that Polars computes in two ways, depending on the rows around, in a form that takes one way only."""

from __future__ import annotations

from functools import cache
from typing import Any

import polars as pl

from arrowstream.expressions.rebuild import column_types
from arrowstream.expressions.row_wise import ROW_WISE
from arrowstream.expressions.tree import containers, function_name, parts_of, tree_of


def exact(node: Any, schema: pl.Schema) -> Any:
    """A node that gives the same values, in a form that does not depend on the rows around."""
    match node:
        case {"Function": {"input": [inner], "function": {"ListExpr": "Sum" | "Mean"} as function}}:
            if adds_in_two_ways(node, schema):
                return _function(function, _function({"ListExpr": "DropNulls"}, inner))
        case {"Eval": {"expr": inner, **how}} if evaluates_in_two_ways(node):
            filled = _function("FillNull", inner, tree_of(pl.lit([])))
            return {
                "Ternary": {
                    "predicate": _function({"Boolean": "IsNotNull"}, inner),
                    "truthy": {"Eval": {**how, "expr": filled}},
                    "falsy": {"Literal": {"Scalar": {"Null": "Null"}}},
                }
            }
    return node


def _function(function: Any, *inputs: Any) -> Any:
    return {"Function": {"input": list(inputs), "function": function}}


def of_one_type(expr: pl.Expr, schema: pl.Schema) -> pl.Expr:
    """An expression cast to the type it is said to have, where rows of nulls have another one."""
    try:
        said = pl.LazyFrame(schema=schema).select(expr).collect_schema()
        found = pl.DataFrame(schema=schema).clear(2).select(expr).schema
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return expr  # what is wrong with it is for the check to say
    return expr.cast(said.dtypes()[0]) if said != found and len(said) == 1 else expr


def has_lists(tree: Any) -> bool:
    """Whether a function of lists or arrays is in it: their types may depend on the rows."""
    for node, _ in containers(tree):
        match node:
            case {"Eval": _} | {"Function": {"function": {"ListExpr": _} | {"ArrayExpr": _}}}:
                return True
    return False


def adds_in_two_ways(node: Any, schema: pl.Schema) -> bool:
    """Whether ``list.sum()`` or ``list.mean()`` adds floats in another order where any list has a null.

    Without nulls in the lists, which ``list.drop_nulls()`` sees to, there is one order only.
    """
    inner = node["Function"]["input"][0]
    match inner:
        case {"Function": {"function": {"ListExpr": "DropNulls"}}}:
            return False
    types = column_types(inner, schema)
    exact = node["Function"]["function"] == {"ListExpr": "Sum"} and types is not None
    return not (exact and all(_adds_exactly(getattr(dtype, "inner", None)) for dtype in types or ()))


def _adds_exactly(dtype: Any) -> bool:
    return dtype is not None and not dtype.is_float()


def evaluates_in_two_ways(node: Any) -> bool:
    """Whether ``list.eval()`` of an aggregation gives wrong lists where one of them is null, as before Polars 2."""
    match node:
        case {"Eval": {"expr": {"Function": {"input": [_, {"Literal": _}], "function": "FillNull"}}}}:
            return False
        case {"Eval": {"evaluation": evaluation, "variant": "List" | "ListAgg"}}:
            return _misplaces_values() and not _keeps_lengths(evaluation)
        case _:
            return False


@cache
def _misplaces_values() -> bool:
    lists = pl.Series([[1], None, []], dtype=pl.List(pl.Int64))
    return lists.list.eval(pl.element().sum()).to_list() != [[1], None, [0]]


def _keeps_lengths(evaluation: Any) -> bool:
    """Whether each value of a list gives one value."""
    pending = [evaluation]
    while pending:
        node = pending.pop()
        match node:
            case {"Function": {"function": function}}:
                family, name, _ = function_name(function)
                if name not in ROW_WISE[family]:
                    return False
        parts = parts_of(node)
        if parts is None:
            return False
        pending += parts
    return True
