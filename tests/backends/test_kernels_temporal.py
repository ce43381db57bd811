"""Every temporal kernel gives what Polars gives, in any year and zone, or refuses with a reason."""

from __future__ import annotations

from datetime import date, datetime, time
from functools import cache
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from effort import examples
from expression_cases.temporal import CASES, DAY, OF_POLARS, SCHEMA, SETTLED, Rows, columns_of, made
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_calls import Computed, call_of, evaluate, in_arrow

from arrowstream.backends.arrow.kernels.temporal import zones
from arrowstream.backends.arrow.kernels.temporal.functions import KERNELS
from arrowstream.core.batch import to_record
from arrowstream.expressions.program import Call, Column, Expression, Literal

# Up to the year 3870, which Arrow computes, or 14600, which goes to Polars; often recent or close to 1970.
near = st.integers(0, 2 * 10**9) | st.integers(-800, 25_000).map(lambda days: days * DAY) | st.integers(-5, 5)
settled = near | st.integers(-(60 * 10**9), 60 * 10**9)
far = near | st.integers(-(400 * 10**9), 400 * 10**9)
of_a_second = st.integers(0, 999).map(lambda ms: ms * 1_000_000) | st.integers(0, 999_999_999)
lengths = st.integers(-(10**12), 10**12) | st.integers(-(2**63), 2**63 - 1)


def rows_of(seconds: st.SearchStrategy[int]) -> st.SearchStrategy[list[dict[str, int | None]]]:
    row = st.tuples(
        st.none() | st.tuples(seconds, of_a_second),
        st.none() | seconds,
        st.none() | st.integers(0, DAY * 10**9 - 1) | st.integers(0, DAY - 1),
        st.none() | lengths,
    )
    return st.lists(row.map(lambda drawn: columns_of(*drawn)), max_size=4)


all_rows = rows_of(settled) | rows_of(far)


@st.composite
def rows(draw: st.DrawFn) -> Rows:
    drawn = draw(all_rows)
    return made(drawn, draw(st.integers(0, len(drawn))))


@cache
def computed(function: str) -> list[tuple[pl.Expr, Computed]]:
    """The function's cases, each with the Arrow form that is compiled once."""
    assert {call_of(expression, SCHEMA).function for expression in CASES[function]} == {function}
    return [(expression, in_arrow(expression, SCHEMA)) for expression in CASES[function]]


def in_polars(expression: pl.Expr, frame: pl.DataFrame) -> pl.Series | None:
    """The column, or None where Polars says that a value is out of range, in whichever way it does."""
    try:
        return frame.select(x=expression)["x"]
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return None


def test_every_kernel_has_a_case() -> None:
    assert CASES.keys() == KERNELS.keys()


@pytest.mark.parametrize("function", CASES)
@given(rows=rows())
@settings(max_examples=examples(15))
def test_equals_polars(function: str, rows: Rows) -> None:
    assert_equals_polars(function, *rows)


@pytest.mark.parametrize("function", CASES)
def test_corners_equal_polars(function: str) -> None:
    for drawn, offset in ((SETTLED, 0), (SETTLED, 3), (OF_POLARS, 0), ([], 0)):
        assert_equals_polars(function, *made(drawn, offset))


def assert_equals_polars(function: str, frame: pl.DataFrame, record: pa.RecordBatch) -> None:
    for expression, compute in computed(function):
        expected = in_polars(expression, frame)
        if expected is None:
            with pytest.raises((pl.exceptions.PolarsError, pl.exceptions.PanicException)):
                compute(record)
        else:
            result = compute(record)
            assert result.dtype == expected.dtype
            assert result.to_physical().to_list() == expected.to_physical().to_list(), expression


@pytest.mark.parametrize(
    "zone", ["Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu"]
)
def test_clock_changes(zone: str) -> None:
    seconds = pl.select(
        s=pl.datetime_range(datetime(2023, 1, 1), datetime(2024, 12, 31), "10m", time_zone="UTC")
    )["s"].dt.convert_time_zone(zone)
    expression = pl.col("s").dt.to_string("%F %T")
    frame = seconds.to_frame()
    result = in_arrow(expression, frame.schema)(to_record(frame))
    assert result.equals(frame.select(x=expression)["x"])


@pytest.mark.parametrize("strict", [True, False])
def test_a_day_that_is_no_date(strict: bool) -> None:
    times = pl.Series("ts", [2**62, 0, None], pl.Int64).cast(pl.Datetime("ms"))
    expression = pl.col("ts").cast(pl.Date, strict=strict)
    frame = times.to_frame()
    compute, expected = in_arrow(expression, frame.schema), in_polars(expression, frame)
    assert (expected is None) is strict
    if expected is None:
        with pytest.raises(pa.ArrowInvalid, match="does not fit date32"):
            compute(to_record(frame))
    else:
        assert expected.is_null().to_list() == [True, False, True]
        assert compute(to_record(frame)).equals(expected)


def test_a_constant_time_of_day() -> None:
    frame = pl.DataFrame({"date": [date(2024, 2, 29), None, date(1, 1, 1)]})
    of_day = time(1, 2, 3, 4)
    call = Call(
        "dt.combine",
        (Column("date", pa.date32()), Literal(of_day, pa.time64("ns"))),
        pa.timestamp("us"),
        ("us",),
    )
    result = evaluate(call, to_record(frame))
    assert result.to_list() == frame.select(pl.col("date").dt.combine(of_day))["date"].to_list()


