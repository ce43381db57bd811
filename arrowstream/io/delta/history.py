"""`DeltaHistory`: the versions of a Delta table, and the data files of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import polars as pl

from arrowstream.core.batch import Batch
from arrowstream.io.delta.failures import reading
from arrowstream.io.delta.features import readable_table
from arrowstream.io.delta.file_rows import rows_of
from arrowstream.io.delta.location import DeltaLocation
from arrowstream.io.delta.log import AddedFile, added_files, columns_of, files_of, has_version
from arrowstream.io.lake.history import TableHistory


class DeltaHistory(TableHistory[AddedFile]):
    """The versions of a Delta table.

    Parameters
    ----------
    location
        Place of the table.
    schema
        Columns of the table.
    columns
        Those that the rows have.
    """

    def __init__(self, location: DeltaLocation, schema: pl.Schema, columns: Sequence[str]) -> None:
        self._location = location
        self._schema = schema
        self._columns = columns
        self._newest = -1
        self._table: Any = None
        self._types: dict[str, object] = {}

    def __str__(self) -> str:
        return f"the Delta table {self._location}"

    def reading(self) -> AbstractContextManager[None]:
        return reading(self._location)

    def open(self, version: int | None) -> tuple[str, int]:
        table = self._table = readable_table(self._location, version)
        self._types = columns_of(table)
        self._newest = table.version() if version is None else self._location.table().version()
        return str(table.metadata().id), table.version()

    def has(self, version: int) -> bool:
        return version <= self._newest

    def later(self, version: int) -> Sequence[int]:
        while has_version(self._location, self._newest + 1):
            self._newest += 1
        return range(version + 1, self._newest + 1)

    def files(self, version: int) -> list[AddedFile]:
        opened = self._table.version() == version
        return files_of(self._table if opened else self._location.table(version), self._location)

    def added(self, version: int) -> list[AddedFile]:
        return added_files(self._location, version, self._types)

    def rows(self, file: AddedFile, start: int) -> Iterator[Batch]:
        return rows_of(self._location, file, self._schema, self._columns, start)
