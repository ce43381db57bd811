"""Expressions of `scan` taken apart: running functions over columns, and what is computed from them row by row.

``(x * 2).cum_sum() / y`` becomes the column ``x * 2``, a running sum of it in a column of its own, and an
expression over that and ``y``. Running functions may be inside others. Everything else must look at one
row only, which the plan's own check tells; it is handed in, as operators know nothing of the plan.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl

from arrowstream.errors import PlanError
from arrowstream.expression_text import expression_text, rebuild
from arrowstream.operators.base import Expressions
from arrowstream.operators.scan_catalogue import POSSIBLE, Make, Refused, is_running, maker
from arrowstream.operators.with_columns import WithColumns

Check = Callable[[Expressions, pl.Schema, str], pl.Schema]
"""Gives the schema after a step of expressions, and raises where one of them looks at other rows."""

_FLOATS = ("Float", "Float64", "Float32")


@dataclass(frozen=True, slots=True)
class Leaf:
    """A running function: over which column, and under which name its values are put beside it."""

    column: pl.Expr
    name: str
    make: Make


@dataclass(frozen=True, slots=True)
class Recipe:
    """What `scan` does to the rows of a batch: the leaves in order, then the expressions."""

    leaves: tuple[Leaf, ...]
    exprs: tuple[pl.Expr, ...]
    schema: pl.Schema


def take_apart(exprs: Iterable[pl.Expr], schema: pl.Schema, check: Check) -> Recipe:
    """The recipe for `exprs` over rows of `schema`.

    Raises
    ------
    PlanError
        An expression can't be run this way.
    SchemaError
        A column is not there, or types do not fit.
    """
    work = _Work(schema, check)
    finals = tuple(map(work.expression, exprs))
    with_leaves = check(_Columns(finals), work.schema, "")
    names = {leaf.name for leaf in work.leaves}
    outgoing = {name: dtype for name, dtype in with_leaves.items() if name not in names}
    return Recipe(tuple(work.leaves), finals, pl.Schema(outgoing))


@dataclass(frozen=True, slots=True, eq=False)
class _Columns(WithColumns):
    """Columns computed row by row, under the name that a user knows."""

    name: ClassVar[str] = "scan"


class _Work:
    """A recipe being written: the columns so far, leaves included."""

    def __init__(self, schema: pl.Schema, check: Check) -> None:
        self.schema = schema
        self.leaves: list[Leaf] = []
        self._check = check
        self._whole = ""

    def expression(self, expr: pl.Expr) -> pl.Expr:
        """`expr` over the columns and leaves."""
        try:
            tree = json.loads(expr.meta.serialize(format="json"))
        except pl.exceptions.PolarsError:
            return expr  # a Python function: the check will say so
        known, self._whole = len(self.leaves), expression_text(expr)
        rewritten = self.rewrite(tree)
        if len(self.leaves) == known:
            return expr
        return self.rebuild(rewritten).alias(expr.meta.output_name())

    def rewrite(self, node: Any) -> Any:
        """The tree with a column in place of every running function."""
        match node:
            case list():
                return [self.rewrite(part) for part in node]
            # Inside of a list a running function runs over one row's own values.
            case {"Eval": {"expr": inner, **rest}}:
                return {"Eval": {"expr": self.rewrite(inner), **rest}}
            case {"Literal": _} | {"Over": _} | {"Window": _}:
                return node
            case {"Function": {"input": list(inputs), "function": function, **rest}}:
                parts = [self.rewrite(part) for part in inputs]
                if (leaf := self.running(parts, function)) is not None:
                    return {"Column": leaf}
                return {"Function": {"input": parts, "function": function, **rest}}
            case dict():
                return {key: self.rewrite(part) for key, part in node.items()}
            case _:
                return node

    def running(self, inputs: list[Any], function: Any) -> str | None:
        """The name of the new leaf if this is a running function, else None."""
        name, options = next(iter(function.items())) if isinstance(function, dict) else (function, None)
        if not is_running(name, options):
            return None
        column = self.rebuild(inputs[0])
        if len(self.types(column)) > 1:
            raise self.refusal("a running function over several columns", "write an expression for each")
        if not column.meta.root_names():
            raise self.refusal(
                "a running function over no column by name", "name the column that it runs over"
            )
        leaf = self.free_name()
        self._check(_Columns((column.alias(leaf),)), self.schema, "")
        (source,) = self.types(column)
        whole = self.rebuild({"Function": {"input": inputs, "function": function}})
        results = self.types(whole)
        make = maker(name, options, inputs[1:], source, results[0] if results else source)
        if isinstance(make, Refused):
            raise self.refusal(make.what, make.hint)
        (result,) = results
        self.leaves.append(Leaf(column, leaf, make))
        self.schema = pl.Schema({**self.schema, leaf: result})
        return leaf

    def types(self, expr: pl.Expr) -> list[pl.DataType]:
        """The types of the columns that an expression gives; none if it fails, which the check will explain."""
        try:
            return pl.LazyFrame(schema=self.schema).select(expr).collect_schema().dtypes()
        except pl.exceptions.PolarsError:
            return []

    def free_name(self) -> str:
        """A name that no column has."""
        name = f"scan {len(self.leaves)}"
        while name in self.schema:
            name += "'"
        return name

    def rebuild(self, tree: Any) -> pl.Expr:
        if '": null}' in (text := json.dumps(tree)) and any(
            f'{{"{kind}": null}}' in text for kind in _FLOATS
        ):
            raise self.refusal("NaN or infinity as a constant", "put the constant into a column first")
        return rebuild(tree)

    def refusal(self, what: str, hint: str) -> PlanError:
        return PlanError(
            "scan() cannot run this expression",
            expected=f"running functions over columns: {POSSIBLE}",
            found=f"{what}, in {self._whole}",
            hint=hint,
        )
