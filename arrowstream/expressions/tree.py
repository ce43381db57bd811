"""The tree of an expression as Polars serialises it, and the parts of its nodes.

A node is a string or a mapping with one key, its kind. The parts of every kind are listed by hand: an overlooked
part would be an expression that is not checked.
"""

from __future__ import annotations

import json
import re
from typing import Any

import polars as pl

from arrowstream.expressions.row_wise import CONDITIONAL, ROW_WISE

DEEPEST = 100
"""Largest depth of a tree that is analysed, in levels of JSON; Polars reads back at most 127."""

VALUES = {"Literal", "function", "options", "dtype"}
"""The keys under which a node holds something other than nodes."""

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[][{}]|[^][{}:,\s]+')


def serialised(expr: pl.Expr) -> str:
    """Return an expression as JSON.

    Raises
    ------
    polars.exceptions.PolarsError
        The expression holds a Python function.
    """
    return expr.meta.serialize(format="json")


def is_shallow(text: str) -> bool:
    """Return whether a serialised expression certainly has at most `DEEPEST` levels: no more than it has brackets."""
    return text.count("{") + text.count("[") <= DEEPEST


def tree_of(expr: pl.Expr) -> Any:
    """Return the serialised tree of an expression, of any depth, whatever the depth of the caller's stack.

    Raises
    ------
    polars.exceptions.PolarsError
        The expression holds a Python function.
    """
    return parsed(serialised(expr))


def parsed(text: str) -> Any:
    """Return the tree of a serialised expression, of any depth, whatever the depth of the caller's stack."""
    try:
        return json.loads(text)
    except RecursionError:
        return _loads(text)


def _loads(text: str) -> Any:
    """Parse JSON like `json.loads`, without recursion and some 20 times as slow."""
    top: list[Any] = []
    within: list[dict[str | None, Any] | list[Any]] = [top]
    keys: list[str | None] = [None]
    for token in _TOKEN.findall(text):
        container, key = within[-1], keys[-1]
        if token in "]}":
            within.pop()
            keys.pop()
        elif isinstance(container, dict) and key is None:
            keys[-1] = json.loads(token)
        else:
            value = {} if token == "{" else [] if token == "[" else json.loads(token)
            if isinstance(container, list):
                container.append(value)
            else:
                container[key], keys[-1] = value, None
            if token in "{[":
                within.append(value)
                keys.append(None)
    return top[0]


def containers(tree: Any) -> list[tuple[Any, int]]:
    """Return the lists and mappings of a tree with their levels, outer ones first, without those of constants."""
    found, pending = list[tuple[Any, int]](), [(tree, 1)]
    while pending:
        node, level = pending.pop()
        parts: list[Any] = []
        if isinstance(node, dict):
            parts = [part for kind, part in node.items() if kind not in VALUES]
        elif isinstance(node, list):
            parts = node
        else:
            continue
        found.append((node, level))
        pending += [(part, level + 1) for part in parts]
    return found


def levels(tree: Any) -> int:
    """Return the depth of a tree: the number of lists and mappings inside one another."""
    return max((level for _, level in containers(tree)), default=0)


def is_row_wise(tree: Any) -> bool:
    """Return whether a tree alone, without types, shows that it looks at one row; False is always safe."""
    pending = [tree]
    while pending:
        node = pending.pop()
        match node:
            case {"Literal": {"Dyn": {"Float": None}} | {"Scalar": {"Float64": None} | {"Float32": None}}}:
                return False  # NaN or an infinity, which JSON does not distinguish
            case {"Column": _} | {"Literal": {"Dyn": _} | {"Scalar": _}}:
                continue
            case {"Function": {"function": function}}:
                family, name, _ = function_name(function)
                if name not in ROW_WISE[family] or name in CONDITIONAL.get(family, ()):
                    return False
            case {"Alias": _} | {"Cast": _} | {"BinaryExpr": _} | {"Ternary": _}:
                pass
            case _:
                return False
        pending += parts_of(node) or ()
    return True


def kind_of(node: Any) -> str:
    """Return the kind of a node."""
    return node if isinstance(node, str) else next(iter(node))


def parts_of(node: Any) -> list[Any] | None:
    """Return the sub-expressions of a node that looks at one row if they all do; None for other kinds of node."""
    match node:
        case "Element" | {"Column": _} | {"Selector": _} | {"Field": _} | {"Literal": _}:
            return []
        case {"Alias": [inner, _]} | {"KeepName": inner} | {"RenameAlias": {"expr": inner}}:
            return [inner]
        case {"Cast": {"expr": inner}}:
            return [inner]
        case {"BinaryExpr": {"left": left, "right": right}}:
            return [left, right]
        case {"Ternary": {"predicate": predicate, "truthy": truthy, "falsy": falsy}}:
            return [predicate, truthy, falsy]
        case {"StructEval": {"expr": inner, "evaluation": list(fields)}}:
            return [inner, *fields]
        case {"Eval": {"expr": inner, "variant": "List" | "ListAgg" | "ArrayAgg" | {"Array": _}}}:
            return [inner]
        case {"Function": {"input": list(inputs)}}:
            return inputs
        case _:
            return None


def within_list_parts_of(node: Any) -> list[Any] | None:
    """Return the sub-expressions of a node that looks at several values, which inside a list are those of one row."""
    match node:
        case "Len":
            return []
        case {"Agg": dict(aggregate)}:
            return _parts_of_aggregate(*aggregate.values())
        case {"Sort": {"expr": inner}} | {"Explode": {"input": inner}}:
            return [inner]
        case {"SortBy": {"expr": inner, "by": list(keys)}}:
            return [inner, *keys]
        case {"Filter": {"input": inner, "by": predicate}}:
            return [inner, predicate]
        case {"Slice": {"input": inner, "offset": offset, "length": length}}:
            return [inner, offset, length]
        case {"Gather": {"expr": inner, "idx": index}}:
            return [inner] if "Literal" in index else [inner, index]
        case _:
            return None


def _parts_of_aggregate(payload: Any) -> list[Any]:
    match payload:
        case {"expr": inner, "quantile": quantile}:
            return [inner, quantile]
        case {"input": inner} | [inner, int()]:
            return [inner]
        case _:
            return [payload]


def function_name(function: Any) -> tuple[str, str, Any]:
    """Return the family, name and options of a function; the family is ``""`` for functions without a namespace."""
    family = ""
    if isinstance(function, dict) and kind_of(function) in ROW_WISE:
        ((family, function),) = function.items()
    if isinstance(function, dict):
        ((name, payload),) = function.items()
        return family, name, payload
    return family, function, None


def is_literal(tree: Any) -> bool:
    """Return whether a tree is a constant, maybe cast or in a list."""
    match tree:
        case {"Literal": _}:
            return True
        case {"Cast": {"expr": inner}} | {"Agg": {"Implode": {"input": inner}}} | {"Agg": {"Implode": inner}}:
            return is_literal(inner)
        case _:
            return False


def sum_of_sql(node: Any) -> Any:
    """Return the sum in SQL's ``SUM(x)``, which Polars 2 reads as ``when(x.count() > 0).then(x.sum())``, or None."""
    match node:
        case {
            "Ternary": {
                "predicate": {"BinaryExpr": {"left": {"Agg": {"Count": {"input": counted}}}, "op": "Gt"}},
                "truthy": {"Agg": {"Sum": summed}} as total,
                "falsy": {"Literal": {"Scalar": {"Null": "Null"}}},
            }
        } if counted == summed:
            return total
    return None
