"""Durations as people write them."""

from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from arrowstream.core.duration import microseconds, nanoseconds, seconds
from arrowstream.errors import PlanError


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
            PlanError, match="a duration is endless\n  expected: a finite duration\n  found: inf"
        ):
            read(float("inf"))
        with pytest.raises(PlanError, match="a duration is endless"):
            read(1e305)
        with pytest.raises(PlanError, match="a duration is endless"):
            read(10**400)
