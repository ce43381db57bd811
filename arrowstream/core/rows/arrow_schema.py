"""The Arrow schema of batches, and the types that have no Arrow form."""

from __future__ import annotations

from functools import lru_cache
from typing import cast

import polars as pl
import pyarrow as pa

from arrowstream.errors import SchemaError

_OLDEST = pl.CompatLevel.oldest()


def arrow_schema(schema: pl.Schema) -> pa.Schema:
    """Return the Arrow schema that batches of this Polars schema have between stages.

    Raises
    ------
    SchemaError
        A column's type has no Arrow form (`Object`, 128-bit integers), or Polars knows it only once rows are there.
    """
    return _arrow_schema(tuple(schema.items()))


@lru_cache(maxsize=512)
def _arrow_schema(items: tuple[tuple[str, pl.DataType], ...]) -> pa.Schema:
    try:
        return _exported_schema(items)
    except _NO_ARROW_FORM as error:
        unfit = [item for item in items if not _has_arrow_form(item)] or items
        if unknown := [name for name, dtype in unfit if _is_unknown(dtype)]:
            raise SchemaError(
                f"Polars {pl.__version__} knows the type of a column only once rows are there",
                expected="expressions of known types",
                found=", ".join(unknown),
                hint='cast a Boolean before you calculate with it: pl.col("b").cast(pl.Int64) * 2',
            ) from error
        raise SchemaError(
            "a column's type has no Arrow form",
            expected="types that Apache Arrow defines",
            found=", ".join(f"{name}: {dtype}" for name, dtype in unfit),
            hint="cast or read the column as another type before it enters the pipeline: Int128 as Int64 or Decimal, "
            "Object as String",
        ) from error


_NO_ARROW_FORM = (pa.ArrowException, pl.exceptions.PolarsError, pl.exceptions.PanicException)


def _has_arrow_form(item: tuple[str, pl.DataType]) -> bool:
    try:
        _exported_schema((item,))
    except _NO_ARROW_FORM:
        return False
    return True


def _is_unknown(dtype: pl.DataType) -> bool:
    """Return whether Polars does not know a type, such as that of a Boolean times a written number in Polars 1.35."""
    if isinstance(dtype, pl.List | pl.Array):
        return _is_unknown(cast(pl.DataType, dtype.inner))
    if isinstance(dtype, pl.Struct):
        return any(_is_unknown(cast(pl.DataType, field.dtype)) for field in dtype.fields)
    return dtype == pl.Unknown


def _exported_schema(items: tuple[tuple[str, pl.DataType], ...]) -> pa.Schema:
    for _, dtype in items:
        # Polars would export the addresses of Python objects as binary, and cannot read its longer decimals.
        if (
            dtype == pl.Object
            or _is_unknown(dtype)
            or (isinstance(dtype, pl.Decimal) and dtype.precision > _DIGITS)
        ):
            raise pa.ArrowInvalid(str(dtype))
        if isinstance(dtype, pl.Array) and 0 in dtype.shape:
            raise pa.ArrowInvalid(str(dtype))
    return pl.DataFrame(schema=dict(items)).to_arrow(compat_level=_OLDEST).schema


_DIGITS = 38  # at most, of a Decimal that Polars computes with
