"""Times of JSON messages: the same as Polars' own reader gives, whether they are written alike or not."""

import json
from typing import Any

import polars as pl
import pytest
from contexts import context
from hypothesis import given
from hypothesis import strategies as st

from arrowstream.errors import BadMessage
from arrowstream.io.messages import json as module
from arrowstream.io.messages.formats import decoder
from arrowstream.io.messages.times import times_alike

UTC, NAIVE = pl.Datetime("us", "UTC"), pl.Datetime("us")
ALIKE: list[tuple[Any, list[str | None]]] = [
    (UTC, ["2026-01-31T12:00:00Z", None, "2025-12-31T23:59:59Z"]),
    (UTC, ["2026-01-31T12:00:00+00:00", "2026-01-31T12:00:00+02:00"]),
    (UTC, ["2026-01-31T12:00:00.25-05:30", None]),
    (NAIVE, ["2026-01-31T12:00:00", "0001-01-01T00:00:00"]),
    (NAIVE, ["2026-01-31 12:00:00.123456"]),
    (pl.Datetime("ms"), ["2026-01-31T12:00:00.123"]),
    (pl.Datetime("ns", "UTC"), ["2026-01-31T12:00:00.123456789Z"]),
    (pl.Date(), ["2026-01-31", None]),
    (UTC, [None, None]),
]
OTHERS: list[tuple[Any, list[str | None]]] = [
    (UTC, ["2026-01-31T12:00:00Z", "2026-01-31T12:00:00.5Z"]),
    (UTC, ["2026-01-31T12:00:00Z", "2026-01-31 12:00:00Z"]),
    (NAIVE, ["2026-01-31T12:00", None]),
    (pl.Datetime("ms"), ["2026-01-31T12:00:00.123456"]),
    (pl.Date(), ["2026-01-31", "2026-1-31"]),
    (pl.Date(), ["2026-01-31", "2026- 1-31"]),
    (NAIVE, ["2026-01-31T12:00:00", " 026-01-31T12:00:00"]),
    (NAIVE, ["2026-01-31 12:00:00", "2026-01-3  12:00:00"]),
    (UTC, ["2026-01-31T12:00:00.1+05:30", "2026-01-31T12:00:00.12+0530"]),
]


def decoded(dtype: Any, texts: list[Any]) -> pl.Series:
    values = pl.Series([json.dumps({"at": text}).encode() for text in texts]).to_arrow()
    return decoder("json", pl.Schema({"at": dtype}), None).open(context()).decode(values).frame["at"]


def by_polars(dtype: Any, texts: list[Any]) -> pl.Series:
    lines = "\n".join(json.dumps({"at": text}) for text in texts)
    return pl.read_ndjson(lines.encode(), schema={"at": dtype})["at"]


@pytest.mark.parametrize(("dtype", "texts"), ALIKE, ids=str)
def test_times_written_alike_are_read_by_one_format(dtype: Any, texts: list[str | None]) -> None:
    expected = by_polars(dtype, texts)
    found = times_alike(pl.Series("at", texts, pl.String()), dtype)
    assert found is not None
    assert found.dtype == expected.dtype
    assert found.to_list() == expected.to_list() == decoded(dtype, texts).to_list()


@pytest.mark.parametrize(("dtype", "texts"), OTHERS, ids=str)
def test_other_times_are_read_as_polars_does(dtype: Any, texts: list[str | None]) -> None:
    assert times_alike(pl.Series("at", texts, pl.String()), dtype) is None
    try:
        expected = by_polars(dtype, texts)
    except pl.exceptions.PolarsError:
        with pytest.raises(BadMessage):
            decoded(dtype, texts)
    else:
        assert decoded(dtype, texts).to_list() == expected.to_list()


def test_a_bad_time_is_named_and_times_of_another_form_for_long_are_expected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    good = ["2026-01-31T12:00:00Z"] * 5
    with pytest.raises(BadMessage) as caught:
        decoded(UTC, [*good, "2026-13-31T12:00:00Z", *good])
    assert caught.value.index == 5
    monkeypatch.setattr(module, "_TRIES", 2)
    decoding = decoder("json", pl.Schema({"at": NAIVE}), None).open(context())
    values = pl.Series([b'{"at": "2026-01-31T12:00"}', b'{"at": null}']).to_arrow()
    for _ in range(5):
        assert decoding.decode(values).frame["at"].dt.hour().to_list() == [12, None]


def test_what_is_no_text_is_no_time_either() -> None:
    with pytest.raises(BadMessage):
        decoded(UTC, ["2026-01-31T12:00:00Z", {"hour": 12}])


@given(st.lists(st.datetimes() | st.none(), min_size=1), st.sampled_from(["auto", "seconds", "microseconds"]))
def test_any_times_are_those_that_were_written(times: list[Any], timespec: str) -> None:
    kept = [time if time is None or timespec != "seconds" else time.replace(microsecond=0) for time in times]
    texts = [time if time is None else time.isoformat(timespec=timespec) for time in kept]
    assert decoded(NAIVE, texts).to_list() == kept
