"""Several files are written at once while Polars' own threads, however few, also compute for the pipeline."""

import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

SCRIPT = """
import sys
import polars as pl
from arrowstream import Pipeline, Sink, Source

folder = sys.argv[1]
even = Pipeline.builder().source(Source.from_file(f"{folder}/in.parquet"))
ways = even.filter(pl.col("id") % 3 != 0).backend("polars").split(pl.col("key"))
for key in "012":
    end = Sink.to_file(f"{folder}/{key}.parquet")
    ways = ways.branch(key, lambda way, end=end: way.filter(pl.col("id") % 5 != 0).backend("polars").sink(end))
last = ways.otherwise(lambda way: way.filter(pl.col("id") % 5 != 0).backend("polars")).merge()
last.sink(Sink.to_file(f"{folder}/3.parquet")).build().run_sync()
"""

SLOW_READERS = """
import os
import sys
from threading import Thread
import polars as pl
from arrowstream import Pipeline, Sink, Source

folder, suffix = sys.argv[1:]
rows = pl.DataFrame({"id": range(50_000)}).with_columns(text=pl.col("id").hash().cast(pl.String))

def write(path):
    Pipeline.builder().source(Source.from_frame(rows)).sink(Sink.to_file(path)).build().run_sync()

pipes = [f"{folder}/{number}{suffix}" for number in range(2)]
for path in pipes:
    os.mkfifo(path)
writers = [Thread(target=write, args=(path,), daemon=True) for path in pipes]
for writer in writers:
    writer.start()
readers = [open(path, "rb") for path in pipes]
first = [reader.read(1) for reader in readers]
write(f"{folder}/file{suffix}")
whole = open(f"{folder}/file{suffix}", "rb").read()
assert all(begin + reader.read() == whole for begin, reader in zip(first, readers))
for writer in writers:
    writer.join()
"""


@pytest.mark.untraced
@pytest.mark.parametrize("threads", [1, pytest.param(2, marks=pytest.mark.once)])
def test_sinks_that_wait_for_rows_do_not_keep_polars_from_computing_them(
    tmp_path: Path, threads: int
) -> None:
    rows = pl.DataFrame({"id": range(300_000)}).with_columns(key=(pl.col("id") % 4).cast(pl.String))
    rows.write_parquet(tmp_path / "in.parquet", row_group_size=20_000)
    environment = os.environ | {"POLARS_MAX_THREADS": str(threads)}
    subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path)], env=environment, check=True, timeout=110)
    for key in "0123":
        wanted = rows.filter(pl.col("key") == key, pl.col("id") % 3 != 0, pl.col("id") % 5 != 0)
        assert pl.read_parquet(tmp_path / f"{key}.parquet").equals(wanted)


@pytest.mark.untraced
@pytest.mark.parametrize("suffix", [".csv", ".ndjson.gz"])
def test_pipes_whose_readers_take_their_time_do_not_keep_polars_from_writing_other_files(
    tmp_path: Path, suffix: str
) -> None:
    environment = os.environ | {"POLARS_MAX_THREADS": "1"}
    command = [sys.executable, "-c", SLOW_READERS, str(tmp_path), suffix]
    subprocess.run(command, env=environment, check=True, timeout=110)
