"""Writing rows into files that nobody sees before the run has succeeded."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import polars as pl

from arrowstream.core.batch import Batch
from arrowstream.io.files.encoders import Encoder
from arrowstream.io.files.growing_file import Backlog, GrowingFile, OutputFile
from arrowstream.io.files.hive_folders import Partitions
from arrowstream.io.files.row_buffer import RowBuffer, frame_bytes
from arrowstream.io.files.staging.base import Publication, Staging
from arrowstream.io.sink import BlockingWriter, Handle

WAITING_BYTES: Final = 128 << 20
"""How much all partitions together hold back for fuller row groups."""


class FileWriter(BlockingWriter):
    """Writes into files, so that a batch whose `write` fails is not taken and may be given again.

    Parameters
    ----------
    publication
        Makes the files visible once all of them are complete.
    """

    def __init__(self, publication: Publication) -> None:
        self._publication = publication
        self._files = Backlog()
        self._published = False

    def write(self, batch: Batch) -> None:
        self._files.check()
        try:
            self._take(batch.polars())
        except BaseException as failure:
            self._files.give_up(failure)
            raise

    def prepare(self, epoch: int) -> Handle:
        self._files.check()
        self._end()
        self._files.check()
        self._publication.prepare()
        return {}

    def commit(self, handle: Handle) -> None:
        if not self._published:
            self._publication.publish()
            self._published = True

    def abort(self) -> None:
        self._publication.discard()

    @abstractmethod
    def _take(self, rows: pl.DataFrame) -> None:
        """Take over rows."""

    @abstractmethod
    def _end(self) -> None:
        """Write what is held back, and end all files."""


class SingleFileWriter(FileWriter):
    """Everything into one file.

    Parameters
    ----------
    publication
        Makes the file visible once it is complete.
    file
        The file.
    unit_rows
        Rows that are encoded together.
    """

    def __init__(self, publication: Publication, file: OutputFile, unit_rows: int) -> None:
        super().__init__(publication)
        self._file = file
        self._waiting = RowBuffer(unit_rows)

    def _take(self, rows: pl.DataFrame) -> None:
        for unit in self._waiting.add(rows, frame_bytes(rows)):
            self._files.append(self._file, unit)

    def _end(self) -> None:
        if self._waiting.height:
            self._files.append(self._file, self._waiting.take())
        self._files.end(self._file)


class FolderWriter(FileWriter):
    """Part files, in a folder of their own for each partition.

    Parameters
    ----------
    staging
        Where the files wait until all of them are complete.
    target
        The folder they are for.
    partitions
        How rows are spread over folders.
    new_encoder
        Makes the encoder of a file with these columns.
    suffix
        Of the files, such as ``".csv.gz"``.
    max_rows
        Of a file; then the next one is begun.
    unit_rows
        How many rows to encode together.
    schema
        Of the batches.
    """

    def __init__(
        self,
        staging: Staging,
        target: Path,
        *,
        partitions: Partitions,
        new_encoder: Callable[[pl.Schema], Encoder],
        suffix: str,
        max_rows: int,
        unit_rows: int,
        schema: pl.Schema,
    ) -> None:
        super().__init__(staging)
        self._staging = staging
        self._target = target
        self._partitions = partitions
        self._new_encoder = new_encoder
        self._suffix = suffix
        self._max_rows = max_rows
        self._schema = schema
        self._file_schema = partitions.file_schema(schema)
        self._unit_rows = unit_rows
        self._incoming = RowBuffer(unit_rows)
        self._folders: dict[str, _Partition] = {}
        self._waiting = 0

    def _take(self, rows: pl.DataFrame) -> None:
        if not rows.height:
            return
        # Split in large units: a batch spread over thousands of partitions would leave each a few rows.
        units = self._incoming.add(rows, frame_bytes(rows)) if self._partitions.columns else [rows]
        for unit in units:
            self._spread(unit)

    def _end(self) -> None:
        if self._incoming.height:
            self._spread(self._incoming.take())
        for partition in self._folders.values():
            partition.flush()
            partition.close()
        if not self._folders:
            # Readers of a folder without rows still want its columns, those it would be partitioned by too.
            self._files.end(self._open("", self._schema, 0))

    def _open(self, folder: str, schema: pl.Schema, number: int) -> GrowingFile:
        name = f"{folder}part-{number:05d}{self._suffix}"
        return GrowingFile(partial(self._staging.path, name), self._target / name, self._new_encoder(schema))

    def _spread(self, unit: pl.DataFrame) -> None:
        # Asking each partition's rows for their size would take longer than splitting them.
        row_bytes = frame_bytes(unit) // unit.height
        for folder, rows in self._partitions.split(unit):
            part = self._folders.get(folder)
            if part is None:
                open_file = partial(self._open, folder, self._file_schema)
                part = _Partition(self._files, open_file, self._unit_rows, self._max_rows)
                self._folders[folder] = part
            before = part.nbytes
            part.add(rows, row_bytes * rows.height)
            self._waiting += part.nbytes - before
        if self._waiting > WAITING_BYTES:
            self._relieve()

    def _relieve(self) -> None:
        """Write what the fullest partitions hold, until at most half of what may wait is left."""
        fullest_last = sorted(self._folders.values(), key=lambda part: part.nbytes)
        while self._waiting > WAITING_BYTES // 2:
            part = fullest_last.pop()
            self._waiting -= part.nbytes
            part.flush()


class _Partition:
    """One partition: its rows that wait, and the file of it that grows at the moment."""

    __slots__ = ("_buffer", "_file", "_files", "_max_rows", "_number", "_open")

    def __init__(
        self, files: Backlog, open_file: Callable[[int], GrowingFile], unit_rows: int, max_rows: int
    ) -> None:
        self._files = files
        self._open = open_file
        self._buffer = RowBuffer(unit_rows)
        self._max_rows = max_rows
        self._number = 0
        self._file: GrowingFile | None = None

    @property
    def nbytes(self) -> int:
        return self._buffer.nbytes

    def add(self, rows: pl.DataFrame, nbytes: int) -> None:
        for unit in self._buffer.add(rows, nbytes):
            self._append(unit)

    def flush(self) -> None:
        """Write the rows that wait."""
        if self._buffer.height:
            self._append(self._buffer.take())

    def close(self) -> None:
        """End the file; the next rows begin another."""
        if self._file is not None:
            self._files.end(self._file)
            self._file = None

    def _append(self, rows: pl.DataFrame) -> None:
        while rows.height:
            if self._file is None:
                self._file = self._open(self._number)
                self._number += 1
            fitting = rows.head(self._max_rows - self._file.rows)
            self._files.append(self._file, fitting)
            if self._file.rows == self._max_rows:
                self.close()
            rows = rows.slice(fitting.height)
