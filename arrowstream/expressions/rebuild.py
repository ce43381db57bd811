"""Polars expressions from their serialised trees."""

from __future__ import annotations

import io
import json
from typing import Any

import polars as pl


def rebuild(tree: Any) -> pl.Expr:
    """The expression of a serialised tree; NaN and infinities, which JSON cannot hold, become 0.0."""
    text = json.dumps(tree)
    for kind in ("Float", "Float64", "Float32"):
        text = text.replace(f'{{"{kind}": null}}', f'{{"{kind}": 0.0}}')
    return pl.Expr.deserialize(io.BytesIO(text.encode()), format="json")


def cast_type(tree: Any, schema: pl.Schema | None = None) -> pl.DataType:
    """The type a ``Cast`` node casts to; `schema` is for one that is taken from a column."""
    cast = {**tree["Cast"], "expr": {"Literal": {"Scalar": {"Null": "Null"}}}}
    frame = pl.LazyFrame(schema=schema or {})
    return frame.select(rebuild({"Cast": cast})).collect_schema().dtypes()[0]
