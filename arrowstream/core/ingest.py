"""Conversion of rows from outside into batches of one schema.

"Arrow-like" is any object with ``__arrow_c_array__`` or ``__arrow_c_stream__``: those of Polars, pyarrow, DuckDB,
pandas and many more. It becomes `Batch`es, cast once to the schema that the pipeline was built for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import polars as pl
import pyarrow as pa

from arrowstream.core.batch import Batch, to_frame
from arrowstream.core.rows.arrow_schema import arrow_schema
from arrowstream.core.rows.arrow_types import no_rows, polars_schema
from arrowstream.core.rows.pandas_frames import from_pandas
from arrowstream.errors import SchemaError


def no_frame(
    data: Any,
    what: str = "this is not a frame",
    expected: str = "an Arrow-like object: a Polars or pandas frame, a pyarrow Table or RecordBatch, ...",
) -> SchemaError:
    """Return the error for an object that is not a frame."""
    if data is None:
        hint = "a function without `return` returns None"
    elif isinstance(data, pl.LazyFrame):
        hint = "call .collect() on it first, or give it to Source.from_frame"
    elif (
        hasattr(data, "__arrow_c_stream__") or hasattr(data, "__arrow_c_array__") or hasattr(data, "to_frame")
    ):
        hint = 'it is one column: make a frame of it first, such as pl.DataFrame({"x": column})'
    else:
        hint = "make a frame of it first, such as pl.DataFrame(rows)"
    kind = type(data)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return SchemaError(what, expected=expected, found="None" if data is None else name, hint=hint)


def batches_of(data: Any, refuse: Callable[[Any], SchemaError] = no_frame) -> Iterator[Batch]:
    """Yield the batches of one Arrow-like object, sharing its memory where the layouts are the same.

    Parameters
    ----------
    data
        The object.
    refuse
        Returns the error for an object that is not a frame.

    Raises
    ------
    SchemaError
        `data` is not Arrow-like, or a column has a type the engine cannot carry.
    """
    if isinstance(data, Batch):
        yield data
    elif isinstance(data, pl.DataFrame):
        yield Batch(data)
    elif isinstance(data, pa.RecordBatch):
        yield _of_record(data)
    elif type(data).__module__.partition(".")[0] == "pandas":
        frame = from_pandas(data)
        if not isinstance(frame, pl.DataFrame):
            raise refuse(data)
        yield Batch(frame)
    elif hasattr(data, "__arrow_c_stream__"):
        try:
            reader = pa.RecordBatchReader.from_stream(data)
        except pa.ArrowInvalid:  # a stream of arrays, not of records
            raise refuse(data) from None
        found = False
        for record in reader:
            found = True
            yield _of_record(record)
        if not found:
            yield _of_record(no_rows(reader.schema))
    elif hasattr(data, "__arrow_c_array__"):
        try:
            record = pa.record_batch(data)
        except pa.ArrowInvalid:
            raise refuse(data) from None
        yield _of_record(record)
    else:
        raise refuse(data)


def _of_record(record: pa.RecordBatch) -> Batch:
    """Wrap a record that has the engine's own Arrow types; convert any other into a Polars frame."""
    target = arrow_schema(polars_schema(record.schema))
    if record.schema.equals(target, check_metadata=True):
        return Batch(record)
    if record.schema.types == target.types:
        return Batch(pa.RecordBatch.from_arrays(record.columns, schema=target))
    return Batch(to_frame(record))


def schema_of(batch: Batch) -> pl.Schema:
    """Return a batch's Polars schema without converting its rows."""
    return batch.polars().schema if batch.is_polars else polars_schema(batch.arrow().schema)


def conform(batch: Batch, schema: pl.Schema) -> Batch:
    """Return the batch with exactly `schema`: reorder columns, and widen types where no value can be lost.

    Raises
    ------
    SchemaError
        A column is missing, is not in `schema`, or has a type that does not fit.
    """
    if not batch.is_polars and batch.arrow().schema.equals(arrow_schema(schema), check_metadata=True):
        return batch
    frame = batch.polars()
    found = frame.schema
    if found == schema:
        return batch
    missing = [name for name in schema if name not in found]
    extra = [name for name in found if name not in schema]
    unfit = [name for name in schema if name in found and not fits(found[name], schema[name])]
    try:
        if not (missing or extra or unfit):
            fitted = frame.select(pl.col(name).cast(dtype) for name, dtype in schema.items())
            unfit = [name for name in schema if _loses(frame[name], fitted[name])]
            if not unfit:
                return batch.with_rows(fitted)
        cause = None
    except pl.exceptions.PolarsError as error:
        cause = error
    wrong = [f"{name}: {schema[name]} missing" for name in missing]
    wrong += [f"{name}: {found[name]} unexpected" for name in extra]
    wrong += [f"{name}: {found[name]} instead of {schema[name]}" for name in unfit]
    raise SchemaError(
        "a batch does not have the schema of its stream",
        expected=", ".join(f"{name}: {dtype}" for name, dtype in schema.items()),
        found="; ".join(wrong) or str(cause).splitlines()[0],
        hint="select, rename or cast the columns before sending them; every batch of a stream has one schema",
    ) from cause


def fits(found: pl.DataType, expected: pl.DataType) -> bool:
    """Return whether values of type `found` may be used where `expected` is needed.

    This holds if a strict cast keeps every value or raises. From 64-bit integers to Float64 it may round instead, so
    `conform` compares the values with those before.
    """
    if found == expected or found == pl.Null:
        return True
    if found.is_integer():
        return expected.is_integer() or expected == pl.Float64
    if found == pl.Float32:
        return expected == pl.Float64
    if found in (pl.String, pl.Categorical, pl.Enum):
        return expected in (pl.String, pl.Categorical, pl.Enum)
    if isinstance(found, pl.Datetime) and isinstance(expected, pl.Datetime):
        return found.time_zone == expected.time_zone and _finer(found.time_unit, expected.time_unit)
    if isinstance(found, pl.Duration) and isinstance(expected, pl.Duration):
        return _finer(found.time_unit, expected.time_unit)
    return False


def _finer(found: str, expected: str) -> bool:
    units = ("ms", "us", "ns")
    return units.index(found) <= units.index(expected)


def _loses(before: pl.Series, after: pl.Series) -> bool:
    """Return whether a cast has rounded a value: a Float64 holds whole numbers of up to 53 bits."""
    if not (after.dtype == pl.Float64 and before.dtype in (pl.Int64, pl.UInt64)):
        return False
    return not after.cast(before.dtype, strict=False).equals(before)
