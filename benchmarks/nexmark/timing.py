"""Each query next to Polars, DuckDB, Bytewax and Flink, from the same Parquet files to a Parquet file.

Every rival has a process of its own for each query, for its peak of memory, in which the query runs some times; the
rivals take turns. The first run, which is not timed, gives the peak. Rows of the results are counted, and numbers are
added up, and must agree; `tests/test_nexmark.py` compares every row. A query that needs two streams reads both.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import polars.selectors as cs

from benchmarks.harness import Figure, Scale, Section, checked_in_turn, ratio
from benchmarks.machine import DATA, ROOT, made_once
from benchmarks.nexmark import by_duckdb, by_flink, by_polars, queries, steps
from benchmarks.nexmark.generator import Events
from benchmarks.nexmark.job import BYTEWAX_ROWS, STREAMS, TABLES

_EVENTS = {"full": 1_500_000, "quick": 500_000, "tiny": 20_000}
_PER_SECOND = {"full": 20_000, "quick": 10_000, "tiny": 400}
_QUERIES = {"full": tuple(steps.QUERIES), "quick": tuple(steps.QUERIES), "tiny": ("q1",)}
_ROUNDS = {"full": 2, "quick": 1, "tiny": 1}
_AT_LEAST = {"q0": 0.9, "q1": 0.9, "q2": 0.9}
"""Budgets of time against Polars."""
_SPEED = {"q5": 8.0, "q7": 10.0, "q8": 5.0}
"""Budgets in million rows a second."""
SIDE_INPUT = pl.DataFrame({"key": range(10_000), "value": [f"value {number}" for number in range(10_000)]})
_BYTEWAX = ("q1", "q2", "q12")
_WITHOUT_SQL = "q6 has no form in SQL: it needs rows in an order, which SQL of pipelines has not"
_FLINK = "FLINK_PYTHON"
"""The variable that names an interpreter with apache-flink."""
_NO_FLINK = f"Flink is not among the rivals: {_FLINK} is not set, see `benchmarks/nexmark/by_flink.py`"
_WITH_FLINK = (
    "Flink runs in streaming mode with two tasks of each operator; start is that of the JVM, the plan and the "
    "cluster, which its rows/s leave out; its peaks are those of Python and the JVM"
)
_FORMS = "rows/s are those of the streams that a query reads; peaks of memory are of the whole process"


def run(scale: Scale) -> Section:
    """Rows in a second as steps and as SQL, ratios of time to the rivals, and peaks of memory."""
    files = _files(scale)
    figures = [figure for name in _QUERIES[scale] for figure in _figures(name, files, scale)]
    notes = [_FORMS, _WITHOUT_SQL, _WITH_FLINK if _FLINK in os.environ else _NO_FLINK]
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
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(dir=DATA)))
        rivals = {each: stack.enter_context(_Rival(each, name, files, folder)) for each in _rivals(name)}
        check = partial(_check, name, files, folder, rivals)
        seconds = checked_in_turn({each: rival.run for each, rival in rivals.items()}, _ROUNDS[scale], check)
    rows = sum(_rows(files, stream) for stream in _read_by(name))
    speeds = {each: rows / statistics.median(found) / 1e6 for each, found in seconds.items()}
    peaks = ", ".join(f"{each} {rival.peak / 2**20:,.0f}" for each, rival in rivals.items())
    yield Figure(
        f"{name}, as steps",
        speeds["steps"],
        "M rows/s",
        at_least=_SPEED.get(name),
        note=f"peaks in MB: {peaks}",
    )
    if "sql" in speeds:
        yield Figure(f"{name}, as SQL", speeds["sql"], "M rows/s")
    against_polars = ratio(seconds["polars"], seconds["steps"])
    yield Figure(f"{name} against Polars", against_polars, "x", at_least=_AT_LEAST.get(name))
    yield Figure(f"{name} against DuckDB", ratio(seconds["duckdb"], seconds["steps"]), "x")
    if "bytewax" in seconds:
        other = min(BYTEWAX_ROWS, rows) / statistics.median(seconds["bytewax"]) / 1e6
        note = f"{other:.2f} M rows/s, a row at a time"
        yield Figure(f"{name} against Bytewax", speeds["steps"] / other, "x", note=note)
    if "flink" in seconds:
        note = f"{speeds['flink']:.2f} M rows/s, start {rivals['flink'].start:.1f} s"
        yield Figure(f"{name} against Flink", ratio(seconds["flink"], seconds["steps"]), "x", note=note)


class _Rival:
    """A process that runs a query by an engine, each time that it is asked.

    Parameters
    ----------
    engine
        The engine.
    name
        The query.
    files
        The folder with a file of each table.
    folder
        Where it writes its result.
    """

    def __init__(self, engine: str, name: str, files: Path, folder: Path) -> None:
        self.target = folder / f"{engine}.parquet"
        self.peak = 0.0
        """Most memory in bytes that the first run has held."""
        self.start = 0.0
        """Seconds from the beginning of the process to that of the first run."""
        module = [sys.executable, "-m", "benchmarks.nexmark.job", engine]
        if engine == "flink":
            module = [os.environ[_FLINK], "-m", "benchmarks.nexmark.by_flink"]
        command = [*module, name, str(files), str(self.target)]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> _Rival:
        return self

    def run(self) -> float:
        """Run the query once, and return the seconds that it took."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write("run\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().split()
        if len(answer) != 3:
            raise RuntimeError(f"{self.target.stem} has failed: what it wrote to standard error says why")
        seconds, peak, start = map(float, answer)
        self.peak, self.start = self.peak or peak, self.start or start
        return seconds

    def __exit__(self, *_: object) -> None:
        self._process.communicate()


def _rivals(name: str) -> list[str]:
    rivals = ["steps", *(["sql"] if name in queries.QUERIES else []), "polars", "duckdb"]
    rivals += ["bytewax"] if name in _BYTEWAX and find_spec("bytewax") is not None else []
    return rivals + (["flink"] if name in by_flink.QUERIES and _FLINK in os.environ else [])


def _read_by(name: str) -> list[str]:
    return [stream for stream in STREAMS if re.search(rf"(FROM|JOIN) {stream}\b", by_duckdb.QUERIES[name])]


def _rows(files: Path, stream: str) -> int:
    return int(pl.scan_parquet(files / f"{stream}.parquet").select(pl.len()).collect().item())


def _by_polars(name: str, files: Path, target: Path, bids: int) -> None:
    """Write what Polars makes of the first bids."""
    person, auction, bid, side_input = (pl.scan_parquet(files / f"{each}.parquet") for each in TABLES)
    tables = by_polars.Tables(person, auction, bid.head(bids), side_input)
    by_polars.QUERIES[name](tables).collect().write_parquet(target)


def _check(name: str, files: Path, folder: Path, rivals: dict[str, _Rival]) -> None:
    """Raise unless the results of all are the same, that of Bytewax as the one of Polars for its rows."""
    _check_same([rival.target for each, rival in rivals.items() if each != "bytewax"])
    if "bytewax" in rivals:
        first = folder / "first.parquet"
        _by_polars(name, files, first, BYTEWAX_ROWS)
        _check_same([rivals["bytewax"].target, first])


def _check_same(targets: list[Path]) -> None:
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
