"""Exactly once over kills: flights from Kafka, counted by day and airport, into Parquet files, SQLite and Delta Lake.

    make demo-recover

It starts an embedded broker that speaks Kafka's protocol (no Java), writes 336,776 flights to a topic, and starts a
job with checkpoints in a process of its own. That process is killed three times with SIGKILL, at any moment, and
started again. In the end each flight has been counted once, in each of the sinks.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
from deltalake import DeltaTable
from kafka_flights import FLIGHTS, SCHEMA, create_topics, embedded_broker, flights

from arrowstream import Pipeline, Sink, Source

FOLDER = "out/recover"
KILLS = 3


def job(servers: str, folder: str) -> Pipeline:
    """The flights and delays of each day and airport, into three sinks that show each row once."""
    source = Source.from_kafka(servers, "flights", schema=SCHEMA, start="earliest", stop_at_end=True)
    files = Sink.to_file(f"{folder}/days/", format="parquet")
    database = Sink.to_database(f"sqlite:///{folder}/days.db", "days", mode="append")
    lake = Sink.to_delta(f"{folder}/lake")
    return (
        Pipeline.builder(name="days")
        .source(source)
        .throttle(rows=60_000, per="1s")  # so that there is time to kill it
        .with_event_time("at", lateness="1h")
        .window(size="1d", on="at", by=["origin"])
        .agg(flights=pl.len(), delayed=(pl.col("dep_delay") > 0).sum())
        .sink(Sink.fanout([files, database, lake]))
        .build()
    )


def work(servers: str, folder: str) -> None:
    """Run the job, in the process that is killed; go on where the one before it was killed."""
    report = job(servers, folder).run_sync(checkpoint=f"{folder}/state", every="250ms")
    print(f"  {report.checkpoints}")


def run_killed(servers: str, folder: str, chance: random.Random) -> None:
    """Start the job, kill it a few times at any moment, and let it run to its end."""
    for number in range(KILLS + 1):
        process = subprocess.Popen([sys.executable, __file__, servers, folder])
        if number == KILLS:
            assert process.wait() == 0
            return
        before = _newest_epoch(folder)
        while process.poll() is None and _newest_epoch(folder) <= before:
            time.sleep(0.05)
        time.sleep(chance.uniform(0, 3))
        process.kill()
        done = "killed" if process.wait() == -signal.SIGKILL else "had ended before the kill"
        print(f"run {number + 1} {done}: {shown(folder)['days/'].height} rows are shown", flush=True)


def _newest_epoch(folder: str) -> int:
    complete = Path(folder, "state").glob("committed-????????")  # not one that is being written
    return max((int(file.name.split("-")[1]) for file in complete), default=0)


def shown(folder: str) -> dict[str, pl.DataFrame]:
    """What a reader sees in each sink; nothing before the first rows have been shown."""
    columns = ["origin", "flights", "delayed"]
    files = sorted(Path(folder, "days").glob("*.parquet"))
    parquet = pl.concat([pl.read_parquet(file) for file in files]) if files else pl.DataFrame(schema=columns)
    with sqlite3.connect(f"{folder}/days.db") as database:
        is_there = database.execute("SELECT 1 FROM sqlite_master WHERE name = 'days'").fetchone()
        rows = database.execute(f"SELECT {', '.join(columns)} FROM days").fetchall() if is_there else []
    lake = f"{folder}/lake"
    delta = pl.read_delta(lake) if DeltaTable.is_deltatable(lake) else pl.DataFrame(schema=columns)
    return {"days/": parquet, "days.db": pl.DataFrame(rows, schema=columns, orient="row"), "lake": delta}


async def main() -> None:
    """Write the flights, run the job with its kills, and compare."""
    frame = flights(FLIGHTS)
    async with embedded_broker() as servers:
        await create_topics(servers, partitions=1)  # read in order, so that windows close all along
        topic = Sink.to_kafka(servers, "flights", key="origin", idempotent=False)
        written = await Pipeline.builder().source(Source.from_frame(frame)).sink(topic).build().run()
        print(f"{written.rows_out:,} flights written to a topic\n\n{job(servers, FOLDER).explain()}\n")
        await asyncio.to_thread(run_killed, servers, FOLDER, random.Random())
    print(f"\nin the source: {frame.height:,} flights, {(frame['dep_delay'] > 0).sum():,} of them delayed")
    for name, rows in shown(FOLDER).items():
        flown, delayed = rows["flights"].sum(), rows["delayed"].sum()
        print(f"in {name + ':':9} {flown:,} flights, {delayed:,} of them delayed, in {rows.height:,} rows")
        assert flown == frame.height
        assert rows.height == frame.select(pl.col("at").dt.date(), "origin").n_unique()
    print("each flight was counted once")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        work(*sys.argv[1:])
    else:
        shutil.rmtree(FOLDER, ignore_errors=True)
        Path(FOLDER).mkdir(parents=True)
        asyncio.run(main())
