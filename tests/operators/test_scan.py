"""`scan`: running values equal those of Polars over the whole input, whatever the cuts, keys and snapshots."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest
from contexts import context
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from strategies import corners, cuts, frames, make_series

from arrowstream import Pipeline, Source
from arrowstream.core.batch import Batch
from arrowstream.core.memory_budget import MemoryBudget
from arrowstream.errors import PlanError, SchemaError, StageError
from arrowstream.operators.base import Process
from arrowstream.operators.running import ewm, ewm_plain, rolling_frames
from arrowstream.operators.scan import Scan
from arrowstream.plan.checks.row_local import check
from arrowstream.state import value_log
from arrowstream.state.limit import StateLimit
from arrowstream.state.memory import StateMemory

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
    "ewm_mean": (lambda: X.ewm_mean(alpha=0.3, adjust=False, ignore_nulls=True, min_samples=2), NUMBERS),
    "cum_sum of decimals": (lambda: X.cum_sum(), [pl.Decimal(12, 2)]),
    "cum_min of decimals": (lambda: X.cum_min(), [pl.Decimal(12, 2)]),
    "cum_max of decimals": (lambda: X.cum_max(), [pl.Decimal(12, 2)]),
    "shift filled": (lambda: X.shift(2, fill_value=3), NUMBERS),
    "shift filled with text": (lambda: X.shift(1, fill_value="none"), [pl.String]),
    "shift filled with null": (lambda: X.shift(1, fill_value=None), [pl.Int8]),
    "forward_fill once": (lambda: X.forward_fill(1), ANY),
    "forward_fill thrice": (lambda: X.forward_fill(3), [pl.Int8]),
    "forward_fill never": (lambda: X.forward_fill(0), [pl.Int8]),
    "pct_change": (lambda: X.pct_change(), NUMBERS),
    "pct_change over three rows": (lambda: X.pct_change(3), [pl.Int8, pl.Float64]),
    "rle_id": (lambda: X.rle_id(), [*NUMBERS, *MOMENTS, pl.Boolean, pl.String, pl.Categorical]),
    "rolling_median": (lambda: X.rolling_median(4, min_samples=2), [pl.Int8, pl.UInt32]),
    "of running": (lambda: (X.cum_sum() * 2 + X.shift(1)).cum_max(), [pl.Int8, pl.Int32]),
}


def scan_of(schema: pl.Schema, by: Any, *exprs: Any, **options: Any) -> Process:
    limits = {name: options.pop(name) for name in ("max_keys", "max_bytes", "on_full") if name in options}
    return Scan.of(check, exprs, options, by=by, limit=StateLimit(**limits)).start(schema, context())


def out(process: Process, batches: list[pl.DataFrame]) -> list[pl.DataFrame]:
    return [part.polars() for batch in batches for part in process.process(Batch(batch))]


@pytest.mark.parametrize("name", EXACT)
@settings(max_examples=examples(10))
@given(data=st.data(), by=st.sampled_from([None, "k", ["k", "j"]]))
def test_equals_polars_over_the_whole(name: str, by: Any, data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from(EXACT[name][1]))
    dtype = dtype if isinstance(dtype, pl.DataType) else dtype()
    whole = data.draw(frames({"k": pl.Int8(), "j": pl.Boolean(), "x": dtype}, max_rows=30))
    whole = whole.with_columns(k=pl.col("k") % 3)
    assert_equals_polars(name, by, whole, data.draw(cuts(whole)), data.draw(st.integers(0, 5)))


@pytest.mark.parametrize("name", EXACT)
def test_chosen_rows_equal_polars_over_the_whole(name: str) -> None:
    """Of the first and the last type of each function, and of floats."""
    dtypes = EXACT[name][1]
    for dtype in {
        str(dtype): dtype for dtype in (dtypes[0], dtypes[-1], pl.Float64) if dtype in dtypes
    }.values():
        values = [None, *corners(dtype if isinstance(dtype, pl.DataType) else dtype())][:10]
        column = (
            make_series("x", values, dtype)
            .extend_constant(None, 3)
            .append(make_series("x", values[:3], dtype))
        )
        whole = pl.DataFrame({"k": [number % 3 for number in range(len(column))], "x": column})
        for by in (None, "k"):
            assert_equals_polars(name, by, whole, [whole[:5], whole[:0], whole[5:6], whole[6:]], 2)


def assert_equals_polars(
    name: str, by: Any, whole: pl.DataFrame, batches: list[pl.DataFrame], cut: int
) -> None:
    """Run over the batches, of which the last are run by another process, restored after `cut` of them."""
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


@pytest.mark.parametrize(
    "function", ["rolling_sum", "rolling_mean", "rolling_min", "rolling_max", "rolling_var", "rolling_std"]
)
@settings(max_examples=examples(10))
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


def test_spreads_of_long_windows_are_laid_out_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rolling_frames, "_CELLS", 100)
    whole = pl.DataFrame({"x": np.random.default_rng(2).normal(size=300)})
    exprs = {"v": X.rolling_var(30, min_samples=3, ddof=0), "s": X.rolling_std(30, ddof=2)}
    found = pl.concat(out(scan_of(whole.schema, None, **exprs), [whole[:7], whole[7:250], whole[250:]]))
    assert_frame_equal(found, whole.with_columns(**exprs))


@pytest.mark.parametrize("dtype", [pl.Float32, pl.Float64])
def test_sums_and_products_of_floats_are_those_of_polars_bit_for_bit(dtype: Any) -> None:
    """Keys with very many and with few rows, more keys than 16 bits number, and states that grow on the way."""
    rng = np.random.default_rng(1)
    keys = np.concatenate(
        [rng.permutation(70_000), rng.integers(0, 70_000, 30_000), np.zeros(20_000), [5] * 40]
    )
    keys[rng.integers(0, len(keys), 5_000)] = 3
    whole = pl.DataFrame({"k": keys, "x": rng.normal(size=len(keys)) * 1e6}).cast({"x": dtype})
    whole = whole.with_columns(x=pl.when(pl.col("k") % 7 != 1).then("x"), p=(X / 3e6 + 1))
    exprs = {"y": X.cum_sum(), "z": pl.col("p").cum_prod(), "f": X.forward_fill(), "s": X.shift(2)}
    bounds = [0, 1, 1_000, 80_000, 80_050, len(keys)]
    batches = [whole[start:stop] for start, stop in pairwise(bounds)]
    found = pl.concat(out(scan_of(whole.schema, "k", **exprs), batches))
    expected = whole.with_columns(**{name: expr.over("k") for name, expr in exprs.items()})
    assert_frame_equal(found, expected, check_exact=True)


@pytest.mark.untraced
def test_values_looked_back_to_are_swept_out_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(value_log, "_SPARE", 50)
    schema = pl.Schema({"k": pl.Int64, "x": pl.String})
    memory = MemoryBudget(1 << 40)
    steps = Scan.of(check, (), {"y": X.shift(2), "z": X.forward_fill()}, by="k")
    process = steps.start(schema, context(memory=memory))
    assert isinstance(process, Process)
    held = []
    for start in range(0, 600, 12):
        numbers = pl.Series("x", range(start, start + 12))
        frame = pl.DataFrame({"k": numbers % 3, "x": numbers.cast(pl.String)})
        [found] = out(process, [frame])
        before = (numbers - 6).cast(pl.String)
        assert found["y"].to_list() == [None] * (0 if start else 6) + before[0 if start else 6 :].to_list()
        assert found["z"].to_list() == frame["x"].to_list()
        held.append(memory.held)
    # Two logs of at most 100 texts each, and what keys take.
    assert max(held) < held[0] + 2 * 100 * 40


def spread_rows(rows: int, keys: int, dtype: Any) -> pl.DataFrame:
    """Some keys with many rows and many with few, nulls among the values."""
    rng = np.random.default_rng(rows)
    frame = pl.DataFrame({"k": rng.integers(0, keys, rows) ** 2 // keys, "x": rng.normal(size=rows) * 100})
    # A series: `when` takes an array of truth values for something else, and gives nulls alone.
    kept = pl.Series(rng.random(rows) > 0.2)
    return frame.with_columns(pl.when(kept).then("x").cast(dtype).alias("x"))


def cut_and_restored(whole: pl.DataFrame, bounds: list[int], exprs: dict[str, pl.Expr]) -> pl.DataFrame:
    """What comes out if after every batch a fresh process goes on from a snapshot."""
    process, found = scan_of(whole.schema, "k", **exprs), []
    for start, stop in pairwise(bounds):
        found += out(process, [whole[start:stop]])
        state = process.snapshot()
        process = scan_of(whole.schema, "k", **exprs)
        process.restore(state)
    return pl.concat(found)


EWM: dict[str, Callable[..., pl.Expr]] = {"mean": X.ewm_mean, "var": X.ewm_var, "std": X.ewm_std}


EWM_CASES = [
    (function, adjust, ignore_nulls, dtype)
    for function in EWM
    for adjust in (True, False)
    for ignore_nulls in (True, False)
    # Other types become floats before any of the options matters.
    for dtype in (pl.Float64, pl.Float32 if adjust == ignore_nulls else pl.Int16)
]


def test_ewm_that_ignores_nulls_is_that_of_polars() -> None:
    whole = spread_rows(30, 4, pl.Float64)
    expr = X.ewm_mean(alpha=0.3, ignore_nulls=True)
    found = pl.concat(out(scan_of(whole.schema, "k", mean=expr), [whole]))
    assert_frame_equal(found, whole.with_columns(mean=expr.over("k")), rel_tol=1e-11, abs_tol=1e-10)


@pytest.mark.untraced
@pytest.mark.parametrize(("function", "adjust", "ignore_nulls", "dtype"), EWM_CASES)
def test_ewm_is_that_of_polars_whatever_the_cuts(
    function: str, adjust: bool, ignore_nulls: bool, dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys with values of many blocks, of one, and with a single one; ages of nulls over many batches."""
    monkeypatch.setattr(ewm, "_BLOCK", 64)
    options: dict[str, Any] = {"adjust": adjust, "ignore_nulls": ignore_nulls}
    exprs = {
        "com": EWM[function](com=2, min_samples=3, **options),
        "span": EWM[function](span=40, min_samples=0, **options),
        "half_life": EWM[function](half_life=1, **options),
        "last": EWM[function](alpha=1, **options),
    }
    if function != "mean":
        exprs["bias"] = EWM[function](alpha=0.1, bias=True, **options)
    whole = spread_rows(1500, 40, dtype)
    found = cut_and_restored(whole, [0, 1, 3, 70, 900, 1500], exprs)
    expected = whole.with_columns(**{name: expr.over("k") for name, expr in exprs.items()})
    digits = 2e-4 if dtype == pl.Float32 else 1e-11
    assert_frame_equal(found, expected, rel_tol=digits, abs_tol=digits * 10)
    # Not a bit may depend on the cuts.
    assert found.equals(pl.concat(out(scan_of(whole.schema, "k", **exprs), [whole])))


