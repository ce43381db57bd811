"""Writing rows into files that become visible only when the run has succeeded."""

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
"""Most bytes of rows that all partitions together hold back for fuller row groups."""


class FileWriter(BlockingWriter):
    """Writer into files. A batch whose `write` raises has not been taken, and can be passed again.

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
        """Add rows to the files."""

    @abstractmethod
    def _end(self) -> None:
        """Write the rows held back, and end all files."""


class SingleFileWriter(FileWriter):
    """Writer of all rows into one file.

    Parameters
    ----------
    publication
        Makes the file visible once it is complete.
    file
        The file.
    unit_rows
        Number of rows encoded together.
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
    """Writer of part files, with one folder per partition.

    Parameters
    ----------
    staging
        Place of the files until all of them are complete.
    target
        Final folder of the files.
    partitions
        Columns whose values name the folders.
    new_encoder
        Makes the encoder of a file with the given schema.
    suffix
        Suffix of the files, such as ``".csv.gz"``.
    max_rows
        Most rows of a file; further rows go to the next one.
    unit_rows
        Number of rows encoded together.
    schema
        Schema of the batches.
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
        # Split in large units: one batch spread over thousands of partitions gives each only a few rows.
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
            # Readers of a folder without rows still need its columns, including the partition columns.
            self._files.end(self._open("", self._schema, 0))

    def _open(self, folder: str, schema: pl.Schema, number: int) -> GrowingFile:
        name = f"{folder}part-{number:05d}{self._suffix}"
        return GrowingFile(partial(self._staging.path, name), self._target / name, self._new_encoder(schema))

    def _spread(self, unit: pl.DataFrame) -> None:
        # Measuring the rows of each partition would take longer than splitting them.
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
        """Write the rows of the fullest partitions until at most half of `WAITING_BYTES` is held back."""
        fullest_last = sorted(self._folders.values(), key=lambda part: part.nbytes)
        while self._waiting > WAITING_BYTES // 2:
            part = fullest_last.pop()
            self._waiting -= part.nbytes
            part.flush()


class _Partition:
    """One partition: its rows held back, and the file that grows at the moment."""

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
        """Write the rows held back."""
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
