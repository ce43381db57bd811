"""Polars aggregations over groups of rows that come bit by bit: what is kept of them, and how it becomes the result.

Each expression is taken apart into aggregations that can be merged (`arrowstream.operators.aggregation.mergeable`)
and plain arithmetic on their results, such as ``pl.col("x").sum() / pl.len()``. Where that does not
work out, the values of the columns it reads are kept, as lists, and Polars evaluates the expression itself over
all of them in the end. Either way names and types are those that Polars gives.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import polars.selectors as cs

from arrowstream.core.batch import arrow_schema
from arrowstream.core.hints import did_you_mean, missing_column
from arrowstream.errors import PlanError, SchemaError
from arrowstream.expressions.every_row import for_every_row
from arrowstream.expressions.rebuild import NotRebuilt, rebuild
from arrowstream.expressions.text import expression_text
from arrowstream.expressions.tree import DEEPEST, containers, is_row_wise, levels, tree_of
from arrowstream.operators.aggregation.mergeable import ROW, Fold, Mergeable, mergeable
from arrowstream.operators.aggregation.reserved_names import check_results
from arrowstream.operators.aggregation.row_counts import most_rows, too_many

_GROUP = "__group__"
_KEPT = "__kept__"
"""The numbers of the rows whose values are kept."""
_MOST_LEVELS = 600
"""Levels of an aggregate: Polars computes it in one piece, and overflows its threads' stacks at some 1,000."""
_OPERANDS = ("expr", "left", "right", "predicate", "truthy", "falsy", "input")
"""Where the parts of a node that computes stand in it."""


