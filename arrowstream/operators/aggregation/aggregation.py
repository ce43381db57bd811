"""Incremental Polars aggregations: the state of a group of rows, and how it becomes the result.

Each expression is split into aggregations that can be merged (`arrowstream.operators.aggregation.mergeable`) and
plain arithmetic on their results, such as ``pl.col("x").sum() / pl.len()``. An expression that cannot be split
keeps the values of the columns it reads, as lists, and Polars evaluates it over all of them at the end. Either way
names and types are those that Polars gives.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from arrowstream.core.rows.arrow_schema import arrow_schema
from arrowstream.core.rows.empty_frames import no_rows
from arrowstream.core.rows.frame_of import frame_of
from arrowstream.core.rows.grouping import Aggregate, Function, Grouping, Panes
from arrowstream.expressions.among_others import among_others, joined, need_values, spread
from arrowstream.expressions.constant_divisors import depends_on_neighbours, with_reciprocals
from arrowstream.expressions.every_row import for_every_row
from arrowstream.expressions.rebuild import NotRebuilt, rebuild
from arrowstream.expressions.tree import DEEPEST, is_row_wise, levels, tree_of
from arrowstream.operators.aggregation.checks import GROUP, check_depth, output_schema
from arrowstream.operators.aggregation.expand import columns_of, expanded
from arrowstream.operators.aggregation.extreme_rows import ExtremeRows
from arrowstream.operators.aggregation.in_steps import in_steps
from arrowstream.operators.aggregation.mergeable import ROW, mergeable
from arrowstream.operators.aggregation.row_counts import most_rows, too_many
from arrowstream.operators.aggregation.state_columns import Fold, Mergeable

_KEPT = "__kept__"
"""The state column with the numbers of the rows whose values are kept."""
_OPERANDS = ("expr", "left", "right", "predicate", "truthy", "falsy", "input")
"""The fields of a serialised node that hold its operands."""


@dataclass(frozen=True, slots=True)
class Aggregation:
    """The aggregations of a step: how state is made of rows, combined and turned into results.

    A frame of state has a row for each group: the columns of `init`, `ROW` first, and the caller's own, such as keys.

    Parameters
    ----------
    init
        Aggregations from rows, which must have a column `ROW`, to state.
    combine
        Aggregations from the state of several groups to that of one.
    init_row
        Expressions from a single row to its state; empty if some column of state has none.
    update
        How each column of state is folded with the `init_row` of one more row; empty if some column cannot be.
    any_order
        Whether state combined in any order gives the same bits.
    in_parts
        Whether few rows may be grouped at a time: the state of a group stays small, and has the same bits then.
    plain
        For each column of state but the first, its name, and the function of a plain column that it is; empty if some
        column is none.
    extreme
        The rows of a group that count: any others change no result. None if all rows do.
    output
        Names and types of the results.
    """

    init: tuple[pl.Expr, ...]
    combine: tuple[pl.Expr, ...]
    init_row: tuple[pl.Expr, ...]
    update: tuple[Fold, ...]
    any_order: bool
    in_parts: bool
    plain: tuple[tuple[str, Function, str | None], ...]
    extreme: ExtremeRows | None
    output: pl.Schema
    _leaves: tuple[pl.Expr, ...]
    _counts: tuple[str, ...]
    _results: tuple[pl.Expr, ...]
    _types: tuple[pl.Expr, ...]
    _kept: tuple[str, ...]
    _whole: tuple[pl.Expr, ...]
    _needs_values: bool
    _needs_others: bool

    @classmethod
    def of(
        cls,
        step: str,
        exprs: Sequence[pl.Expr],
        schema: pl.Schema,
        keys: Sequence[str],
        *,
        in_order: bool,
        one_group: bool = False,
    ) -> Aggregation:
        """Split expressions into mergeable aggregations.

        Parameters
        ----------
        step
            Name of the operator, for errors.
        exprs
            The expressions, as `polars.DataFrame.group_by(...).agg` takes them.
        schema
            The schema of the rows.
        keys
            The key columns.
        in_order
            Whether state is always combined in the order in which the rows arrived.
        one_group
            True if no result ever has another one next to it; it is then computed as Polars' `select` does.

        Raises
        ------
        PlanError
            An expression is nested too deeply.
        SchemaError
            A column is missing, types do not fit, or a result has a reserved name.
        """
        check_depth(step, exprs)
        output = output_schema(step, exprs, schema, keys)
        parts = _Parts(schema, in_order)
        results: list[pl.Expr] = []
        whole: list[pl.Expr] = []
        types = None if one_group else schema
        single = expanded(exprs, schema, keys)
        for expr in single:
            result = parts.take_apart(expr, types, output)
            (whole if result is None else results).append(
                for_every_row(expr, types) if result is None else result
            )
        kept = columns_of(whole, schema, keys)
        extreme = ExtremeRows.of(whole, schema) if whole else None
        if whole:
            parts.keep(kept, extreme)
        return cls(
            tuple(parts.init),
            (pl.col(ROW).min(), *parts.combine),
            tuple(parts.init_row) if parts.has_one else (),
            tuple(parts.update) if parts.has_folds else (),
            parts.any_order,
            parts.in_parts,
            tuple(parts.plain) if parts.has_plain else (),
            extreme if extreme is not None and extreme.is_each_of(parts.plain, len(parts.leaves)) else None,
            output,
            tuple(parts.leaves),
            tuple(parts.counts),
            tuple(results),
            tuple(pl.col(name).cast(dtype) for name, dtype in output.items()),
            kept,
            tuple(whole),
            need_values(parts.init),
            not one_group and any(depends_on_neighbours(expr, schema) for expr in single),
        )

    def state_schema(self, schema: pl.Schema, keys: Sequence[str]) -> pl.Schema:
        """Return the schema of keys and state for rows of `schema`."""
        rows = no_rows(pl.Schema({**schema, ROW: pl.Int64()})).lazy()
        return rows.group_by(list(keys) or pl.lit(0).alias(GROUP)).agg(*self.init).collect_schema()

    def grouping(self, schema: pl.Schema, keys: Sequence[str], panes: Panes | None = None) -> Grouping | None:
        """Return how a form of rows makes the state of rows of `schema`; None if it cannot."""
        # Of 0.0 and -0.0, which are one key, the first to come is kept.
        if not self.plain or any(schema[name].is_float() for name in keys):
            return None
        types = arrow_schema(self.state_schema(schema, keys))
        aggregates = (
            Aggregate(name, function, column, types.field(name).type) for name, function, column in self.plain
        )
        return Grouping(tuple(keys), ROW, tuple(aggregates), panes)

    def rows(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return rows in the form in which `init` and `init_row` compute with them."""
        return joined(spread(rows)) if self._needs_values else rows

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns of the rows that `init` reads."""
        return tuple(dict.fromkeys(name for expr in self.init for name in expr.meta.root_names()))

    def results(self, state: pl.DataFrame, beside: Sequence[pl.Expr]) -> pl.DataFrame:
        """Return the results of the groups of `state`, in its order.

        Parameters
        ----------
        state
            The state, one row for each group.
        beside
            Expressions over `state` whose columns come before the results.

        Raises
        ------
        StageError
            A count exceeds Polars' type for counts.
        """
        if self._needs_others:
            return among_others(state, lambda groups: self._finalized(groups, beside))
        return self._finalized(state, beside)

    def _finalized(self, state: pl.DataFrame, beside: Sequence[pl.Expr]) -> pl.DataFrame:
        state = spread(state)
        first = [pl.nth(place) for place in range(len(beside))]
        query = state.lazy().select(*beside, *self._leaves).select(*first, *self._results)
        try:
            out = in_steps(query if self._whole else query.select(*first, *self._types))
        except pl.exceptions.InvalidOperationError as error:
            most = self._most_rows(state)
            if most <= most_rows():
                raise
            raise too_many(most, "ask for a wider type, such as pl.len().cast(pl.Int64)") from error
        if not self._whole:
            return out
        lists = [pl.col(_kept(name)).alias(name) for name in self._kept]
        rows = state.lazy().select(pl.int_range(pl.len()).alias(GROUP), pl.col(_KEPT).alias(ROW), *lists)
        rows = rows.explode(ROW, *self._kept).sort(ROW).drop(ROW)
        whole = in_steps(rows.group_by(GROUP).agg(*self._whole).sort(GROUP).drop(GROUP))
        found = {column.name: column for column in [*out, *whole]}
        results = (found[name].cast(dtype) for name, dtype in self.output.items())
        return frame_of([*out.get_columns()[: len(beside)], *results])

    def _most_rows(self, state: pl.DataFrame) -> int:
        """Return the largest count in the state."""
        return max((int(state[name].max()) for name in self._counts), default=0)  # type: ignore[arg-type]


class _Parts:
    """The columns of state while expressions are split; equal aggregations share their columns."""

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
        self.in_parts = True
        self.plain: list[tuple[str, Function, str | None]] = []
        self.has_plain = True
        self.leaves: list[pl.Expr] = []
        self.counts: list[str] = []

    def take_apart(self, expr: pl.Expr, types: pl.Schema | None, output: pl.Schema) -> pl.Expr | None:
        """Return the result as an expression over the leaves, or None if the expression cannot be split.

        Results are divided by constants as those of several groups are if `types`, the schema of the rows, is given.
        """
        try:
            tree, name = tree_of(expr), expr.meta.output_name()
        except pl.exceptions.PolarsError:
            return None  # it holds a Python function, or names its result by one
        if levels(tree) > DEEPEST:
            return None
        found: dict[str, Mergeable] = {}
        rest = self._replace(tree if types is None else with_reciprocals(tree, types), found)
        if rest is None or not found:
            return None
        try:
            # The cast comes last: a literal takes the type of its other operand.
            result = rebuild(rest).cast(output[name]).alias(name)
        except NotRebuilt:
            return None
        for text, leaf in found.items():
            self._add(text, leaf)
        return result

    def _replace(self, node: Any, found: dict[str, Mergeable]) -> Any | None:
        """Return the tree with a leaf column for every aggregation; None if anything else in it reads rows."""
        leaf = mergeable(node, self._schema, self._in_order)
        if leaf is not None:
            text = json.dumps(node)
            found[text] = leaf
            return {"Column": _leaf(text)}
        match node:
            case {"Literal": _}:
                return node if is_row_wise(node) else None
            # The name of the result is known from Polars.
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
        self.in_parts = self.in_parts and leaf.any_order
        if leaf.function is None:
            self.has_plain = False
        else:
            self.plain.append((names[0], leaf.function, leaf.column))
        self.leaves.append(leaf.finalize(*names).alias(name))
        self.counts += names if leaf.counts else []

    def keep(self, columns: Sequence[str], extreme: ExtremeRows | None) -> None:
        """Keep the values of these columns and the numbers of their rows, as lists, for all or the extreme rows."""
        for source, own in ((ROW, _KEPT), *((name, _kept(name)) for name in columns)):
            values, lists = pl.col(source), pl.col(own).explode()
            if extreme is not None:
                values = values.filter(extreme.among(pl.col(extreme.column)))
                lists = lists.filter(extreme.among(pl.col(_kept(extreme.column)).explode()))
            self.init.append(values.implode().alias(own))
            self.combine.append(lists.implode().alias(own))
        self.has_one = self.has_folds = self.any_order = self.has_plain = False
        self.in_parts = self.in_parts and extreme is not None


def _leaf(text: str) -> str:
    """Return the name of the column with the result of an aggregation, given its serialised text."""
    return f"__leaf_{text}__"


def _kept(name: str) -> str:
    """Return the name of the state column with the kept values of a column, as lists."""
    return f"__kept_{name}__"
