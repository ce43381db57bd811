"""The integer codes of a Categorical, which depend on the order in which its values came.

A batch may give a value another code than the batch before it, so no result may show one.
"""

from __future__ import annotations

import json
from typing import Any

import polars as pl


def has_categories(dtype: Any) -> bool:
    match dtype:
        case pl.Categorical():
            return True
        case pl.List() | pl.Array():
            return has_categories(dtype.inner)
        case pl.Struct():
            return any(has_categories(field.dtype) for field in dtype.fields)
        case _:
            return False


def exposes_codes(source: Any, target: Any) -> bool:
    """Whether a cast from `source` to `target` makes numbers of categories."""
    match source, target:
        case pl.Categorical(), _:
            return not isinstance(target, pl.Categorical | pl.Enum | pl.String)
        case ((pl.List() | pl.Array()), (pl.List() | pl.Array())):
            return exposes_codes(source.inner, target.inner)
        case _:
            return has_categories(source) and not has_categories(target)


def mentions_categories(schema: pl.Schema, tree: Any) -> bool:
    return any(map(has_categories, schema.dtypes())) or '"Categorical"' in json.dumps(tree)
