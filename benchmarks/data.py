"""The rows that the in-memory benchmarks share, and the two steps run over them: map and filter."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from arrowstream import Builder

DOUBLED = pl.col("x") * 2
LARGE = pl.col("x") > 100


def record(rows: int, seed: int = 0) -> pa.RecordBatch:
    """An int64 and a float64 column; half of the rows pass the filter."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 100, rows)
    x[: rows // 2 + 1] += 51
    return pa.RecordBatch.from_pydict({"x": rng.permutation(x), "y": rng.random(rows)})


def steps(builder: Builder) -> Builder:
    """Map and filter as a user writes them."""
    return builder.map(x=DOUBLED).filter(LARGE)


def by_arrow(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The same with Arrow's kernels, called by hand."""
    x = pc.multiply(batch.column(0), 2)
    batch = batch.set_column(0, batch.schema.field(0), x)
    return batch.filter(pc.greater(x, 100))


def by_polars(frame: pl.DataFrame) -> pl.DataFrame:
    """The same in Polars, by hand, the way that is faster for so many rows."""
    if frame.height < 20_000:
        return frame.with_columns(x=DOUBLED).filter(LARGE)
    return frame.lazy().with_columns(x=DOUBLED).filter(LARGE).collect()
