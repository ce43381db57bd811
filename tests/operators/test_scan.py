"""`scan`: running values equal those of Polars over the whole input, whatever the cuts, keys and snapshots."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from strategies import cuts, frames

from arrowstream.batch import Batch
from arrowstream.operators.base import Process
from arrowstream.operators.scan import Scan
from arrowstream.plan.locality import check

X = pl.col("x")
NUMBERS = [pl.Int8, pl.Int32, pl.Int64, pl.UInt8, pl.UInt32, pl.UInt64, pl.Float32, pl.Float64]
MOMENTS = [pl.Date, pl.Time, pl.Datetime("us"), pl.Datetime("ns", "UTC"), pl.Duration("ms")]
ANY = [*NUMBERS, *MOMENTS, pl.Boolean, pl.String, pl.Categorical, pl.List(pl.Int64), pl.Decimal(12, 2)]

EXACT: dict[str, tuple[Callable[[], pl.Expr], list[Any]]] = {
    "cum_sum": (lambda: X.cum_sum(), [*NUMBERS, pl.Boolean, pl.Duration("us")]),
    "cum_prod": (lambda: X.cum_prod(), NUMBERS),
    "cum_min": (lambda: X.cum_min(), [*NUMBERS, *MOMENTS, pl.Boolean]),
    "cum_max": (lambda: X.cum_max(), [*NUMBERS, *MOMENTS, pl.Boolean]),
    "cum_count": (lambda: X.cum_count(), ANY),
    "shift": (lambda: X.shift(1), ANY),
    "shift far": (lambda: X.shift(3), ANY),
    "forward_fill": (lambda: X.forward_fill(), ANY),
    "diff": (
        lambda: X.diff(2),
        [pl.Int8, pl.Int32, pl.UInt8, pl.UInt32, pl.Float32, pl.Float64, *MOMENTS[2:], pl.Date],
    ),
    "rolling_sum": (lambda: X.rolling_sum(3), [pl.Int8, pl.Int32, pl.UInt8]),
    "rolling_min": (lambda: X.rolling_min(5, min_samples=2), [pl.Int8, pl.Int64, pl.UInt32]),
    "rolling_max": (lambda: X.rolling_max(1), [pl.Int8, pl.Int64, pl.UInt32]),
    "rolling_mean": (lambda: X.rolling_mean(4, min_samples=1), [pl.Int8, pl.UInt8]),
    "of running": (lambda: (X.cum_sum() * 2 + X.shift(1)).cum_max(), [pl.Int8, pl.Int32]),
}


def scan_of(schema: pl.Schema, by: Any, *exprs: Any, **options: Any) -> Process:
    named = {name: options.pop(name) for name in list(options) if name not in ("max_keys", "on_full")}
    return Scan.of(check, exprs, named, by=by, **options).start(schema)


def out(process: Process, batches: list[pl.DataFrame]) -> list[pl.DataFrame]:
    return [part.polars() for batch in batches for part in process.process(Batch(batch))]


@pytest.mark.parametrize("name", EXACT)
@settings(max_examples=15, deadline=None)
@given(data=st.data(), by=st.sampled_from([None, "k", ["k", "j"]]))
def test_equals_polars_over_the_whole(name: str, by: Any, data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from(EXACT[name][1]))
    dtype = dtype if isinstance(dtype, pl.DataType) else dtype()
    whole = data.draw(frames({"k": pl.Int8(), "j": pl.Boolean(), "x": dtype}, max_rows=30))
    whole = whole.with_columns(k=pl.col("k") % 3)
    batches, cut = data.draw(cuts(whole)), data.draw(st.integers(0, 5))
    expr = EXACT[name][0]()
    expected = whole.with_columns(y=expr if by is None else expr.over(by))
    first = scan_of(whole.schema, by, y=expr)
    found = out(first, batches[:cut])
    second = scan_of(whole.schema, by, y=expr)
    second.restore(first.snapshot())
    found += out(second, batches[cut:])
    assert list(second.finish()) == []
    assert_frame_equal(
        pl.concat([expected.clear(), *found]), expected, check_exact=True, categorical_as_str=True
    )


@pytest.mark.parametrize("function", ["rolling_sum", "rolling_mean", "rolling_min", "rolling_max"])
@settings(max_examples=25)
@given(data=st.data(), window=st.integers(1, 9))
def test_rolling_floats_depend_on_their_window_alone(function: str, window: int, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.none() | st.floats(-1e3, 1e3, width=32), max_size=30))
    whole = pl.DataFrame(
        {"k": [i % 2 for i in range(len(values))], "x": values}, schema={"k": pl.Int64, "x": pl.Float64}
    )
    expr = getattr(X, function)(window, min_samples=1)
    found = pl.concat(
        [whole.clear().with_columns(y=X), *out(scan_of(whole.schema, "k", y=expr), data.draw(cuts(whole)))]
    )
    assert_frame_equal(
        found, whole.with_columns(y=expr.over("k")), check_exact=False, rel_tol=1e-9, abs_tol=1e-7
    )
    # The same rows after others: not a bit may differ.
    lead = pl.DataFrame({"k": [0, 1] * window, "x": [1e300] * 2 * window})
    process = scan_of(whole.schema, "k", y=expr)
    out(process, [lead])
    later = pl.concat([found.clear(), *out(process, data.draw(cuts(whole)))])
    assert later.slice(2 * window).equals(found.slice(2 * window))
