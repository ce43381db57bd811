"""The columns of aggregations: one expression for each of several columns, and the columns that they read."""

from __future__ import annotations

import json
from collections.abc import Sequence

import polars as pl
import polars.selectors as cs

from arrowstream.core.rows.empty_frames import no_rows
from arrowstream.expressions.rebuild import NotRebuilt, rebuild
from arrowstream.expressions.tree import DEEPEST, containers, levels, tree_of


def expanded(exprs: Sequence[pl.Expr], schema: pl.Schema, keys: Sequence[str]) -> list[pl.Expr]:
    """Return the expressions, with one that contains a single selector replaced by one for each of its columns."""
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
    names = cs.expand_selector(no_rows(values), selector)
    before, after = json.dumps(tree).split(json.dumps(selectors[0]))
    try:
        return [rebuild(json.loads(f"{before}{json.dumps({'Column': name})}{after}")) for name in names]
    except NotRebuilt:
        return [expr]


def columns_of(exprs: Sequence[pl.Expr], schema: pl.Schema, keys: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that expressions read: all but the keys if one of them selects columns itself."""
    names: set[str] = set()
    for expr in exprs:
        roots = expr.meta.root_names()
        chooses = expr.meta.has_multiple_outputs() or not roots
        names.update((name for name in schema if name not in keys) if chooses else roots)
    return tuple(name for name in schema if name in names)
