"""Each query next to Polars, DuckDB and Bytewax, from the same Parquet files to a Parquet file.

Every run has a process of its own, for its peak of memory, and all cores; the rivals take turns. A query runs twice in
it: the first run gives the peak, the faster one the time. Rows of the results are counted, and numbers are added up,
and must agree; `tests/test_nexmark.py` compares every row. A query that needs two streams reads both.
"""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
from collections.abc import Iterable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import polars.selectors as cs

from benchmarks.harness import Figure, Scale, Section, in_turn, ratio
from benchmarks.machine import DATA, ROOT, made_once
from benchmarks.nexmark import by_duckdb, by_polars, queries, steps
from benchmarks.nexmark.generator import Events
from benchmarks.nexmark.job import BYTEWAX_ROWS, STREAMS, TABLES

_EVENTS = {"full": 2_000_000, "quick": 500_000, "tiny": 20_000}
_PER_SECOND = {"full": 20_000, "quick": 10_000, "tiny": 400}
_QUERIES = {"full": tuple(steps.QUERIES), "quick": tuple(steps.QUERIES), "tiny": ("q1", "q8")}
_ROUNDS = {"full": 1, "quick": 1, "tiny": 1}
_RUNS = {"full": 3, "quick": 2, "tiny": 1}
"""Runs of a query in a process."""
_AT_LEAST = {"q0": 0.9, "q1": 0.9, "q2": 0.9}
"""Budgets of time against Polars."""
_SPEED = {"q5": 8.0, "q7": 10.0, "q8": 5.0}
"""Budgets in million rows a second."""
SIDE_INPUT = pl.DataFrame({"key": range(10_000), "value": [f"value {number}" for number in range(10_000)]})
_BYTEWAX = ("q1", "q2", "q12")
_WITHOUT_SQL = "q6 has no form in SQL: it needs rows in an order, which SQL of pipelines has not"
_FLINK = "Flink is not among the rivals: apache-flink could not be installed on this machine"
_FORMS = "rows/s are those of the streams that a query reads; peaks of memory are of the whole process"


def run(scale: Scale) -> Section:
    """Rows in a second as steps and as SQL, ratios of time to the rivals, and peaks of memory."""
    files = _files(scale)
    figures = [figure for name in _QUERIES[scale] for figure in _figures(name, files, scale)]
    notes = [_FORMS, _WITHOUT_SQL, _FLINK]
    if find_spec("bytewax") is None:
        notes.append("bytewax is not installed: pip install 'arrowstream[bench]'")
    else:
        notes.append(f"Bytewax gets the first {BYTEWAX_ROWS:,} bids, in one worker: rows/s are compared")
    title = f"Nexmark, {_EVENTS[scale]:,} events, Parquet to Parquet, each query in a process of its own"
    return Section(title, tuple(figures), tuple(notes))


def _files(scale: Scale) -> Path:
    """Return the folder with a file of each table, which are made once."""
    folder = DATA / f"nexmark-{_EVENTS[scale]}"
    folder.mkdir(parents=True, exist_ok=True)
    events = Events(_EVENTS[scale], _PER_SECOND[scale])
    for name in TABLES:
        made_once(folder / f"{name}.parquet", partial(_write, events, name))
    return folder


def _write(events: Events, name: str, path: Path) -> None:
    frame = SIDE_INPUT if name not in STREAMS else getattr(events, f"{name}s")
    frame.write_parquet(path, row_group_size=250_000)


def _figures(name: str, files: Path, scale: Scale) -> Iterable[Figure]:
    peaks: dict[str, list[float]] = {}
    with TemporaryDirectory(dir=DATA) as folder:
        targets = {rival: Path(folder) / f"{rival}.parquet" for rival in _rivals(name)}
        processes = {
            rival: partial(_process, rival, name, files, target, _RUNS[scale], peaks)
            for rival, target in targets.items()
        }
        seconds = in_turn(processes, _ROUNDS[scale])
        _check([target for rival, target in targets.items() if rival != "bytewax"])
        if "bytewax" in targets:
            _by_polars(name, files, Path(folder) / "first.parquet", BYTEWAX_ROWS)
            _check([targets["bytewax"], Path(folder) / "first.parquet"])
    rows = sum(_rows(files, stream) for stream in _read_by(name))
    speed = rows / statistics.median(seconds["steps"])
    memory = ", ".join(f"{rival} {statistics.median(found) / 2**20:,.0f}" for rival, found in peaks.items())
    budget = _SPEED.get(name)
    yield Figure(f"{name}, as steps", speed / 1e6, "M rows/s", at_least=budget, note=f"peaks in MB: {memory}")
    if "sql" in seconds:
        yield Figure(f"{name}, as SQL", rows / statistics.median(seconds["sql"]) / 1e6, "M rows/s")
    yield Figure(
        f"{name} against Polars",
        ratio(seconds["polars"], seconds["steps"]),
        "x",
        at_least=_AT_LEAST.get(name),
    )
    yield Figure(f"{name} against DuckDB", ratio(seconds["duckdb"], seconds["steps"]), "x")
    if "bytewax" in seconds:
        others = min(BYTEWAX_ROWS, _rows(files, "bid")) / statistics.median(seconds["bytewax"])
        yield Figure(
            f"{name} against Bytewax",
            speed / others,
            "x",
            note=f"{others / 1e6:.2f} M rows/s, a row at a time",
        )


def _rivals(name: str) -> list[str]:
    rivals = ["steps", *(["sql"] if name in queries.QUERIES else []), "polars", "duckdb"]
    return rivals + (["bytewax"] if name in _BYTEWAX and find_spec("bytewax") is not None else [])


def _process(
    rival: str, name: str, files: Path, target: Path, runs: int, peaks: dict[str, list[float]]
) -> float:
    """Run a query in a process of its own; return the seconds of its fastest run, and keep the peak of memory."""
    arguments = [rival, name, str(files), str(target), str(runs)]
    command = [sys.executable, "-m", "benchmarks.nexmark.job", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{name} by {rival} failed: {done.stderr[-2000:]}")
    found = json.loads(done.stdout)
    peaks.setdefault(rival, []).append(found["peak"])
    return float(min(found["seconds"]))


def _read_by(name: str) -> list[str]:
    return [stream for stream in STREAMS if re.search(rf"(FROM|JOIN) {stream}\b", by_duckdb.QUERIES[name])]


def _rows(files: Path, stream: str) -> int:
    return int(pl.scan_parquet(files / f"{stream}.parquet").select(pl.len()).collect().item())


def _by_polars(name: str, files: Path, target: Path, bids: int) -> None:
    """Write what Polars makes of the first bids."""
    person, auction, bid, side_input = (pl.scan_parquet(files / f"{each}.parquet") for each in TABLES)
    tables = by_polars.Tables(person, auction, bid.head(bids), side_input)
    by_polars.QUERIES[name](tables).collect().write_parquet(target)


def _check(targets: list[Path]) -> None:
    """Raise unless all have the same number of rows, and about the same sums of numbers."""
    found = [
        pl.scan_parquet(target)
        .select(pl.len().alias("rows"), cs.numeric().cast(pl.Float64).sum().round_sig_figs(6))
        .collect()
        .row(0)
        for target in targets
    ]
    if len({tuple(sorted(row)) for row in found}) != 1:
        raise AssertionError(
            f"results differ: {dict(zip((each.stem for each in targets), found, strict=True))}"
        )
