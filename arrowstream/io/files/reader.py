"""Reading files one after the other: pieces are read ahead and cut into batches that know their position."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial

import polars as pl

from arrowstream.core.batch import Batch
from arrowstream.core.failures import FAILURES
from arrowstream.core.notes import ReaderNote
from arrowstream.core.position import Position
from arrowstream.core.snapshot_store import SourcePosition
from arrowstream.errors import ArrowstreamError
from arrowstream.io.files.hive_columns import needed_files
from arrowstream.io.files.listing import ListedFile
from arrowstream.io.files.output.trimmed import trimmed
from arrowstream.io.files.read_ahead import Piece, ReadAhead
from arrowstream.io.files.reading.file_table import FileTable
from arrowstream.io.files.reading.frame_slices import FrameSlice, SlicedFrame
from arrowstream.io.files.reading.pieces import FilePieces
from arrowstream.io.files.reading.progress import ReadProgress, ResumePoint
from arrowstream.io.files.schema import CHECKED_AT_BUILD
from arrowstream.io.files.tables import open_table
from arrowstream.io.files.text.bad.left_out import LeftOut
from arrowstream.io.source import BlockingReader

BATCH_ROWS = 131_072
"""Rows per batch by default; a piece of up to 1.5 times as many is not cut."""

_FEW = 4
"""Of this many rows that were read, a filter in the read has left few if it has left one."""


class FileReader(BlockingReader):
    """Reader of files.

    Parameters
    ----------
    table
        What the files have in common.
    files
        The files to read, those that an earlier run has begun first; there may be none.
    partitions
        Partition columns, one row per file.
    progress
        How far the source has come.
    left_out
        What the source has left out so far.
    start
        Where an earlier run ended, if the first of the files are those that it has begun.
    """

    empty_is_progress = True
    __slots__ = (
        "_ahead",
        "_batches",
        "_ended",
        "_file",
        "_files",
        "_left_out",
        "_needed",
        "_pieces",
        "_progress",
        "_pushed",
        "_row",
        "_start",
        "_table",
        "_total",
        "bytes_read",
    )

    def __init__(
        self,
        table: FileTable,
        files: Sequence[ListedFile],
        partitions: pl.DataFrame,
        progress: ReadProgress,
        left_out: LeftOut,
        start: ResumePoint,
    ) -> None:
        self._start = start
        self._files = files
        self._table = table
        self._progress = progress
        self._left_out = left_out
        self._pushed = table.pushed
        self._needed = needed_files(self._pushed.predicate, partitions, len(files)) if files else []
        self._pieces = FilePieces(table, self._pushed, files, self._needed, partitions, start)
        self._ahead = ReadAhead(self._pieces.pieces())
        self._batches: deque[tuple[Batch, int]] = deque()
        """Batches to return, each with the number of rows of the file that were examined for it."""
        self._file = -1
        self._row = 0
        self._ended = 0
        """Number of files that have been read to their end."""
        self._total = 0
        self.bytes_read = 0
        """Bytes of the files read for the batches so far: for text all bytes; for Parquet the column chunks that
        the footers list for the needed columns, or whole small files; for IPC the bytes that were copied."""

    def read(self) -> Batch | None:
        if not self._batches:
            drawn = self._ahead.next()
            if drawn is None:
                self._end(len(self._files))
                self._progress.end()
                return None
            self._cut(*self._read(*drawn))
        batch, looked_at = self._batches.popleft()
        self._total += looked_at
        self._progress.hand_out(batch.num_rows)
        return batch

    def position(self) -> SourcePosition:
        return self._progress.position()

    @property
    def waited_ns(self) -> int:
        return self._ahead.waited_ns

    @property
    def notes(self) -> tuple[ReaderNote, ...]:
        return self._left_out.notes

    def take_bad_rows(self) -> pl.DataFrame | None:
        return self._left_out.take_bad_rows()

    def _read(self, piece: Piece, rows: Future[pl.DataFrame]) -> tuple[Piece, pl.DataFrame]:
        """Return a piece with its rows, once they are read."""
        start, is_new = self._start, piece.file != self._file
        if is_new:
            self._end(piece.group[0] if piece.group else piece.file)
            # The first file begins where the earlier run ended, if there was one.
            self._file, self._row = piece.file, start.row if piece.file == 0 else 0
        begun = start.files[piece.file :]
        if is_new or piece.rows is not None:
            stamps = self._pieces.stamps
            self._progress.begin(begun or [stamps[n] for n in piece.group or (piece.file,)], self._row)
        try:
            frame = rows.result()
        # Polars panics, outside the Exception tree, on some damaged files.
        except ArrowstreamError:
            raise  # it already names the cause and the place
        except FAILURES as error:
            raise piece.explain(error, self._row) from error
        is_known = self._progress.to_drop >= max(frame.height, 1)
        if piece.loss is not None and piece.loss.count and not is_known:
            self._left_out.values(piece.loss.count, partial(piece.loss.first, self._row))
        bad = [] if piece.aside is None else piece.aside.rows
        if begun:
            reported = start.bad_rows
            bad = [] if reported is None else [row for row in bad if self._row + row.row >= reported]
        if bad:
            self._left_out.bad_rows(bad, self._row)
        return piece, frame

    def _end(self, number: int) -> None:
        """Take note that the files before file `number` have been read to their end."""
        stamps = self._pieces.stamps
        for ended in range(self._ended, number):
            if ended in stamps:  # a filter may rule out a partition
                self._progress.finish(stamps[ended])
        self._ended = number

    def _cut(self, piece: Piece, frame: pl.DataFrame) -> None:
        bad = 0 if piece.aside is None else len(piece.aside.rows)
        looked_at = frame.height + bad if piece.rows is None else piece.rows
        # True if row i of the frame is row i of the piece.
        kept = self._pushed.predicate is None and frame.height == looked_at
        if frame.height * _FEW <= looked_at:
            # While they wait for a step, they would keep the texts of the rows that the filter has left out.
            frame, _ = trimmed(frame)
        most = self._table.batch_rows
        parts = max(1, round(frame.height / BATCH_ROWS) if most is None else -(-frame.height // most))
        size = max(1, -(-frame.height // parts))
        dropped = self._progress.drop(frame.height)
        shared = dropped * looked_at // max(frame.height, 1)
        whole = SlicedFrame(frame)
        for offset in range(dropped, max(frame.height, dropped + 1), size):
            part = frame.slice(offset, size)
            if piece.places is not None:
                places = piece.places()
                position = places.part(offset, part.height, looked_at) if kept else places.somewhere()
            else:
                start, stop = (offset, offset + part.height) if kept else (0, looked_at)
                position = Position(str(piece.path), self._row + start, self._row + stop)
            batch = (
                Batch(part, position) if part.height == frame.height else FrameSlice(part, position, whole)
            )
            share = min(offset + size, frame.height) * looked_at // max(frame.height, 1) - shared
            self._batches.append((batch, share))
            shared += share
        self._row += looked_at
        self._total += looked_at - shared  # rows of which the query left none
        self.bytes_read += piece.nbytes
        self._report_bad_rows(piece)

    def _report_bad_rows(self, piece: Piece) -> None:
        """Take note up to which row of the file bad rows have been reported."""
        start = self._start
        if piece.group or (piece.file < len(start.files) and start.bad_rows is None):
            self._progress.report_bad_rows(None)
        else:
            before = start.bad_rows or 0 if piece.file < len(start.files) else 0
            self._progress.report_bad_rows(max(before, self._row))

    def close(self) -> None:
        self._ahead.close()
        self._batches.clear()

    @property
    def total_rows(self) -> int | None:
        files = [self._files[number] for number in self._needed]
        if len(files) > CHECKED_AT_BUILD:
            return None
        if self._table.is_text:
            return None
        rows = [open_table(file).rows for file in files]
        total = sum(count for count in rows if count is not None) - self._start.row
        return total if None not in rows else None

    @property
    def rows_read(self) -> int | None:
        return None if self._table.is_text else self._total