@dataclass(frozen=True, slots=True)
class Aggregation:
    """What a group of rows is reduced to, column by column.

    Groups have the columns of `keys` and whatever the caller puts beside them, `ROW` included.

    Parameters
    ----------
    init
        Aggregations from rows, which must have a column `ROW`, to state.
    combine
        Aggregations from state to state.
    init_row
        Expressions from a single row to its state; empty where there are none.
    update
        How the columns of `init_row` change with those of one more row; empty if some do otherwise.
    any_order
        Whether state combined in any order gives the same bits.
    output
        Names and types of the results.
    """

    init: tuple[pl.Expr, ...]
    combine: tuple[pl.Expr, ...]
    init_row: tuple[pl.Expr, ...]
    update: tuple[Fold, ...]
    any_order: bool
    output: pl.Schema
    _leaves: tuple[pl.Expr, ...]
    _counts: tuple[str, ...]
    _results: tuple[pl.Expr, ...]
    _kept: tuple[str, ...]
    _whole: tuple[pl.Expr, ...]

    @classmethod
    def of(
        cls, step: str, exprs: Sequence[pl.Expr], schema: pl.Schema, keys: Sequence[str], *, in_order: bool
    ) -> Aggregation:
        """Take expressions apart.

        Parameters
        ----------
        step
            Name of the operator, for errors.
        exprs
            What `polars.DataFrame.group_by(...).agg` takes.
        schema
            Of the rows.
        keys
            The columns rows are grouped by.
        in_order
            Whether state is always merged in the order in which the rows came.

        Raises
        ------
        PlanError
            An expression is nested too deeply.
        SchemaError
            A column is missing, or types do not fit.
        """
        _check_depth(step, exprs)
        output = _output(step, exprs, schema, keys)
        parts = _Parts(schema, in_order)
        results: list[pl.Expr] = []
        whole: list[pl.Expr] = []
        for expr in _expanded(exprs, schema, keys):
            result = parts.take_apart(expr, output)
            (whole if result is None else results).append(for_every_row(expr) if result is None else result)
        kept = _columns_of(whole, schema, keys)
        if whole:
            parts.keep(kept)
        return cls(
            tuple(parts.init),
            (pl.col(ROW).min(), *parts.combine),
            tuple(parts.init_row) if parts.has_one else (),
            tuple(parts.update) if parts.has_folds else (),
            parts.any_order,
            output,
            tuple(parts.leaves),
            tuple(parts.counts),
            tuple(results),
            kept,
            tuple(whole),
        )

    def state_schema(self, schema: pl.Schema, keys: Sequence[str]) -> pl.Schema:
        """Keys and what is kept for each, of rows of `schema`."""
        rows = pl.LazyFrame(schema={**schema, ROW: pl.Int64()})
        return rows.group_by(list(keys) or pl.lit(0).alias(_GROUP)).agg(*self.init).collect_schema()

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns of rows that `init` looks at."""
        return tuple(dict.fromkeys(name for expr in self.init for name in expr.meta.root_names()))

    def results(self, state: pl.DataFrame, beside: Sequence[pl.Expr]) -> pl.DataFrame:
        """The results of the groups of `state`, in its order, with expressions over it before them.

        Raises
        ------
        StageError
            There are more rows than Polars' type of a count holds.
        """
        try:
            found = state.select(*beside, *self._leaves)
        except pl.exceptions.InvalidOperationError as error:
            most = self._most_rows(state)
            if most <= most_rows():
                raise
            raise too_many(most, "ask for a wider type, such as pl.len().cast(pl.Int64)") from error
        out = found.select(*(pl.nth(place) for place in range(len(beside))), *self._results)
        if self._whole:
            lists = [pl.col(_kept(name)).alias(name) for name in self._kept]
            rows = state.select(pl.int_range(pl.len()).alias(_GROUP), pl.col(_KEPT).alias(ROW), *lists)
            rows = rows.explode(ROW, *self._kept).sort(ROW).drop(ROW)
            found = rows.group_by(_GROUP).agg(*self._whole).sort(_GROUP).drop(_GROUP)
            out = out.hstack(found) if out.width else found
        names = out.columns[: len(beside)]
        return out.select(*names, *(pl.col(name).cast(dtype) for name, dtype in self.output.items()))

    def _most_rows(self, state: pl.DataFrame) -> int:
        """The largest count that is kept."""
        return max((int(state[name].max()) for name in self._counts), default=0)  # type: ignore[arg-type]


class _Parts:
    """State columns while expressions are taken apart; the same aggregation is kept once."""

    def __init__(self, schema: pl.Schema, in_order: bool) -> None:
        self._schema = schema
        self._in_order = in_order
        self._known: set[str] = set()
        self._columns = 0
        self.init: list[pl.Expr] = [pl.col(ROW).first()]
        self.combine: list[pl.Expr] = []
        self.init_row: list[pl.Expr] = [pl.col(ROW)]
        self.has_one = True
        self.update: list[Fold] = ["min"]
        self.has_folds = True
        self.any_order = True
        self.leaves: list[pl.Expr] = []
        self.counts: list[str] = []

    def take_apart(self, expr: pl.Expr, output: pl.Schema) -> pl.Expr | None:
        """The result from the leaves, or None if the expression cannot be taken apart."""
        try:
            tree, name = tree_of(expr), expr.meta.output_name()
        except pl.exceptions.PolarsError:
            return None  # it holds a Python function, or names its result by one
        if levels(tree) > DEEPEST:
            return None
        found: dict[str, Mergeable] = {}
        rest = self._replace(tree, found)
        if rest is None or not found:
            return None
        # Constants before casts: a literal takes the type of what it meets.
        result = rebuild(rest).cast(output[name]).alias(name)
        for text, leaf in found.items():
            self._add(text, leaf)
        return result

    def _replace(self, node: Any, found: dict[str, Mergeable]) -> Any | None:
        """The tree with a column of results for every aggregation in it; None if something else looks at rows."""
        leaf = mergeable(node, self._schema, self._in_order)
        if leaf is not None:
            text = json.dumps(node)
            found[text] = leaf
            return {"Column": _leaf(text)}
        match node:
            case {"Literal": _}:
                return node if is_row_wise(node) else None
            # How the result is named is known: Polars told.
            case {"RenameAlias": {"expr": inner}} | {"KeepName": inner}:
                return self._replace(inner, found)
            case {"Alias": [inner, name]}:
                new = self._replace(inner, found)
                return None if new is None else {"Alias": [new, name]}
            case {"Cast": dict()} | {"BinaryExpr": dict()} | {"Ternary": dict()} | {"Function": dict()}:
                ((kind, payload),) = node.items()
                operands = {
                    part: self._replace_all(payload[part], found) for part in _OPERANDS if part in payload
                }
                made = {kind: {**payload, **operands}}
                return made if None not in operands.values() and is_row_wise(made) else None
            case _:
                return None

    def _replace_all(self, part: Any, found: dict[str, Mergeable]) -> Any | None:
        if not isinstance(part, list):
            return self._replace(part, found)
        inputs = [self._replace(single, found) for single in part]
        return None if None in inputs else inputs

    def _add(self, text: str, leaf: Mergeable) -> None:
        name = _leaf(text)
        if name in self._known:
            return
        self._known.add(name)
        names = [f"__part_{self._columns + place}__" for place in range(len(leaf.init))]
        self._columns += len(names)
        self.init += [expr.alias(own) for expr, own in zip(leaf.init, names, strict=True)]
        self.combine += [expr.alias(own) for expr, own in zip(leaf.combine(*names), names, strict=True)]
        self.has_one = self.has_one and bool(leaf.init_row)
        self.init_row += [expr.alias(own) for expr, own in zip(leaf.init_row, names, strict=False)]
        self.has_folds = self.has_folds and bool(leaf.init_row and leaf.update)
        self.update += leaf.update
        self.any_order = self.any_order and leaf.any_order
        self.leaves.append(leaf.finalize(*names).alias(name))
        self.counts += names if leaf.counts else []

    def keep(self, columns: Sequence[str]) -> None:
        """Keep the values of these columns, and the numbers of their rows."""
        for source, own in ((ROW, _KEPT), *((name, _kept(name)) for name in columns)):
            self.init.append(pl.col(source).implode().alias(own))
            self.combine.append(pl.col(own).explode().implode().alias(own))
        self.has_one = self.has_folds = self.any_order = False


def _leaf(text: str) -> str:
    """The column of results of an aggregation, by its text."""
    return f"__leaf_{text}__"


def _kept(name: str) -> str:
    """The column of lists of the values of a column that are kept."""
    return f"__kept_{name}__"


def _check_depth(step: str, exprs: Sequence[pl.Expr]) -> None:
    for expr in exprs:
        try:
            found = levels(tree_of(expr))
        except pl.exceptions.PolarsError:
            continue  # it holds a Python function
        if found > _MOST_LEVELS:
            raise PlanError(
                f"an aggregate of {step} is nested too deeply",
                expected=f"at most {_MOST_LEVELS} levels of functions and operators, some 300 joined terms",
                found=f"{found} levels",
                hint="compute what is aggregated in with_columns(...) before",
            )


def _output(step: str, exprs: Sequence[pl.Expr], schema: pl.Schema, keys: Sequence[str]) -> pl.Schema:
    frame = pl.LazyFrame(schema=schema)
    by: list[Any] = list(keys) or [pl.lit(0).alias(_GROUP)]
    try:
        whole = frame.group_by(by).agg(*exprs).collect_schema()
        # By a column without rows, as a literal makes a group of its own, in which `get` finds nothing.
        pl.DataFrame(schema={**schema, _GROUP: pl.Int32()}).group_by(list(keys) or _GROUP).agg(*exprs)
        arrow_schema(whole)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, TypeError, ValueError) as error:
        message, missing = str(error).split("\n\n")[0], missing_column(error)
        raise SchemaError(
            f"{step} does not fit the columns that come in",
            expected=f"aggregations over {', '.join(f'{name}: {dtype}' for name, dtype in schema.items())}",
            found=f"{message}, in {', '.join(map(expression_text, exprs))}",
            hint=None if missing is None else did_you_mean(missing, schema),
        ) from None
    names = list(whole)[len(by) :]
    check_results(step, names)
    return pl.Schema({name: whole[name] for name in names})


def _expanded(exprs: Sequence[pl.Expr], schema: pl.Schema, keys: Sequence[str]) -> list[pl.Expr]:
    """The expressions with those over one choice of columns written out, a column each."""
    values = pl.Schema({name: dtype for name, dtype in schema.items() if name not in keys})
    return [single for expr in exprs for single in _expand(expr, values)]


def _expand(expr: pl.Expr, values: pl.Schema) -> list[pl.Expr]:
    try:
        tree = tree_of(expr)
    except pl.exceptions.PolarsError:
        return [expr]
    selectors = [node for node, _ in containers(tree) if isinstance(node, dict) and "Selector" in node]
    if len(selectors) != 1 or levels(tree) > DEEPEST:
        return [expr]
    selector = rebuild(selectors[0]).meta.as_selector()
    names = cs.expand_selector(pl.DataFrame(schema=values), selector)
    before, after = json.dumps(tree).split(json.dumps(selectors[0]))
    try:
        return [rebuild(json.loads(f"{before}{json.dumps({'Column': name})}{after}")) for name in names]
    except NotRebuilt:
        return [expr]


def _columns_of(exprs: Sequence[pl.Expr], schema: pl.Schema, keys: Sequence[str]) -> tuple[str, ...]:
    """The columns that expressions read: all but the keys where one of them chooses by itself."""
    names: set[str] = set()
    for expr in exprs:
        roots = expr.meta.root_names()
        chooses = expr.meta.has_multiple_outputs() or not roots
        names.update((name for name in schema if name not in keys) if chooses else roots)
    return tuple(name for name in schema if name in names)
