"""The Arrow types that rows from outside may have: those that Polars also has."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache

import polars as pl
import pyarrow as pa

from arrowstream.core.batch import to_frame
from arrowstream.core.rows.arrow_schema import arrow_schema
from arrowstream.errors import SchemaError

# On some types that it does not have, Polars panics, which does not derive from Exception.
UNFIT = (pl.exceptions.PolarsError, pl.exceptions.PanicException, pa.ArrowException, ValueError)
"""Exceptions of Polars and pyarrow for a type that they cannot hold."""


def polars_schema(schema: pa.Schema) -> pl.Schema:
    """Convert an Arrow schema into the Polars schema of its rows.

    Raises
    ------
    SchemaError
        Polars cannot hold one of the types, or two columns share a name; the error names the columns.
    """
    # Up to pyarrow 20 a schema with metadata, if only an empty mapping, has no hash.
    return _polars_schema(schema if schema.metadata is None else schema.remove_metadata())


@lru_cache(maxsize=512)
def _polars_schema(schema: pa.Schema) -> pl.Schema:
    try:
        return to_frame(no_rows(schema)).schema
    except UNFIT as error:
        raise unfit_columns(schema, error) from None


def no_rows(schema: pa.Schema) -> pa.RecordBatch:
    """Return a RecordBatch without rows."""
    # Not schema.empty_table(): before pyarrow 20 it cannot make dictionaries, the Arrow type of categories.
    return pa.RecordBatch.from_arrays([pa.nulls(0, dtype) for dtype in schema.types], schema=schema)


def unfit_columns(schema: pa.Schema, error: BaseException, where: str = "") -> SchemaError:
    """Return the error for an Arrow schema whose rows Polars cannot hold.

    Parameters
    ----------
    schema
        The schema of the rows.
    error
        The error that Polars or pyarrow raised for it.
    where
        Origin of the columns, as it ends a phrase: ``" of x.parquet"``.
    """
    twice = [name for name, count in Counter(schema.names).items() if count > 1]
    if twice:
        return SchemaError(
            f"several columns{where} are called {twice[0]!r}",
            expected="each column under a name of its own",
            found=", ".join(schema.names),
            hint="rename or drop all but one of them before the rows enter the pipeline",
        )
    unfit = [field for field in schema if not _is_fit(field)]
    columns = f"column{'s' if len(unfit) > 1 else ''} {', '.join(repr(field.name) for field in unfit)}"
    return SchemaError(
        f"Polars has no type for {columns if unfit else 'one of the columns'}{where}",
        expected="types that Polars has",
        found=", ".join(f"{field.name}: {field.type}" for field in unfit or schema),
        hint=f"cast or drop the column before the rows enter the pipeline ({str(error).splitlines()[0]})",
    )


def _is_fit(field: pa.Field) -> bool:
    try:
        arrow_schema(to_frame(no_rows(pa.schema([field]))).schema)
    except (*UNFIT, SchemaError):
        return False
    return True
