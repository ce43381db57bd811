"""Rewriting of divisions by a constant, which Polars computes in two ways.

Polars multiplies floats by the reciprocal of a constant divisor, but divides a float that is alone: 5 / 3 is
1.6666666666666665 among other values and 1.6666666666666667 alone. Whether a value is alone depends on the cut of
the stream, on the rows that a filter leaves, on the elements of other lists and on the number of groups. Written as
a multiplication, the result is the same everywhere. The same holds for ``//`` and ``%``.
"""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Any

import polars as pl

from arrowstream.expressions.rebuild import column_types
from arrowstream.expressions.tree import (
    DEEPEST,
    VALUES,
    containers,
    is_shallow,
    levels,
    parts_of,
    serialised,
    tree_of,
)

DIVISIONS = {"TrueDivide", "FloorDivide", "Modulus"}
"""The operators that Polars computes in two ways if the divisor is a constant."""
_UNSURE = re.compile(f'"(?:Pow|{"|".join(sorted(DIVISIONS))})"')
_ONE = {"Literal": {"Dyn": {"Float": 1.0}}}
_DURATIONS = [{pl.Duration("ms")}, {pl.Duration("us")}, {pl.Duration("ns")}]
_ELEMENT = ""
"""The column that stands for the elements of a list where types are asked for."""
_FIELD = "field "
"""The beginning of the names of columns that stand for struct fields."""


def with_reciprocals(tree: Any, schema: pl.Schema) -> Any:
    """Return a serialised tree with its divisions of floats by constants written as multiplications.

    Parameters
    ----------
    tree
        A serialised expression (`arrowstream.expressions.tree`) of at most `DEEPEST` levels.
    schema
        The schema of the rows.

    Returns
    -------
    Any
        `tree` itself if nothing changes.

    Examples
    --------
    >>> import polars as pl
    >>> from arrowstream.expressions.constant_divisors import with_reciprocals
    >>> from arrowstream.expressions.rebuild import rebuild
    >>> from arrowstream.expressions.tree import tree_of
    >>> frame = pl.DataFrame({"x": [5.0, 7.0]})
    >>> third = rebuild(with_reciprocals(tree_of(pl.col("x") / 3), frame.schema))
    >>> [rows.select(third)["x"][0] for rows in (frame, frame.head(1))]
    [1.6666666666666665, 1.6666666666666665]
    """
    if not any(_is_division(node) for node, _ in containers(tree)):
        return tree
    changed = _Visit(schema).changed(tree)
    return tree if levels(changed) > DEEPEST else changed


def depends_on_neighbours(expr: pl.Expr, schema: pl.Schema) -> bool:
    """Return whether a value of an expression with reciprocals may still depend on whether it is alone.

    This holds for powers of floats with a computed exponent, because Polars multiplies for a single exponent of 3 or
    4, for divisions whose type is not known, and for an expression that cannot be analysed.
    """
    visit = _Visit(schema)
    try:
        visit.changed(tree_of(expr))
    except (pl.exceptions.PolarsError, RecursionError):
        return True  # a Python function, or too deep
    return visit.unsure


def may_depend_on_neighbours(expr: pl.Expr) -> bool:
    """Return whether `depends_on_neighbours` can be true for rows of some schema; False is certain."""
    try:
        text = serialised(expr)
    except pl.exceptions.PolarsError:
        return True  # a Python function
    return _UNSURE.search(text) is not None or not is_shallow(text)


def divides_by(expr: pl.Expr, columns: Container[str] | None = None) -> bool:
    """Return whether a divisor or an exponent reads one of these columns; None stands for anything but constants.

    An expression that cannot be analysed may do so.
    """
    try:
        return _divides_by(tree_of(expr), columns)
    except (pl.exceptions.PolarsError, RecursionError):
        return True  # a Python function, or too deep


def _divides_by(tree: Any, columns: Container[str] | None) -> bool:
    for operand, _ in containers(tree):
        divisor = _divisor(operand)
        if divisor is None:
            continue
        if columns is None and not _is_constant(divisor):
            return True
        for node, _ in containers(divisor):
            if isinstance(node, dict) and (
                "Selector" in node or node.get("Column", _ELEMENT) in (columns or ())
            ):
                return True
    return False


