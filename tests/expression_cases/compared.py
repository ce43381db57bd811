"""How a backend's rows are compared with Polars'."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
from kernel_calls import step_by_step

from arrowstream.core.batch import to_record
from arrowstream.operators.with_columns import WithColumns
from arrowstream.plan.segment import Segment


def segment_of(expression: pl.Expr, schema: pl.Schema) -> Segment:
    """The segment that adds an expression's column, ``result``, to the columns of `schema`."""
    step = WithColumns.of(result=expression)
    return Segment((step,), schema, step.apply(pl.LazyFrame(schema=schema)).collect_schema())


def on_polars(segment: Segment, frame: pl.DataFrame) -> pl.DataFrame:
    """What Polars gives for these rows in a longer frame: a column of one row is divided differently."""
    longer = pl.DataFrame([column.clone().extend(column) for column in frame])
    return step_by_step(segment, longer).head(frame.height)


def assert_same(found: pa.RecordBatch, frame: pl.DataFrame, ulps: int = 0) -> None:
    """The same rows and schema, bit for bit; floats up to `ulps` units in the last place."""
    expected = to_record(frame)
    assert found.schema.equals(expected.schema, check_metadata=True)
    assert found.num_rows == expected.num_rows
    for mine, theirs in zip(found.columns, expected.columns, strict=True):
        mine.validate(full=True)
        if pa.types.is_dictionary(mine.type):
            assert mine.dictionary_decode().equals(theirs.dictionary_decode())
        elif pa.types.is_floating(mine.type):
            assert mine.is_valid().equals(theirs.is_valid())
            assert_close(mine.drop_null().to_numpy(), theirs.drop_null().to_numpy(), ulps)
        else:
            assert mine.equals(theirs), f"{mine} is not {theirs}"


def assert_close(found: np.ndarray, expected: np.ndarray, ulps: int) -> None:
    """Equal to the bit, a NaN being like any other; or a few bits from it, where `ulps` says so."""
    same = np.isnan(found) & np.isnan(expected)
    bits = np.int32 if found.dtype == np.float32 else np.int64
    distance = np.abs(found.view(bits).astype(object) - expected.view(bits).astype(object))
    assert np.all(same | (distance <= ulps)), f"{found} is not {expected}"
