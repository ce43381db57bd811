"""Joins stay within memory bounds, whatever their keys: a large table, and one key that half of the rows have.

Each runs in a process of its own, whose peak of resident memory counts, less what the imports take. A table has
500,000 rows; ``DIMENSION_ROWS=10000000 pytest tests/test_join_memory.py -k large_table`` tries ten million.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

pytestmark = [
    pytest.mark.once,
    pytest.mark.untraced,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads its memory from /proc"),
]

ROOT = Path(__file__).parents[1]
DIMENSION_ROWS = int(os.environ.get("DIMENSION_ROWS", 500_000))
MB = 2**20
PAIRS_MB = 300
"""More than the imports take, where pairs of rows would need gigabytes at once."""

JOB = """
import json, sys
from pathlib import Path

import polars as pl
import pyarrow.compute, pyarrow.parquet
import arrowstream.io.files.source
from arrowstream import Pipeline, Sink, Source

def resident(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))

kind, left, right, options = sys.argv[1:]
options = json.loads(options)
baseline = resident("VmRSS")
rows = 0

def count(batch):
    global rows
    rows += batch.num_rows

def stream(path):
    source = Source.from_file(path)
    return Pipeline.builder().source(source.with_event_time("ts") if kind == "streams" else source)

other = stream(right) if kind == "streams" else right
stream(left).join(other, **options).sink(Sink.to_fn(count)).build().run_sync()
print(json.dumps({"rows": rows, "peak": resident("VmHWM") - baseline}))
"""


def joined(
    kind: str, left: pl.DataFrame, right: pl.DataFrame, folder: Path, **options: object
) -> dict[str, int]:
    """Rows that came out, and the peak of memory in bytes."""
    paths = [folder / "left.parquet", folder / "right.parquet"]
    for path, frame in zip(paths, (left, right), strict=True):
        frame.write_parquet(path, row_group_size=100_000)
    command = [sys.executable, "-c", JOB, kind, *map(str, paths), json.dumps(options)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, int] = json.loads(done.stdout)
    return found


def skewed(rows: int, keys: int, seed: int) -> np.ndarray:
    """Keys of which one comes in half of the rows."""
    random = np.random.default_rng(seed)
    return np.where(random.random(rows) < 0.5, 0, random.integers(1, keys, rows))


def test_a_large_table_takes_memory_by_its_rows(tmp_path: Path) -> None:
    """Columns, keys and index, and the columns once more while they are read."""
    number = np.arange(DIMENSION_ROWS)
    # Keys that are spread over 64 bits, so that they are hashed.
    keys = (number.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)).astype(np.int64)
    table = pl.DataFrame({"key": keys, "weight": number / 7, "name": pl.Series(number).cast(pl.String)})
    left = pl.DataFrame({"key": keys[skewed(500_000, DIMENSION_ROWS, 1)]})
    found = joined("table", left, table, tmp_path, on="key")
    print(f"{found['peak'] / MB:,.0f} MB, {found['peak'] / DIMENSION_ROWS:.0f} bytes a row")
    assert found["rows"] == left.height
    assert found["peak"] < 200 * MB + 150 * DIMENSION_ROWS


def test_pairs_of_one_key_of_a_table_come_in_pieces(tmp_path: Path) -> None:
    table = pl.DataFrame({"key": skewed(20_000, 1_000, 1), "value": np.arange(20_000)})
    left = pl.DataFrame({"key": skewed(4_000, 1_000, 2), "row": np.arange(4_000)})
    found = joined("table", left, table, tmp_path, on="key")
    assert found["rows"] == left.lazy().join(table.lazy(), on="key").select(pl.len()).collect().item()
    assert found["peak"] < PAIRS_MB * MB < found["rows"] * 24


@pytest.mark.parametrize(
    "limit",
    [
        pytest.param({}, id="in-memory", marks=pytest.mark.thorough),
        pytest.param({"max_bytes": 2 * MB, "on_full": "spill"}, id="spilled"),
    ],
)
def test_pairs_of_one_key_of_streams_come_in_pieces(limit: dict[str, object], tmp_path: Path) -> None:
    count, apart_us, within_us = 100_000, 1_000, 300_000
    sides = [
        pl.DataFrame(
            {
                "ts": pl.Series(np.arange(count) * apart_us).cast(pl.Datetime("us")),
                "key": skewed(count, 1_000, seed),
                "row": np.arange(count),
            }
        )
        for seed in (1, 2)
    ]
    found = joined("streams", *sides, tmp_path, on="key", within=f"{within_us}us", **limit)
    assert found["rows"] == partners(*(side["key"].to_numpy() for side in sides), within_us // apart_us)
    assert found["peak"] < PAIRS_MB * MB < found["rows"] * 40


def partners(left: np.ndarray, right: np.ndarray, most: int) -> int:
    """Pairs of equal keys whose places are at most so far apart."""
    count = 0
    for key in np.unique(left):
        ours, theirs = (np.flatnonzero(side == key) for side in (left, right))
        upper, lower = (
            np.searchsorted(theirs, ours + most, "right"),
            np.searchsorted(theirs, ours - most, "left"),
        )
        count += int((upper - lower).sum())
    return count
