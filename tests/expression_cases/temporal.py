"""Expressions of dates, times and durations, by the function that they must be lowered to, and rows for them."""

from __future__ import annotations

from typing import Any

import polars as pl
import pyarrow as pa

from arrowstream.backends.arrow.kernels.temporal import zones
from arrowstream.core.batch import to_record

SCHEMA = pl.Schema(
    {
        "date": pl.Date,
        "ms": pl.Datetime("ms"),
        "us": pl.Datetime("us"),
        "ns": pl.Datetime("ns"),
        "utc": pl.Datetime("us", "UTC"),
        "berlin": pl.Datetime("us", "Europe/Berlin"),
        "newfoundland": pl.Datetime("ms", "America/St_Johns"),
        "time": pl.Time,
        "in_ms": pl.Duration("ms"),
        "in_us": pl.Duration("us"),
        "in_ns": pl.Duration("ns"),
    }
)
ZONED = ("utc", "berlin", "newfoundland")
STAMPS = ("ms", "us", "ns", *ZONED)
PLAIN = ("date", "ms", "us", "ns", "utc")
DURATIONS = ("in_ms", "in_us", "in_ns")
UNITS = ("ms", "us", "ns")


def of(names: tuple[str, ...], method: str, *arguments: Any) -> list[pl.Expr]:
    """The method of every one of these columns."""
    return [getattr(pl.col(name).dt, method)(*arguments) for name in names]


def each(names: tuple[str, ...], method: str, choices: str) -> list[pl.Expr]:
    """The method with every one of these arguments, separated by blanks."""
    return [expression for choice in choices.split() for expression in of(names, method, choice)]


def cases() -> dict[str, list[pl.Expr]]:
    """Expressions whose lowered form calls each kernel."""
    date_parts = (
        "year month day quarter week iso_year ordinal_day is_leap_year century millennium days_in_month"
    )
    time_parts = "hour minute second millisecond microsecond nanosecond"
    return {
        **{f"dt.{part}": of(("date", *STAMPS), part) for part in date_parts.split()},
        "dt.week_day": of(("date", *STAMPS), "weekday"),
        **{f"dt.{part}": of((*STAMPS, "time"), part) for part in time_parts.split()},
        "dt.date": of(STAMPS, "date"),
        "dt.time": of(STAMPS, "time"),
        **{
            f"dt.total_{unit}": of(DURATIONS, f"total_{unit}")
            for unit in ["days", "hours", "minutes", "seconds", "milliseconds", "microseconds", "nanoseconds"]
        },
        "dt.truncate": each(PLAIN, "truncate", "1d 3d 1w 1mo 5mo 1q 1y 2y")
        + each(("ms", "us", "ns", "utc"), "truncate", "1h 7h 15m 3s 7ms")
        + each(("us", "ns"), "truncate", "2us")
        + each(("ns",), "truncate", "10ns"),
        "dt.round": each(PLAIN, "round", "1d 2d 1w") + each(("ms", "us", "ns"), "round", "1h 7h 15m 3s 7ms"),
        "dt.offset_by": each(PLAIN, "offset_by", "1d -1d 2w")
        + each(("ms", "ns"), "offset_by", "-36h 1d12h 5ms"),
        "dt.month_start": of(PLAIN, "month_start"),
        "dt.month_end": of(PLAIN, "month_end"),
        "dt.time_stamp": each(("date", *STAMPS), "timestamp", "ms us ns"),
        "dt.cast_time_unit": each((*STAMPS, *DURATIONS), "cast_time_unit", "ms us ns"),
        "dt.convert_time_zone": of(ZONED, "convert_time_zone", "Asia/Tokyo"),
        "dt.replace_time_zone": of(STAMPS, "replace_time_zone", None)
        + of(STAMPS, "replace_time_zone", "UTC"),
        "dt.combine": [
            pl.col(name).dt.combine(pl.col("time"), unit)
            for name in ("date", "ms", "us", "ns")
            for unit in UNITS
        ],
        "dt.to_string": each(("date", *STAMPS), "to_string", "%Y-%m-%d %F %Y%m %%é%d|%Y-%m")
        + each(("date", "ms", "us", "ns"), "to_string", "iso")
        + each((*STAMPS, "time"), "to_string", "%H:%M %T|%R %H%M%S")
        + of(STAMPS, "to_string", "%Y-%m-%d %H:%M:%S"),
    }


CASES = cases()
DAY = 86_400


def columns_of(
    instant: tuple[int, int] | None, day: int | None, clock: int | None, length: int | None
) -> dict[str, int | None]:
    """One row: the instant in every unit and zone, brought within the range of its column."""
    columns: dict[str, int | None] = {"date": None if day is None else day // DAY, "time": clock}
    for name, unit, limit in (
        ("ms", "ms", 10**12),
        ("us", "us", 10**12),
        ("ns", "ns", 8 * 10**9),
        ("utc", "us", 10**12),
        ("berlin", "us", 4 * 10**9),
        ("newfoundland", "ms", 4 * 10**9),
    ):
        if instant is None:
            columns[name] = None
            continue
        seconds = (instant[0] + limit) % (2 * limit) - limit
        columns[name] = seconds * zones.TICKS[unit] + instant[1] * zones.TICKS[unit] // 10**9
    return columns | dict.fromkeys(DURATIONS, length)


Rows = tuple[pl.DataFrame, pa.RecordBatch]
"""Rows as Polars has them, and as a slice that does not start at the beginning of its buffers."""


def made(drawn: list[dict[str, int | None]], offset: int) -> Rows:
    """The rows from `offset` on."""
    columns = {name: pl.Series([one[name] for one in drawn], dtype=pl.Int64) for name in SCHEMA}
    frame = pl.DataFrame(columns).with_columns(pl.col("date").cast(pl.Int32)).cast(dict(SCHEMA))
    return frame.slice(offset), to_record(frame).slice(offset)


SETTLED = [
    columns_of((1_709_210_096, 123_456_789), 1_709_210_096, 3_723_000_000_004, 90_061_001_002_003),
    columns_of(None, None, None, None),
    columns_of((-1, 999_999_999), -DAY, DAY * 10**9 - 1, -1),
    columns_of((0, 0), 0, 0, 0),
    columns_of((1_711_846_800, 500_000_000), 1_735_603_200, 43_200 * 10**9, 2**63 - 1),
    columns_of((-59_958_144_000, 7_000_000), -59_958_144_000, 1, -(2**63)),
]
"""A leap day, nulls, the last moment of a year, the epoch, a change of clocks, the year 70; sizes of durations."""

OF_POLARS = [*SETTLED[:2], columns_of((390 * 10**9, 1), 390 * 10**9, 5, 5)]
"""Years that Arrow does not compute."""

FAR = [
    columns_of((999 * 10**9, 1), 999 * 10**9, 5, 5),
    columns_of((-999 * 10**9, 1), -999 * 10**9, 5, 5),
    SETTLED[0],
]
"""Years of more than 16 bits."""

CALM = [columns_of((1_709_210_096, 123_456_789), 1_709_210_096, 3_723_000_000_004, 90_061), SETTLED[1]]
"""Dates that every unit holds, and durations that fit when their unit is changed."""
