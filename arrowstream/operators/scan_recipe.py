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
from arrowstream.operators.scan_ewm import EWMS, Ewm
from arrowstream.operators.scan_fold import FOLDS, Fold
from arrowstream.operators.scan_rolling import ROLLING, Rolling
from arrowstream.operators.scan_rolling_spread import SPREADS, RollingSpread
from arrowstream.operators.scan_rows_before import Diff, Forward, RowsBefore
from arrowstream.operators.scan_running import Running
from arrowstream.operators.with_columns import WithColumns

Check = Callable[[Expressions, pl.Schema, str], pl.Schema]
"""Gives the schema after a step of expressions, and raises where one of them looks at other rows."""

POSSIBLE = (
    "cum_sum, cum_prod, cum_min, cum_max, cum_count, shift, diff, forward_fill, rolling_sum, rolling_mean, "
    "rolling_min, rolling_max, rolling_var, rolling_std, ewm_mean, ewm_var, ewm_std, and row by "
    "row what is made of them"
)
_RUNNING = FOLDS | {
    *("Shift", "ShiftAndFill", "Diff", "PctChange", "FillNullWithStrategy", "RollingExpr", "RollingExprBy"),
    *("EwmMean", "EwmMeanBy", "EwmStd", "EwmSum", "EwmSumBy", "EwmVar", "Interpolate", "InterpolateBy"),
    *("RLE", "RLEID", "PeakMax", "PeakMin", "Cumulative"),
}
_NUMBERS = frozenset(
    {pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64, pl.Float32, pl.Float64}
)
_MOMENTS = frozenset({pl.Date, pl.Time, pl.Datetime, pl.Duration})
_TYPES: dict[str, frozenset[Any]] = {
    "CumSum": _NUMBERS | {pl.Boolean, pl.Duration},
    "CumProd": _NUMBERS,
    "CumMin": _NUMBERS | _MOMENTS | {pl.Boolean},
    "CumMax": _NUMBERS | _MOMENTS | {pl.Boolean},
    "Diff": _NUMBERS - {pl.UInt64} | {pl.Date, pl.Datetime, pl.Duration},
    "RollingExpr": _NUMBERS,
    **dict.fromkeys(EWMS, _NUMBERS | {pl.Boolean, pl.Decimal}),
}
"""Over which types a running function is exact here; where nothing is said, over all."""


_FLOATS = ("Float", "Float64", "Float32")


@dataclass(frozen=True, slots=True)
class Leaf:
    """A running function: over which column, and under which name its values are put beside it."""

    column: pl.Expr
    name: str
    make: Callable[[], Running]


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
        if name not in _RUNNING or options in ("Zero", "One", "Min", "Max", "Mean"):
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
        if source.base_type() not in _TYPES.get(name, {source.base_type()}):
            raise self.refusal(f"{name} over {source}", "cast the column first")
        whole = self.rebuild({"Function": {"input": inputs, "function": function}})
        (result,) = self.types(whole)
        make = _maker(name, options, inputs[1:], source, result)
        if make is None:
            raise self.refusal(
                f"{name} with these arguments", "only rows before count, and no other arguments"
            )
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


def _maker(
    name: str, options: Any, arguments: list[Any], source: pl.DataType, result: pl.DataType
) -> Callable[[], Running] | None:
    """What makes the running function, or None if there is none with these options."""
    match name, options, arguments:
        case _, {"reverse": False}, []:
            return lambda: Fold(name, result)
        case "Shift", None, [{"Literal": {"Dyn": {"Int": count}}}] if count > 0:
            return lambda: RowsBefore(count, source)
        case "Diff", "Ignore", [{"Literal": {"Dyn": {"Int": count}}}] if count > 0:
            return lambda: Diff(count, source, result)
        case "FillNullWithStrategy", {"Forward": None}, []:
            return lambda: Forward(source)
        case "RollingExpr", {"function": function, "options": window}, []:
            rows, least, parameters = window["window_size"], window["min_periods"], window["fn_params"]
            if least == 0 or window["center"] or window["weights"] is not None:
                return None
            if function in ROLLING:
                return lambda: Rolling(function, rows, least, result)
            if function in SPREADS:
                return lambda: RollingSpread(function, rows, least, result, parameters["Var"]["ddof"])
        case _, {"options": dict(ewm)}, [] if name in EWMS:
            return lambda: Ewm(name, ewm, result)
    return None
