"""Expressions of `scan` taken apart: running functions over columns, and row-wise expressions over their results.

``(x * 2).cum_sum() / y`` becomes the column ``x * 2``, a running sum of it in another column, and an
expression over that and ``y``. Running functions may be nested. Everything else must look at one row
only, which the plan's check tests; it is a parameter, as operators do not import the plan.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl

from arrowstream.core.rows.empty_frames import no_rows
from arrowstream.errors import PlanError
from arrowstream.expressions.among_others import among_others, need_values
from arrowstream.expressions.every_row import for_every_row
from arrowstream.expressions.rebuild import NotRebuilt, rebuild
from arrowstream.expressions.text import expression_text
from arrowstream.expressions.tree import DEEPEST, levels, tree_of
from arrowstream.operators.base import Expressions
from arrowstream.operators.running.catalogue import POSSIBLE, Make, Refused, is_running, maker
from arrowstream.operators.with_columns import WithColumns

Check = Callable[[Expressions, pl.Schema, str], pl.Schema]
"""Gives the schema after a step of expressions; raises if one of them looks at other rows."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A running function: its column, and the name of the column of its values."""

    column: pl.Expr
    name: str
    make: Make

    def select(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the column that the function runs over."""
        return rows.select(self.column)


@dataclass(frozen=True, slots=True)
class Recipe:
    """The computation of `scan` over a batch: the leaves in order, then the expressions.

    Plain expressions see no leaves: ``pl.all()`` in them is all input columns. If `needs_values`, the input rows
    must be spread before (`arrowstream.expressions.among_others`).
    """

    leaves: tuple[Leaf, ...]
    plain: tuple[pl.Expr, ...]
    over_leaves: tuple[pl.Expr, ...]
    schema: pl.Schema
    needs_values: bool

    def finish(self, frame: pl.DataFrame, with_leaves: pl.DataFrame) -> pl.DataFrame:
        """Return the output rows, from the input rows and the same rows with the columns of the leaves."""
        made = among_others(with_leaves, lambda rows: rows.select(self.over_leaves)).get_columns()
        found = among_others(frame, lambda rows: rows.with_columns(self.plain))
        return found.with_columns(made).select(self.schema.names())


def take_apart(exprs: Iterable[pl.Expr], schema: pl.Schema, check: Check) -> Recipe:
    """Return the recipe for `exprs` over rows of `schema`.

    Raises
    ------
    PlanError
        An expression can't be run this way.
    SchemaError
        A column is missing, or types do not fit.
    """
    work = _Work(schema, check)
    finals = [(expr, work.expression(expr)) for expr in exprs]
    plain = tuple(for_every_row(expr, schema) for expr, final in finals if final is None)
    over_leaves = tuple(for_every_row(final, work.schema) for _, final in finals if final is not None)
    types = check(_Columns(over_leaves), work.schema, "")
    in_order = tuple(expr if final is None else _of_type(final, types) for expr, final in finals)
    computed = (*plain, *over_leaves, *(leaf.column for leaf in work.leaves))
    output = check(_Columns(in_order), schema, "")
    return Recipe(tuple(work.leaves), plain, over_leaves, output, need_values(computed))


def _of_type(expr: pl.Expr, types: pl.Schema) -> pl.Expr:
    """Return a null column of the same name and type, which needs no leaves."""
    name = expr.meta.output_name()
    return pl.lit(None, types[name]).alias(name)


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

    def expression(self, expr: pl.Expr) -> pl.Expr | None:
        """Return `expr` over the columns and leaves; None if it has no leaf."""
        try:
            tree = tree_of(expr)
        except pl.exceptions.PolarsError:
            return None  # a Python function: the check refuses it
        known, self._whole = len(self.leaves), expression_text(expr)
        if levels(tree) > DEEPEST:
            raise self.refusal(
                "an expression nested too deeply", "compute parts of it in with_columns(...) before"
            )
        rewritten = self.rewrite(tree)
        if len(self.leaves) == known:
            return None
        text = json.dumps(rewritten)
        # A selector would choose leaves, too.
        if '{"Selector": ' in text:
            raise self.refusal("a running function next to a choice of columns", "name the columns")
        if '{"KeepName": ' in text:
            raise self.refusal("a running function under name.keep()", "name the result with alias(...)")
        return self.rebuild(rewritten).alias(expr.meta.output_name())

    def rewrite(self, node: Any) -> Any:
        """Return the tree with a column in place of every running function."""
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
                    # Under the name that Polars gives it, which becomes the name of struct fields.
                    return {"Alias": [{"Column": leaf}, self.rebuild(parts[0]).meta.output_name()]}
                return {"Function": {"input": parts, "function": function, **rest}}
            case dict():
                return {key: self.rewrite(part) for key, part in node.items()}
            case _:
                return node

    def running(self, inputs: list[Any], function: Any) -> str | None:
        """Add a leaf if this is a running function; return its name, else None."""
        name, options = next(iter(function.items())) if isinstance(function, dict) else (function, None)
        if not is_running(name, options):
            return None
        column = self.rebuild(inputs[0])
        if len(self.types(column)) > 1:
            raise self.refusal("a running function over several columns", "write an expression for each")
        if not column.meta.root_names() or '{"Selector": ' in json.dumps(inputs[0]):
            raise self.refusal(
                "a running function over no column by name", "name the column that it runs over"
            )
        leaf = self.free_name()
        self._check(_Columns((column.alias(leaf),)), self.schema, "")
        (source,) = self.types(column)
        whole = self.rebuild({"Function": {"input": inputs, "function": function}})
        results = self.types(whole)
        result = results[0] if results else source
        if name == "CumSum" and isinstance(result, pl.Decimal):
            # Polars 1.35 says beforehand that it has the digits of the column, but gives as many as there may be.
            result = pl.Decimal(38, result.scale)
        make = maker(name, options, inputs[1:], source, result)
        if isinstance(make, Refused):
            raise self.refusal(make.what, make.hint)
        self.leaves.append(Leaf(for_every_row(column, self.schema, read=True), leaf, make))
        self.schema = pl.Schema({**self.schema, leaf: result})
        return leaf

    def types(self, expr: pl.Expr) -> list[pl.DataType]:
        """Return the types of the columns that `expr` gives; empty if it fails, which the check reports."""
        try:
            return no_rows(self.schema).lazy().select(expr).collect_schema().dtypes()
        except pl.exceptions.PolarsError:
            return []

    def free_name(self) -> str:
        """Return a name that no column has."""
        name = f"scan {len(self.leaves)}"
        while name in self.schema:
            name += "'"
        return name

    def rebuild(self, tree: Any) -> pl.Expr:
        try:
            return rebuild(tree)
        except NotRebuilt:
            raise self.refusal(
                "NaN or infinity as a constant", "put the constant into a column first"
            ) from None

    def refusal(self, what: str, hint: str) -> PlanError:
        return PlanError(
            "scan() cannot run this expression",
            expected=f"running functions over columns: {POSSIBLE}",
            found=f"{what}, in {self._whole}",
            hint=hint,
        )
