"""The queries as Flink runs them: ``$FLINK_PYTHON -m benchmarks.nexmark.by_flink QUERY FILES TARGET``.

Flink runs in an environment of its own, since apache-flink pins versions that the other rivals do not stand. The
variable FLINK_PYTHON names its interpreter::

    python3.11 -m venv flink && flink/bin/pip install "setuptools<81" apache-flink==2.3.0

It needs Java 17, and these jars of Maven in `pyflink/lib`: `org.apache.flink:flink-sql-parquet:2.3.0`,
`org.apache.hadoop:hadoop-client-api:3.4.1` and `:hadoop-client-runtime:3.4.1`, `commons-logging:commons-logging:1.2`
and `com.github.luben:zstd-jni:1.5.6-9`.

Queries run in streaming mode with two tasks of each operator, with the batching that Flink's own suite sets, from the
Parquet files that all rivals read to a folder of Parquet files. As in `job`, a line of standard input starts a run.
Its time is the one that Flink gives for the job, reading and writing included; what comes before is the start: of the
JVM, of the query's plan and of the cluster that each job gets within the JVM.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.nexmark.queries import QUERIES as OURS

_CORES = 2
_COLUMNS = {
    "person": """id BIGINT, name STRING, email_address STRING, credit_card STRING, city STRING, state STRING,
        date_time TIMESTAMP(6), extra STRING""",
    "auction": """id BIGINT, item_name STRING, description STRING, initial_bid BIGINT, reserve BIGINT,
        date_time TIMESTAMP(6), expires TIMESTAMP(6), seller BIGINT, category BIGINT, extra STRING""",
    "bid": """auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, url STRING, date_time TIMESTAMP(6),
        extra STRING""",
}
_SETTINGS = {
    "parallelism.default": str(_CORES),
    "table.local-time-zone": "UTC",
    "table.exec.mini-batch.enabled": "true",
    "table.exec.mini-batch.allow-latency": "2s",
    "table.exec.mini-batch.size": "50000",
}
_FORMAT = {"utc-timezone": "true", "write.int64.timestamp": "true", "timestamp.time.unit": "micros"}
_AS_IT_IS = ("q0", "q1", "q2", "q3", "q5", "q7", "q8", "q10", "q12", "q20", "q21", "q22")
_UPDATES = ("q4",)
"""Queries whose results are corrected while they run. Parquet has no form for that, so they write JSON of changes."""

# Event time has milliseconds in Flink, and these events microseconds: `rowtime` decides when rows are complete, and
# `date_time` which of them match.
QUERIES: dict[str, str] = {
    **{name: OURS[name].replace("DESCRIPTOR(date_time)", "DESCRIPTOR(rowtime)") for name in _AS_IT_IS},
    "q4": """
        SELECT Q.category, AVG(CAST(Q.final AS DOUBLE)) AS mean
        FROM (
            SELECT MAX(B.price) AS final, A.id, A.category
            FROM auction A JOIN bid B ON A.id = B.auction
                AND B.rowtime BETWEEN A.rowtime AND A.rowtime + INTERVAL '20' SECOND
            WHERE B.date_time BETWEEN A.date_time AND A.expires GROUP BY A.id, A.category
        ) Q
        GROUP BY Q.category""",
}
"""The queries by name."""


def _tables(files: Path) -> Any:
    """Start the JVM; return the environment with the streams."""
    from pyflink.common import Configuration
    from pyflink.table import EnvironmentSettings, TableEnvironment

    settings = Configuration()
    for name, value in _SETTINGS.items():
        settings.set_string(name, value)
    builder = EnvironmentSettings.new_instance().in_streaming_mode().with_configuration(settings)
    tables = TableEnvironment.create(builder.build())
    for name, columns in _COLUMNS.items():
        tables.execute_sql(f"""
            CREATE TABLE {name} ({columns}, rowtime AS CAST(date_time AS TIMESTAMP(3)),
                WATERMARK FOR rowtime AS rowtime - INTERVAL '4' SECOND)
            WITH ('connector' = 'filesystem', 'path' = '{files / name}.parquet', 'format' = 'parquet',
                'parquet.utc-timezone' = 'true')""")
    return tables


def _prepare(name: str, files: Path, folder: Path) -> Callable[[], float]:
    """Return what runs a query into a folder, and gives the seconds of its job."""
    from pyflink.table import FormatDescriptor, TableDescriptor

    tables = _tables(files)
    if name in _UPDATES:
        form = FormatDescriptor.for_format("debezium-json").build()
    else:
        parquet = FormatDescriptor.for_format("parquet").option("compression", "ZSTD")
        for option, value in _FORMAT.items():
            parquet = parquet.option(option, value)
        form = parquet.build()
    sink = TableDescriptor.for_connector("filesystem").option("path", str(folder)).format(form).build()

    def work() -> float:
        job = tables.sql_query(QUERIES[name]).execute_insert(sink)
        job.wait()
        milliseconds = job.get_job_client().get_job_execution_result().result().get_net_runtime()
        return float(milliseconds) / 1_000

    return work


def _gather(name: str, folder: Path, target: Path) -> None:
    """Write the rows of a folder into one Parquet file."""
    import pyarrow as pa
    import pyarrow.dataset as ds
    import pyarrow.parquet as pq

    parts = [str(path) for path in folder.iterdir() if not path.name.startswith(".")]
    if name not in _UPDATES:
        pq.write_table(ds.dataset(parts, format="parquet").to_table(), target)
        return
    rows: Counter[str] = Counter()
    for part in parts:
        for line in Path(part).read_text().splitlines():
            change = json.loads(line)
            added = change["op"] == "c"
            rows[json.dumps(change["after" if added else "before"])] += 1 if added else -1
    left = [json.loads(row) for row in rows.elements()]
    pq.write_table(pa.Table.from_pylist(left), target)


def _peak_bytes() -> int:
    """The most memory that this process and the JVM, which is its child, have held."""
    children = Path("/proc/self/task").glob("*/children")
    processes = ["self", *(child for each in children for child in each.read_text().split())]
    statuses = [Path(f"/proc/{process}/status").read_text() for process in processes]
    peaks = [line for status in statuses for line in status.splitlines() if line.startswith("VmHWM")]
    return 1024 * sum(int(peak.split()[1]) for peak in peaks)


def serve(name: str, files: Path, target: Path) -> None:
    """Run a query for each line of standard input; answer with seconds, peak of memory, and seconds of the start."""
    # The JVM writes its log to standard output, whose reader expects answers alone.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    folder = target.with_suffix(".parts")
    begin = time.perf_counter()
    work = _prepare(name, files, folder)
    start = time.perf_counter() - begin
    for _ in sys.stdin:
        shutil.rmtree(folder, ignore_errors=True)
        begin = time.perf_counter()
        seconds = work()
        planned = time.perf_counter() - begin - seconds
        _gather(name, folder, target)
        print(seconds, _peak_bytes(), start + planned, file=answers, flush=True)


if __name__ == "__main__":
    name, files, target = sys.argv[1:]
    serve(name, Path(files), Path(target))
