"""Nested NDJSON of which some lines are broken: readings in rows of their own, broken lines in a file next to them.

    python examples/device_events.py

It writes made-up events of devices into `events/` first. Some lines are cut, and some have a text where a number
should be. The same job as TOML is `device_events.toml`: ``arrowstream run examples/device_events.toml``.
"""

from __future__ import annotations

import json
import random
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from arrowstream import Pipeline, Sink, Source

EVENTS = "events"
READINGS = "out/readings/"
BROKEN = "out/broken-events/"


def write_events(folder: str = EVENTS, seed: int = 7) -> None:
    """Write two files of events, always the same ones for a seed."""
    draw = random.Random(seed)
    Path(folder).mkdir(exist_ok=True)
    for number in range(2):
        lines = []
        for row in range(300):
            event = {
                "at": (datetime(2026, 1, 1 + number) + timedelta(minutes=row)).isoformat(),
                "device": {"id": draw.randrange(20), "place": draw.choice(["Bergen", "Oslo"])},
                "readings": [
                    {"kind": kind, "value": draw.randrange(1_000) / 10}
                    for kind in draw.sample(["temperature", "humidity", "wind"], draw.randrange(4))
                ],
            }
            if row > 10 and draw.random() < 0.02:
                event["device"]["id"] = "unknown"  # type: ignore[index]
            line = json.dumps(event)
            lines.append(line[:-20] if row > 10 and draw.random() < 0.02 else line)
        Path(f"{folder}/{number}.ndjson").write_text("\n".join(lines) + "\n")


def readings(events: str = f"{EVENTS}/*.ndjson", out: str = READINGS, broken: str = BROKEN) -> Pipeline:
    """A row for each reading, in partitions by place; lines that cannot be read go to a file of their own."""
    device = pl.Struct({"id": pl.Int64, "place": pl.String})  # so that an id must be a number in every line
    bad = Sink.to_file(broken, format="ndjson", overwrite=True)
    return (
        Pipeline.builder(name="readings")
        .source(Source.from_file(events, schema={"at": pl.Datetime("us"), "device": device}, bad_rows=bad))
        .explode("readings")  # a row for each; events without readings give none
        .unnest("device", "readings")
        .rename({"id": "device"})
        .sink(Sink.to_file(out, format="parquet", partition_by="place", overwrite=True))
        .build()
    )


def main() -> None:
    """Write the events, run the job, and show readings and broken lines."""
    write_events()
    print(readings().run_sync())
    print(Pipeline.builder().source(Source.from_file(READINGS)).preview(5))
    print(Pipeline.builder().source(Source.from_file(BROKEN)).preview(5))


if __name__ == "__main__":
    main()