@pytest.mark.untraced
@pytest.mark.parametrize("adjust", [True, False])
def test_ewm_over_many_blocks(adjust: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ewm, "_BLOCK", 4)
    exprs = {"y": X.ewm_mean(alpha=0.05, adjust=adjust), "z": X.ewm_var(alpha=0.05, adjust=adjust)}
    whole = spread_rows(400, 12, pl.Float64)
    expected = whole.with_columns(**{name: expr.over("k") for name, expr in exprs.items()})
    at_once = pl.concat(out(scan_of(whole.schema, "k", **exprs), [whole]))
    assert_frame_equal(at_once, expected, rel_tol=1e-11)
    assert at_once.equals(cut_and_restored(whole, list(range(0, 401, 8)), exprs))


@pytest.mark.parametrize("adjust", [True, False])
def test_ewm_of_one_long_stream_is_that_of_polars(adjust: bool) -> None:
    whole = pl.DataFrame({"x": [float(number % 17) for number in range(20_000)]})
    exprs = {"y": X.ewm_mean(alpha=0.01, adjust=adjust), "z": X.ewm_std(alpha=0.2, adjust=adjust)}
    at_once, parts = (
        pl.concat(out(scan_of(whole.schema, None, **exprs), whole.iter_slices(rows)))
        for rows in (20_000, 777)
    )
    assert at_once.equals(parts)
    assert_frame_equal(at_once, whole.with_columns(**exprs), rel_tol=1e-11)


