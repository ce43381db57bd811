"""A pipeline with every kind of state and sink, and a process that runs it until a failpoint kills it."""

from multiprocessing.connection import Connection
from pathlib import Path

import polars as pl
from epoch_files import EpochFiles, PacedSource
from kills import process_killed_at, reporting

from arrowstream import Builder, ErrorHandler, Pipeline, Sink

BATCHES, ROWS = 24, 8
SINKS = ("windows", "totals", "parts", "lines", "delta", "late", "bad")


def frames(seed: int) -> list[pl.DataFrame]:
    """Batches of one input: times that grow, but for late rows, keys, and rows that no step can take."""
    n = pl.int_range(BATCHES * ROWS, eager=True)
    table = pl.select(
        t=n * 250_000 - pl.when(n % 30 == 29).then(20_000_000).otherwise(0),
        k=(n * 7 + seed) % 5,
        x=n + 1_000 * seed,
        way=pl.when(n % 3 == 0).then(pl.lit("rest")).otherwise(pl.lit("windows")),
    )
    return [table[start : start + ROWS] for start in range(0, table.height, ROWS)]


def fallible(frame: pl.DataFrame) -> pl.DataFrame:
    """Fail for batches with certain rows."""
    if (frame["x"] % 40 == 38).any():
        raise ValueError("a row that no step can take")
    return frame


def pipeline(folder: Path, an_epoch: int | None = None) -> Pipeline:
    """Two inputs, spilled windows with late rows, running counts, dead letters of two steps; every kind of sink."""
    sinks = {name: EpochFiles(folder / name) for name in ("windows", "totals", "late", "bad")}
    parts, lines = Sink.to_file(f"{folder}/parts/", partition_by="k"), Sink.to_file(folder / "lines.csv")
    delta = Sink.to_delta(folder / "delta", partition_by="k")

    def line(seed: int) -> Builder:
        source = PacedSource(frames(seed), an_epoch).with_event_time("t", lateness="1s")
        rows = Pipeline.builder("recovery").source(source).map(fallible, frame="polars")
        return rows.on_error(ErrorHandler.dead_letter(sinks["bad"]))

    return (
        line(1)
        .split(pl.col("way"))
        .branch(
            "windows",
            lambda rows: (
                rows.window("5s", on="t", by="k", late=sinks["late"], max_bytes=1, on_full="spill")
                .agg(n=pl.len(), x=pl.col("x").sum())
                .sink(sinks["windows"])
            ),
        )
        .branch("rest", lambda rows: rows)
        .merge()
        .merge(line(2))
        .scan(by="k", number=pl.col("x").cum_count())
        .select("k", "number")
        .batch(rows=5)
        .sink(Sink.fanout([sinks["totals"], parts, lines, delta]))
        .build()
    )


def shown(folder: Path) -> dict[str, pl.DataFrame]:
    """The rows of every sink, in one order whatever the epochs were."""
    found = {}
    for name in SINKS:
        if name == "parts":
            files = sorted((folder / name).rglob("*.parquet"))
            read = [pl.read_parquet(file, hive_partitioning=True) for file in files]
            rows = pl.concat(read) if read else pl.DataFrame()
        elif name == "delta":
            path = folder / name
            rows = pl.read_delta(str(path)) if (path / "_delta_log").exists() else pl.DataFrame()
        elif name == "lines":
            lines = folder / "lines.csv"
            rows = pl.read_csv(lines) if lines.exists() else pl.DataFrame()
        else:
            rows = EpochFiles(folder / name).shown()
        # The text of an error names the range of the batch, which no restart changes, and nothing of the attempt.
        found[name] = rows.sort(pl.all()) if rows.width else rows
    return found


def run(folder: Path) -> None:
    """Run the pipeline to its end, with some epochs."""
    folder.mkdir(exist_ok=True)
    pipeline(folder, an_epoch=6).run_sync(checkpoint=folder / "state", every="1ms")


def work(folder: str, point: str | None, hit: int) -> None:
    """Run the pipeline, in a process that a failpoint kills at its first or a later hit."""
    with process_killed_at(point, hit):
        run(Path(folder))


def watched(folder: str, last: int | None, passed: Connection) -> None:
    """Run the pipeline, in a process that reports its failpoints to one that will kill it."""
    with reporting(passed, last):
        run(Path(folder))
