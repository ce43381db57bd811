"""Times near the ends of what their bits hold: both backends give Polars' value, its null, or an error."""

from __future__ import annotations

import datetime as dt
from itertools import product
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from kernel_calls import in_arrow

from arrowstream import Pipeline, Source
from arrowstream.core.batch import Batch
from arrowstream.errors import StageError

MOST = 2**63 - 1
DATE = pl.Date()
STAMPS = [pl.Datetime(unit, zone) for unit in ("ms", "us", "ns") for zone in (None, "UTC")]
SPANS = [pl.Duration(unit) for unit in ("ms", "us", "ns")]
MOMENTS: list[pl.DataType] = [DATE, *STAMPS, *SPANS]
CORNERS = [0, -1, 999, -1_001, MOST, -MOST, -MOST - 1, None]
CORNERS += [
    sign * (MOST // factor + step) for factor in (10**3, 10**6) for sign in (1, -1) for step in (-1, 0, 1, 2)
]
DAYS = [
    0,
    -1,
    2_932_896,
    -719_162,
    106_751,
    106_752,
    -106_752,
    -106_753,
    106_751_991,
    106_751_992,
    -106_751_992,
]
DAYS += [2**31 - 1, -(2**31), None]
FAILED = "an error"


def corners(dtype: pl.DataType) -> pl.DataFrame:
    values, physical = (DAYS, pl.Int32) if dtype == DATE else (CORNERS, pl.Int64)
    return pl.DataFrame({"x": pl.Series(values, dtype=physical).cast(dtype)})


def one_by_one(frame: pl.DataFrame, compute: Any) -> list[Any]:
    """What is computed of each row alone, as the integer underneath."""
    found: list[Any] = []
    for place in range(frame.height):
        try:
            found.append(compute(frame[place : place + 1]).to_physical()[0])
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, pa.ArrowInvalid):
            found.append(FAILED)
    return found


def castable(source: pl.DataType, target: pl.DataType) -> bool:
    if isinstance(source, pl.Duration) or isinstance(target, pl.Duration):
        return isinstance(source, pl.Duration) and isinstance(target, pl.Duration)
    return getattr(source, "time_zone", None) == getattr(target, "time_zone", None)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    ("source", "target"),
    [(a, b) for a, b in product(MOMENTS, MOMENTS) if a != b and castable(a, b)],
    ids=str,
)
def test_casts_between_units(source: pl.DataType, target: pl.DataType, strict: bool) -> None:
    frame = corners(source)
    cast = pl.col("x").cast(target, strict=strict)
    arrow = in_arrow(cast, frame.schema)
    expected = one_by_one(frame, lambda row: row.select(cast).to_series())
    assert one_by_one(frame, lambda row: arrow(Batch(row).arrow())) == expected
    if not strict:
        assert arrow(Batch(frame).arrow()).to_physical().to_list() == expected
    assert (FAILED in expected) <= strict


def test_differences_of_dates() -> None:
    pairs = list(product(DAYS, DAYS))
    days = [pl.Series(side, dtype=pl.Int32).cast(pl.Date) for side in zip(*pairs, strict=True)]
    frame = pl.DataFrame(days, schema=["x", "y"])
    for expr in (
        pl.col("x") - pl.col("y"),
        pl.col("x") - pl.lit(dt.date(9999, 12, 31)),
        pl.lit(dt.date(1, 1, 1)) - pl.col("y"),
    ):
        assert in_arrow(expr, frame.schema)(Batch(frame).arrow()).equals(frame.select(x=expr)["x"])


@pytest.mark.parametrize("pin", ["arrow", "polars", "auto"])
@pytest.mark.parametrize("rows", [1, 1_000, 30_000])
def test_a_strict_cast_fails_and_another_gives_null_whatever_the_batch(pin: str, rows: int) -> None:
    last = dt.datetime(9999, 12, 31)
    frame = pl.DataFrame({"x": [last] + [dt.datetime(2026, 1, 1)] * (rows - 1)})
    builder = Pipeline.builder().source(Source.from_frame(frame))
    with pytest.raises(StageError) as raised:
        builder.cast({"x": pl.Datetime("ns")}).backend(pin).collect_sync()
    assert raised.value.hint is not None and "strict=False" in raised.value.hint
    found = builder.cast({"x": pl.Datetime("ns")}, strict=False).backend(pin).collect_sync()
    assert found["x"].null_count() == 1 and found["x"][0] is None
