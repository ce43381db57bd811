"""Durations as people write them."""

from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from arrowstream import Pipeline, Source
from arrowstream.core.duration import microseconds, nanoseconds, seconds
from arrowstream.errors import PlanError

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("text", "expected"),
    [("10s", 10), ("50ms", 0.05), ("1m30s", 90), ("1.5h", 5400), ("2d", 172800), ("7us", 7e-6), (3, 3)],
)
def test_durations(text: str | float, expected: float) -> None:
    assert seconds(text) == pytest.approx(expected)
    assert seconds(timedelta(seconds=expected)) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "10", "s", "10 s", "10x", "-5s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(PlanError, match="is not a duration"):
        seconds(text)


@pytest.mark.parametrize(
    ("text", "hint"), [("10 s", "write '10s', without spaces"), (" 1m 30 s ", "write '1m30s'")]
)
def test_spaces_are_told_to_be_left_out(text: str, hint: str) -> None:
    with pytest.raises(PlanError) as raised:
        seconds(text)
    assert str(raised.value.hint).startswith(hint)
    with pytest.raises(PlanError, match="hint: units are us, ms, s, m, h, d"):
        seconds("10 x")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("10sec", "write '10s'; units are us, ms, s, m, h, d"),
        ("1 Min 30 Seconds", "write '1m30s'; units are us, ms, s, m, h, d"),
        ("2H", "write '2h'; units are us, ms, s, m, h, d"),
        ("1M", "units are us, ms, s, m, h, d"),
        ("1mo", "units are us, ms, s, m, h, d"),
        ("5", "write '5s', or the number 5 for seconds; units are us, ms, s, m, h, d"),
        ("0.5", "write '0.5s', or the number 0.5 for seconds; units are us, ms, s, m, h, d"),
        ("-1d", "write '1d'; units are us, ms, s, m, h, d"),
    ],
)
def test_units_that_other_libraries_spell_differently(text: str, hint: str) -> None:
    with pytest.raises(PlanError) as raised:
        seconds(text)
    assert raised.value.hint == hint


@pytest.mark.parametrize(
    ("text", "meant"),
    [("1M", "1mo"), ("1 month", "1mo"), ("2W", "2w"), ("3 quarters", "3q"), ("1Y", "1y"), ("5min", "5m")],
)
def test_windows_name_the_units_of_the_calendar(text: str, meant: str) -> None:
    rows = Pipeline.builder().source(Source.from_frame(pl.DataFrame({"ts": [0]}).cast(pl.Datetime)))
    for every in ({"size": text}, {"size": "9y", "every": text}):
        with pytest.raises(PlanError, match=f"'{text}' is not a duration") as raised:
            rows.window(**every, on="ts")
        units = "units are us, ms, s, m, h, d, and of the calendar w, mo, q, y"
        assert raised.value.hint == f"write {meant!r}; {units}"
    assert rows.window(meant, on="ts").agg(n=pl.len()).collect_sync().height == 1


@pytest.mark.parametrize("other", [None, [1], pl.Series([1, 2])])
def test_what_is_neither_text_nor_a_number_is_refused(other: Any) -> None:
    with pytest.raises(PlanError, match="is not a duration"):
        seconds(other)


def test_negative_durations_are_refused() -> None:
    with pytest.raises(PlanError, match="negative"):
        seconds(-1)


def test_whole_units_and_what_has_no_end() -> None:
    assert (microseconds("1.5ms"), nanoseconds(2), nanoseconds("1us")) == (1500, 2_000_000_000, 1000)
    for read in (microseconds, nanoseconds):
        with pytest.raises(
            PlanError, match="a duration is infinite\n  expected: a finite duration\n  found: inf"
        ):
            read(float("inf"))
        with pytest.raises(PlanError, match="a duration is infinite"):
            read(1e305)
        with pytest.raises(PlanError, match="a duration is infinite"):
            read(10**400)
