"""Kafka JSON to Parquet, next to what people write by hand with Kafka's Python clients, and to Polars from memory.

Each route ends with a Parquet file of the same columns and types, compressed by zstd, with the times as times:

- arrowstream reads the topic, parses the values, and writes.
- Polars gets the bytes of all values in memory, with a newline after each: nothing is fetched, checked or joined. It
  parses them with the schema given and the times as texts, makes times of these by one format, and writes. Its JSON
  reader itself takes 20 times as long for times.
- The clients' messages are parsed by orjson, become a record batch by `from_pylist`, and are written by pyarrow.

No client can be faster than Polars from memory is with the same parser, as each has to fetch the bytes first.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import orjson
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from arrowstream import Pipeline, Sink, Source
from benchmarks.harness import ROUNDS, Figure, Scale, checked_in_turn, measured, ratio
from benchmarks.kafka_clients import Take, by_aiokafka, by_confluent, fetched_bytes

SCHEMA = pl.Schema(
    {"at": pl.Datetime("us", "UTC"), "origin": pl.String(), "carrier": pl.String(), "dep_delay": pl.Int64()}
)
_TEXTS = pa.schema(
    {"at": pa.string(), "origin": pa.string(), "carrier": pa.string(), "dep_delay": pa.int64()}
)
_FORMAT = "%Y-%m-%dT%H:%M:%S%:z"
_LIMIT, _CLIENTS = 0.8, 3.0


def flights(rows: int) -> pl.DataFrame:
    """Rows like those of the flights, whose JSON has some 80 bytes."""
    number = pl.int_range(rows)
    return pl.select(
        at=pl.datetime(2013, 1, 1, time_zone="UTC") + pl.duration(seconds=number * 60),
        origin=pl.lit(pl.Series(["EWR", "JFK", "LGA"])).gather(number % 3),
        carrier=pl.lit(pl.Series(["UA", "AA", "B6", "DL", "EV"])).gather(number % 5),
        dep_delay=pl.when(number % 37 != 0).then(number * 7919 % 300 - 20),
    ).cast(SCHEMA)


def json_to_parquet(scale: Scale, servers: str, topic: str, frame: pl.DataFrame) -> list[Figure]:
    """Rates of all routes, what a run costs without messages, and where the time goes.

    Parameters
    ----------
    scale
        How many rounds.
    servers, topic
        A topic with the rows as JSON.
    frame
        The rows.
    """
    processor: dict[str, list[float]] = {}
    rows = frame.height
    with TemporaryDirectory() as folder:
        place = Path(folder)
        text = frame.write_ndjson().encode()
        out = {name: place / f"{name}.parquet" for name in ("arrowstream", "polars", "aiokafka", "confluent")}
        routes: dict[str, Callable[[], object]] = {
            "arrowstream": _pipeline(servers, topic, out["arrowstream"]),
            "polars": lambda: _from_memory(text).write_parquet(out["polars"]),
            "aiokafka": lambda: _parsed_one_by_one(by_aiokafka, servers, topic, rows, out["aiokafka"]),
            "confluent": lambda: _parsed_one_by_one(by_confluent, servers, topic, rows, out["confluent"]),
        }
        parts: dict[str, Callable[[], object]] = {
            "no messages": _pipeline(servers, topic, place / "none.parquet", start="latest"),
            "fetch": lambda: asyncio.run(fetched_bytes(servers, topic)),
            "columns": to_function(servers, topic, "raw"),
            "rows": to_function(servers, topic, "json"),
        }

        def check() -> None:
            for name, path in out.items():
                found = pl.read_parquet(path)
                assert found.schema == SCHEMA, (name, found.schema)
                assert found.sort("at").equals(frame), name

        timed = {name: measured(name, work, processor) for name, work in {**routes, **parts}.items()}
        first = timed["arrowstream"]()
        for each in processor.values():
            each.clear()
        walls = checked_in_turn(timed, ROUNDS[scale], check)
    for each in processor.values():
        del each[0]  # the one before the check
    wall, used = (
        {name: statistics.median(each) for name, each in took.items()} for took in (walls, processor)
    )
    best = min(("aiokafka", "confluent"), key=wall.__getitem__)
    rates = ", ".join(f"{name} {rows / wall[name]:,.0f}/s" for name in routes)
    seconds = ", ".join(f"{name} {used[name]:.2f} s" for name in routes)
    ours, used_by_us = walls["arrowstream"], processor["arrowstream"]
    steps = (
        ("fetching bytes over the socket", "fetch", "no messages"),
        ("CRC, decompression, columns, the run", "columns", "fetch"),
        ("parsing JSON", "rows", "columns"),
        ("writing Parquet", "arrowstream", "rows"),
    )
    of = "JSON to Parquet"
    more = "what it takes more than others: numba, machine code, Polars' threads"
    return [
        Figure(f"{of}, Polars from memory = 1", ratio(walls["polars"], ours), "x", _LIMIT, note=rates),
        Figure(f"{of}, {best} = 1", ratio(walls[best], ours), "x", _CLIENTS),
        Figure(
            f"{of}, processor time of the process, Polars from memory = 1",
            ratio(processor["polars"], used_by_us),
            "x",
            note=seconds,
        ),
        Figure("a run without messages, in each of the above", wall["no messages"] * 1e3, "ms"),
        Figure("the first run of a process", (first - wall["arrowstream"]) * 1e3, "ms", note=more),
        *(
            Figure(f"processor time of a message: {what}", (used[name] - used[before]) / rows * 1e9, "ns")
            for what, name, before in steps
        ),
    ]


def _pipeline(
    servers: str, topic: str, path: Path, start: Literal["earliest", "latest"] = "earliest"
) -> Callable[[], object]:
    source = Source.from_kafka(servers, topic, schema=SCHEMA, start=start, stop_at_end=True)
    return Pipeline.builder().source(source).sink(Sink.to_file(path)).build().run_sync


def to_function(servers: str, topic: str, form: Literal["raw", "json"]) -> Callable[[], object]:
    """Return a run that reads a topic, and gives its batches to a function that does nothing."""
    schema = SCHEMA if form == "json" else None
    source = Source.from_kafka(servers, topic, format=form, schema=schema, stop_at_end=True)
    return Pipeline.builder().source(source).sink(Sink.to_fn(lambda batch: None)).build().run_sync


def _from_memory(text: bytes) -> pl.DataFrame:
    texts = pl.Schema({**SCHEMA, "at": pl.String()})
    times = pl.col("at").str.to_datetime(_FORMAT, time_zone="UTC", time_unit="us")
    return pl.read_ndjson(text, schema=texts).with_columns(times)


def _parsed_one_by_one(
    read: Callable[[str, str, int, Take], None],
    servers: str,
    topic: str,
    rows: int,
    path: Path,
) -> None:
    """Write what a client reads to a Parquet file, the messages parsed one by one."""
    kind = pl.DataFrame(schema=SCHEMA).to_arrow(compat_level=pl.CompatLevel.oldest()).schema
    with pq.ParquetWriter(path, kind, compression="zstd") as writer:

        def take(values: list[bytes]) -> None:
            frame = pl.from_arrow(pa.RecordBatch.from_pylist([orjson.loads(each) for each in values], _TEXTS))
            assert isinstance(frame, pl.DataFrame)
            times = pl.col("at").str.to_datetime(_FORMAT, time_zone="UTC", time_unit="us")
            writer.write_table(frame.with_columns(times).to_arrow(compat_level=pl.CompatLevel.oldest()))

        read(servers, topic, rows, take)
