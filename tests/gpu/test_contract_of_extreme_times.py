"""Times near the ends of what their bits hold: every backend gives Polars' value, its null, or an error."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from itertools import product

import polars as pl
import pyarrow as pa
import pytest
from expression_cases.compared import segment_of
from gpu.tried_backends import BACKENDS, Compute, OnGpu, TriedBackend, fake_gpu

from arrowstream.core.batch import to_record
from arrowstream.expressions.program import Refusal
from arrowstream.plan.lowering.lower import lower

MOST = 2**63 - 1
DATE = pl.Date()
STAMPS = [pl.Datetime(unit, zone) for unit in ("ms", "us", "ns") for zone in (None, "UTC")]
SPANS = [pl.Duration(unit) for unit in ("ms", "us", "ns")]
MOMENTS: list[pl.DataType] = [DATE, *STAMPS, *SPANS]
CORNERS = [0, -1, 999, -1_001, MOST, -MOST, -MOST - 1, None]
CORNERS += [
    sign * (MOST // factor + step) for factor in (10**3, 10**6) for sign in (1, -1) for step in (-1, 0, 1, 2)
]
CORNERS += [
    days * 86_400_000 + ms for days in (2**31 - 1, 2**31, -(2**31), -(2**31) - 1) for ms in (0, 5, 86_399_999)
]
"""The first and last dates of 32 bits, and their neighbours, in milliseconds."""
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
ERRORS = (pl.exceptions.PolarsError, pl.exceptions.PanicException, pa.ArrowInvalid)


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[TriedBackend]:
    if request.param is fake_gpu:
        request.getfixturevalue("packages")
    with request.param() as tried:
        yield tried


def computed(backend: TriedBackend, expression: pl.Expr, schema: pl.Schema) -> Compute:
    segment = segment_of(expression, schema)
    compute = backend.prepare(segment, lower(segment))
    assert not isinstance(compute, Refusal), str(compute)
    return compute


def result(compute: Compute, frame: pl.DataFrame) -> pl.Series | None:
    """The column, or None if the rows are left to Polars."""
    rows = compute(to_record(frame)).rows
    return None if rows is None else pl.DataFrame(rows)["result"]


def corners(dtype: pl.DataType) -> pl.DataFrame:
    values, physical = (DAYS, pl.Int32) if dtype == DATE else (CORNERS, pl.Int64)
    return pl.DataFrame({"x": pl.Series(values, dtype=physical).cast(dtype)})


def one_by_one(frame: pl.DataFrame, expression: pl.Expr) -> list[object]:
    """What Polars computes of each row alone, as the integer underneath."""
    found: list[object] = []
    for place in range(frame.height):
        try:
            found.append(frame[place : place + 1].select(expression).to_series().to_physical()[0])
        except ERRORS:
            found.append(FAILED)
    return found


def castable(source: pl.DataType, target: pl.DataType) -> bool:
    if isinstance(source, pl.Duration) or isinstance(target, pl.Duration):
        return isinstance(source, pl.Duration) and isinstance(target, pl.Duration)
    return getattr(source, "time_zone", None) == getattr(target, "time_zone", None)


@pytest.mark.untraced
@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    ("source", "target"),
    [(a, b) for a, b in product(MOMENTS, MOMENTS) if a != b and castable(a, b)],
    ids=str,
)
def test_casts_between_units(
    backend: TriedBackend, source: pl.DataType, target: pl.DataType, strict: bool
) -> None:
    frame = corners(source)
    cast = pl.col("x").cast(target, strict=strict)
    compute = computed(backend, cast, frame.schema)
    expected = one_by_one(frame, cast)
    for place, value in enumerate(expected):
        row = frame[place : place + 1]
        if value != FAILED:
            found = result(compute, row)
            assert found is not None and found.to_physical()[0] == value
        elif isinstance(backend, OnGpu):
            assert result(compute, row) is None
        else:
            with pytest.raises(ERRORS):
                result(compute, row)
    if not strict:
        found = result(compute, frame)
        assert found is not None and found.to_physical().to_list() == expected
    assert (FAILED in expected) <= strict


def test_differences_of_dates(backend: TriedBackend) -> None:
    pairs = list(product(DAYS, DAYS))
    days = [pl.Series(side, dtype=pl.Int32).cast(pl.Date) for side in zip(*pairs, strict=True)]
    frame = pl.DataFrame(days, schema=["x", "y"])
    near = frame.filter(pl.all_horizontal(pl.all().is_between(dt.date(1, 1, 1), dt.date(9999, 12, 31))))
    for expression in (
        pl.col("x") - pl.col("y"),
        pl.col("x") - pl.lit(dt.date(9999, 12, 31)),
        pl.lit(dt.date(1, 1, 1)) - pl.col("y"),
    ):
        compute = computed(backend, expression, frame.schema)
        found = result(compute, frame)
        if isinstance(backend, OnGpu):
            assert found is None  # Polars gives null where 64 bits cannot hold a date
        else:
            assert found is not None and found.equals(frame.select(x=expression)["x"])
        found = result(compute, near)
        assert found is not None and found.equals(near.select(x=expression)["x"])
