"""Windows of days, weeks, months and years, in zones and with offsets: what Polars' `group_by_dynamic` gives."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from arrowstream import Pipeline, Source
from arrowstream.errors import PlanError, SchemaError, StageError
from arrowstream.testing import TestSource, Watermark

ZONES = ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Apia", "America/Sao_Paulo", "UTC"]


def found(frame: pl.DataFrame, **window: Any) -> pl.DataFrame:
    source = Source.from_frame([frame[:3], frame[3:]])
    steps = Pipeline.builder().source(source).window(on="t", **window)
    return steps.agg(x=pl.col("x").sum()).collect_sync().sort("window_start")


def expected(
    frame: pl.DataFrame, size: str, every: str | None = None, offset: str | None = None
) -> pl.DataFrame:
    groups = frame.sort("t").group_by_dynamic(
        "t",
        every=every or size,
        period=size,
        offset=offset,
        closed="left",
        label="left",
        include_boundaries=True,
    )
    result = groups.agg(x=pl.col("x").sum())
    return result.select(window_start="_lower_boundary", window_end="_upper_boundary", x="x")


def rows(times: list[datetime], unit: Any = "us", zone: str | None = None) -> pl.DataFrame:
    column = pl.Series("t", times, pl.Datetime(unit, "UTC"))
    column = column.dt.replace_time_zone(None) if zone is None else column.dt.convert_time_zone(zone)
    return pl.DataFrame({"t": column, "x": range(len(times))})


TIMES = st.lists(st.datetimes(datetime(1965, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)), min_size=1)


SIZES = ["1w", "2w", "1mo", "2mo", "5mo", "1q", "1y", "1d", "3d"]
HOPS = [
    *(("1y", "1q", None), ("1q", "1mo", None), ("1w", "1d", None), ("1mo", "1mo", "5d"), ("10d", "1w", None)),
    *(("1d", "1d", "6h"), ("1w", "1w", "1d"), ("240h", "1w", "1d")),
]


@given(TIMES, st.sampled_from(SIZES), st.sampled_from(["ms", "us", "ns"]))
@example([datetime(2024, 2, 29, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC)], "1mo", "us")
@example([datetime(1969, 12, 29, tzinfo=UTC), datetime(1970, 1, 4, 23, tzinfo=UTC)], "1w", "us")
def test_tumbling_windows_are_those_of_polars(times: list[datetime], size: str, unit: str) -> None:
    frame = rows(times, unit)
    assert found(frame, size=size).equals(expected(frame, size))


@given(
    TIMES,
    st.sampled_from(["1d", "2d", "1w", "1mo", "1q", "1y"]),
    st.sampled_from(ZONES),
    st.sampled_from(["ms", "us", "ns"]),
)
@example(
    [datetime(2025, 3, 30, 0, 30, tzinfo=UTC), datetime(2025, 3, 30, 22, 30, tzinfo=UTC)],
    "1d",
    "Europe/Berlin",
    "ns",
)
@example([datetime(2018, 11, 4, 3, 30, tzinfo=UTC)], "1w", "UTC", "us")
def test_windows_of_a_zone_are_those_of_polars(
    times: list[datetime], size: str, zone: str, unit: str
) -> None:
    frame = rows(times, unit, zone)
    result = found(frame, size=size, timezone=zone)
    starts = frame["t"].dt.convert_time_zone(zone).dt.replace_time_zone(None).dt.truncate(size)
    naive = frame.with_columns(t=starts).group_by("t").agg(pl.col("x").sum()).sort("t")
    assert result["x"].to_list() == naive["x"].to_list()
    day = naive["t"].dt.date()
    # A start may lie in a gap, which Polars refuses to give an instant; it is then the end of the gap.
    assert result["window_start"].dt.date().to_list() == day.to_list()
    assert result["window_start"].dtype == frame["t"].dtype
    assert (result["window_end"] > result["window_start"]).all()


@given(TIMES, st.sampled_from(HOPS))
def test_hopping_windows_and_offsets_are_those_of_polars(
    times: list[datetime], lengths: tuple[str, str, str | None]
) -> None:
    size, every, offset = lengths
    frame = rows(times)
    first, last = (time.replace(tzinfo=None) for time in (min(times), max(times)))
    starts = pl.datetime_range(
        first - timedelta(days=800), last + timedelta(days=1), "1d", eager=True
    ).dt.truncate(every)
    starts = starts.unique(maintain_order=True).dt.offset_by(offset or "0d")
    windows = pl.DataFrame({"window_start": starts, "window_end": starts.dt.offset_by(size)})
    inside = pl.col("t") >= pl.col("window_start"), pl.col("t") < pl.col("window_end")
    oracle = windows.join_where(frame, *inside).group_by("window_start", "window_end").agg(pl.col("x").sum())
    assert found(frame, size=size, every=every, offset=offset).equals(oracle.sort("window_start"))


def test_days_have_23_and_25_hours_where_clocks_change() -> None:
    hours = pl.datetime_range(
        datetime(2025, 3, 29), datetime(2025, 3, 31, 23), "1h", time_zone="Europe/Berlin", eager=True
    )
    frame = pl.DataFrame({"t": hours, "x": [1] * len(hours)})
    assert found(frame, size="1d", timezone="Europe/Berlin")["x"].to_list() == [24, 23, 24]
    assert found(frame, size="1d", timezone="Europe/Berlin").equals(expected(frame, "1d"))


def test_a_midnight_that_clocks_jump_over() -> None:
    frame = rows([datetime(2018, 11, 4, 2, 59, tzinfo=UTC), datetime(2018, 11, 4, 3, 1, tzinfo=UTC)])
    result = found(frame, size="1d", timezone="America/Sao_Paulo")
    assert result["window_start"].to_list() == [datetime(2018, 11, 3, 3), datetime(2018, 11, 4, 3)]
    assert result["window_end"].to_list() == [datetime(2018, 11, 4, 3), datetime(2018, 11, 5, 2)]


def test_an_hour_of_yesterday_after_midnight_is_not_late() -> None:
    def at(*clock: int) -> int:
        return round(datetime(2005, 10, 30, *clock, tzinfo=UTC).timestamp() * 1_000_000)

    def frame(time_us: int) -> pl.DataFrame:
        return pl.DataFrame({"t": [time_us], "x": [1]})

    # 00:00:30 on the 30th, then 23:31 on the 29th once more.
    script = [frame(at(2, 30, 30)), Watermark(at(2, 30, 30)), frame(at(3, 1)), Watermark(at(12))]
    steps = Pipeline.builder().source(TestSource.from_frames(script))
    windows = steps.window("1d", on="t", timezone="America/St_Johns").agg(n=pl.len())
    assert windows.collect_sync()["n"].to_list() == [1, 1]


@pytest.mark.parametrize("size", ["1mo", "1q", "1y", "1w", "1d"])
def test_windows_close_at_the_watermark(size: str) -> None:
    start = pl.Series([datetime(2025, 5, 7)]).dt.truncate(size)
    end = start.dt.offset_by(size)
    for late_us, closed in ((-1, 0), (0, 1)):
        mark = round(end[0].replace(tzinfo=UTC).timestamp() * 1_000_000) + late_us
        first = pl.DataFrame({"t": start, "x": [1]})
        script = [first, Watermark(mark), first]
        steps = Pipeline.builder().source(TestSource.from_frames(script)).window(size, on="t").agg(n=pl.len())
        # The second row is late if the window is closed.
        assert steps.collect_sync()["n"].to_list() == [2 - closed]


@pytest.mark.parametrize("mark", [-(1 << 62), 1 << 62])
def test_watermarks_out_of_the_calendar(mark: int) -> None:
    frame = pl.DataFrame({"t": [datetime(2025, 5, 7)], "x": [1]})
    script = [frame, Watermark(mark)]
    steps = (
        Pipeline.builder().source(TestSource.from_frames(script)).window("1mo", on="t", timezone="Asia/Tokyo")
    )
    assert steps.agg(n=pl.len()).collect_sync()["n"].to_list() == [1]


def test_dates_have_months_and_no_zone() -> None:
    frame = pl.DataFrame(
        {"t": [date(2024, 2, 29), date(2024, 3, 1), date(2024, 3, 31), date(2024, 4, 1)], "x": 1}
    )
    result = found(frame, size="1mo")
    assert result.rows() == [
        (date(2024, 2, 1), date(2024, 3, 1), 1),
        (date(2024, 3, 1), date(2024, 4, 1), 2),
        (date(2024, 4, 1), date(2024, 5, 1), 1),
    ]
    with pytest.raises(SchemaError, match="needs times, not dates"):
        found(frame, size="1mo", timezone="Europe/Berlin")


def test_whole_numbers_are_microseconds() -> None:
    frame = rows([datetime(2024, 2, 29, 23, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC)])
    numbers = frame.with_columns(pl.col("t").cast(pl.Int64))
    for zone in (None, "Europe/Berlin"):
        as_numbers = found(numbers, size="1mo", timezone=zone)
        assert as_numbers.with_columns(pl.col("window_start", "window_end").cast(pl.Datetime("us"))).equals(
            found(frame, size="1mo", timezone=zone)
        )


def test_times_at_the_ends_of_their_range() -> None:
    frame = pl.DataFrame({"t": pl.Series([2**63 - 1], dtype=pl.Int64).cast(pl.Datetime("ns")), "x": [1]})
    with pytest.raises(StageError, match="a time that its column cannot hold"):
        found(frame, size="1mo")


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "months and days": ({"size": "1mo", "every": "1d"}, "mixes months with shorter times"),
    "every longer than size": ({"size": "1mo", "every": "1q"}, "rows between windows would be lost"),
    "hours of a zone": ({"size": "1h", "timezone": "Europe/Berlin"}, "is for windows of days"),
    "a zone that is not there": ({"size": "1d", "timezone": "Europe/Berln"}, "is unknown"),
    "hours as offset of months": ({"size": "1mo", "offset": "5h"}, "must be whole days"),
    "hours as offset in a zone": (
        {"size": "1d", "offset": "5h", "timezone": "Asia/Tokyo"},
        "must be whole days",
    ),
    "no months": ({"size": "0mo"}, "is not a duration"),
    "sessions": ({"session": "1h", "offset": "5h"}, "has no offset"),
    "rows": ({"rows": 3, "timezone": "UTC"}, "has no timezone"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_does_not_go_together(what: str) -> None:
    window, message = REFUSED[what]
    with pytest.raises(PlanError, match=message):
        Pipeline.builder().source(Source.from_frame(rows([datetime(2025, 1, 1, tzinfo=UTC)]))).window(
            **{"on": "t", **window} if "rows" not in window else window
        ).agg(pl.len())


SHOWN = {
    "size=3mo, every=1mo": {"size": "1q", "every": "1mo"},
    "size=2w, timezone=Asia/Tokyo": {"size": "2w", "timezone": "Asia/Tokyo"},
    "size=7d, every=1d, offset=86400s, timezone=UTC": {
        "size": "1w",
        "every": "1d",
        "offset": "1d",
        "timezone": "UTC",
    },
    "size=86400s, every=3600s": {"size": "1d", "every": "1h"},
    "size=2w, every=1w": {"size": "14d", "every": "1w"},
    "size=7d,": {"size": "1w", "every": "7d"},
    "size=10d, every=1w": {"size": "10d", "every": "1w"},
    "size=604800s, every=3600s": {"size": "1w", "every": "1h"},
}


@pytest.mark.parametrize("text", SHOWN)
def test_the_plan_shows_what_windows_are(text: str) -> None:
    steps = Pipeline.builder().source(Source.from_frame(rows([datetime(2025, 1, 1, tzinfo=UTC)])))
    window: Any = SHOWN[text]
    assert f"window({text}" in steps.window(on="t", **window).agg(pl.len()).explain()
