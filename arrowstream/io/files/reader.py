"""Reading files one after the other: pieces are read ahead and cut into batches that know their position."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Generator, Iterator, Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from arrowstream.core.batch import Batch
from arrowstream.core.failures import FAILURES
from arrowstream.core.notes import ReaderNote
from arrowstream.core.position import Position, joined
from arrowstream.errors import ArrowstreamError, SourceError
from arrowstream.io.files.columnar.open_file import OpenFile
from arrowstream.io.files.columnar.parquet_footer import row_groups
from arrowstream.io.files.columnar.parquet_pieces import parquet_pieces
from arrowstream.io.files.columnar.scan import Adapt, Table, ipc_pieces, ipc_rows, schema_of
from arrowstream.io.files.hive_columns import may_match
from arrowstream.io.files.listing import DataFile
from arrowstream.io.files.pushed_query import Pushed, pushed
from arrowstream.io.files.read_ahead import Loss, Piece, ReadAhead
from arrowstream.io.files.schema import CHECKED_AT_BUILD, check_columns, check_names
from arrowstream.io.files.small_files import (
    SMALL_BYTES,
    TOGETHER_BYTES,
    TOGETHER_FILES,
    Alike,
    AlikeCsv,
    AlikeParquet,
    SmallFile,
    small_content,
)
from arrowstream.io.files.text.csv_format import Csv
from arrowstream.io.files.text.file import TextFile
from arrowstream.io.source import BlockingReader, Query

BATCH_ROWS = 131_072
"""Rows per batch; a piece of up to 1.5 times as many is not cut."""

LEFT_OUT = "values left out, of keys that are not columns or come twice in an object"


class FileReader(BlockingReader):
    """Reader of files.

    Parameters
    ----------
    files
        One or more files.
    delimiter
        Delimiter of the fields of CSV files.
    stored
        Columns inside the files.
    partitions
        Partition columns, one row per file.
    schema
        Columns before `query`: stored ones, then partitions, with the types from the user.
    query
        Part of the pipeline computed while reading, or None.
    strict_keys
        Whether a key that is not a column is an error.
    """

    __slots__ = (
        "_ahead",
        "_alike",
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
        self._alike: Alike | None = None
        """Common traits that another file needs to be read together with the last one that was read alone."""
        self._ahead = ReadAhead(self._pieces())
        self._batches: deque[tuple[Batch, int]] = deque()
        """Batches to return, each with the number of rows of the file that were examined for it."""
        self._file = -1
        self._row = 0
        self._total = 0
        self.notes: tuple[ReaderNote, ...] = ()
        self.bytes_read = 0
        """Bytes of the files read for the batches so far: for text all bytes; for Parquet the column chunks that
        the footers list for the needed columns, or whole small files; for IPC the bytes that were copied."""

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
            except ArrowstreamError:
                raise  # it already names the cause and the place
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
        # True if row i of the frame is row i of the piece.
        kept = self._pushed.predicate is None and frame.height == looked_at
        parts = max(1, round(frame.height / BATCH_ROWS))
        size = max(1, -(-frame.height // parts))
        shared = 0
        for offset in range(0, frame.height, size):
            part = frame.slice(offset, size)
            if piece.places is not None:
                places = piece.places()
                position = places.part(offset, part.height, looked_at) if kept else places.somewhere()
            else:
                start, stop = (offset, offset + part.height) if kept else (0, looked_at)
                position = Position(str(piece.path), self._row + start, self._row + stop)
            batch = Batch(part, position)
            share = min(offset + size, frame.height) * looked_at // frame.height - shared
            self._batches.append((batch, share))
            shared += share
        self._row += looked_at
        self._total += looked_at - shared  # rows without a batch
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
                return sum(group.rows for file in files for group in row_groups(OpenFile(file.path), ()))
            case "ipc":
                return sum(ipc_rows(file.path) for file in files)
            case _:
                return None

    @property
    def rows_read(self) -> int | None:
        return self._total if self._files[0].kind.format in ("parquet", "ipc") else None

    def _pieces(self) -> Generator[Piece, None, None]:
        waiting: list[SmallFile] = []
        nbytes = 0
        for number in self._needed:
            small = self._small(number)
            if waiting and (small is None or nbytes >= TOGETHER_BYTES or len(waiting) >= TOGETHER_FILES):
                yield self._together(waiting)
                waiting, nbytes = [], 0
            if small is None:
                yield from self._alone(number)
            else:
                waiting.append(small)
                nbytes += len(small.content)
        if waiting:
            yield self._together(waiting)

    def _small(self, number: int) -> SmallFile | None:
        """Return the file's content if it can be read together with others, else None."""
        file = self._files[number]
        if self._alike is None or file.kind.compression is not None:
            return None
        content = small_content(file.path)
        return None if content is None else self._alike.take(number, content)

    def _alone(self, number: int) -> Iterator[Piece]:
        read = self._table if self._files[number].kind.format in ("parquet", "ipc") else self._text
        for piece in read(self._files[number], self._adapt(number)):
            yield replace(piece, file=number)

    def _together(self, files: Sequence[SmallFile]) -> Piece:
        """Return similar small files as one piece; if that fails they are read one by one, to locate the error."""
        alike = self._alike
        assert alike is not None
        rows = [file.rows for file in files]

        def read() -> pl.DataFrame:
            try:
                return self._scanned(alike, files)
            except FAILURES:
                found = [self._read_alone(file.number) for file in files]
            rows[:] = [looked_at for _, looked_at in found]
            return pl.concat(frame for frame, _ in found)

        def places() -> Position:
            paths = (str(self._files[file.number].path) for file in files)
            return joined(
                (count, Position(path, 0, count)) for path, count in zip(paths, rows, strict=True) if count
            )

        last = self._files[files[-1].number].path
        total = sum(rows) if self._files[0].kind.format == "parquet" else None
        nbytes = sum(len(file.content) for file in files)
        return Piece(
            last,
            total,
            nbytes,
            read,
            lambda error, first: SourceError(
                f"{len(files)} files up to {last} cannot be joined", found=str(error)
            ),
            file=files[-1].number,
            places=places,
        )

    def _scanned(self, alike: Alike, files: Sequence[SmallFile]) -> pl.DataFrame:
        needed = [name for name in self._stored if name in self._pushed.columns]
        frame = alike.scan(files, self._stored).select(needed).collect()
        counts = [file.rows for file in files]
        if frame.height != sum(counts):
            raise ValueError("the files hold more rows, or fewer, than they say")
        numbers = pl.Series(np.repeat([file.number for file in files], counts))
        keys = self._partitions[numbers] if self._partitions.width else pl.DataFrame()
        unread = [
            pl.lit(None, dtype).alias(name)
            for name, dtype in self._stored.items()
            if name not in frame.columns
        ]
        values = [keys[name].cast(self._schema[name]) for name in keys.columns]
        return self._query_on(frame.with_columns(*unread, *values).lazy(), keys.columns).collect()

    def _read_alone(self, number: int) -> tuple[pl.DataFrame, int]:
        """Return all rows of one file, and the number of its rows that were examined."""
        frames, looked_at = [], 0
        for piece in self._alone(number):
            try:
                frame = piece.read()
            except FAILURES as error:
                raise piece.explain(error, looked_at) from error
            frames.append(frame)
            looked_at += frame.height if piece.rows is None else piece.rows
        empty = self._query_on(pl.LazyFrame(schema=self._schema), tuple(self._schema)).collect()
        return pl.concat([empty, *frames]), looked_at

    def _table(self, file: DataFile, adapt: Adapt) -> Iterator[Piece]:
        opened = OpenFile(file.path)
        found = schema_of(opened, file.kind.format)
        check_columns(file, found, self._files[0], self._stored)
        columns = tuple(name for name in self._pushed.columns if name in found)
        table = Table(opened, found, columns, adapt)
        if file.kind.format == "parquet" and opened.size <= SMALL_BYTES:
            self._alike = AlikeParquet.of(opened.read(0, opened.size))
        return ipc_pieces(table) if file.kind.format == "ipc" else parquet_pieces(table)

    def _text(self, file: DataFile, adapt: Adapt) -> Iterator[Piece]:
        text = TextFile(file, self._delimiter)
        try:
            # An object may leave out any of its keys, a record none of its fields.
            optional = () if isinstance(text.format, Csv) else self._stored
            names = dict.fromkeys([*optional, *text.names()])
            check_names(file, list(names), self._files[0], self._stored)
            if isinstance(text.format, Csv) and file.kind.compression is None and len(self._needed) > 1:
                self._alike = AlikeCsv.of(text.format, small_content(file.path) or b"")
            # A key that is a partition too is a column, whether rows have it or not.
            known = pl.Schema({**self._stored, **self._partitions.schema}) if self._strict_keys else None
            yield from text.pieces(file, self._stored, adapt, known=known)
        finally:
            text.close()

    def _adapt(self, number: int) -> Adapt:
        """Return a function from the rows of a file as stored to the rows after the query."""
        row = self._partitions.row(number) if self._partitions.width else ()
        keys = dict(zip(self._partitions.columns, row, strict=True))
        changed = [pl.lit(value, self._schema[name]).alias(name) for name, value in keys.items()]
        return lambda rows: self._query_on(rows.with_columns(changed), keys)

    def _query_on(self, rows: pl.LazyFrame, typed: Collection[str]) -> pl.LazyFrame:
        """Apply the query to rows that have all columns, those in `typed` with their final types."""
        changed = [
            pl.col(name).cast(self._schema[name])
            for name, dtype in self._stored.items()
            if name not in typed and dtype != self._schema[name]
        ]
        rows = rows.with_columns(changed).select(tuple(self._schema))
        return rows if self._query is None else self._query(rows)
