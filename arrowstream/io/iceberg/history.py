"""`IcebergHistory`: the snapshots of a table, and the data files of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from arrowstream.core.batch import Batch
from arrowstream.core.rows.arrow_types import polars_schema
from arrowstream.errors import SchemaError, SourceError
from arrowstream.io.iceberg.failures import reading
from arrowstream.io.iceberg.location import IcebergLocation
from arrowstream.io.iceberg.rows import rows_of
from arrowstream.io.lake.history import TableHistory

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.schema import Schema
    from pyiceberg.table import FileScanTask, ScanTask, Table
    from pyiceberg.table.snapshots import Snapshot

_NONE = 0
"""Number of the version of a table that has no snapshot yet."""
_AGAIN = "read the table from the beginning, with run(from_checkpoint='ignore') and an empty target"


@dataclass(frozen=True, slots=True)
class TaskFile:
    """A data file of a table.

    Parameters
    ----------
    path
        Where it is.
    task
        The file and its deleted rows, as pyiceberg has them.
    """

    path: str
    task: FileScanTask


def open_table(location: IcebergLocation, snapshot: int | None) -> tuple[Catalog, Table, Schema]:
    """Return a table, its catalog, which is open, and its columns in its newest version or in a snapshot.

    Raises
    ------
    SourceError
        The table or the snapshot is missing.
    """
    if not location.catalog.exists:
        raise SourceError(
            f"there is no Iceberg catalog in {location.catalog}",
            expected=f"the SQLite file {location.catalog.path}",
        )
    catalog = location.catalog.open()
    try:
        table = location.load(catalog)
        if table is None:
            raise SourceError(
                f"there is no Iceberg table {location}", expected="a table that its catalog knows"
            )
        if snapshot is None:
            return catalog, table, table.schema()
        found = _snapshot(location, table, snapshot)
        columns = table.schema() if found.schema_id is None else table.schemas()[found.schema_id]
        return catalog, table, columns
    except BaseException:
        catalog.close()
        raise


def columns_of(schema: Schema) -> pl.Schema:
    """Return the columns of a table as Polars has them."""
    from pyiceberg.io.pyarrow import schema_to_pyarrow

    return polars_schema(schema_to_pyarrow(schema, include_field_ids=False))


def _snapshot(location: IcebergLocation, table: Table, number: int) -> Snapshot:
    found = table.snapshot_by_id(number)
    if found is None:
        raise SourceError(
            f"the Iceberg table {location} has no snapshot {number}",
            expected="a snapshot that has not expired",
            hint=f"{_AGAIN}; Table.inspect.snapshots lists those that are there",
        )
    return found


class IcebergHistory(TableHistory[TaskFile]):
    """The snapshots of a table.

    Parameters
    ----------
    location
        Name of the table.
    catalog
        Its catalog, which is open.
    table
        The table.
    schema
        Columns of the table.
    columns
        Those that the rows have.
    """

    def __init__(
        self,
        location: IcebergLocation,
        catalog: Catalog,
        table: Table,
        schema: Schema,
        columns: Sequence[str],
    ) -> None:
        self._location = location
        self._catalog = catalog
        self._table = table
        self._schema = schema
        self._columns = {name: dtype for name, dtype in columns_of(schema).items() if name in columns}

    def __str__(self) -> str:
        return f"the Iceberg table {self._location}"

    def reading(self) -> AbstractContextManager[None]:
        return reading(self._location)

    def open(self, version: int | None) -> tuple[str, int]:
        newest = self._table.metadata.current_snapshot_id
        number = newest if version is None else version
        return str(self._table.metadata.table_uuid), _NONE if number is None else number

    def has(self, version: int) -> bool:
        return True

    def later(self, version: int) -> Sequence[int]:
        self._table.refresh()
        self._check_columns()
        known = {each.snapshot_id: each for each in self._table.snapshots()}
        at = self._table.metadata.current_snapshot_id
        found: list[int] = []
        while at is not None and at != version and at in known:
            found.append(at)
            at = known[at].parent_snapshot_id
        first = not found or _is_first(known[found[-1]])
        if at != version and not (at is None and version == _NONE and first):
            raise SourceError(
                f"the Iceberg table {self._location} does not go on from the snapshot {version}",
                expected="a table whose newer snapshots have not expired, and that was not rolled back",
                found=f"the snapshots {', '.join(map(str, known))}" if known else "no snapshot",
                hint=_AGAIN,
            )
        return found[::-1]

    def _check_columns(self) -> None:
        now = self._table.schema()
        if now.as_struct() != self._schema.as_struct():
            raise SchemaError(
                f"the Iceberg table {self._location} has other columns",
                expected=", ".join(map(str, self._schema.fields)),
                found=", ".join(map(str, now.fields)),
                hint="build the pipeline again, and begin with run(from_checkpoint='ignore')",
            )

    def files(self, version: int) -> list[TaskFile]:
        if version == _NONE:
            return []
        _snapshot(self._location, self._table, version)
        return _sorted(self._table.scan(snapshot_id=version).plan_files())

    def added(self, version: int) -> list[TaskFile]:
        from pyiceberg.table.snapshots import Operation

        found = _snapshot(self._location, self._table, version)
        operation = None if found.summary is None else found.summary.operation
        if operation is Operation.REPLACE:
            return []
        if operation is not Operation.APPEND:
            raise SourceError(
                f"the snapshot {version} of the Iceberg table {self._location} has removed or changed rows",
                expected="snapshots that only add rows, or rewrite files without changing rows",
                found="no operation" if operation is None else f"the operation {operation.value!r}",
                hint=_AGAIN,
            )
        scan = self._table.incremental_append_scan(
            from_snapshot_id_exclusive=found.parent_snapshot_id, to_snapshot_id_inclusive=version
        )
        return _sorted(scan.plan_files())

    def rows(self, file: TaskFile, start: int) -> Iterator[Batch]:
        return rows_of(self._table, file.task, self._schema, self._columns, start)

    def close(self) -> None:
        self._catalog.close()


def _is_first(snapshot: Snapshot) -> bool:
    """Return whether a snapshot without a parent is the first of its table.

    pyiceberg takes the parent away from a snapshot when the parent expires. A table of format 1 has no sequence
    numbers: there, the first snapshot has no files but its own.
    """
    if snapshot.sequence_number:
        return snapshot.sequence_number == 1
    if snapshot.summary is None:
        return False
    added, total = (snapshot.summary[f"{which}-data-files"] for which in ("added", "total"))
    return total is not None and int(total) == int(added or 0)


def _sorted(tasks: Iterable[ScanTask]) -> list[TaskFile]:
    from pyiceberg.table import FileScanTask

    found = [TaskFile(task.file.file_path, task) for task in tasks if isinstance(task, FileScanTask)]
    return sorted(found, key=lambda file: file.path)
