"""Steps of expressions in the form that runs: independent of the rows around, and cut into pieces if deep.

Polars' time for an expression grows faster than its depth, and some 1,000 levels overflow the stack of its
threads, which ends the process. An expression looks at one row, so a part of it can be a column that is
computed before: no piece then has more than `DEEPEST` levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import polars as pl
import polars.selectors as cs

from arrowstream.core.rows.empty_frames import no_rows
from arrowstream.errors import PlanError
from arrowstream.expressions.rebuild import NotRebuilt, rebuild
from arrowstream.expressions.text import expression_text
from arrowstream.expressions.tree import DEEPEST, VALUES, containers, is_shallow, levels, serialised, tree_of
from arrowstream.operators.base import Expressions, Frame
from arrowstream.operators.drop import Drop
from arrowstream.operators.filter import Filter
from arrowstream.operators.filter_map import FilterMapExpressions
from arrowstream.operators.select import Select
from arrowstream.operators.with_columns import WithColumns
from arrowstream.plan.checks.exact import MAY_BE_INEXACT, exact

_MOST_ADDED = 12
"""Largest number of levels that `exact` adds to a node."""
_CUT = DEEPEST - 20
"""A part with more levels than this becomes a column, so that one call around it stays below `DEEPEST` levels."""
_CUTTABLE = {"BinaryExpr", "Function", "Ternary", "Cast"}
_SHOWN = 200
"""Largest length of an expression in an error, in characters."""


@dataclass(frozen=True, slots=True, eq=False)
class StepSequence(Expressions):
    """A step that runs as several, one after the other; the user sees the one step.

    Parameters
    ----------
    whole
        The step as the user wrote it.
    steps
        The steps that run, in order.
    """

    name: ClassVar[str] = "expressions"
    whole: Expressions
    steps: tuple[Expressions, ...]

    def apply(self, frame: Frame) -> Frame:
        for step in self.steps:
            frame = step.apply(frame)
        return frame

    def expressions(self) -> tuple[pl.Expr, ...]:
        return self.whole.expressions()

    def pieces(self) -> tuple[Expressions, ...]:
        return tuple(piece for step in self.steps for piece in step.pieces())

    def describe(self) -> str:
        return self.whole.describe()


def runnable(step: Expressions, schema: pl.Schema, stage: str) -> Expressions:
    """Return the step in the form that runs over rows of `schema`: itself if nothing needs to change.

    Raises
    ------
    PlanError
        The step can neither run as it is nor be cut into pieces.
    """
    match step:
        case FilterMapExpressions():
            steps = tuple(runnable(part, schema, stage) for part in (step.condition, step.columns))
            return step if steps == (step.condition, step.columns) else StepSequence(step, steps)
        case Select() | WithColumns():
            pieces = _Cutter(schema, stage)
            exprs = pieces.all(step.exprs)
            return step if exprs is None else pieces.around(step, replace(step, exprs=exprs))
        case Filter():
            pieces = _Cutter(schema, stage)
            predicates = pieces.all(step.predicates)
            return step if predicates is None else pieces.around(step, replace(step, predicates=predicates))
        case _:
            return step


class _Cutter:
    """The expressions of one step, and the columns that are computed before them."""

    def __init__(self, schema: pl.Schema, stage: str) -> None:
        self._schema = schema
        self._stage = stage
        self._before: list[list[pl.Expr]] = []
        """The columns of each rank; those of rank n read columns of lower ranks."""
        self._names: list[str] = []
        self._taken = set(schema)
        """Names of the columns before the step, and of those that it makes."""

    def around(self, whole: Expressions, last: Expressions) -> Expressions:
        """Return `last` with the columns it needs computed before it and dropped after it."""
        if not self._names:
            return last
        rest = () if isinstance(last, Select) else (Drop(tuple(self._names)),)
        return StepSequence(whole, (*(WithColumns(tuple(columns)) for columns in self._before), last, *rest))

    def all(self, exprs: Sequence[pl.Expr]) -> tuple[pl.Expr, ...] | None:
        """Return the expressions that run in place of `exprs`, or None if they are the same."""
        if not any(map(_may_change, exprs)):
            return None
        trees = list(map(_tree, exprs))
        self._taken.update(*map(self._outputs, exprs))
        deep = any(levels(tree) > DEEPEST for tree in trees)
        made = [self._made(expr, tree, deep) for expr, tree in zip(exprs, trees, strict=True)]
        return None if all(new is old for new, old in zip(made, exprs, strict=True)) else tuple(made)

    def _outputs(self, expr: pl.Expr) -> Sequence[str]:
        """Return the names of the columns that an expression makes."""
        if not expr.meta.has_multiple_outputs():
            return [expr.meta.output_name()]
        try:
            return no_rows(self._schema).lazy().select(expr).collect_schema().names()
        except pl.exceptions.PolarsError:
            return []

    def _made(self, expr: pl.Expr, tree: Any, deep: bool) -> pl.Expr:
        known = len(self._names)
        try:
            new = self._rewritten(tree, deep)
            made = expr if new is tree else rebuild(new)
            return made if len(self._names) == known else made.alias(expr.meta.output_name())
        except pl.exceptions.ColumnNotFoundError:
            return expr  # the check of the step names the column
        except (NotRebuilt, pl.exceptions.PolarsError):
            raise PlanError(
                "an expression cannot be run in pieces",
                stage=self._stage,
                expected="finite constants, and single columns where functions are deeply nested",
                found=_shortened(expression_text(expr)),
                hint="compute parts of it in with_columns(...) before this step",
            ) from None

    def _rewritten(self, tree: Any, deep: bool) -> Any:
        """Return the tree with exact nodes, and with columns in place of its deep parts."""
        whole = _within_lists_and_structs(tree)
        new: dict[int, Any] = {}
        depths: dict[int, tuple[int, int]] = {}
        for node, _ in reversed(containers(tree)):
            made = _with_parts(node, new)
            below = [depths[id(part)] for part in _parts(node)]
            level = 1 + max((level for level, _ in below), default=0)
            rank = max((rank for _, rank in below), default=0)
            if isinstance(made, dict):
                named = self._by_name(made) if deep else made
                made = exact(named, self._schema)
                level += _MOST_ADDED * (made is not named)
                if deep and level > _CUT and id(node) not in whole and not _CUTTABLE.isdisjoint(made):
                    made, level, rank = self._column(made, rank), 3, rank + 1
            new[id(node)], depths[id(node)] = made, (level, rank)
        return new.get(id(tree), tree)

    def _by_name(self, node: Any) -> Any:
        """Replace a selector by the names it selects: otherwise it would select the columns of pieces, too."""
        if "Selector" not in node:
            return node
        selector = rebuild(node).meta.as_selector()
        names = cs.expand_selector(no_rows(self._schema), selector)
        if len(names) == 1:
            return {"Column": names[0]}
        return {"Selector": {"ByName": {"names": list(names), "strict": True}}}

    def _column(self, node: Any, rank: int) -> Any:
        """Compute a part as a column before the step; return the node that reads it, under the part's name."""
        expr = rebuild(node)
        if expr.meta.has_multiple_outputs() or not expr.meta.root_names():
            raise NotRebuilt("several columns, or none, in place of one")
        name = f"piece {len(self._names)}"
        while name in self._taken:
            name += "'"
        self._names.append(name)
        if rank == len(self._before):
            self._before.append([])
        self._before[rank].append(expr.alias(name))
        return {"Alias": [{"Column": name}, expr.meta.output_name()]}


