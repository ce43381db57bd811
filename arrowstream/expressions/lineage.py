"""The names under which a step passes columns on, such as those of event time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import polars as pl

from arrowstream.expressions.tree import tree_of

Names = frozenset[str]

_ANY = ""
"""A column whose name only a schema gives."""

_UNITS_AND_ZONES = {"CastTimeUnit", "ConvertTimeZone", "ReplaceTimeZone"}
"""Functions that give the same time in another unit or zone."""


class Lineage:
    """A step that knows under which names it passes columns on."""

    __slots__ = ()

    ends_repeat: ClassVar[bool] = False
    """True if the step gives windows of which several of one key may have one end."""

    @property
    def time_column(self) -> str | None:
        """The column of event time that the step gives its rows; None if they keep theirs."""
        return None

    def names_after(self, names: Names) -> Names | None:
        """Return under which names columns come out; by default, as of a function, under their own.

        Parameters
        ----------
        names
            Columns of the input whose values matter, such as those of event time.

        Returns
        -------
        The columns of the output with their values; None if only a schema gives their names, or if rows no longer
        belong to a point of time.
        """
        return names


def chosen(exprs: Sequence[pl.Expr], names: Names) -> Names | None:
    """Return the names that columns have if these expressions are all that is chosen."""
    if any(map(_renames_several, exprs)):
        return None
    # Several columns, which are not known without a schema, have their own names.
    kept = names if any(_name(expr) is None for expr in exprs) else frozenset()
    return kept | _copies(exprs, names)


def added(exprs: Sequence[pl.Expr], names: Names) -> Names | None:
    """Return the names that columns have once these expressions are added, or take the place of others."""
    if any(map(_renames_several, exprs)):
        return None
    return names.difference(filter(None, map(_name, exprs))) | _copies(exprs, names)


def _copies(exprs: Iterable[pl.Expr], names: Names) -> Names:
    """Return the names of single columns that copy one of `names`, or one that only a schema gives."""
    found = ((_name(expr), _source(expr)) for expr in exprs)
    return frozenset(name for name, source in found if name is not None and source in {*names, _ANY})


def _renames_several(expr: pl.Expr) -> bool:
    """Return whether an expression copies several columns under new names, which only a schema gives."""
    if _name(expr) is not None or _source(expr) != _ANY:
        return False
    try:
        return "RenameAlias" in tree_of(expr)
    except pl.exceptions.PolarsError:
        return True  # a Python function gives the names


def _name(expr: pl.Expr) -> str | None:
    """Return the name of a column; None for several."""
    try:
        return expr.meta.output_name()
    except pl.exceptions.ComputeError:
        return None


def _source(expr: pl.Expr) -> str | None:
    """Return the column that an expression copies, maybe as another type of time; None if it computes something.

    A column that is chosen by its place or type, and each of several columns, is `_ANY`.
    """
    try:
        tree = tree_of(expr.meta.undo_aliases())
    except pl.exceptions.PolarsError:
        return None
    while (inner := _copied(tree)) is not None:
        tree = inner
    match tree:
        case {"Column": str(name)} | {"Selector": {"ByName": {"names": [str(name)]}}}:
            return name
        case {"Selector": _}:
            return _ANY
        case _:
            return None


def _copied(node: Any) -> Any:
    """Return what a node copies as another type; None for any other node."""
    match node:
        case {"Cast": {"expr": inner}}:
            return inner
        case {"Function": {"input": [inner, *_], "function": "ToPhysical" | {"SetSortedFlag": _}}}:
            return inner
        case {"Function": {"input": [inner, *_], "function": {"TemporalExpr": {**named}}}}:
            return inner if _UNITS_AND_ZONES.issuperset(named) else None
        case _:
            return None
