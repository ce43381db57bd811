"""A folder of compressed access logs, whose lines are parsed by expressions, into requests by hour and status.

    python examples/access_logs.py

It writes three days of a made-up log into `logs/` first, one `.gz` file a day; some lines are not those of
requests. The same job as TOML is `access_logs.toml`: ``arrowstream run examples/access_logs.toml``.
"""

from __future__ import annotations

import gzip
import random
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from arrowstream import Pipeline, Sink, Source

LOGS = "logs"
HOURS = "out/requests-by-hour/"
LINE = r'^(?P<host>\S+) \S+ \S+ \[(?P<at>[^ ]+) \+0000\] "\w+ (?P<path>\S+) [^"]*" (?P<status>\d{3}) (?P<bytes>\d+)$'
"""A request in the common log format."""


def write_logs(folder: str = LOGS, seed: int = 7) -> None:
    """Write a compressed log for each of three days, always the same ones for a seed."""
    draw = random.Random(seed)
    Path(folder).mkdir(exist_ok=True)
    for day in range(3):
        at, lines = datetime(2026, 1, 1) + timedelta(days=day), []
        for _ in range(500):
            at += timedelta(seconds=draw.randrange(1, 300))
            status, path = draw.choice([200, 200, 200, 404, 500]), draw.choice(["/", "/tea", "/?q=%22a%22,b"])
            time = f"{at:%d/%b/%Y:%H:%M:%S} +0000"
            size = draw.randrange(100, 9_000)
            lines.append(f'10.0.0.{draw.randrange(9)} - - [{time}] "GET {path} HTTP/1.1" {status} {size}')
            if draw.random() < 0.02:
                lines.append("server restarted, with 2 workers")
        with gzip.open(f"{folder}/2026-01-{day + 1:02}.log.gz", "wt") as file:
            file.write("\n".join(lines) + "\n")


def requests_by_hour(logs: str = f"{LOGS}/*.log.gz", hours: str = HOURS) -> Pipeline:
    """The number of requests and their bytes, for each hour and status."""
    return (
        Pipeline.builder(name="requests-by-hour")
        .source(Source.from_file(logs, format="lines"))
        .select(pl.col("line").str.extract_groups(LINE))
        .unnest("line")
        .filter(pl.col("status").is_not_null())  # other lines match nothing
        .with_columns(
            at=pl.col("at").str.to_datetime("%d/%b/%Y:%H:%M:%S"),
            status=pl.col("status").cast(pl.Int64),
            bytes=pl.col("bytes").cast(pl.Int64),
        )
        .with_event_time("at", lateness="1m")
        .window(size="1h", on="at", by="status")
        .agg(requests=pl.len().cast(pl.Int64), bytes=pl.col("bytes").sum())
        .sink(Sink.to_file(hours, format="csv", overwrite=True))
        .build()
    )


def main() -> None:
    """Write the logs, run the job, and show the first hours."""
    write_logs()
    print(requests_by_hour().run_sync())
    print(Pipeline.builder().source(Source.from_file(HOURS)).preview(6))


if __name__ == "__main__":
    main()