def _may_change(expr: pl.Expr) -> bool:
    """Return whether an expression may have to run in another form; False is certain."""
    try:
        text = serialised(expr)
    except pl.exceptions.PolarsError:
        return False  # a Python function; its tree is not seen
    return MAY_BE_INEXACT.search(text) is not None or not is_shallow(text)


def _tree(expr: pl.Expr) -> Any:
    """Return the tree of an expression, or None if it holds a Python function.

    Such a function only gives names, or the check of the step refuses it.
    """
    try:
        return tree_of(expr)
    except pl.exceptions.PolarsError:
        return None


def _parts(node: Any) -> list[Any]:
    """Return the lists and mappings directly below a list or mapping."""
    below = node if isinstance(node, list) else [node[kind] for kind in node if kind not in VALUES]
    return [part for part in below if isinstance(part, list | dict)]


def _with_parts(node: Any, new: dict[int, Any]) -> Any:
    """Return a list or mapping with new parts; itself if all parts are the old ones."""
    if all(new[id(part)] is part for part in _parts(node)):
        return node
    if isinstance(node, list):
        return [new.get(id(part), part) for part in node]
    return {kind: part if kind in VALUES else new.get(id(part), part) for kind, part in node.items()}


def _within_lists_and_structs(tree: Any) -> set[int]:
    """Return the `id()` of each node over list elements or struct fields, which a column cannot replace."""
    found: set[int] = set()
    for node, _ in containers(tree):
        match node:
            case {"Eval": {"evaluation": inner}} | {"StructEval": {"evaluation": inner}}:
                found.update(id(part) for part, _ in containers(inner))
            case {"Function": {"function": {"StructExpr": "WithFields"}, "input": [_, *inner]}}:
                found.update(id(part) for part, _ in containers(inner))
    return found


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ..."
