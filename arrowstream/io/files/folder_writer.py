"""Writing rows into part files of a folder, and of one folder for each partition."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final

import polars as pl

from arrowstream.core.batch import Batch
from arrowstream.errors import SinkError
from arrowstream.io.files.destination.part_limits import PartLimits
from arrowstream.io.files.held_partitions import HeldPartition, groups
from arrowstream.io.files.hive_folders import HivePartitions
from arrowstream.io.files.output.encoder import FileEncoder
from arrowstream.io.files.output.growing_file import GrowingFile, write_file
from arrowstream.io.files.output.row_buffer import RowBuffer, frame_bytes
from arrowstream.io.files.output.streaming_sink import StreamingSink, encoded, encoded_files
from arrowstream.io.files.output.trimmed import trimmed
from arrowstream.io.files.reading.frame_slices import SlicedFrame
from arrowstream.io.files.sink_errors import sink_errors
from arrowstream.io.files.staging.base import MANY, Staging, synced
from arrowstream.io.files.staging.rolling_folder import RollingFolder
from arrowstream.io.files.writer import FileWriter
from arrowstream.state.spill_file import frame_in_file

WAITING_BYTES = 128 << 20
"""Most bytes of rows that all partitions together hold back for fuller row groups."""

OPEN_FILES = 16
"""Most files that are encoded at the same time; each takes two threads and a few row groups of memory."""

FOLDERS: Final = 1_000
"""Folders that a run knows before it forgets those that have no rows and no open file."""

_WRITERS: Final = 2
"""Threads that write the files of small partitions."""

_log = logging.getLogger(__name__)

_STALE: Final = 4
"""Turns without rows after which an open file may end for another one; a turn is a unit of incoming rows."""


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
        Makes the encoder of files with the given schema.
    stem
        Beginning of the names of the files, before their number.
    suffix
        Suffix of the files, such as ``".csv.gz"``.
    limits
        Where a file ends and the next one begins.
    unit_rows
        Number of rows of a partition that are worth an open file.
    schema
        Schema of the batches.
    may_be_empty
        Whether a run without rows writes no file: the folder holds others.
    """

    def __init__(
        self,
        staging: Staging,
        target: Path,
        *,
        partitions: HivePartitions,
        new_encoder: Callable[[pl.Schema], FileEncoder],
        stem: str,
        suffix: str,
        limits: PartLimits,
        unit_rows: int,
        schema: pl.Schema,
        may_be_empty: bool,
    ) -> None:
        super().__init__(staging)
        self._staging = staging
        self._target = target
        self._partitions = partitions
        self._empty = partial(new_encoder, schema)
        self._stem = stem
        self._suffix = suffix
        self._limits = limits
        self._named: dict[StreamingSink, str] = {}
        self._complete: list[str] = []
        self._schema = schema
        self._unit_rows = unit_rows
        self._may_be_empty = may_be_empty
        self._encoder = new_encoder(partitions.file_schema(schema))
        self._incoming = RowBuffer(unit_rows)
        self._folders: dict[str, HeldPartition] = {}
        self._most_folders = FOLDERS
        self._next_number = 0
        """Number of the first file of a folder, which may be one that was forgotten."""
        self._open: dict[str, int] = {}
        self._turn = 0
        self._shared = 0
        """Bytes of the units of which rows held back may keep the memory."""

    @property
    def known_folders(self) -> int:
        """Number of folders that the writer has rows or a file for, or has not forgotten yet."""
        return len(self._folders)

    @property
    def period_s(self) -> float | None:
        return self._limits.roll_every_s

    def write(self, batch: Batch) -> None:
        super().write(batch)
        self._roll()

    def on_period(self) -> None:
        try:
            self._check()
            self._end_files()
        except SinkError as error:  # no row is lost: the next call goes on where this one ended
            _log.warning("%s", error)
        except BaseException as failure:
            self._broken = failure
            raise
        self._roll()

    def _roll(self) -> None:
        """Make complete files visible, if the folder shows them before the end of the run."""
        if isinstance(self._staging, RollingFolder) and (self._ending or self._complete):
            try:
                self._check()
                self._staging.show(self._complete)
                self._complete.clear()
                self._forget()
            except SinkError as error:
                # The rows at hand have been taken: the next call raises the error, if it still holds.
                _log.warning("%s", error)

    def _forget(self) -> None:
        """Forget folders that hold nothing: an endless run may write into ever new ones."""
        if len(self._folders) <= self._most_folders:
            return
        for folder, partition in list(self._folders.items()):
            if partition.sink is None and not partition.rows:
                self._next_number = max(self._next_number, partition.number)
                del self._folders[folder]
        self._most_folders = max(FOLDERS, 2 * len(self._folders))

    def _on_finished(self, sink: StreamingSink) -> None:
        self._complete.append(self._named.pop(sink))

    def _take(self, rows: pl.DataFrame, whole: SlicedFrame | None) -> None:
        if not rows.height:
            return
        if not self._partitions.columns:
            self._stream(self._partition(""), rows)
            return
        # Split in large units: one batch spread over thousands of partitions gives each only a few rows.
        if whole is None or not whole.is_trimmed:
            rows, _ = trimmed(rows)
        for unit in self._incoming.add(rows, frame_bytes(rows)):
            self._spread(unit)

    def _end(self) -> None:
        if self._folders or self._incoming.height:
            self._end_files()
        elif not self._may_be_empty and not self._next_number:
            # Readers of a folder without rows still need its columns, including the partition columns.
            self._file("", 0).end(encoded(pl.DataFrame(schema=self._schema), self._empty()))

    def _end_files(self) -> None:
        """Write all rows held back, and end all files. A call after a failure continues."""
        if self._incoming.height:
            self._spread(self._incoming.take())
        for partition in self._folders.values():
            if partition.sink is not None or partition.rows > self._unit_rows or self._is_large(partition):
                for rows in partition.take():
                    self._stream(partition, rows)
                self._end_file(partition)
                self._check()
        whole = [partition for partition in self._folders.values() if partition.rows]
        many = len(whole) > MANY
        with (
            sink_errors("cannot finish", self._target),
            synced(self._staging.folder if many else None),
            ThreadPoolExecutor(_WRITERS if many else 1) as writers,
        ):
            for _ in writers.map(partial(self._write_whole, durable=not many), groups(whole)):
                pass
        for partition in whole:
            files = -(-partition.rows // self._limits.rows)
            self._complete += (self._name(partition.folder, partition.number + file) for file in range(files))
            partition.number += files
            partition.take()

    def _write_whole(self, partitions: Sequence[HeldPartition], durable: bool) -> None:
        parts, names = [], []
        for partition in partitions:
            held = partition.peek()
            rows = held[0] if len(held) == 1 else pl.concat(held)
            for start in range(0, rows.height, self._limits.rows):
                names.append(self._name(partition.folder, partition.number + start // self._limits.rows))
                parts.append(rows.slice(start, self._limits.rows))
        for name, content in zip(names, encoded_files(parts, self._encoder), strict=True):
            write_file(self._staging.path(name), content, f"{self._target}/{name}", durable)

    def _partition(self, folder: str) -> HeldPartition:
        found = self._folders.get(folder)
        if found is None:
            found = self._folders[folder] = HeldPartition(folder, self._unit_rows)
            found.number = self._next_number
        return found

    def _is_large(self, partition: HeldPartition) -> bool:
        return self._limits.nbytes is not None and partition.nbytes > self._limits.nbytes

    def _name(self, folder: str, number: int) -> str:
        return f"{folder}{self._stem}-{number:05d}{self._suffix}"

    def _file(self, folder: str, number: int) -> GrowingFile:
        name = self._name(folder, number)
        return GrowingFile(partial(self._staging.path, name), self._target / name)

    def _spread(self, unit: pl.DataFrame) -> None:
        self._turn += 1
        # Measuring the rows of each partition would take longer than splitting them.
        row_bytes = frame_bytes(unit) // unit.height
        for folder, rows in self._partitions.split(unit):
            partition = self._partition(folder)
            partition.add(rows, row_bytes * rows.height)
            if partition.held_rows >= self._unit_rows and self._may_stream(partition):
                for part in partition.take():
                    self._stream(partition, part)
        held = sum(partition.nbytes for partition in self._folders.values())
        if held > WAITING_BYTES:
            self._relieve()
        self._shared += row_bytes * unit.height
        if self._shared > WAITING_BYTES + 2 * held:
            # The few rows of a rare partition would keep the texts of all units that they came in.
            for partition in self._folders.values():
                partition.own()
            self._shared = 0

    def _may_stream(self, partition: HeldPartition) -> bool:
        """Return True if the partition has an open file or may open one, after ending one that gets no more rows."""
        if partition.sink is not None or len(self._open) < OPEN_FILES:
            return True
        stale = min(self._open, key=self._open.__getitem__)
        if self._turn - self._open[stale] < _STALE:
            return False
        self._end_file(self._folders[stale])
        return True

    def _relieve(self) -> None:
        """Write or spill the rows of the fullest partitions until at most half of `WAITING_BYTES` is held back."""
        fullest_last = sorted(self._folders.values(), key=lambda partition: partition.nbytes)
        waiting = sum(partition.nbytes for partition in fullest_last)
        spilled = []
        while waiting > WAITING_BYTES // 2:
            partition = fullest_last.pop()
            waiting -= partition.nbytes
            if self._may_stream(partition):
                for rows in partition.take():
                    self._stream(partition, rows)
            else:
                spilled.append(partition)
        if spilled:
            # One file for all, since each is mapped, and the system limits the number of maps.
            pieces = [partition.held() for partition in spilled]
            mapped = frame_in_file([pl.concat(pieces)])
            start = 0
            for partition, piece in zip(spilled, pieces, strict=True):
                partition.replace(mapped.slice(start, piece.height))
                start += piece.height

    def _stream(self, partition: HeldPartition, rows: pl.DataFrame) -> None:
        piece = self._limits.piece_rows(rows)
        while rows.height:
            if partition.sink is None:
                partition.sink = self._new_sink(partition)
            self._open[partition.folder] = self._turn
            fitting = rows.head(min(piece, self._limits.rows - partition.sink.rows))
            partition.sink.append(fitting)
            if self._limits.is_full(partition.sink.rows, partition.sink.nbytes):
                self._end_file(partition)
            rows = rows.slice(fitting.height)

    def _new_sink(self, partition: HeldPartition) -> StreamingSink:
        file = self._file(partition.folder, partition.number)
        sink = StreamingSink(file, self._encoder, self._unit_rows, self._limits.waiting_bytes)
        self._named[sink] = self._name(partition.folder, partition.number)
        partition.number += 1
        self._sinks.append(sink)
        return sink

    def _end_file(self, partition: HeldPartition) -> None:
        """End the open file of a partition, if it has one; the next rows begin another."""
        if partition.sink is not None:
            del self._open[partition.folder]
            self._close(partition.sink)
            partition.sink = None
