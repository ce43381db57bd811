"""Each query next to Polars and DuckDB, from the same Parquet files to a Parquet file.

The rivals take turns in one process; each reads the files from the beginning. Their rows are counted, and numbers are
added up, and must agree; `tests/test_nexmark.py` compares every row. A query that needs two streams reads both.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import polars as pl
import polars.selectors as cs

from arrowstream import Builder, Pipeline, Sink, Source
from arrowstream.io.sink import AnySink
from benchmarks.harness import ROUNDS, Figure, Scale, Section, checked_in_turn, ratio
from benchmarks.machine import DATA, made_once
from benchmarks.nexmark import by_duckdb, by_polars, queries, steps
from benchmarks.nexmark.generator import LATENESS_S, Events

_EVENTS = {"full": 5_000_000, "quick": 1_000_000, "tiny": 4_000}
_PER_SECOND = {"full": 20_000, "quick": 10_000, "tiny": 80}
_STREAMS = ("person", "auction", "bid")
_AT_LEAST = {"q0": 0.9, "q1": 0.9, "q2": 0.9}
SIDE_INPUT = pl.DataFrame({"key": range(10_000), "value": [f"value {number}" for number in range(10_000)]})


def run(scale: Scale) -> Section:
    """Ratios of time to Polars and DuckDB, with the events that went through in a second, and those in SQL."""
    files = streams(scale)
    figures = [figure for name in steps.QUERIES for figure in _figures(name, files, scale)]
    return Section(f"Nexmark, {_EVENTS[scale]:,} events, Parquet to Parquet", tuple(figures))


def streams(scale: Scale) -> dict[str, Path]:
    """The files of the streams, which are made once."""
    events = Events(_EVENTS[scale], _PER_SECOND[scale])
    return {
        name: made_once(DATA / f"nexmark-{name}-{_EVENTS[scale]}.parquet", partial(_write, events, name))
        for name in _STREAMS
    }


def _write(events: Events, name: str, path: Path) -> None:
    frame: pl.DataFrame = getattr(events, f"{name}s")
    frame.write_parquet(path, row_group_size=250_000)


def _figures(name: str, files: dict[str, Path], scale: Scale) -> list[Figure]:
    with TemporaryDirectory(dir=DATA) as folder:
        targets = {rival: Path(folder) / f"{rival}.parquet" for rival in ("steps", "sql", "polars", "duckdb")}
        rivals: dict[str, Callable[[], object]] = {
            "steps": lambda: (
                steps.QUERIES[name](tables(files)).sink(_sink(targets["steps"])).build().run_sync()
            ),
            "polars": partial(_by_polars, name, files, targets["polars"]),
            "duckdb": partial(_by_duckdb, name, files, targets["duckdb"]),
        }
        if name in queries.QUERIES:
            rivals["sql"] = lambda: in_sql(name, files).sink(_sink(targets["sql"])).build().run_sync()
        timed = {rival: partial(_seconds, work) for rival, work in rivals.items()}
        measured = checked_in_turn(timed, ROUNDS[scale], lambda: _check([targets[rival] for rival in rivals]))
    rows = sum(pl.scan_parquet(files[stream]).select(pl.len()).collect().item() for stream in _read_by(name))
    speed = rows / min(measured["steps"])
    sql = f"; in SQL {ratio(measured['steps'], measured['sql']):.2f}x of it" if "sql" in measured else ""
    return [
        Figure(
            f"{name} against Polars",
            ratio(measured["polars"], measured["steps"]),
            "x",
            at_least=_AT_LEAST.get(name),
            note=f"{speed / 1e6:.1f}M rows/s{sql}",
        ),
        Figure(f"{name} against DuckDB", ratio(measured["duckdb"], measured["steps"]), "x"),
    ]


def _read_by(name: str) -> list[str]:
    return [stream for stream in _STREAMS if re.search(rf"(FROM|JOIN) {stream}\b", by_duckdb.QUERIES[name])]


def _seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def _sink(target: Path) -> AnySink:
    return Sink.to_file(target, overwrite=True)


def tables(files: dict[str, Path]) -> steps.Tables:
    """The streams as builders."""
    person, auction, bid = (Pipeline.builder(name).source(Source.from_file(files[name])) for name in _STREAMS)
    return steps.Tables(person, auction, bid, SIDE_INPUT)


def in_sql(name: str, files: dict[str, Path]) -> Builder:
    """The query in SQL."""
    sources = {
        each: Source.from_file(files[each]).with_event_time("date_time", lateness=LATENESS_S)
        for each in _STREAMS
    }
    return Pipeline.sql(queries.QUERIES[name], **sources, side_input=SIDE_INPUT)


def _by_polars(name: str, files: dict[str, Path], target: Path) -> None:
    person, auction, bid = (pl.scan_parquet(files[each]) for each in _STREAMS)
    found = by_polars.Tables(person, auction, bid, SIDE_INPUT.lazy())
    by_polars.QUERIES[name](found).sink_parquet(target, compression="zstd", compression_level=1)


def _by_duckdb(name: str, files: dict[str, Path], target: Path) -> None:
    with duckdb.connect() as connection:
        for each in _STREAMS:
            connection.execute(f"CREATE VIEW {each} AS SELECT * FROM '{files[each]}'")
        connection.register("side_input", SIDE_INPUT.to_arrow())
        options = "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1"
        connection.execute(f"COPY ({by_duckdb.QUERIES[name]}) TO '{target}' ({options})")


def _check(targets: list[Path]) -> None:
    """Raise unless all have the same number of rows, and about the same sums of numbers."""
    found = [
        pl.scan_parquet(target)
        .select(pl.len().alias("rows"), cs.numeric().cast(pl.Float64).sum().round_sig_figs(6))
        .collect()
        .row(0)
        for target in targets
    ]
    assert len({tuple(sorted(row)) for row in found}) == 1, found
