"""Reading a folder that grows: each file once, as it comes, without end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from time import monotonic_ns, sleep
from typing import Final

import polars as pl

from arrowstream.core.batch import Batch
from arrowstream.core.notes import ReaderNote
from arrowstream.core.snapshot_store import SourcePosition
from arrowstream.core.step_context import StepContext
from arrowstream.errors import SchemaError
from arrowstream.io.files.hive_columns import partition_columns
from arrowstream.io.files.listing import ListedFile
from arrowstream.io.files.reader import FileReader
from arrowstream.io.files.reading.arrivals import Arrivals
from arrowstream.io.files.reading.file_table import FileTable
from arrowstream.io.files.reading.progress import ReadProgress, ResumePoint
from arrowstream.io.files.reading.remaining import new_files, remaining
from arrowstream.io.files.reading.selection import Selection
from arrowstream.io.files.search.walk import UnfinishedFolder
from arrowstream.io.files.text.bad.left_out import LeftOut
from arrowstream.io.source import BlockingReader

READ: Final = "files read"
_SILENCE_S: Final = 0.1
"""Longest time, in seconds, that a read waits before it ends without rows, so that a run can stop."""


class WatchingReader(BlockingReader):
    """Reader of the files of folders, which waits for further ones.

    Parameters
    ----------
    selection
        Which files are read.
    table
        What they have in common.
    progress
        How far the source has come.
    watch_s
        Seconds between two looks for new files, and for which a file must not have changed.
    context
        Clock and log of the run.
    """

    empty_is_progress = True

    def __init__(
        self,
        selection: Selection,
        table: FileTable,
        progress: ReadProgress,
        watch_s: float,
        context: StepContext,
    ) -> None:
        self._selection = selection
        self._table = table
        self._progress = progress
        self._left_out = LeftOut(note_bad_rows=table.bad_rows == "skip")
        self._context = context
        self._watch_s = watch_s
        self._arrivals = Arrivals(round(watch_s * 1e9))
        self._no_rows = table.no_rows()
        self._look_ns = context.clock.now_ns()
        self._waited_ns = 0
        self._examined = 0
        """Number of rows that readers before the current one have examined."""
        self._taken: tuple[str, int] | None = None
        """Path of the first file that was taken, and number of these files so far."""
        self._publishing = False
        self._reader: FileReader | None = None
        if progress.start.files:
            begun = {stamp.path for stamp in progress.start.files}
            files = [file for file in selection.files()[0] if str(file.path) in begun]
            self._open(remaining(files, progress), progress.start)

    def read(self) -> Batch | None:
        element = None if self._reader is None else self._reader.read()
        if element is not None:
            return element
        self._close_reader()
        wait_s = (self._look_ns - self._context.clock.now_ns()) / 1e9
        if wait_s <= 0:
            self._look()
        else:
            begin = monotonic_ns()
            sleep(min(wait_s, _SILENCE_S))
            self._waited_ns += monotonic_ns() - begin
        return Batch(self._no_rows)

    def position(self) -> SourcePosition:
        return self._progress.position()

    def take_bad_rows(self) -> pl.DataFrame | None:
        return self._left_out.take_bad_rows()

    def close(self) -> None:
        self._close_reader()

    @property
    def rows_read(self) -> int | None:
        if self._table.is_text:
            return None
        return self._examined + ((self._reader and self._reader.rows_read) or 0)

    @property
    def waited_ns(self) -> int:
        return self._waited_ns

    @property
    def notes(self) -> tuple[ReaderNote, ...]:
        taken = [] if self._taken is None else [ReaderNote(READ, self._taken[1], self._taken[0], lost=False)]
        return (*taken, *self._left_out.notes)

    def _look(self) -> None:
        """Look for new files, and begin with those that have come to rest."""
        now_ns = self._context.clock.now_ns()
        self._look_ns = now_ns + round(self._watch_s * 1e9)
        try:
            found, empty = self._selection.files()
        except UnfinishedFolder as error:
            if not self._publishing:
                self._context.logger.warning("%s", error)
            self._publishing = True
            return
        self._publishing = False
        there = new_files((file for file in found if file not in empty), self._progress.done)
        ready = self._arrivals.at_rest(there, now_ns)
        if ready:
            self._open(ready, ResumePoint())

    def _open(self, files: Sequence[ListedFile], start: ResumePoint) -> None:
        table, keys = self._table, [key for key, _ in files[0].partitions]
        stored = pl.Schema({name: dtype for name, dtype in table.stored.items() if name not in keys})
        if {*stored, *keys} != {*table.schema}:
            raise SchemaError(
                f"the folders above {files[0].path} do not name the partitions of the files before it",
                expected=f"the columns {', '.join(table.schema)}, together with those of the file",
                found=", ".join(f"{key}=" for key in keys) or "no key=value folders",
                hint="name all partitions in schema=, and put each file into folders of all of them",
            )
        partitions = partition_columns(files, table.schema)
        first, count = self._taken or (str(files[0].path), 0)
        self._taken = first, count + len(files)
        table = replace(table, stored=stored)
        self._reader = FileReader(table, files, partitions, self._progress, self._left_out, start)

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._examined += self._reader.rows_read or 0
            self._waited_ns += self._reader.waited_ns
            self._reader.close()
            self._reader = None
