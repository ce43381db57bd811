"""Every sink that shows each row once, whatever is killed: how it is made, and how others read its rows.

A job writes numbers into one or some of them, in processes that are killed one after the other.
"""

import signal
import sqlite3
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import adbc_driver_postgresql.dbapi
import duckdb
import polars as pl
import pyarrow.parquet as parquet
from epoch_files import PacedSource
from kafka_epochs import values
from kills import process_killed_at, reporting
from pyarrow import fs
from servers.topics import new_topic

from arrowstream import Pipeline, RunReport, Sink
from arrowstream.core.checkpoints.failpoints import Failpoint
from arrowstream.io.sink import SinkSpec

# No expressions: processes are forked from one that has imported this, and threads of Polars would not be in them.
BATCHES, ROWS = 9, 6
NUMBERS = range(BATCHES * ROWS)
FRAMES = [
    pl.DataFrame({"k": [x % 3 for x in part], "x": part})
    for part in (list(NUMBERS[start : start + ROWS]) for start in range(0, len(NUMBERS), ROWS))
]
Rows = Counter[tuple[int, int]]
EXPECTED: Rows = Counter((x % 3, x) for x in NUMBERS)


@dataclass(frozen=True)
class Place:
    """Where a job and its sinks have their files, and what servers they write to.

    Parameters
    ----------
    folder
        The folder.
    postgresql
        URI of a server, with a schema of this job.
    kafka
        Address of a server.
    topic
        A topic of this job.
    store, objects
        Options of an object store, and a folder of this job in a bucket of it.
    checkpoints
        Name of the checkpoint folder.
    """

    folder: Path
    postgresql: str = ""
    kafka: str = ""
    topic: str = ""
    store: Mapping[str, str] | None = None
    objects: str = ""
    checkpoints: str = "state"

    @property
    def state(self) -> Path:
        """The checkpoint folder."""
        return self.folder / self.checkpoints


@dataclass(frozen=True)
class KilledSink:
    """A kind of sink.

    Parameters
    ----------
    kind
        Name of its class.
    make
        Makes the sink in a place.
    read
        Reads its rows, by another library where there is one.
    points
        The failpoints of its own, in their order.
    server
        The fixture of its server; None for a sink of this machine.
    library
        The library that it needs, if there are versions of Python without it.
    """

    kind: str
    make: Callable[[Place], SinkSpec]
    read: Callable[[Place], Iterable[tuple[int, int]]]
    points: tuple[Failpoint, ...]
    server: str | None = None
    library: str | None = None

    def rows(self, at: Place) -> Rows:
        """Return the rows that it shows."""
        return Counter(self.read(at))


def _database(system: str) -> Callable[[Place], SinkSpec]:
    return lambda at: Sink.to_database(f"{system}:///{at.folder}/out.{system}", "t", mode="create")


def _sqlite(at: Place) -> list[Any]:
    with closing(sqlite3.connect(at.folder / "out.sqlite")) as connection:
        return connection.execute("SELECT k, x FROM t").fetchall()


def _duckdb(at: Place) -> list[Any]:
    with duckdb.connect(str(at.folder / "out.duckdb"), read_only=True) as connection:
        return connection.execute("SELECT k, x FROM t").fetchall()


def _postgresql(at: Place) -> list[Any]:
    with adbc_driver_postgresql.dbapi.connect(at.postgresql) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT k, x FROM t")
        return list(cursor.fetchall())


def _parts(at: Place) -> list[Any]:
    files = sorted((at.folder / "parts").rglob("*.parquet"))
    # Of a folder without rows, one file has the columns.
    frames = [pl.read_parquet(file, hive_partitioning=True).select("k", "x") for file in files]
    return [row for frame in frames for row in frame.iter_rows()]


def _delta(at: Place) -> list[Any]:
    return pl.read_delta(str(at.folder / "delta")).select("k", "x").rows()


def _objects(at: Place) -> list[Any]:
    assert at.store is not None
    files = fs.S3FileSystem(
        access_key=at.store["aws_access_key_id"],
        secret_key=at.store["aws_secret_access_key"],
        region=at.store["aws_region"],
        scheme="http",
        endpoint_override=at.store["aws_endpoint_url"].removeprefix("http://"),
    )
    table = parquet.read_table(f"{at.objects}/out", filesystem=files, partitioning=None)
    return list(zip(table["k"].to_pylist(), table["x"].to_pylist(), strict=True))


def _iceberg(at: Place) -> list[Any]:
    from pyiceberg.catalog.sql import SqlCatalog

    catalog = SqlCatalog(
        "default", uri=f"sqlite:///{at.folder}/lake/catalog.db", warehouse=f"file://{at.folder}/lake"
    )
    with closing(catalog):
        rows = catalog.load_table("shop.numbers").scan().to_arrow()
    return list(zip(rows["k"].to_pylist(), rows["x"].to_pylist(), strict=True))


