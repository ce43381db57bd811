"""Rewriting of expressions for Polars, so that a row gets the value that it has among other rows.

Divisions of floats by constants become multiplications (`arrowstream.expressions.constant_divisors`), and Polars
gives a value for every row, even if all rows take the same branch.

If ``when(...).then(constant)`` takes the same branch for all rows of a frame, Polars 2 keeps the result as one
value and a length; so it does with what is computed with a null constant. A constant compared with that gives one row
for the whole frame, and a division by it multiplies by the reciprocal, which rounds in another way. Either would make
results depend on how the stream is cut. Such a result becomes an ordinary column by passing through a struct, beside
an ordinary column. This costs some 35 us a batch and, unlike a shift by 0 rows, works in the streaming engine, too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Protocol, Self, TypeVar

import polars as pl

from arrowstream.core.failures import FAILURES
from arrowstream.core.rows.empty_frames import no_rows
from arrowstream.expressions.constant_divisors import (
    DIVISIONS,
    depends_on_neighbours,
    may_depend_on_neighbours,
    with_reciprocals,
)
from arrowstream.expressions.rebuild import NotRebuilt, rebuild
from arrowstream.expressions.tree import DEEPEST, levels, parsed, serialised

_MAKES_NULL = '"(?:Null|NonStrict)"|"strict":false'
"""What a constant that is null has in it, as it is serialised: the null, or a function that gives null for errors."""

_CHANGED = re.compile(f'"(?:Ternary|Coalesce|FillNull|Length|{"|".join(sorted(DIVISIONS))})"|{_MAKES_NULL}')
"""The nodes, as they are serialised, without one of which `for_every_row` changes nothing."""

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)


class ExpressionStep(Protocol):
    """A step that consists of expressions, as `arrowstream.operators.base.Expressions` defines it."""

    def apply(self, frame: Frame) -> Frame: ...

    def pieces(self) -> tuple[Self, ...]: ...

    def expressions(self) -> tuple[pl.Expr, ...]: ...

    def with_expressions(self, exprs: tuple[pl.Expr, ...]) -> Self: ...


StepT = TypeVar("StepT", bound=ExpressionStep)


def steps_for_every_row(steps: Sequence[StepT], schema: pl.Schema) -> tuple[StepT, ...]:
    """Return the steps in the form that runs: in pieces if they are deep, each with `for_every_row` applied.

    Parameters
    ----------
    steps
        Steps that run one after the other over the same rows, in one query or one by one.
    schema
        The schema of the rows before the first step.
    """
    pieces = [piece for step in steps for piece in step.pieces()]
    if not any(_may_change(expr) for piece in pieces for expr in piece.expressions()):
        return tuple(pieces)
    settled: list[StepT] = []
    read: set[str] | None = set()
    for piece, rows in reversed(_with_schemas(pieces, schema)):
        exprs = piece.expressions()
        forms = tuple(for_every_row(expr, rows, read=_is_in(expr, read)) for expr in exprs)
        # Most expressions stay as they are: a pipeline then keeps one step for both, not two.
        same = all(form is expr for form, expr in zip(forms, exprs, strict=True))
        settled.append(piece if same else piece.with_expressions(forms))
        for expr in exprs:
            names = _reads(expr)
            read = None if read is None or names is None else read | names
    return tuple(reversed(settled))


def depend_on_neighbours(steps: Sequence[ExpressionStep], schema: pl.Schema) -> bool:
    """Return whether values of steps in the form that runs may still depend on whether a row is alone."""
    if not any(may_depend_on_neighbours(expr) for step in steps for expr in step.expressions()):
        return False
    return any(
        depends_on_neighbours(expr, rows)
        for step, rows in _with_schemas(steps, schema)
        for expr in step.expressions()
    )


def _with_schemas(steps: Sequence[StepT], schema: pl.Schema) -> list[tuple[StepT, pl.Schema]]:
    """Return each step with the schema of the rows that it gets."""
    schemas = [schema]
    for step in steps[:-1]:
        schemas.append(step.apply(no_rows(schemas[-1]).lazy()).collect_schema())
    return list(zip(steps, schemas, strict=False))


def _is_in(expr: pl.Expr, read: set[str] | None) -> bool:
    """Return whether the column that an expression makes may be among those that are read; None stands for all."""
    return read is None or expr.meta.has_multiple_outputs() or expr.meta.output_name() in read


def _reads(expr: pl.Expr) -> set[str] | None:
    """Return the columns that an expression computes with, empty for a mere choice of columns; None if unknown."""
    if expr.meta.is_column_selection():
        return set()
    return None if expr.meta.has_multiple_outputs() else set(expr.meta.root_names())


def for_every_row(expr: pl.Expr, schema: pl.Schema | None, *, read: bool = False) -> pl.Expr:
    """Return the same expression in a form whose values do not depend on whether a row is alone.

    Parameters
    ----------
    expr
        An expression that looks at one row at a time, or an aggregation.
    schema
        The schema of the rows; None leaves divisions as they are.
    read
        True if another expression computes with the result. If not, the result itself may be one value
        and a length: in a column that is only passed on, this is harmless.

    Returns
    -------
    polars.Expr
        `expr` itself if it needs no change, which is the common case, or if it cannot be analysed.

    Examples
    --------
    >>> import polars as pl
    >>> from arrowstream.expressions.every_row import for_every_row
    >>> kind = pl.when(pl.col("x") > 2).then(pl.lit("high")).otherwise(pl.lit("low"))
    >>> frame = pl.DataFrame({"x": [0, 1]})
    >>> frame.select(is_high=for_every_row(pl.lit("high") == kind, frame.schema))["is_high"].to_list()
    [False, False]
    """
    try:
        text = serialised(expr)
        if _CHANGED.search(text) is None:
            return expr
        tree = parsed(text)
        if levels(tree) > DEEPEST:
            return expr
        changed = _changed(tree if schema is None else with_reciprocals(tree, schema), read)
        return expr if changed == tree else rebuild(changed)
    except pl.exceptions.PolarsError:
        return expr  # a Python function, which has no serialised form
    except (NotRebuilt, RecursionError):
        return _with_the_height(expr)


def _may_change(expr: pl.Expr) -> bool:
    """Return whether `for_every_row` may return another expression; False is certain."""
    try:
        return _CHANGED.search(serialised(expr)) is not None
    except pl.exceptions.PolarsError:
        return False  # a Python function


def may_be_one_value(expr: pl.Expr) -> bool:
    """Return whether Polars may keep the result of an expression as one value for all rows."""
    return not expr.meta.root_names() or for_every_row(expr, None, read=True) is not expr


def _with_the_height(expr: pl.Expr) -> pl.Expr:
    """Return `expr` with as many values as the frame has rows, without a look into its tree."""
    if expr.meta.has_multiple_outputs():
        return expr
    rows = pl.int_range(pl.len()).alias("rows")
    values = pl.struct(expr.alias("values"), rows).struct.field("values")
    return values.alias(expr.meta.output_name())


def _changed(node: Any, read: bool) -> Any:
    """Return the node with an ordinary column in place of each result that is computed with and may be one value."""
    match node:
        case {"Literal": _}:
            return node
        case {"Ternary": {"predicate": predicate, "truthy": truthy, "falsy": falsy}}:
            branches = {"truthy": _changed(truthy, False), "falsy": _changed(falsy, False)}
            changed: Any = {"Ternary": {"predicate": _changed(predicate, True), **branches}}
        case {"Function": {"input": list(inputs), "function": "Coalesce" | "FillNull" as function}}:
            changed = {
                "Function": {"input": [_changed(part, False) for part in inputs], "function": function}
            }
        case {"Alias": [inner, name]}:
            return {"Alias": [_changed(inner, read), name]}
        case {"KeepName": inner}:
            return {"KeepName": _changed(inner, read)}
        case {"RenameAlias": {"expr": inner, **how}}:
            return {"RenameAlias": {"expr": _changed(inner, read), **how}}
        case {"Cast": {"expr": inner, **how}}:
            return {"Cast": {"expr": _changed(inner, read), **how}}
        case dict():
            changed = {name: _changed(part, True) for name, part in node.items()}
        case list():
            return [_changed(part, read) for part in node]
        case _:
            return node
    return _as_column(changed) if read and _gives_one(node) else changed


def _gives_one(node: Any) -> bool:
    """Return whether a node that reads a column may still give one value for all rows."""
    match node:
        case {"Ternary": {"truthy": truthy, "falsy": falsy}}:
            return _may_be_one(truthy) or _may_be_one(falsy)
        case {"Function": {"input": list(inputs), "function": "Coalesce"}}:
            return any(map(_may_be_one, inputs))
        case {"Function": {"input": [first, _], "function": "FillNull"}}:
            return _may_be_one(first)
        case {"Function": {"function": {"ArrayExpr": "Length"}}}:
            return True
        case {"BinaryExpr": {"left": left, "right": right}}:
            return _is_null(left) or _is_null(right)
        case {"Function": {"input": list(inputs)}}:
            return any(map(_is_null, inputs))
        case _:
            return False


def _is_null(node: Any) -> bool:
    """Return whether a node is a constant that is null, or that cannot be computed alone."""
    match node:
        case {"Literal": {"Scalar": {"Null": _}}}:
            return True
        case {"Literal": {"Scalar": _} | {"Dyn": _}}:
            return False
    if _chooses(node) or _column_in(node) is not None:
        return False
    try:
        return pl.select(rebuild(node)).to_series().has_nulls()
    except (*FAILURES, NotRebuilt, RecursionError):
        return True


def _may_be_one(node: Any) -> bool:
    match node:
        case {"Literal": _}:
            return True
        case {"Alias": [inner, _]} | {"KeepName": inner}:
            return _may_be_one(inner)
        case {"RenameAlias": {"expr": inner}} | {"Cast": {"expr": inner}}:
            return _may_be_one(inner)
        case {"BinaryExpr": {"left": left, "right": right}}:
            return _may_be_one(left) and _may_be_one(right)
        case {"Function": {"input": list(inputs)}} if not _gives_one(node):
            return all(map(_may_be_one, inputs))
        case _:
            return _gives_one(node)


def _as_column(node: Any) -> Any:
    """Pass a node's result, under its name, through a struct next to a column that it reads."""
    column = None if _chooses(node) else _column_in(node)
    if column is None:
        return node  # several columns, each of which would need a separate struct
    fields = [{"Alias": [node, "values"]}, {"Alias": [column, "rows"]}]
    struct = {"Function": {"input": fields, "function": "AsStruct"}}
    values = {"Function": {"input": [struct], "function": {"StructExpr": {"FieldByName": "values"}}}}
    name = _name_of(node)
    return values if name is None else {"Alias": [values, name]}


def _chooses(node: Any) -> bool:
    """Return whether a node holds a selector."""
    if isinstance(node, dict):
        return "Selector" in node or any(map(_chooses, node.values()))
    return isinstance(node, list) and any(map(_chooses, node))


def _column_in(node: Any) -> Any | None:
    """Return a column, list element or struct field that the node reads, or None."""
    match node:
        case "Element" | {"Column": _} | {"Field": _}:
            return node
        case {"Literal": _}:
            return None
        case dict():
            # Elements and fields inside a nested list or struct are others than those of this node.
            parts = [part for name, part in node.items() if name != "evaluation"]
        case list():
            parts = node
        case _:
            return None
    return next((found for part in parts if (found := _column_in(part)) is not None), None)


def _name_of(node: Any) -> str | None:
    """Return the name of a node's result, which it takes from its first input; None if that has no name."""
    match node:
        case {"Column": str(name)} | {"Alias": [_, str(name)]}:
            return name
        case {"Literal": _}:
            return "literal"
        case {"Ternary": {"truthy": first}} | {"Cast": {"expr": first}} | {"BinaryExpr": {"left": first}}:
            return _name_of(first)
        case {"Function": {"input": [first, *_]}}:
            return _name_of(first)
        case _:
            return None
