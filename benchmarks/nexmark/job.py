"""One query by one engine in a process of its own: ``python -m benchmarks.nexmark.job ENGINE QUERY FILES TARGET``.

FILES is a folder with a Parquet file of each stream. A line of standard input starts a run, so that rivals can take
turns; the answer is its seconds, imports left out, the peak of the process's memory in bytes until then, and the
seconds of the imports, which are the start.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.etl_job import peak_bytes

STREAMS = ("person", "auction", "bid")
TABLES = (*STREAMS, "side_input")
BYTEWAX_ROWS = 100_000
"""The bids that Bytewax gets, the first ones of the file: all would take minutes."""


def _prepare_steps(name: str, files: Path, target: Path) -> Callable[[], object]:
    import polars as pl

    # The first source and sink of files import both.
    import arrowstream.io.files.sink
    import arrowstream.io.files.source  # noqa: F401
    from arrowstream import Builder, Pipeline, Sink, Source
    from benchmarks.nexmark.steps import QUERIES, Tables

    def stream(each: str) -> Builder:
        return Pipeline.builder(each).source(Source.from_file(files / f"{each}.parquet"))

    def work() -> None:
        side_input = pl.read_parquet(files / "side_input.parquet")
        tables = Tables(stream("person"), stream("auction"), stream("bid"), side_input)
        QUERIES[name](tables).sink(Sink.to_file(target, overwrite=True)).build().run_sync()

    return work


def _prepare_sql(name: str, files: Path, target: Path) -> Callable[[], object]:
    import polars as pl

    import arrowstream.io.files.sink
    import arrowstream.io.files.source
    import arrowstream.sql.query  # noqa: F401
    from arrowstream import Pipeline, Sink, Source
    from benchmarks.nexmark.generator import LATENESS_S
    from benchmarks.nexmark.queries import QUERIES

    def work() -> None:
        streams = {
            each: Source.from_file(files / f"{each}.parquet").with_event_time(
                "date_time", lateness=LATENESS_S
            )
            for each in STREAMS
        }
        side_input = pl.read_parquet(files / "side_input.parquet")
        query = Pipeline.sql(QUERIES[name], **streams, side_input=side_input)
        query.sink(Sink.to_file(target, overwrite=True)).build().run_sync()

    return work


def _prepare_polars(name: str, files: Path, target: Path) -> Callable[[], object]:
    import polars as pl

    from benchmarks.nexmark.by_polars import QUERIES, Tables

    def work() -> None:
        tables = Tables(*(pl.scan_parquet(files / f"{each}.parquet") for each in TABLES))
        QUERIES[name](tables).sink_parquet(target, compression="zstd", compression_level=1)

    return work


def _prepare_duckdb(name: str, files: Path, target: Path) -> Callable[[], object]:
    import duckdb

    from benchmarks.nexmark.by_duckdb import QUERIES

    def work() -> None:
        with duckdb.connect() as connection:
            for each in TABLES:
                connection.execute(f"CREATE VIEW {each} AS SELECT * FROM '{files / each}.parquet'")
            options = "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1"
            connection.execute(f"COPY ({QUERIES[name]}) TO '{target}' ({options})")

    return work


def _prepare_bytewax(name: str, files: Path, target: Path) -> Callable[[], object]:
    from benchmarks.nexmark.by_bytewax import QUERIES, run

    return lambda: run(QUERIES[name], files / "bid.parquet", target, BYTEWAX_ROWS)


ENGINES: dict[str, Callable[[str, Path, Path], Callable[[], object]]] = {
    "steps": _prepare_steps,
    "sql": _prepare_sql,
    "polars": _prepare_polars,
    "duckdb": _prepare_duckdb,
    "bytewax": _prepare_bytewax,
}
"""What gives the work of a query by an engine; each imports what it needs."""


def serve(engine: str, name: str, files: Path, target: Path) -> None:
    """Run a query for each line of standard input; answer with seconds, peak of memory, and seconds of the start."""
    begin = time.perf_counter()
    work = ENGINES[engine](name, files, target)
    start = time.perf_counter() - begin
    for _ in sys.stdin:
        begin = time.perf_counter()
        work()
        print(time.perf_counter() - begin, peak_bytes(), start, flush=True)


if __name__ == "__main__":
    engine, name, files, target = sys.argv[1:]
    serve(engine, name, Path(files), Path(target))
