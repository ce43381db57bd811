"""Rewriting of expressions whose values or types in Polars depend on the rows around, so that they no longer do."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import polars as pl

from arrowstream.core.rows.empty_frames import nulls
from arrowstream.expressions.rebuild import NotRebuilt, column_types, rebuild
from arrowstream.expressions.row_wise import ONE_VALUE
from arrowstream.expressions.tree import containers, function_name, is_literal, kind_of, parts_of, tree_of

_ADD = {"Entropy", "FillNullWithStrategy", "Kurtosis", "Product", "Skew"}
"""Functions that add or multiply the values of a list."""
MAY_BE_INEXACT = re.compile(f'"(?:Agg|ArrayExpr|ListExpr|{"|".join(sorted(_ADD))})"')
"""The nodes, as they are serialised, without one of which `exact` changes nothing in an expression."""


def exact(node: Any, schema: pl.Schema) -> Any:
    """Return a node with the same values, in a form that does not depend on the rows around.

    Parameters
    ----------
    node
        A node of a serialised expression tree (`arrowstream.expressions.tree`).
    schema
        The schema of the rows that come in.
    """
    match node:
        case {"Function": {"input": [inner], "function": {"ListExpr": "Sum" | "Mean"} as function}}:
            if adds_in_two_ways(node, schema):
                added = _added_without_nulls(function, inner)
                if has_two_types(added, schema):
                    return _where_not_null(inner, _added_without_nulls(function, _filled(inner)))
                return added
        case {"Function": {"input": [inner], "function": {"ArrayExpr": "Sum"}}}:
            if adds_in_two_ways(node, schema):
                lists = _function({"ArrayExpr": "ToList"}, inner)
                return exact(_function({"ListExpr": "Sum"}, lists), schema)
        case {"Agg": {"Sum": values}} | {"Agg": {"Mean": values}} if _are_chosen(values):
            return {"Agg": {kind_of(node["Agg"]): _copied(values)}}
        case {"Agg": {"Std": [values, ddof]}} | {"Agg": {"Var": [values, ddof]}} if _are_chosen(values):
            return {"Agg": {kind_of(node["Agg"]): [_copied(values), ddof]}}
        case {"Function": {"input": [values, *rest], "function": function}} if _adds(function):
            return _function(function, _copied(values), *rest) if _are_chosen(values) else node
        case {"Function": {"input": [first, second], "function": {"ListExpr": {"SetOperation": _}}}} if (
            is_literal(first) != is_literal(second)
        ):
            # With a list that is written, no rows would give one. The result is null where the other list is.
            return _where_not_null(second if is_literal(first) else first, node)
        case {"Function": {"input": [inner, *rest], "function": {"ListExpr": _} as function}}:
            if has_two_types(node, schema):
                return _where_not_null(inner, _function(function, _filled(inner), *rest))
    return node


def _adds(function: Any) -> bool:
    family, name, _ = function_name(function)
    return not family and name in _ADD


def _are_chosen(values: Any) -> bool:
    """Return whether some values of a list may be left out of `values`, for what they are or where.

    Polars copies the values if any of any list is left out, and adds the copies in another order.
    """
    for node, _ in containers(values):
        match node:
            case (
                {"Filter": _}
                | {"Slice": _}
                | {"Function": {"function": "DropNulls" | "DropNans" | {"Mode": _} | {"Unique": _}}}
            ):
                return True
    return False


def _copied(values: Any) -> Any:
    """Return the same values, copied whether or not some are left out: a shift by 0 copies those of every list."""
    return _function("Shift", values, tree_of(pl.lit(0)))


def _added_without_nulls(function: Any, lists: Any) -> Any:
    return _function(function, _function({"ListExpr": "DropNulls"}, lists))


def _where_not_null(lists: Any, node: Any) -> Any:
    null = {"Literal": {"Scalar": {"Null": "Null"}}}
    predicate = _function({"Boolean": "IsNotNull"}, lists)
    return {"Ternary": {"predicate": predicate, "truthy": node, "falsy": null}}


def _filled(lists: Any) -> Any:
    """Replace null lists by empty ones."""
    return _function("FillNull", lists, tree_of(pl.lit([])))


def _function(function: Any, *inputs: Any) -> Any:
    return {"Function": {"input": list(inputs), "function": function}}


def has_two_types(node: Any, schema: pl.Schema) -> bool:
    """Return whether a function of lists gives another type for rows of nulls than for others."""
    said = column_types(node, schema)
    if said is None:
        return False  # the node is about the elements of other lists, or does not fit the columns
    try:
        return nulls(schema, 2).select(rebuild(node)).dtypes != said
    except (NotRebuilt, pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return False  # it may fail on a null


def has_lists(tree: Any) -> bool:
    """Return whether a tree holds a function of lists or arrays, whose type may depend on the rows."""
    for node, _ in containers(tree):
        match node:
            case {"Eval": _} | {"Function": {"function": {"ListExpr": _} | {"ArrayExpr": _}}}:
                return True
    return False


def adds_in_two_ways(node: Any, schema: pl.Schema) -> bool:
    """Return whether a sum or mean of lists, or a sum of arrays, adds floats in another order if any has a null.

    After ``list.drop_nulls()`` no list has one, and the order is always the same.
    """
    inner = node["Function"]["input"][0]
    match inner:
        case {"Function": {"function": {"ListExpr": "DropNulls"}}}:
            return False
    types = column_types(inner, schema)
    exact = node["Function"]["function"] != {"ListExpr": "Mean"} and types is not None
    return not (exact and all(_adds_exactly(getattr(dtype, "inner", None)) for dtype in types or ()))


def _adds_exactly(dtype: Any) -> bool:
    return dtype is not None and not dtype.is_float()


def misplaces_values(node: Any) -> bool:
    """Return whether ``list.eval()`` of an aggregate may give a value to another list.

    Polars before 2 does so if one of the lists is empty.
    """
    match node:
        case {"Eval": {"evaluation": evaluation, "variant": "List" | "ListAgg"}}:
            return _misplaces() and _gives_one_value(evaluation)
        case _:
            return False


@cache
def _misplaces() -> bool:
    lists = pl.Series([[1, 2], []], dtype=pl.List(pl.Int64))
    return lists.list.eval(pl.element().sum()).to_list() != [[3], [0]]


def _gives_one_value(evaluation: Any) -> bool:
    """Return whether an expression over the elements of a list gives one value, whatever their number."""
    pending = [evaluation]
    while pending:
        node = pending.pop()
        match node:
            case "Len" | {"Agg": _}:
                continue
            case "Element" | {"Column": _}:
                return False
            case {"Function": {"function": function}}:
                family, name, _ = function_name(function)
                if name in ONE_VALUE.get(family, ()):
                    continue
        parts = parts_of(node)
        if parts is None:
            return False
        pending += parts
    return True
