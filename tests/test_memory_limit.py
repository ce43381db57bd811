"""Memory stays bounded whatever the file size: large files within 300 MB over what the imports take.

numba and the machine code of the loops count among the imports, where a file is read by them.

They have 400 MB, and 1 GB in `make soak`.

Where the machine lets us make a memory control group, the limit is the kernel's own, and going over it
kills the run; elsewhere the peak of resident memory is measured, which counts mapped file pages too. (A
limit on address space says nothing: allocators reserve, and files are mapped, far beyond what is used.)
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[1]
FILE_BYTES = int(os.environ.get("LARGE_FILE_BYTES", 400_000_000))
LIMIT = 300 * 2**20
CONTROL_GROUPS = Path("/sys/fs/cgroup/memory")

JOB = """
import json, sys
from pathlib import Path

import polars as pl
import pyarrow.compute, pyarrow.parquet
from arrowstream import Pipeline, Sink, Source

def resident(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))

source, target, group, limit = sys.argv[1:]
if source.endswith(".ndjson"):
    # A loop of machine code reads plain NDJSON. numba and the code take 110 MB, however large the file: they are
    # imports like the others, which a run loads later, once it knows that the file is worth it.
    from arrowstream.io.messages.plain_json.reader import loops
    for loop in loops():
        loop.load()
baseline = resident("VmRSS")
if group:
    Path(group, "memory.limit_in_bytes").write_text(str(baseline + int(limit)))
    Path(group, "cgroup.procs").write_text("0")
pipeline = (
    Pipeline.builder()
    .source(Source.from_file(source))
    .with_columns(total=pl.col("a") * pl.col("b"))
    .filter(pl.col("b") > 50)
    .sink(Sink.to_file(target))
    .build()
)
report = pipeline.run_sync()
print(json.dumps({"in": report.rows_in, "out": report.rows_out, "peak": resident("VmHWM") - baseline}))
"""


@pytest.fixture
def control_group() -> Iterator[str]:
    """A memory control group of our own, or nothing where the machine does not allow one."""
    group = CONTROL_GROUPS / f"arrowstream-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError:
        yield ""
        return
    yield str(group)
    group.rmdir()


def large_file(path: Path) -> tuple[int, int]:
    """Write a file of `FILE_BYTES`; its rows, and how many of them have ``b > 50``."""
    random = np.random.default_rng(7)
    rows = 500_000
    frame = pl.DataFrame(
        {
            "a": random.integers(0, 1 << 40, rows),
            "b": random.random(rows) * 100,
            "name": pl.Series([f"name-{number}" for number in range(1000)] * (rows // 1000)),
        }
    )
    pieces = 0
    if path.suffix != ".parquet":
        is_csv = path.suffix == ".csv"
        lines = (frame.write_csv(include_header=False) if is_csv else frame.write_ndjson()).encode()
        with path.open("wb") as file:
            if is_csv:
                file.write((",".join(frame.columns) + "\n").encode())
            while file.tell() < FILE_BYTES:
                file.write(lines)
                pieces += 1
    else:
        import pyarrow.parquet as pq

        table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
        with pq.ParquetWriter(path, table.schema, compression="none", use_dictionary=False) as writer:
            while path.stat().st_size < FILE_BYTES:
                writer.write_table(table)
                pieces += 1
    return rows * pieces, frame.filter(pl.col("b") > 50).height * pieces


@pytest.mark.untraced
@pytest.mark.timeout(240)
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads its memory from /proc")
@pytest.mark.parametrize("suffix", ["parquet", "csv", pytest.param("ndjson", marks=pytest.mark.thorough)])
def test_a_file_far_larger_than_memory_goes_through(suffix: str, tmp_path: Path, control_group: str) -> None:
    source = tmp_path / f"large.{suffix}"
    rows, kept = large_file(source)
    target = tmp_path / "out.parquet"
    command = [sys.executable, "-c", JOB, str(source), str(target), control_group, str(LIMIT)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(done.stdout)
    assert (result["in"], result["out"]) == (rows, kept)
    assert control_group or result["peak"] < LIMIT
    assert pl.scan_parquet(target).select(pl.len()).collect().item() == kept
