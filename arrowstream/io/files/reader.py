"""Reading files one after the other: pieces read ahead, cut into batches that know their place."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace

import polars as pl

from arrowstream.core.batch import Batch
from arrowstream.core.failures import FAILURES
from arrowstream.core.notes import ReaderNote
from arrowstream.core.position import Position
from arrowstream.io.files.columnar.parquet_footer import row_groups
from arrowstream.io.files.columnar.parquet_pieces import parquet_pieces
from arrowstream.io.files.columnar.scan import Adapt, Table, ipc_pieces, ipc_rows, scan_ipc, scan_parquet
from arrowstream.io.files.hive_columns import may_match
from arrowstream.io.files.listing import DataFile
from arrowstream.io.files.pushed_query import Pushed, pushed
from arrowstream.io.files.read_ahead import Loss, Piece, ReadAhead
from arrowstream.io.files.schema import CHECKED_AT_BUILD, check_columns, check_names, table_schema
from arrowstream.io.files.text.csv_format import Csv
from arrowstream.io.files.text.file import TextFile
from arrowstream.io.source import BlockingReader, Query

BATCH_ROWS = 131_072
"""Rows of a batch; a piece of few more is not cut."""

LEFT_OUT = "values left out, of keys that are not columns or come twice in an object"


class FileReader(BlockingReader):
    """Files while they are read.

    Parameters
    ----------
    files
        The files.
    delimiter
        Between the fields of CSV files.
    stored
        Columns inside the files.
    partitions
        One row for each file: the columns that its folders tell.
    schema
        Columns before `query`: stored ones, then partitions, with the types the user gave.
    query
        What is computed while reading.
    strict_keys
        Whether a key that is no column is an error.
    """

    __slots__ = (
        "_ahead",
        "_batches",
        "_delimiter",
        "_file",
        "_files",
        "_needed",
        "_partitions",
        "_pushed",
        "_query",
        "_row",
        "_schema",
        "_stored",
        "_strict_keys",
        "_total",
        "bytes_read",
        "notes",
    )

    def __init__(
        self,
        files: Sequence[DataFile],
        delimiter: str,
        stored: pl.Schema,
        partitions: pl.DataFrame,
        schema: pl.Schema,
        query: Query | None,
        *,
        strict_keys: bool,
    ) -> None:
        self._files = files
        self._delimiter = delimiter
        self._strict_keys = strict_keys
        self._stored = stored
        self._partitions = partitions
        self._schema = schema
        self._query = query
        self._pushed: Pushed = pushed(query, schema)
        self._needed = [
            number
            for number in range(len(files))
            if may_match(self._pushed.predicate, partitions.slice(number, 1))
        ]
        self._ahead = ReadAhead(self._pieces())
        self._batches: deque[tuple[Batch, int]] = deque()
        """Each with how many rows of the file were looked at for it."""
        self._file = -1
        self._row = 0
        self._total = 0
        self.notes: tuple[ReaderNote, ...] = ()
        self.bytes_read = 0
        """Bytes of the files behind the rows handed out: counted for text; for Parquet, the column
        chunks that the footers list for the needed columns; for IPC, a share of the file's size."""

    def read(self) -> Batch | None:
        while not self._batches:
            drawn = self._ahead.next()
            if drawn is None:
                return None
            piece, rows = drawn
            if piece.file != self._file:
                self._file, self._row = piece.file, 0
            try:
                frame = rows.result()
            # Polars panics, outside the Exception tree, on some damaged files.
            except FAILURES as error:
                raise piece.explain(error, self._row) from error
            if piece.loss is not None and piece.loss.count:
                self._note(piece.loss)
            self._cut(piece, frame)
        batch, looked_at = self._batches.popleft()
        self._total += looked_at
        return batch

    def _note(self, loss: Loss) -> None:
        first = self.notes[0].first if self.notes else loss.first(self._row)
        count = sum(note.count for note in self.notes) + loss.count
        self.notes = (ReaderNote(LEFT_OUT, count, first),)

    def _cut(self, piece: Piece, frame: pl.DataFrame) -> None:
        looked_at = frame.height if piece.rows is None else piece.rows
        # Whether row i of the frame is row i of the piece.
        kept = self._pushed.predicate is None and frame.height == looked_at
        parts = max(1, round(frame.height / BATCH_ROWS))
        size = max(1, -(-frame.height // parts))
        told = 0
        for offset in range(0, frame.height, size):
            part = frame.slice(offset, size)
            start, stop = (offset, offset + part.height) if kept else (0, looked_at)
            batch = Batch(part, Position(str(piece.path), self._row + start, self._row + stop))
            share = min(offset + size, frame.height) * looked_at // frame.height - told
            self._batches.append((batch, share))
            told += share
        self._row += looked_at
        self._total += looked_at - told  # where no row is left, nobody waits for a batch
        self.bytes_read += piece.nbytes

    def close(self) -> None:
        self._ahead.close()
        self._batches.clear()

    @property
    def total_rows(self) -> int | None:
        files = [self._files[number] for number in self._needed]
        if len(files) > CHECKED_AT_BUILD:
            return None
        match self._files[0].kind.format:
            case "parquet":
                return sum(group.rows for file in files for group in row_groups(file.path, ()))
            case "ipc":
                return sum(ipc_rows(file.path) for file in files)
            case _:
                return None

    @property
    def rows_read(self) -> int | None:
        return self._total if self._files[0].kind.format in ("parquet", "ipc") else None

    def _pieces(self) -> Generator[Piece, None, None]:
        for number in self._needed:
            read = self._table if self._files[number].kind.format in ("parquet", "ipc") else self._text
            for piece in read(self._files[number], self._adapt(number)):
                yield replace(piece, file=number)

    def _table(self, file: DataFile, adapt: Adapt) -> Iterator[Piece]:
        found = table_schema(file)
        check_columns(file, found, self._files[0], self._stored)
        columns = tuple(name for name in self._pushed.columns if name in found)
        if file.kind.format == "ipc":
            return ipc_pieces(Table(file.path, scan_ipc, found, columns, adapt))
        return parquet_pieces(Table(file.path, scan_parquet, found, columns, adapt))

    def _text(self, file: DataFile, adapt: Adapt) -> Iterator[Piece]:
        text = TextFile(file, self._delimiter)
        try:
            # An object may leave out any of its keys, a record none of its fields.
            optional = () if isinstance(text.format, Csv) else self._stored
            names = dict.fromkeys([*optional, *text.names()])
            check_names(file, list(names), self._files[0], self._stored)
            # A key that folders tell too is a column, whether rows have it or not.
            known = pl.Schema({**self._stored, **self._partitions.schema}) if self._strict_keys else None
            yield from text.pieces(file, self._stored, adapt, known=known)
        finally:
            text.close()

    def _adapt(self, number: int) -> Adapt:
        """From the rows of a file as stored to what the query makes of them."""
        row = self._partitions.row(number) if self._partitions.width else ()
        told = dict(zip(self._partitions.columns, row, strict=True))
        changed = [pl.lit(value, self._schema[name]).alias(name) for name, value in told.items()]
        changed += [
            pl.col(name).cast(self._schema[name])
            for name, dtype in self._stored.items()
            if name not in told and dtype != self._schema[name]
        ]

        def adapt(rows: pl.LazyFrame) -> pl.LazyFrame:
            rows = rows.with_columns(changed).select(tuple(self._schema))
            return rows if self._query is None else self._query(rows)

        return adapt