@pytest.mark.parametrize("under", [5, 2**31 - 1])
@pytest.mark.parametrize("valid", [[True, False], [False, False], [True, True]])
def test_what_lies_under_a_null_does_not_matter(under: int, valid: list[bool]) -> None:
    mask = pa.array([not flag for flag in valid])
    days = pa.array([3, under], pa.int32())
    raw = pa.Array.from_buffers(pa.date32(), 2, [pa.array(valid).buffers()[1], days.buffers()[1]])
    assert raw.is_null().equals(mask)
    settled = zones.is_settled(pa.date32())(raw)
    assert settled is (under == 5 or not valid[1])
    if settled:
        compute = in_arrow(pl.col("date").dt.year(), pl.Schema({"date": pl.Date}))
        result = compute(pa.record_batch({"date": raw}))
        assert result.to_list() == [1970 if flag else None for flag in valid]


# Zones whose databases differ ----------------------------------------------------------------------


def test_a_zone_the_databases_disagree_about_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    call = call_of(pl.col("s").dt.hour(), pl.Schema({"s": pl.Datetime("us", "Asia/Tokyo")}))
    monkeypatch.setattr(zones, "wall_clock", lambda values: values.view(pa.timestamp("ms")))
    zones._databases_agree.cache_clear()
    assert "databases differ for Asia/Tokyo" in str(KERNELS["dt.hour"](call))
    monkeypatch.undo()
    zones._databases_agree.cache_clear()
    assert not isinstance(KERNELS["dt.hour"](call), str)


def test_a_zone_the_system_lacks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(values: pa.Array) -> pa.Array:
        raise pa.ArrowInvalid("Cannot locate timezone")

    monkeypatch.setattr(zones, "wall_clock", lacking)
    zones._databases_agree.cache_clear()
    dtype = pa.timestamp("us", "Asia/Tokyo")
    replaced = Call("dt.replace_time_zone", (Column("s", dtype),), pa.timestamp("us"), (None, "raise"))
    written = Call("dt.to_string", (Column("s", dtype),), pa.large_string(), ("%F",))
    for call in (replaced, written):
        assert "databases differ" in str(KERNELS[call.function](call))
    zones._databases_agree.cache_clear()


# Refusals ------------------------------------------------------------------------------------------

DATE, STAMP = pa.date32(), pa.timestamp("us")
BERLIN, TIME, LENGTH = pa.timestamp("us", "Europe/Berlin"), pa.time64("ns"), pa.duration("us")


def call(function: str, dtype: pa.DataType, *arguments: Any, options: tuple[Any, ...] = ()) -> Call:
    others: list[Expression] = [
        Literal(value, pa.large_string()) if isinstance(value, str) else Column("x", value)
        for value in arguments
    ]
    return Call(function, (Column("s", dtype), *others), dtype, options)


@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        (Call("dt.year", (Literal(0, DATE),), pa.int32()), "constants"),
        (call("dt.year", TIME), "does not have this part"),
        (call("dt.hour", DATE), "does not have this part"),
        (call("dt.date", DATE), "does not have this part"),
        (call("dt.total_days", LENGTH, options=(True,)), "fractions"),
        (call("dt.total_days", STAMP, options=(False,)), "not a duration"),
        (call("dt.truncate", BERLIN, "1h"), "depends on its zone"),
        (call("dt.truncate", TIME, "1h"), "no date"),
        (call("dt.truncate", STAMP, pa.large_string()), "constant period"),
        (call("dt.truncate", STAMP, "1d12h"), "one constant period"),
        (call("dt.truncate", STAMP, "0s"), "above 0"),
        (call("dt.truncate", STAMP, "3y"), "starts elsewhere"),
        (call("dt.truncate", STAMP, "2w"), "not cut alike"),
        (call("dt.truncate", STAMP, "999d"), "not cut alike"),
        (call("dt.truncate", DATE, "1h"), "not cut alike"),
        (call("dt.round", STAMP, "1ns"), "not cut alike"),
        (call("dt.round", STAMP, "1mo"), "no middle"),
        (call("dt.offset_by", BERLIN, "1d"), "depends on its zone"),
        (call("dt.offset_by", STAMP, "1mo"), "calendar months"),
        (call("dt.offset_by", STAMP, pa.large_string()), "constant"),
        (call("dt.offset_by", STAMP, "1e"), "constant"),
        (call("dt.offset_by", STAMP, "1ns"), "does not fit"),
        (call("dt.offset_by", STAMP, "999d"), "does not fit"),
        (call("dt.month_end", TIME), "no date"),
        (call("dt.time_stamp", TIME, options=("ms",)), "no date"),
        (call("dt.cast_time_unit", DATE, options=("ms",)), "no unit"),
        (call("dt.replace_time_zone", BERLIN, options=("Europe/Berlin", "raise")), "ambiguous or missing"),
        (call("dt.combine", BERLIN, TIME, options=("us",)), "cannot be joined"),
        (call("dt.combine", DATE, STAMP, options=("us",)), "not a time of day"),
        (call("dt.to_string", LENGTH, options=("iso",)), "written differently"),
        (call("dt.to_string", BERLIN, options=("iso",)), "more than years"),
        (call("dt.to_string", TIME, options=("iso",)), "more than years"),
        (call("dt.to_string", STAMP, options=("iso:strict",)), "more than years"),
        (call("dt.to_string", STAMP, options=("%b %d",)), "more than years"),
        (call("dt.to_string", STAMP, options=("%",)), "more than years"),
        (call("dt.to_string", DATE, options=("%H",)), "more than years"),
    ],
)
def test_refuses_with_a_reason(refused: Call, reason: str) -> None:
    answer = KERNELS[refused.function](refused)
    assert isinstance(answer, str)
    assert reason in answer