def _kafka(at: Place) -> Iterable[Any]:
    rows = (pl.read_ndjson(value) for value in values(at.kafka, at.topic, 1))
    return (row for frame in rows for row in frame.select("k", "x").iter_rows())


_TEXT = (Failpoint.FILES_STAGED, Failpoint.FILES_CUT, Failpoint.FILES_APPENDED)
_DATABASE = (Failpoint.DATABASE_EPOCH_STORED, Failpoint.DATABASE_COMMITTED)
_LAKE = (Failpoint.LAKE_FILES_WRITTEN, Failpoint.LAKE_COMMITTED)
ALL: dict[str, KilledSink] = {
    "parts": KilledSink(
        "FileSink",
        lambda at: Sink.to_file(f"{at.folder}/parts/", partition_by="k"),
        _parts,
        (Failpoint.FILES_STAGED, Failpoint.FILES_PART_NAMED, Failpoint.FILES_NAMED),
    ),
    "csv": KilledSink(
        "FileSink",
        lambda at: Sink.to_file(at.folder / "out.csv"),
        lambda at: pl.read_csv(at.folder / "out.csv").rows(),
        _TEXT,
    ),
    "ndjson": KilledSink(
        "FileSink",
        lambda at: Sink.to_file(at.folder / "out.ndjson"),
        lambda at: pl.read_ndjson(at.folder / "out.ndjson").rows(),
        _TEXT,
    ),
    "sqlite": KilledSink("DatabaseSink", _database("sqlite"), _sqlite, _DATABASE),
    "duckdb": KilledSink("DatabaseSink", _database("duckdb"), _duckdb, _DATABASE),
    "postgresql": KilledSink(
        "DatabaseSink",
        lambda at: Sink.to_database(at.postgresql, "t", mode="create"),
        _postgresql,
        _DATABASE,
        server="postgresql",
    ),
    "delta": KilledSink(
        "DeltaSink",
        lambda at: Sink.to_delta(at.folder / "delta", partition_by="k"),
        _delta,
        _LAKE,
    ),
    "iceberg": KilledSink(
        "IcebergSink",
        lambda at: Sink.to_iceberg("shop.numbers", catalog=at.folder / "lake", partition_by="k"),
        _iceberg,
        _LAKE,
        library="pyiceberg",
    ),
    "kafka": KilledSink(
        "KafkaSink",
        lambda at: Sink.to_kafka(at.kafka, at.topic),
        _kafka,
        (Failpoint.KAFKA_LOG_FLUSHED, Failpoint.KAFKA_EPOCH_SENT, Failpoint.KAFKA_COMMITTED),
        server="kafka",
    ),
}
ALL["objects"] = KilledSink(
    "ObjectSink",
    lambda at: Sink.to_file(f"s3://{at.objects}/out/", storage_options=at.store),
    _objects,
    (Failpoint.FILES_STAGED, Failpoint.FILES_PART_NAMED, Failpoint.FILES_NAMED),
    server="objects",
)
SINKS = {name: sink for name, sink in ALL.items() if sink.library is None or find_spec(sink.library)}
SERVERS = {sink.server for sink in SINKS.values() if sink.server is not None}
LOCAL = tuple(name for name, sink in SINKS.items() if sink.server is None)
GROUPS = {"local": LOCAL, **{name: (name,) for name in SINKS if name not in LOCAL}}
"""Sinks that one job writes together."""

OWN_POINTS = {point for sink in SINKS.values() for point in sink.points}
RUN_POINTS = [point for point in Failpoint if point not in OWN_POINTS]
"""Failpoints that every run passes, whatever its sinks are."""
BY_SINK = (Failpoint.SINK_PREPARED, Failpoint.SINK_COMMITTED, Failpoint.SINK_RECOVERED)
"""Those of them that every sink of a run passes on its own."""
ONCE_A_RUN = (Failpoint.ATTEMPT_COUNTED, Failpoint.SINK_RECOVERED)
"""Those that a run passes once, when it starts."""


