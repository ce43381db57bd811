"""Iceberg tables for tests: rows as other readers see them, and writers outside of a pipeline."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from contexts import context
from delta_tables import numbers

from arrowstream import Pipeline, Sink, Source
from arrowstream.core.checkpoints.context import CheckpointContext
from arrowstream.io.iceberg.sink import IcebergSink
from arrowstream.io.iceberg.source import IcebergSource

pytest.importorskip("pyiceberg")  # the oldest versions have none

from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError
from pyiceberg.table import Table

from arrowstream.io.iceberg.writer import IcebergWriter

TABLE = "shop.numbers"
os.environ["POLARS_ICEBERG_PLANNER"] = "pyiceberg"  # without it Polars warns that it could be faster


@contextmanager
def catalog_of(lake: Path) -> Iterator[SqlCatalog]:
    """The catalog of a folder as pyiceberg opens it, without anything of ours."""
    lake.mkdir(parents=True, exist_ok=True)
    catalog = SqlCatalog("default", uri=f"sqlite:///{lake}/catalog.db", warehouse=f"file://{lake}")
    try:
        yield catalog
    finally:
        catalog.close()


def table_of(lake: Path, name: str = TABLE) -> Table:
    """A table as it is now; it can be read, but not changed."""
    with catalog_of(lake) as catalog:
        return catalog.load_table(name)


@contextmanager
def changing(lake: Path, name: str = TABLE) -> Iterator[Table]:
    """A table that another writer changes."""
    with catalog_of(lake) as catalog:
        yield catalog.load_table(name)


def rows_of(
    lake: Path, name: str = TABLE, snapshot: int | None = None, reader: Any = "native"
) -> pl.DataFrame:
    """The rows of a table as Polars' own reader sees them, which must be those of pyiceberg's."""
    table = table_of(lake, name)
    found: Any = pl.DataFrame(table.scan(snapshot_id=snapshot).to_arrow())
    scan = pl.scan_iceberg(table.metadata_location, snapshot_id=snapshot, reader_override=reader)
    by_polars = scan.collect()
    assert by_polars.height == found.height and by_polars.columns == found.columns
    return by_polars


def edit(lake: Path, change: Callable[[dict[str, Any]], None], name: str = TABLE) -> None:
    """Change the newest metadata of a table, as other engines would have written them."""
    path = Path(table_of(lake, name).metadata_location.removeprefix("file://"))
    metadata = json.loads(path.read_text())
    change(metadata)
    path.write_text(json.dumps(metadata))


def forget(lake: Path, snapshot: int) -> None:
    """Let a snapshot expire as other engines do, which leave its id as the parent of the next one."""

    def change(metadata: dict[str, Any]) -> None:
        for key in ("snapshots", "snapshot-log"):
            metadata[key] = [each for each in metadata[key] if each["snapshot-id"] != snapshot]

    edit(lake, change)


def exists(lake: Path, name: str = TABLE) -> bool:
    with catalog_of(lake) as catalog:
        try:
            catalog.load_table(name)
        except (NoSuchTableError, NoSuchNamespaceError):
            return False
        return True


def snapshots(lake: Path, name: str = TABLE) -> list[int]:
    """Ids of the snapshots, the oldest first."""
    return [each.snapshot_id for each in table_of(lake, name).snapshots()]


def epochs(lake: Path, name: str = TABLE) -> list[Any]:
    """What the summary of each snapshot says of an epoch."""
    found = [each.summary for each in table_of(lake, name).snapshots()]
    return [summary and summary["arrowstream.epoch"] for summary in found]


def orphans(lake: Path, name: str = TABLE) -> list[str]:
    """Data files in the folder that are not part of the table."""
    found = {str(path) for path in (lake / name.replace(".", "/")).rglob("*.parquet")}
    tasks = table_of(lake, name).scan().plan_files() if exists(lake, name) else []
    there: Any = tasks
    return sorted(found - {task.file.file_path.removeprefix("file://") for task in there})


def to(lake: Path, name: str = TABLE, **options: Any) -> IcebergSink:
    return Sink.to_iceberg(name, catalog=lake, **options)


def source_of(lake: Path, name: str = TABLE, **options: Any) -> IcebergSource:
    return Source.from_iceberg(name, catalog=lake, **options)


def read(lake: Path, name: str = TABLE, **options: Any) -> pl.DataFrame:
    """The rows of a table as this source reads them."""
    return Pipeline.builder().source(source_of(lake, name, **options)).collect_sync()


def opened(lake: Path, state: Path, attempt: int = 1, job: str = "job", **options: Any) -> IcebergWriter:
    """A writer of a run with checkpoints."""
    state.mkdir(parents=True, exist_ok=True)
    at = replace(context("sink"), checkpoint=CheckpointContext(job, attempt, state, 0))
    writer = to(lake, **options).open(numbers().polars().schema, at)
    assert isinstance(writer, IcebergWriter)
    return writer
