"""`IcebergWriter`: rows into data files, and these into an Iceberg table."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import polars as pl

from arrowstream.core.step_context import StepContext
from arrowstream.io.iceberg.commits import check_mode, claim, commit, staged, table_of
from arrowstream.io.iceberg.data_files import DataFile, DataFileWriter
from arrowstream.io.iceberg.failures import writing
from arrowstream.io.iceberg.location import IcebergLocation
from arrowstream.io.iceberg.owner import Owner, shown_epochs
from arrowstream.io.iceberg.target import Target
from arrowstream.io.iceberg.types import TYPES
from arrowstream.io.lake.encoding import LakeEncoding
from arrowstream.io.lake.gathered_files import GatheredFiles
from arrowstream.io.lake.modes import Mode
from arrowstream.io.lake.writer import LakeWriter

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog


class IcebergWriter(LakeWriter[DataFile]):
    """Running sink of an Iceberg table.

    The files that `prepare` has written are in the folder of the table, but in no snapshot: no reader sees them.

    Parameters
    ----------
    location
        Name of the table.
    mode
        What becomes of the rows that it has.
    partition_by
        Columns of its partitions; none for those that it has.
    schema
        Schema of the rows.
    context
        The sink's id, and the checkpoints of the run.
    """

    def __init__(
        self,
        location: IcebergLocation,
        mode: Mode,
        partition_by: tuple[str, ...],
        schema: pl.Schema,
        context: StepContext,
    ) -> None:
        super().__init__(f"the Iceberg table {location}", context)
        self._location = location
        self._owner = None if self._app is None else Owner(self._app, self._attempt)
        self._mode = mode
        self._partition_by = partition_by
        self._stored = TYPES.stored_schema(schema, partition_by)
        with writing(location):
            self._catalog = location.catalog.open()
            try:
                self._open(self._catalog, schema)
            except BaseException:
                self._catalog.close()
                raise

    def _open(self, catalog: Catalog, schema: pl.Schema) -> None:
        location = self._location
        table = location.load(catalog)
        check_mode(location, self._mode, table, self._owner)
        if table is None:
            table = table_of(staged(location, catalog, self._stored, self._partition_by))
        target = Target.of(location, table, schema, self._partition_by)
        self._encoding = LakeEncoding(self._table, schema, target.schema, target.required, keys=target.keys)
        files = DataFileWriter(table, target.arrow, self._note())
        self._delete_file = files.delete
        self._files = GatheredFiles(target.key_names, files.write, files.delete)

    def _writing(self) -> AbstractContextManager[None]:
        return writing(self._location)

    def _shown_epoch(self, app: str) -> int:
        return Owner(app, self._attempt).epoch(self._location.load(self._catalog))

    def _epochs(self) -> Mapping[str, int]:
        return shown_epochs(self._location.load(self._catalog))

    def _claim(self) -> None:
        assert self._owner is not None
        claim(self._location, self._catalog, self._stored, self._partition_by, self._mode, self._owner)

    def _file_of(self, found: Any) -> DataFile:
        return DataFile(**found)

    def _commit(self, files: list[DataFile], epoch: tuple[str, int] | None, shown: int | None) -> None:
        location, by = self._location, self._partition_by
        owned = None if self._owner is None or epoch is None else (self._owner, epoch[1])
        commit(location, self._catalog, self._stored, by, self._mode, files, owned, shown=shown)

    def _delete(self, path: str) -> None:
        self._delete_file(path)

    def abort(self) -> None:
        super().abort()
        self._catalog.close()

    def close(self) -> None:
        self._catalog.close()