class _Visit:
    """A walk over a tree whose columns, list elements and struct fields have the types of `schema`."""

    def __init__(self, schema: pl.Schema) -> None:
        self._schema = schema
        self.unsure = False

    def changed(self, node: Any) -> Any:
        """Return the node with reciprocals; itself if nothing changes."""
        match node:
            case {"Literal": _}:
                return node
            case {"Eval": {"expr": inner, "evaluation": evaluation, **how}}:
                (lists, *_) = self._types(inner) or [pl.Null()]
                element = {_ELEMENT: getattr(lists, "inner", pl.Null())}
                parts = {"expr": self.changed(inner), "evaluation": self._inside(element, evaluation)}
                return {"Eval": {**parts, **how}}
            case {"StructEval": {"expr": inner, "evaluation": evaluation, **how}}:
                parts = {
                    "expr": self.changed(inner),
                    "evaluation": self._inside(self._fields(inner), evaluation),
                }
                return {"StructEval": {**parts, **how}}
            case {
                "Function": {"input": [inner, *rest], "function": {"StructExpr": "WithFields"} as function}
            }:
                inputs = [self.changed(inner), *self._inside(self._fields(inner), rest)]
                return {"Function": {"input": inputs, "function": function}}
            case list():
                return [self.changed(part) for part in node]
            case dict():
                return self._division(
                    {kind: part if kind in VALUES else self.changed(part) for kind, part in node.items()}
                )
            case _:
                return node

    def _division(self, node: Any) -> Any:
        match node:
            case {"BinaryExpr": {"left": left, "op": op, "right": right}} if _is_division(node):
                types = self._types(node)
                if types is None or any(dtype.is_float() for dtype in types):
                    return self._with_reciprocal(left, op, right, types) or node
            case {"Function": {"input": [_, exponent], "function": {"Pow": _}}} if not _is_constant(exponent):
                types = self._types(node)
                self.unsure = self.unsure or types is None or any(dtype.is_float() for dtype in types)
        return node

    def _with_reciprocal(
        self, left: Any, op: str, right: Any, types: list[pl.DataType] | None
    ) -> dict[str, Any] | None:
        """Return a division in the way in which Polars divides several values; None if a type is not known."""
        operands = {*(self._types(left) or ()), *(self._types(right) or ())}
        known = all(dtype.is_numeric() or dtype == pl.Boolean for dtype in operands) or operands in _DURATIONS
        if types is None or len(set(types)) > 1 or not known:
            self.unsure = True
            return None
        number, divisor, one = (_cast(part, types[0]) for part in (left, right, _ONE))
        product = _binary(number, "Multiply", _binary(one, "TrueDivide", divisor))
        if op == "TrueDivide":
            return product
        whole = {"Function": {"input": [product], "function": "Floor"}}
        return whole if op == "FloorDivide" else _binary(number, "Minus", _binary(whole, "Multiply", divisor))

    def _types(self, node: Any) -> list[pl.DataType] | None:
        return column_types(_standing_alone(node), self._schema)

    def _inside(self, more: dict[str, pl.DataType], node: Any) -> Any:
        inside = _Visit(pl.Schema({**self._schema, **more}))
        changed = inside.changed(node)
        self.unsure = self.unsure or inside.unsure
        return changed

    def _fields(self, struct: Any) -> dict[str, pl.DataType]:
        fields = [field for dtype in self._types(struct) or () for field in getattr(dtype, "fields", ())]
        return {f"{_FIELD}{field.name}": field.dtype for field in fields}


def _is_division(node: Any) -> bool:
    """Return whether a node divides by a constant."""
    match node:
        case {"BinaryExpr": {"left": left, "op": op, "right": right}}:
            return op in DIVISIONS and _is_constant(right) and not _is_constant(left)
        case _:
            return False


def _divisor(node: Any) -> Any | None:
    """Return the divisor of a division and the exponent of a power; None for other nodes."""
    match node:
        case {"BinaryExpr": {"op": op, "right": right}} if op in DIVISIONS:
            return right
        case {"Function": {"input": [_, exponent], "function": {"Pow": _}}}:
            return exponent
        case _:
            return None


def _is_constant(node: Any) -> bool:
    """Return whether a node is computed from constants alone."""
    match node:
        case {"Literal": {"Dyn": _} | {"Scalar": _}}:
            return True
        case {"Alias": _} | {"Cast": _} | {"BinaryExpr": _} | {"Ternary": _} | {"Function": _}:
            return all(map(_is_constant, parts_of(node) or [None]))
        case _:
            return False


def _standing_alone(node: Any) -> Any:
    """Return a node with columns in place of the list elements and struct fields around it."""
    match node:
        case "Element":
            return {"Column": _ELEMENT}
        case {"Field": [name]}:
            return {"Column": f"{_FIELD}{name}"}
        case list():
            return list(map(_standing_alone, node))
        case dict():
            # Elements and fields in an evaluation are those of that evaluation.
            inner = {*VALUES, "evaluation"}
            return {kind: part if kind in inner else _standing_alone(part) for kind, part in node.items()}
        case _:
            return node


def _cast(node: Any, dtype: pl.DataType) -> Any:
    return {"Cast": {**tree_of(pl.lit(0).cast(dtype))["Cast"], "expr": node}}


def _binary(left: Any, op: str, right: Any) -> dict[str, Any]:
    return {"BinaryExpr": {"left": left, "op": op, "right": right}}