@pytest.mark.parametrize("adjust", [True, False])
def test_the_first_values_of_ewm_are_those_of_polars_bit_for_bit(adjust: bool) -> None:
    whole = spread_rows(2_000, 5, pl.Float64).drop_nulls().filter(pl.int_range(pl.len()).over("k") < 256)
    exprs = {"y": X.ewm_mean(alpha=0.1, adjust=adjust), "z": X.ewm_var(alpha=0.1, adjust=adjust, bias=True)}
    found = cut_and_restored(whole, [0, 3, 100, whole.height], exprs)
    expected = whole.with_columns(**{name: expr.over("k") for name, expr in exprs.items()})
    assert_frame_equal(found, expected, check_exact=True)


@pytest.mark.parametrize("many", [1, 4, 1_000])
@settings(max_examples=examples(30))
@given(
    alpha=st.floats(0.001, 1),
    dtype=st.sampled_from([pl.Float32, pl.Float64]),
    keys=st.integers(1, 3),
    data=st.data(),
)
def test_a_plain_ewm_mean_is_that_of_polars_bit_for_bit(
    many: int, alpha: float, dtype: Any, keys: int, data: st.DataObject
) -> None:
    """Whichever of numpy and Polars walks the values, and over infinity and NaN."""
    whole = data.draw(frames({"k": pl.UInt8(), "x": dtype()}, max_rows=40)).with_columns(k=pl.col("k") % keys)
    expr = X.ewm_mean(alpha=alpha, adjust=False, ignore_nulls=True, min_samples=data.draw(st.integers(0, 3)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ewm_plain, "_MANY", many)
        batches, cut = data.draw(cuts(whole)), data.draw(st.integers(0, 5))
        first, second = (scan_of(whole.schema, "k", y=expr) for _ in range(2))
        found = out(first, batches[:cut])
        second.restore(first.snapshot())
        found += out(second, batches[cut:])
    expected = whole.with_columns(y=expr.over("k"))
    assert_frame_equal(pl.concat([expected.clear(), *found]), expected, check_exact=True)


def test_a_plain_ewm_mean_of_long_batches_is_that_of_polars_bit_for_bit() -> None:
    whole = spread_rows(3_000, 7, pl.Float64)
    expr = X.ewm_mean(half_life=3, adjust=False, ignore_nulls=True)
    for by in (None, "k"):
        batches = [whole[start:stop] for start, stop in pairwise([0, 3, 1_000, 1_100, whole.height])]
        found = pl.concat(out(scan_of(whole.schema, by, y=expr), batches))
        expected = whole.with_columns(y=expr if by is None else expr.over("k"))
        assert_frame_equal(found, expected, check_exact=True)


@pytest.mark.untraced
@pytest.mark.parametrize("first", [float("inf"), float("nan"), -0.0, 1e200])
def test_ewm_of_what_is_no_plain_number(first: float) -> None:
    whole = pl.DataFrame({"k": [1] * 72, "x": [first, 1.0, first, *[2.0] * 69]})
    exprs = {"y": X.ewm_mean(alpha=0.5), "z": X.ewm_std(alpha=0.5), "b": X.ewm_var(alpha=0.5, bias=True)}
    assert_frame_equal(cut_and_restored(whole, [0, 1, 70, 72], exprs), whole.with_columns(**exprs))


@pytest.mark.parametrize("older", [True, False])
def test_the_spread_of_one_value_is_nought_or_none_as_polars_has_it(
    older: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Older versions of Polars give 0, newer ones null."""
    monkeypatch.setattr(ewm, "_one_has_a_variance", lambda: older)
    whole = pl.DataFrame({"k": [1, 1], "x": [1.0, 2.0]})
    [found] = out(scan_of(whole.schema, "k", z=X.ewm_var(alpha=0.5)), [whole])
    assert found["z"].to_list() == [0 if older else None, pytest.approx(0.5)]


@pytest.mark.parametrize("dtype", [pl.Boolean, pl.Decimal(9, 2)])
def test_ewm_of_other_types(dtype: Any) -> None:
    whole = pl.DataFrame({"k": [1, 1, 1, 1], "x": pl.Series([1, 0, None, 1]).cast(dtype)})
    exprs = {"y": X.ewm_mean(alpha=0.5), "z": X.ewm_var(alpha=0.5)}
    assert_frame_equal(cut_and_restored(whole, [0, 2, 4], exprs), whole.with_columns(**exprs))


@pytest.mark.parametrize("dtype", [pl.Float32, pl.Int16])
def test_quantiles_and_shapes_of_the_last_rows(dtype: Any) -> None:
    methods: Any = ["nearest", "higher", "lower", "midpoint", "linear", "equiprobable"]
    exprs = {
        f"{method} {share}": X.rolling_quantile(share, method, window_size=4, min_samples=1)
        for method in methods
        for share in (0, 0.25, 0.3, 0.5, 0.9, 1)
    }
    exprs["median"] = X.rolling_median(5)
    for bias in (True, False):
        exprs[f"skew {bias}"] = X.rolling_skew(6, bias=bias, min_samples=2)
        for fisher in (True, False):
            exprs[f"kurtosis {bias} {fisher}"] = X.rolling_kurtosis(
                6, bias=bias, fisher=fisher, min_samples=2
            )
    whole = spread_rows(300, 9, dtype)
    found = cut_and_restored(whole, [0, 2, 300], exprs)
    expected = whole.with_columns(**{name: expr.over("k") for name, expr in exprs.items()})
    assert_frame_equal(found, expected, rel_tol=1e-4 if dtype == pl.Float32 else 1e-8, abs_tol=1e-5)


def test_quantiles_put_nan_last_and_a_shape_of_equal_values_is_nan() -> None:
    nan, inf = float("nan"), float("inf")
    whole = pl.DataFrame({"k": [1] * 7, "x": [1.0, nan, 3.0, inf, inf, 0.1, 0.1]})
    exprs = {f"y{n}": X.rolling_quantile(0.5, "linear", window_size=n, min_samples=1) for n in (1, 2, 3)}
    found = cut_and_restored(whole, [0, 2, 7], exprs)
    assert_frame_equal(found, whole.with_columns(**exprs))
    same = pl.DataFrame({"k": [1] * 4, "x": [0.1] * 4})
    exprs = {"s": X.rolling_skew(3), "t": X.rolling_kurtosis(3)}
    assert (
        cut_and_restored(same, [0, 4], exprs)[2:].select(pl.col("s", "t").is_nan()).rows()
        == [(True, True)] * 2
    )


def test_values_are_swept_out_once_they_are_more_than_twice_those_asked_for() -> None:
    log = value_log.ValueLog(pl.Int64(), StateMemory())
    most = 2 * 3 + value_log._SPARE
    log.add(pl.Series(range(most)))
    numbers = np.array([5, -1, most - 1])
    log.sweep(numbers)
    assert len(log) == most
    log.add(pl.Series([0]))
    log.add(pl.Series([], dtype=pl.Int64))
    log.sweep(numbers)
    assert (len(log), numbers.tolist()) == (2, [0, -1, 1])
    assert log.take(numbers).to_list() == [5, None, most - 1]


def test_long_runs_of_values_are_not_copied_for_a_few_more() -> None:
    log = value_log.ValueLog(pl.Int64(), StateMemory())
    log.add(pl.Series(range(1000)))
    for number in range(124):
        log.add(pl.Series([number]))
        runs = log.statistics().runs
        assert runs[0] == 1000 and len(runs) < 12
    assert log.statistics().copied < 12 * 124
    assert log.take(np.arange(1000, 1124)).to_list() == list(range(124))
    for count, expected in ((125, (1000, 125)), (126, (1126,))):
        log = value_log.ValueLog(pl.Int64(), StateMemory())
        log.add(pl.Series(range(1000)))
        log.add(pl.Series(range(count)))
        assert log.statistics().runs == expected


@pytest.mark.parametrize("keys", [1, 40])
def test_floats_that_run_over_are_infinite_and_nobody_is_warned(keys: int) -> None:
    frame = pl.DataFrame({"k": [number % keys for number in range(200)], "x": [1e308] * 100 + [-1e308] * 100})
    exprs = {"sum": X.cum_sum(), "prod": X.cum_prod()}
    [found] = out(scan_of(frame.schema, "k", **exprs), [frame])
    whole = frame.with_columns(**{name: expr.over("k") for name, expr in exprs.items()})
    assert_frame_equal(found, whole, check_exact=True)
    assert whole["sum"].is_infinite().any()


def test_only_the_values_asked_for_are_held() -> None:
    log = value_log.ValueLog(pl.Int64(), StateMemory())
    log.add(pl.Series(range(2_000)))
    numbers = np.full(4, -1)
    log.sweep(numbers)
    assert len(log) == 0 and numbers.tolist() == [-1] * 4


def test_states_grow_by_doubling_and_only_then() -> None:
    memory = StateMemory()
    states = memory.array((5,), np.int64)
    states[:] = np.arange(5)
    assert memory.longer(states, 3, -1) is states and memory.longer(states, 5, -1) is states
    longer = memory.longer(states, 6, -1)
    assert longer.tolist() == [*range(5), *[-1] * 5] and memory.held == 80
    assert memory.longer(longer, 21, -1).tolist() == [*range(5), *[-1] * 16] and memory.held == 168
    assert memory.longer(memory.array((0,), np.int64), 3, -1).tolist() == [-1] * 3


@settings(max_examples=examples(15))
@given(values=st.lists(st.integers(0, 9), max_size=40), most=st.integers(1, 8), data=st.data())
def test_evicted_keys_begin_anew_whatever_the_cuts(values: list[int], most: int, data: st.DataObject) -> None:
    whole = pl.DataFrame({"k": values, "x": range(len(values))}, schema={"k": pl.Int64, "x": pl.Int64})
    totals: dict[int, tuple[int, int | None]] = {}
    expected: list[tuple[int, int | None]] = []
    for key, value in whole.rows():
        if key not in totals and len(totals) == most:
            del totals[next(iter(totals))]
        total, last = totals.get(key, (0, None))
        expected.append((total + value, last))
        totals[key] = (total + value, value)
    exprs = {"y": X.cum_sum(), "z": X.shift(1), "m": X.rolling_max(2, min_samples=1), "f": X.forward_fill()}
    batches, cut = data.draw(cuts(whole)), data.draw(st.integers(0, 5))
    first, second = (scan_of(whole.schema, "k", max_keys=most, on_full="evict", **exprs) for _ in range(2))
    found = out(first, batches[:cut])
    second.restore(first.snapshot())
    found += out(second, batches[cut:])
    rows = [(y, z) for frame in found for _, _, y, z, _, _ in frame.rows()]
    assert rows == expected
    assert all(m == max(x, z or 0) and f == x for frame in found for _, x, _, z, m, f in frame.rows())


@pytest.mark.parametrize("options", [{"adjust": False, "ignore_nulls": True}, {"adjust": True}])
def test_the_mean_of_an_evicted_key_begins_anew(options: dict[str, bool]) -> None:
    frame = pl.DataFrame({"k": [1, 1, 2, 1], "x": [4.0, 8.0, 16.0, 32.0]})
    expr = X.ewm_mean(alpha=0.5, min_samples=2, **options)
    process = scan_of(frame.schema, "k", y=expr, max_keys=1, on_full="evict")
    found = pl.concat(out(process, [frame, frame.tail(1)]))["y"].to_list()
    assert [value is None for value in found] == [True, False, True, True, False]
    assert found[-1] == 32.0


def test_more_keys_than_allowed_are_an_error() -> None:
    process = scan_of(pl.Schema({"k": pl.Int64, "x": pl.Int64}), "k", y=X.cum_sum(), max_keys=2)
    with pytest.raises(StageError, match="max_keys"):
        out(process, [pl.DataFrame({"k": [1, 2, 3], "x": [1, 2, 3]})])


def test_in_a_pipeline_with_names_that_are_taken() -> None:
    frame = pl.DataFrame(
        {"k": ["a", "b", "a"], "x": [1, 2, None], "scan 0": [7, 8, 9], "l": [[1, 2], [3], None]}
    )
    builder = Pipeline.builder().source(Source.from_frame(frame)).batch(rows=1)
    found = builder.scan(
        X.cum_sum().name.suffix("_total"),
        pl.col("x").fill_null(strategy="zero").alias("zero"),
        pl.col("l").list.eval(pl.element().cum_sum()).alias("inside"),
        by=["k"],
        share=X / X.cum_sum().clip(1),
        x=X.shift(1),
    )
    expected = frame.with_columns(
        pl.col("x").cum_sum().over("k").alias("x_total"),
        pl.Series("zero", [1, 2, 0]),
        pl.Series("inside", [[1, 3], [3], None]),
        (X / X.cum_sum().over("k").clip(1)).alias("share"),
        X.shift(1).over("k"),
    )
    assert_frame_equal(found.collect_sync(), expected)
    assert found.schema() == expected.schema
    text = found.graph.steps[-1].operator.describe()
    assert text.startswith("scan(by=[k], ") and "cum_sum" in text
    whole = Pipeline.builder().source(Source.from_frame(frame)).scan(n=X.cum_count())
    assert whole.collect_sync()["n"].to_list() == [1, 2, 2]
    assert "by" not in whole.graph.steps[-1].operator.describe()


def test_names_and_choices_of_columns_see_no_running_value_on_its_way() -> None:
    frame = pl.DataFrame({"k": [1, 2, 1], "x": [1, 5, 2]})
    exprs = {
        "scan 0": X.cum_sum(),
        "row": pl.sum_horizontal(pl.all()),
        "scan 1": X.shift(1) + X.cum_sum(),
        "__slot__": pl.struct(pl.all()),
        "x": X.cum_max(),
    }
    running = ("scan 0", "scan 1", "x")
    expected = frame.with_columns(
        **{name: expr.over("k") if name in running else expr for name, expr in exprs.items()}
    )
    source = Pipeline.builder().source(Source.from_frame(frame))
    made = source.scan(by="k", **exprs)
    assert_frame_equal(made.collect_sync(), expected)
    assert made.schema() == expected.schema
    text = Pipeline.builder().source(Source.from_frame(frame.cast(pl.String)))
    loud = text.scan(X.cum_count().alias("n"), pl.all().str.replace("1", "one"))
    assert loud.collect_sync().rows() == [("one", "one", 1), ("2", "5", 2), ("one", "2", 3)]
    for exprs_of_one_name in ((X.cum_sum(), X.cum_max()), (X.cum_sum(), X + 1)):
        with pytest.raises(SchemaError, match="duplicate"):
            source.scan(*exprs_of_one_name, by="k").schema()


def test_fields_of_structs_are_called_as_with_polars() -> None:
    frame = pl.DataFrame({"k": [1, 2, 1], "x": [1, 5, 2], "s": ["a", "b", "c"]})
    total, before = X.cum_sum(), pl.col("s").shift(1)
    exprs = {
        "plain": pl.struct(total, before),
        "computed": pl.struct((X + 1).cum_sum() * 2, before.alias("b")),
        "suffix": pl.struct(total.name.suffix("_c"), total.shift(1)),
        "field": pl.struct(total, "s").struct.field("x"),
    }
    made = Pipeline.builder().source(Source.from_frame(frame)).batch(rows=2).scan(by="k", **exprs)
    expected = frame.with_columns(**{name: expr.over("k") for name, expr in exprs.items()})
    assert_frame_equal(made.collect_sync(), expected)
    assert made.schema() == expected.schema


def test_running_sums_of_decimals_have_room_for_all_digits() -> None:
    most = pl.Series("d", ["9.9"] * 30).cast(pl.Decimal(2, 1))
    builder = Pipeline.builder().source(Source.from_frame(most.to_frame())).batch(rows=7)
    for by in (None, "d"):
        made = builder.scan(total=pl.col("d").cum_sum(), by=by)
        assert made.collect_sync()["total"].cast(pl.Float64).to_list()[-1] == 297
        assert made.schema()["total"] == pl.Decimal(38, 1)


SCHEMA = pl.Schema(
    {"k": pl.Int64, "x": pl.Float64, "i": pl.Int64, "s": pl.String, "u": pl.UInt64, "d": pl.Decimal(9, 2)}
)
REFUSED = {
    "reverse": X.cum_sum(reverse=True),
    "rows to come": X.shift(-1),
    "no rows": X.shift(0),
    "number of rows from a column": X.shift(pl.col("i").first()),
    "dropped": X.diff(null_behavior="drop"),
    "diff to come": X.diff(-1),
    "backward": X.backward_fill(),
    "filled from a column": X.shift(1, fill_value=pl.col("i")),
    "filled with another type": pl.col("i").shift(1, fill_value=2.5),
    "change to come": X.pct_change(-1),
    "ranks": X.rolling_rank(3),
    "interpolated": X.interpolate(),
    "peak": X.peak_max(),
    "runs": X.rle(),
    "first of its kind": X.is_first_distinct(),
    "text changed": pl.col("s").pct_change(),
    "by time": X.rolling_sum_by("i", "2i"),
    "centred": X.rolling_sum(3, center=True),
    "weights": X.rolling_sum(2, weights=[1.0, 2.0]),
    "nothing is enough": X.rolling_sum(2, min_samples=0),
    "text": pl.col("s").cum_max(),
    "unsigned": pl.col("u").diff(),
    "several": pl.col("x", "i").cum_sum(),
    "no column": pl.lit(1).cum_sum(),
    "beside a choice": pl.sum_horizontal("x", pl.col(pl.Int64)) + X.cum_sum(),
    "over a choice": pl.sum_horizontal("x", pl.col(pl.Int64)).cum_sum(),
    "infinity": X.cum_sum() / float("inf"),
    "name of the column": X.cum_sum().alias("y").name.keep(),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_run_is_refused_and_what_can_is_named(name: str) -> None:
    with pytest.raises(PlanError, match="scan\\(\\) cannot run this expression") as raised:
        Scan.of(check, (REFUSED[name],), {}, by="k").output_schema(SCHEMA)
    assert "cum_sum, cum_prod" in str(raised.value)
    assert raised.value.found and raised.value.hint


@pytest.mark.parametrize(
    "expr, kind, match",
    [
        (X.sum(), PlanError, "looks at other rows"),
        (X.sort().cum_sum(), PlanError, "looks at other rows"),
        (X.cum_sum().over("k"), PlanError, "looks at other rows"),
        (X.map_elements(abs), PlanError, "Python function"),
        (X.cum_sum().map_elements(abs), PlanError, "Python function"),
        (pl.col("y").cum_sum(), SchemaError, "not there"),
        (pl.col("s").sqrt().cum_sum(), SchemaError, "other types|does not fit"),
    ],
)
def test_the_rest_must_look_at_one_row(expr: pl.Expr, kind: type[Exception], match: str) -> None:
    with pytest.raises(kind, match=match):
        Scan.of(check, (expr,), {}, by="k").output_schema(SCHEMA)


def test_a_key_must_be_there() -> None:
    with pytest.raises(SchemaError, match="not there"):
        Scan.of(check, (X.cum_sum(),), {}, by="z").output_schema(SCHEMA)
