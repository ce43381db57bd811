"""Schemas as users declare them: a Polars or Arrow schema, pairs, or a mapping of names to types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl
import pyarrow as pa

from arrowstream.core.hints import type_name_hint
from arrowstream.core.rows.arrow_schema import arrow_schema
from arrowstream.core.rows.arrow_types import polars_schema
from arrowstream.errors import PlanError, SchemaError

SchemaLike = pl.Schema | pa.Schema | Mapping[str, Any] | Iterable[tuple[str, Any]]
"""Names and types. A type is one of Polars, pyarrow or Python, such as ``pl.Int64``, ``pa.int64()`` or ``int``."""


def declared_schema(step: str, schema: Any) -> pl.Schema | None:
    """Return the schema that a user declared, or None if it must be learnt from the first batch.

    Parameters
    ----------
    step
        Name of the method that takes the schema, for errors: ``from_frame``.
    schema
        A `SchemaLike`, or None.

    Raises
    ------
    PlanError
        `schema` is not a `SchemaLike`.
    SchemaError
        A name occurs twice, or Polars or Arrow does not have a type.

    Examples
    --------
    >>> import pyarrow as pa
    >>> dict(declared_schema("from_frame", [("x", int), ("day", pa.date32())]))
    {'x': Int64, 'day': Date}
    """
    if schema is None:
        return None
    if isinstance(schema, pa.Schema):
        return polars_schema(schema)
    declared: dict[str, pl.DataType] = {}
    for name, dtype in _pairs(step, schema):
        if name in declared:
            raise SchemaError(
                f"{step}(schema=...) names a column twice",
                expected="each name once",
                found=repr(name),
            )
        declared[name] = _type(step, name, dtype)
    checked = pl.Schema(declared)
    arrow_schema(checked)
    return checked


def _pairs(step: str, schema: Any) -> list[tuple[str, Any]]:
    items = schema.items() if isinstance(schema, Mapping) else schema
    if isinstance(items, Iterable) and not isinstance(items, str | bytes):
        pairs = list(items)
        if all(
            isinstance(pair, tuple | list) and len(pair) == 2 and isinstance(pair[0], str) for pair in pairs
        ):
            return [(name, dtype) for name, dtype in pairs]
    raise PlanError(
        f"{step}(schema=...) needs names and types",
        expected='a pl.Schema, a pa.Schema, pairs, or a dict such as {"x": pl.Int64}',
        found=f"{type(schema).__name__} {schema!r}",
    )


def _hint(dtype: Any, error: BaseException) -> str | None:
    named = type_name_hint(dtype) if isinstance(dtype, str) else None
    return named or (str(error).splitlines()[0] if str(error) else None)


def _type(step: str, name: str, dtype: Any) -> pl.DataType:
    if isinstance(dtype, pa.DataType):
        return polars_schema(pa.schema([(name, dtype)]))[name]
    try:
        # A frame completes a type without parameters, such as `pl.Datetime`, to one exact type.
        found = pl.DataFrame(schema={name: dtype}).schema[name]
        if isinstance(dtype, str) or dtype is None or not isinstance(found, pl.DataType):
            raise TypeError(f"{dtype!r} is not a type")
    except (TypeError, ValueError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise SchemaError(
            f"{name!r} has no type in {step}(schema=...)",
            expected="a type of Polars, pyarrow or Python, such as pl.Int64, pa.int64() or int",
            found=repr(dtype),
            hint=_hint(dtype, error),
        ) from None
    return found
