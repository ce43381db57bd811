"""Polars expressions from their serialised trees, and the types of what they give."""

from __future__ import annotations

import io
import json
from typing import Any

import polars as pl


class NotRebuilt(Exception):
    """A tree gives no expression: JSON holds no NaN and no infinity, and Polars reads at most 127 levels of it."""


def rebuild(tree: Any) -> pl.Expr:
    """The expression of a serialised tree.

    Raises
    ------
    NotRebuilt
        NaN or infinity is in it, it is too deep, or it is of another version of Polars.
    """
    return _read(json.dumps(tree))


def column_types(tree: Any, schema: pl.Schema) -> list[pl.DataType] | None:
    """The types of the columns a tree gives over rows of `schema`; None if it cannot stand alone."""
    text = json.dumps(tree)
    # NaN and infinity, which JSON writes as null, are of the same type as zero.
    for kind in ("Float", "Float64", "Float32"):
        text = text.replace(f'{{"{kind}": null}}', f'{{"{kind}": 0.0}}')
    try:
        return pl.LazyFrame(schema=schema).select(_read(text)).collect_schema().dtypes()
    except (NotRebuilt, pl.exceptions.PolarsError):
        return None


def cast_type(tree: Any, schema: pl.Schema | None = None) -> pl.DataType:
    """The type a ``Cast`` node casts to; `schema` is for one that is taken from a column."""
    cast = {**tree["Cast"], "expr": {"Literal": {"Scalar": {"Null": "Null"}}}}
    frame = pl.LazyFrame(schema=schema or {})
    return frame.select(rebuild({"Cast": cast})).collect_schema().dtypes()[0]


def _read(text: str) -> pl.Expr:
    try:
        return pl.Expr.deserialize(io.BytesIO(text.encode()), format="json")
    except pl.exceptions.PolarsError as error:
        raise NotRebuilt(str(error)) from error
