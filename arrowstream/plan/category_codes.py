"""The integer codes of a Categorical, which depend on the order in which its values came.

A batch may give a value another code than the batch before it, so no result may show one.
"""

from __future__ import annotations

from typing import Any

import polars as pl


def parts_of_type(dtype: Any) -> list[Any]:
    """The types just inside a list, array or struct."""
    match dtype:
        case pl.List() | pl.Array():
            return [dtype.inner]
        case pl.Struct():
            return [field.dtype for field in dtype.fields]
        case _:
            return []


def has_categories(dtype: Any) -> bool:
    """Whether a Categorical is in it, at any depth."""
    return isinstance(dtype, pl.Categorical) or any(map(has_categories, parts_of_type(dtype)))


def exposes_codes(source: Any, target: Any) -> bool:
    """Whether a cast from `source` to `target` makes numbers of categories."""
    match source, target:
        case pl.Categorical(), _:
            return not isinstance(target, pl.Categorical | pl.Enum | pl.String)
        case ((pl.List() | pl.Array()), (pl.List() | pl.Array())):
            return exposes_codes(source.inner, target.inner)
        case _:
            return has_categories(source) and not has_categories(target)
