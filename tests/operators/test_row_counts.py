"""Counts of more rows than 32 bits hold: none wraps, and where Polars' type is too small, an error says so."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from contexts import context
from polars.testing import assert_frame_equal
from snapshots import held_rows, with_rows
from windowing import end, feed

from arrowstream.core.batch import Batch
from arrowstream.errors import StageError
from arrowstream.operators.aggregation.row_counts import most_rows
from arrowstream.operators.base import Operator, Process
from arrowstream.operators.reduce import Reduce
from arrowstream.operators.scan import Scan
from arrowstream.operators.window import windows
from arrowstream.operators.windows.count_window import CountWindow
from arrowstream.plan.checks.row_local import check

X, S = pl.col("x"), pl.col("s")
ROW = pl.DataFrame({"k": [1], "x": [5.0], "s": ["a"]})
MOST = 2**32 - 1


def long_running(operator: Operator, counts: list[str], rows: int, row: pl.DataFrame = ROW) -> Any:
    """A process that has had one row, and then is told that there were so many."""
    first: Any = operator.start(ROW.schema, context())
    feed(first, [row])
    frame = held_rows(first)
    assert frame.select(counts).unique().rows() == [(1,) * len(counts)]
    assert set(frame.select(counts).dtypes) == {pl.Int64}
    more = frame.with_columns(pl.lit(rows, pl.Int64).alias(name) for name in counts)
    process: Any = operator.start(ROW.schema, context())
    process.restore(with_rows(first, more))
    return process


@pytest.mark.parametrize("beside", [[], [S.last()]], ids=["folded", "grouped"])
@pytest.mark.parametrize("expr", [pl.len(), X.count(), X.len(), (X > 9).null_count(), (X > 1).sum()], ids=str)
def test_a_count_is_exact_up_to_what_its_type_holds_and_then_an_error(
    expr: pl.Expr, beside: list[pl.Expr]
) -> None:
    row = ROW.with_columns(x=pl.lit(None, pl.Float64)) if "null" in str(expr) else ROW
    operator = Reduce.of(expr.alias("n"), *beside, by="k", emit="updates")
    process = long_running(operator, ["__part_0__"], MOST - 1, row)
    [found] = feed(process, [row])
    assert found["n"].to_list() == [MOST] and found["n"].dtype == pl.UInt32
    with pytest.raises(StageError, match="a count is larger than its type holds") as raised:
        feed(process, [row])
    assert raised.value.found == "4,294,967,296 rows" and "cast(pl.Int64)" in str(raised.value)


@pytest.mark.parametrize("dtype", [pl.Int64, pl.UInt64, pl.Float64, pl.String])
def test_a_count_that_is_cast_has_no_end(dtype: Any) -> None:
    exprs = [pl.len().cast(dtype).alias("n"), (X.count().cast(dtype)).alias("c")]
    process = long_running(Reduce.of(*exprs, by="k"), ["__part_0__", "__part_1__"], MOST)
    feed(process, [ROW, ROW])
    [found] = end(process)
    assert found.select("n", "c").row(0) == pl.select(pl.lit(MOST + 2).cast(dtype)).row(0) * 2


@pytest.mark.parametrize("count", [pl.len(), X.count(), (X > 1).sum()], ids=str)
def test_a_count_is_cast_to_one_type_after_the_other(count: pl.Expr) -> None:
    rows = pl.concat([ROW, ROW, ROW])
    exprs = [
        count.cast(pl.Boolean).cast(pl.Int32).alias("any"),
        (count / 2).cast(pl.Int8).cast(pl.String).alias("half"),
        count.cast(pl.Int64).cast(pl.String).alias("text"),
    ]
    process = Reduce.of(*exprs, by="k").start(ROW.schema, context())
    feed(process, [rows])
    assert_frame_equal(end(process)[0], rows.group_by("k").agg(*exprs))


def test_a_count_cast_to_too_small_a_type_is_an_error_of_polars() -> None:
    process = Reduce.of(pl.len().cast(pl.Int8), by="k").start(ROW.schema, context())
    feed(process, [ROW] * 128)
    with pytest.raises(pl.exceptions.InvalidOperationError) as raised:
        end(process)
    # Not of itself: who follows the causes comes to an end.
    assert raised.value.__cause__ is None


def test_means_and_spreads_of_more_rows_than_32_bits_count() -> None:
    operator = Reduce.of(X.mean(), X.var(ddof=0).alias("v"), by="k")
    process = long_running(operator, ["__part_1__", "__part_2__"], 2**33)
    feed(process, [ROW])
    [found] = end(process)
    # The sum of that snapshot is still 5, and every value of the spread is 5.
    assert found["x"][0] == pytest.approx(10 / (2**33 + 1), rel=1e-15)
    assert found["v"][0] == 0


def test_a_window_of_more_rows_than_32_bits_count() -> None:
    operator = CountWindow(2**33, ("k",), (pl.len().cast(pl.Int64).alias("n"),))
    process = long_running(operator, ["__count__", "__part_0__"], 2**33 - 2)
    assert [part.rows() for part in feed(process, [ROW, ROW, ROW])] == [[(1, 2**33)]]
    assert [part.rows() for part in end(process)] == [[(1, 1)]]


def test_windows_of_time() -> None:
    operator = windows(lambda made: made, size=10, on="ts").agg(pl.len().alias("n"))
    schema = pl.Schema({"ts": pl.Int64})
    process: Process = operator.start(schema, context())
    feed(process, [pl.DataFrame({"ts": [1]})])
    state = held_rows(process)
    assert [dtype for name, dtype in state.schema.items() if name.startswith("__part_")] == [pl.Int64]


def scanning(expr: pl.Expr, total: int) -> Process:
    """A scan whose first column of state has this value for the one key."""
    operator = Scan.of(check, (), {"y": expr}, by="k")
    first, process = operator.start(ROW.schema, context()), operator.start(ROW.schema, context())
    list(first.process(Batch(ROW)))
    state = held_rows(first)
    name = state.columns[0]
    assert state[name].to_list() == [1] and state[name].dtype == pl.Int64
    state = state.with_columns(pl.lit(total, pl.Int64).alias(name))
    process.restore(with_rows(first, state))
    return process


@pytest.mark.parametrize(
    "expr", [X.cum_count(), X.rle_id(), (X > 1).cum_sum()], ids=["cum_count", "rle_id", "cum_sum"]
)
def test_what_scan_counts(expr: pl.Expr) -> None:
    rows = [ROW.with_columns(x=pl.lit(value)) for value in (6.0, 7.0)]
    # The number of a run is one less than how many there are.
    before = MOST if "rle_id" in str(expr) else MOST - 1
    process = scanning(expr, before)
    [found] = feed(process, rows[:1])
    assert found["y"].to_list() == [MOST] and found["y"].dtype == pl.UInt32
    with pytest.raises(StageError, match="a count is larger than its type holds") as raised:
        feed(process, rows[1:])
    assert raised.value.hint is not None and "cast(pl.Int64).cum_sum()" in raised.value.hint


def test_what_polars_counts_in() -> None:
    assert most_rows() == MOST
