"""A daily job over CSV files whose columns differ from day to day, into Parquet partitions by day.

    python examples/daily_rain.py

It writes five days of made-up measurements into `days/` first, one file a day. On the second day `rain` has
decimals, on the third a column `wind` appears, on the fourth a column `note`, which nobody needs, and on the
fifth `wind` is gone and the order of the columns is another one. The same job as TOML is `daily_rain.toml`:
``DAY=2026-01-04 arrowstream run examples/daily_rain.toml`` reads one day again and replaces its partition
alone.
"""

from __future__ import annotations

import random
from pathlib import Path

import polars as pl

from arrowstream import Pipeline, Sink, Source

DAYS = "days"
RAIN = "out/rain/"
ROWS = 200


def write_days(folder: str = DAYS, seed: int = 7) -> None:
    """Write a CSV file for each of five days, always the same ones for a seed."""
    draw = random.Random(seed)
    Path(folder).mkdir(exist_ok=True)
    for day in range(1, 6):
        columns: dict[str, list[object]] = {
            "station": [draw.choice(["Bergen", "Oslo", "Molde"]) for _ in range(ROWS)],
            "rain": [draw.randrange(40) if day == 1 else draw.randrange(400) / 10 for _ in range(ROWS)],
        }
        if day in (3, 4):
            columns["wind"] = [draw.randrange(30) for _ in range(ROWS)]
        if day == 4:
            columns["note"] = ["gauge cleaned" if draw.random() < 0.1 else None for _ in range(ROWS)]
        if day == 5:
            columns = {"rain": columns["rain"], "station": columns["station"]}
        pl.DataFrame(columns).write_csv(f"{folder}/2026-01-{day:02}.csv")


def daily_rain(days: str = f"{DAYS}/*.csv", rain: str = RAIN) -> Pipeline:
    """All measurements with rain, with the day in the name of their file, in partitions by day."""
    source = Source.from_file(
        days,
        schema={"station": pl.String, "wind": pl.Int64},  # the types of other columns are inferred
        missing_columns="insert",  # a day without wind has nulls there
        extra_columns="ignore",  # the notes are left out
        widen=True,  # whole numbers of one day and decimals of another are Float64
        include_file_paths="file",
    )
    return (
        Pipeline.builder(name="daily-rain")
        .source(source)
        .filter(pl.col("rain") > 0)
        .with_columns(day=pl.col("file").str.slice(-14, 10), rain=pl.col("rain").cast(pl.Float64))
        .select("day", "station", "rain", "wind")
        .sink(Sink.to_file(rain, format="parquet", partition_by="day", mode="overwrite_partitions"))
        .build()
    )


def main() -> None:
    """Run the job over all days, then again for one of them, and show what is there."""
    write_days()
    print(daily_rain().run_sync().summary)
    print(daily_rain(f"{DAYS}/2026-01-04.csv").run_sync().summary)
    total = Pipeline.builder().source(Source.from_file(RAIN)).group_by("day")
    print(total.agg(rows=pl.len(), rain=pl.col("rain").sum(), windy=pl.col("wind").count()).collect_sync())


if __name__ == "__main__":
    main()
