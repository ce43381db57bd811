"""Rows into tables and back, next to the drivers alone: bare `adbc_ingest`, COPY of a CSV file, DuckDB's own INSERT.

Every route writes the same rows into an empty table, in one transaction. PostgreSQL is measured where it is
installed; it does not sync its files.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import mkdtemp

import adbc_driver_postgresql.dbapi
import adbc_driver_sqlite.dbapi
import duckdb
import polars as pl
from adbc_driver_manager import dbapi

from arrowstream import Pipeline, Sink, Source
from benchmarks.broker import servers
from benchmarks.harness import ROUNDS, Figure, Scale, Section, checked_in_turn, ratio, timed

_ROWS = {"full": 1_000_000, "quick": 200_000, "tiny": 200}
_BATCH = 65_536
_BUDGET = 0.8
_COLUMNS = "(id bigint, price double precision, item text, moment {times})"


def run(scale: Scale) -> Section:
    """Speeds of writing and reading, compared."""
    frame = _rows(_ROWS[scale])
    figures: list[Figure] = []
    with _folder() as folder:
        file = folder / "rows.sqlite"
        connect = partial(adbc_driver_sqlite.dbapi.connect, str(file))
        figures += _adbc("SQLite", f"sqlite:///{file}", connect, "datetime", frame, scale)
        figures += _duckdb(folder / "rows.duckdb", frame, scale)
        module = servers("postgresql")
        if scale != "tiny" and module.is_installed():
            server = module.PostgresqlServer.new(folder / "postgresql")
            try:
                uri = server.uri("public")
                connect = partial(adbc_driver_postgresql.dbapi.connect, uri)
                csv = folder / "rows.csv"
                frame.write_csv(csv)
                figures += _adbc("PostgreSQL", uri, connect, "timestamp", frame, scale, csv)
            finally:
                server.stop()
    title = f"Databases: {frame.height:,} rows of four columns, in batches of {_BATCH:,}"
    return Section(title, tuple(figures))


def _rows(count: int) -> pl.DataFrame:
    n = pl.int_range(count)
    at = (n * 1_000_003 + 1_767_225_600_000_000).cast(pl.Datetime("us"))
    return pl.select(id=n, price=n * 0.37, item=pl.format("item {}", n % 1_000), moment=at)


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder that a server of another user can read."""
    folder = Path(mkdtemp(prefix="arrowstream-databases-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write(frame: pl.DataFrame, uri: str) -> None:
    rows = Pipeline.builder().source(Source.from_frame(frame, batch_rows=_BATCH))
    rows.sink(Sink.to_database(uri, "t")).build().run_sync()


def _read(uri: str) -> pl.DataFrame:
    return Pipeline.builder().source(Source.from_database(uri, "SELECT * FROM t")).collect_sync()


def _adbc(
    name: str,
    uri: str,
    connect: Callable[[], dbapi.Connection],
    times: str,
    frame: pl.DataFrame,
    scale: Scale,
    csv: Path | None = None,
) -> list[Figure]:
    def empty() -> None:
        _execute(connect, "DROP TABLE IF EXISTS t", f"CREATE TABLE t {_COLUMNS.format(times=times)}")

    def bare() -> None:
        batches = frame.to_arrow(compat_level=pl.CompatLevel.oldest()).to_reader(_BATCH)
        with connect() as connection, connection.cursor() as cursor:
            cursor.adbc_ingest("t", batches, mode="append")
            connection.commit()

    def check() -> None:
        [(count,)] = _execute(connect, "SELECT count(*) FROM t")
        assert count == frame.height

    writes: dict[str, Callable[[], object]] = {
        "arrowstream": partial(_write, frame, uri),
        "adbc_ingest": bare,
    }
    if csv is not None:
        writes["copy"] = lambda: _execute(connect, f"COPY t FROM '{csv}' (FORMAT csv, HEADER)")
    figures = _writing(name, writes, empty, check, frame.height, scale)

    def fetch() -> None:
        with connect() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT * FROM t")
            pl.from_arrow(cursor.fetch_arrow_table())

    return [*figures, _reading(name, uri, fetch, frame, scale)]


def _duckdb(file: Path, frame: pl.DataFrame, scale: Scale) -> list[Figure]:
    def execute(*statements: str) -> list[tuple[object, ...]]:
        with duckdb.connect(str(file)) as connection:
            for sql in statements:
                connection.execute(sql)
            return connection.fetchall()

    def bare() -> None:
        with duckdb.connect(str(file)) as connection:
            connection.begin()
            for batch in frame.to_arrow().to_batches(_BATCH):
                connection.register("batch", batch)
                connection.execute("INSERT INTO t SELECT * FROM batch")
            connection.commit()

    def check() -> None:
        assert execute("SELECT count(*) FROM t") == [(frame.height,)]

    def empty() -> None:
        execute("DROP TABLE IF EXISTS t", f"CREATE TABLE t {_COLUMNS.format(times='timestamp')}")

    uri = f"duckdb:///{file}"
    writes: dict[str, Callable[[], object]] = {"arrowstream": partial(_write, frame, uri), "INSERT": bare}
    figures = _writing("DuckDB", writes, empty, check, frame.height, scale)

    def fetch() -> None:
        with duckdb.connect(str(file), read_only=True) as connection:
            connection.sql("SELECT * FROM t").pl()

    return [*figures, _reading("DuckDB", uri, fetch, frame, scale)]


def _writing(
    name: str,
    writes: dict[str, Callable[[], object]],
    empty: Callable[[], None],
    check: Callable[[], None],
    rows: int,
    scale: Scale,
) -> list[Figure]:
    def from_empty(write: Callable[[], object]) -> Callable[[], float]:
        def measure() -> float:
            empty()
            return timed(write)()

        return measure

    rivals = {rival: from_empty(write) for rival, write in writes.items()}
    seconds = checked_in_turn(rivals, ROUNDS[scale], check)
    own, bare, *_ = seconds
    speed = rows / sorted(seconds[own])[len(seconds[own]) // 2]
    figures = [
        Figure(f"{name}: rows written", speed, "rows/s"),
        Figure(f"{name}: against bare {bare}", ratio(seconds[bare], seconds[own]), "x", at_least=_BUDGET),
    ]
    if "copy" in seconds:
        figures.append(
            Figure(f"{name}: against COPY of a CSV file", ratio(seconds["copy"], seconds[own]), "x")
        )
    return figures


def _reading(name: str, uri: str, fetch: Callable[[], None], frame: pl.DataFrame, scale: Scale) -> Figure:
    assert _read(uri).height == frame.height
    rivals = {"arrowstream": timed(partial(_read, uri)), "driver": timed(fetch)}
    seconds = checked_in_turn(rivals, ROUNDS[scale], lambda: None)
    return Figure(f"{name}: read, against the driver", ratio(seconds["driver"], seconds["arrowstream"]), "x")


def _execute(connect: Callable[[], dbapi.Connection], *statements: str) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    with connect() as connection:
        for sql in statements:
            with connection.cursor() as cursor:
                cursor.execute(sql)
                found = list(cursor.fetchall()) if cursor.description else []
        connection.commit()
    return found