def new_place(folder: Path, names: Iterable[str], server: Callable[[str], Any]) -> Place:
    """Make a place for sinks, with a schema or a topic of its own where they need it.

    Parameters
    ----------
    folder
        The folder of its files.
    names
        The sinks.
    server
        Returns a server by the name of its fixture.
    """
    folder.mkdir(exist_ok=True)
    needed = {SINKS[name].server for name in names}
    uri = address = topic = ""
    if "postgresql" in needed:
        schema = f"killed_{uuid.uuid4().hex[:12]}"
        uri = server("postgresql").uri(schema)
        with (
            adbc_driver_postgresql.dbapi.connect(uri, autocommit=True) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(f"CREATE SCHEMA {schema}")
    if "kafka" in needed:
        address = server("kafka").address
        topic = new_topic(address)
    if "objects" not in needed:
        return Place(folder, uri, address, topic)
    # One bucket for all jobs: a process keeps the connections to 32 buckets open.
    store, objects = server("objects"), f"killed/{uuid.uuid4().hex[:12]}"
    store.files.create_dir("killed")
    return Place(folder, uri, address, topic, store.options, objects)


def pipeline(names: Iterable[str], at: Place, an_epoch: int | None = None) -> Pipeline:
    """Numbers, of which a step holds some back, into sinks."""
    sinks = [SINKS[name].make(at) for name in names]
    rows = Pipeline.builder(name="killed").source(PacedSource(FRAMES, an_epoch)).batch(rows=7)
    return rows.sink(sinks[0] if len(sinks) == 1 else Sink.fanout(sinks)).build()


def run(names: Iterable[str], at: Place, *, signals: bool = False) -> RunReport:
    """Run to the end: an epoch for each batch, at least."""
    return pipeline(names, at, an_epoch=1).run_sync(checkpoint=at.state, every="1ms", signals=signals)


def work(names: tuple[str, ...], at: Place, point: str | None, hit: int) -> None:
    """Run in a process that a failpoint kills at its first or a later hit."""
    with process_killed_at(point, hit):
        run(names, at)


def stopped(names: tuple[str, ...], at: Place, point: str, hit: int, outcome: Connection) -> None:
    """Run in a process that stops itself at a hit of a failpoint; when it has gone on, say how it ended."""
    with process_killed_at(point, hit, signal.SIGSTOP):
        try:
            run(names, at)
        except BaseException as error:
            outcome.send(str(error))
        else:
            outcome.send(None)


def watched(names: tuple[str, ...], at: Place, last: int | None, passed: Connection) -> None:
    """Run in a process that reports its failpoints to one that will kill it, unless it ends at one of them."""
    with reporting(passed, last):
        run(names, at)


def terminated(names: tuple[str, ...], at: Place, last: int, passed: Connection) -> None:
    """Run in a process that reports its failpoints, and gets SIGTERM at one of them."""
    with reporting(passed, last, signal.SIGTERM):
        assert run(names, at, signals=True).stopped == "SIGTERM"


def differences(names: Iterable[str], at: Place) -> dict[str, tuple[Rows, Rows]]:
    """Return the rows that are missing and those that are too many in each sink, if any are."""
    found = {name: SINKS[name].rows(at) for name in names}
    return {name: (EXPECTED - rows, rows - EXPECTED) for name, rows in found.items() if rows != EXPECTED}


IN_COMMIT = {
    Failpoint.FILES_PART_NAMED,
    Failpoint.FILES_NAMED,
    Failpoint.FILES_CUT,
    Failpoint.FILES_APPENDED,
    Failpoint.KAFKA_EPOCH_SENT,
    Failpoint.KAFKA_COMMITTED,
    Failpoint.DATABASE_EPOCH_STORED,
    Failpoint.DATABASE_COMMITTED,
    Failpoint.LAKE_COMMITTED,
}
"""Failpoints that a sink also passes in a recovery, if it has an epoch to commit."""


def kills(point: Failpoint) -> list[tuple[Failpoint, int]]:
    """Return the kills of a job, one after the other: at the first and third hit of a failpoint, and in recoveries.

    Each run ends at its kill, and the next one continues.
    """
    complete, recovered = (Failpoint.MANIFEST_NAMED, 1), (Failpoint.SINK_RECOVERED, 1)
    if point in ONCE_A_RUN:
        return [complete, (point, 1), (point, 1), (point, 1)]
    if point in IN_COMMIT:
        return [complete, (point, 1), (point, 1), (point, 3), recovered]
    return [(point, 1), recovered, (point, 3)]


def kill_and_continue(
    processes: ForkServerContext, names: tuple[str, ...], at: Place, point: Failpoint
) -> int:
    """Kill a job at a failpoint and in its recoveries, and run it to its end; return the number of kills.

    Raises
    ------
    AssertionError
        A run did not come to its failpoint, or the rows are not those of a run that nothing disturbed.
    """
    planned = kills(point)
    for number, (place, hit) in enumerate(planned, 1):
        process = processes.Process(target=work, args=(names, at, place.name, hit))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL, f"kill {number} at {place.name}: {process.exitcode}"
    run(names, at)
    assert not (wrong := differences(names, at)), f"missing and too many: {wrong}"
    return len(planned)
