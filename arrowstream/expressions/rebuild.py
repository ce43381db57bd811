"""Polars expressions made from their serialised trees, and the types of their results."""

from __future__ import annotations

import io
import json
from typing import Any

import polars as pl


class NotRebuilt(Exception):
    """A tree gives no expression: JSON has neither NaN nor infinity, and Polars reads at most 127 levels of it."""


def rebuild(tree: Any) -> pl.Expr:
    """Return the expression of a serialised tree.

    Raises
    ------
    NotRebuilt
        The tree holds NaN or infinity, is too deep, or is of another version of Polars.
    """
    return _read(json.dumps(tree))


def column_types(tree: Any, schema: pl.Schema) -> list[pl.DataType] | None:
    """Return the types of the columns that a tree gives over rows of `schema`; None if it cannot stand alone."""
    text = json.dumps(tree)
    # NaN and infinity, which JSON writes as null, have the same type as zero.
    for kind in ("Float", "Float64", "Float32"):
        text = text.replace(f'{{"{kind}": null}}', f'{{"{kind}": 0.0}}')
    try:
        return pl.LazyFrame(schema=schema).select(_read(text)).collect_schema().dtypes()
    except (NotRebuilt, pl.exceptions.PolarsError):
        return None


def cast_type(tree: Any, schema: pl.Schema | None = None) -> pl.DataType:
    """Return the type that a ``Cast`` node casts to; it needs `schema` if the type is taken from a column."""
    cast = {**tree["Cast"], "expr": {"Literal": {"Scalar": {"Null": "Null"}}}}
    frame = pl.LazyFrame(schema=schema or {})
    return frame.select(rebuild({"Cast": cast})).collect_schema().dtypes()[0]


def _read(text: str) -> pl.Expr:
    try:
        return pl.Expr.deserialize(io.BytesIO(text.encode()), format="json")
    except pl.exceptions.PolarsError as error:
        raise NotRebuilt(str(error)) from error
