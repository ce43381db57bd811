"""`DeltaWriter`: rows into data files, and these into a Delta table."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import polars as pl

from arrowstream.core.step_context import StepContext
from arrowstream.errors import SinkError
from arrowstream.io.delta.commits import check_mode, claim, commit
from arrowstream.io.delta.data_files import NULL_FOLDER, DataFile, DataFileWriter
from arrowstream.io.delta.failures import writing
from arrowstream.io.delta.location import DeltaLocation
from arrowstream.io.delta.owner import Owner
from arrowstream.io.delta.target import Target
from arrowstream.io.lake.encoding import LakeEncoding, RefusedValues
from arrowstream.io.lake.gathered_files import GatheredFiles
from arrowstream.io.lake.modes import Mode
from arrowstream.io.lake.writer import LakeWriter

_RETENTION = "delta.setTransactionRetentionDuration"


class DeltaWriter(LakeWriter[DataFile]):
    """Running sink of a Delta table.

    The files that `prepare` has written are in the folder of the table, but not in its log: no reader sees them.

    Parameters
    ----------
    location
        Place of the table.
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
        location: DeltaLocation,
        mode: Mode,
        partition_by: tuple[str, ...],
        schema: pl.Schema,
        context: StepContext,
    ) -> None:
        super().__init__(f"the Delta table {location}", context)
        self._location = location
        self._mode = mode
        self._owner = None if self._app is None else Owner(self._app, self._attempt)
        with writing(location):
            table = location.table()
            check_mode(location, mode, table, self._owner)
            target = self._target = Target.of(location, table, schema, partition_by)
            if table is not None and self._app is not None and _RETENTION in table.metadata().configuration:
                raise SinkError(
                    f"the Delta table {location} forgets application transactions, by which epochs are known",
                    expected=f"a table without {_RETENTION}",
                    hint=f"unset the property, ALTER TABLE ... UNSET TBLPROPERTIES ('{_RETENTION}')",
                )
        refusals = [
            RefusedValues(
                name,
                "texts that are not empty: a Delta table reads an empty value of a partition as null",
                pl.col(name).cast(pl.String).is_in(["", NULL_FOLDER]),
            )
            for name in target.partition_by
            if isinstance(target.schema[name], pl.String)
        ]
        self._encoding = LakeEncoding(self._table, schema, target.schema, target.required, refusals)
        files = DataFileWriter(location, target.partition_by, self._note())
        self._files = GatheredFiles(target.partition_by, files.write, location.delete, location.sync)

    def _writing(self) -> AbstractContextManager[None]:
        return writing(self._location)

    def _shown_epoch(self, app: str) -> int:
        return Owner(app, self._attempt).epoch(self._location.table())

    def _claim(self) -> None:
        assert self._owner is not None
        claim(self._location, self._target, self._mode, self._owner)

    def _file_of(self, found: Any) -> DataFile:
        return DataFile(**found)

    def _commit(self, files: list[DataFile], epoch: tuple[str, int] | None, shown: int | None) -> None:
        owned = None if self._owner is None or epoch is None else (self._owner, epoch[1])
        commit(self._location, self._target, self._mode, files, owned, shown=shown)

    def _delete(self, path: str) -> None:
        self._location.delete(path)
