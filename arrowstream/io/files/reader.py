"""Reading files one after the other: pieces are read ahead and cut into batches that know their position."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from arrowstream.core.batch import Batch
from arrowstream.core.failures import FAILURES
from arrowstream.core.notes import ReaderNote
from arrowstream.core.position import Position
from arrowstream.errors import ArrowstreamError
from arrowstream.io.files.columnar.given_types import Adapt, cast_to
from arrowstream.io.files.evolution import Evolution
from arrowstream.io.files.formats import TEXT_FORMATS
from arrowstream.io.files.hive_columns import needed_files
from arrowstream.io.files.listing import DataFile
from arrowstream.io.files.pushed_query import Pushed, pushed
from arrowstream.io.files.read_ahead import Piece, ReadAhead
from arrowstream.io.files.schema import CHECKED_AT_BUILD, check_columns, check_names
from arrowstream.io.files.tables import open_table
from arrowstream.io.files.text.bad.left_out import LeftOut
from arrowstream.io.files.text.bad.put_aside import BadRowsTo
from arrowstream.io.files.text.file import TextFile
from arrowstream.io.files.text.ndjson_format import Ndjson
from arrowstream.io.files.text.options.text_options import UTF8, TextOptions
from arrowstream.io.files.together.alike import TOGETHER_BYTES, Alike, SmallFile, small_content
from arrowstream.io.files.together.columnar import AlikeIpc, AlikeParquet
from arrowstream.io.files.together.group import Group, Readings, Waiting
from arrowstream.io.files.together.text import AlikeCsv, AlikeJson, AlikeLines, AlikeNdjson, is_array
from arrowstream.io.source import BlockingReader, Query

if TYPE_CHECKING:
    from polars._typing import PolarsDataType

BATCH_ROWS = 131_072
"""Rows per batch by default; a piece of up to 1.5 times as many is not cut."""


class FileReader(BlockingReader):
    """Reader of files.

    Parameters
    ----------
    files
        One or more files.
    options
        How text files are written.
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
    evolution
        Differences between the columns of the files that are allowed.
    skipped
        Files without content that are left out; the first of `files` if none has any.
    bad_rows
        ``"error"`` if a bad row of text is an error; else it is put aside, and with ``"skip"`` noted as lost.
    batch_rows
        Largest number of rows of a batch; None for some `BATCH_ROWS`.
    """

    empty_is_progress = True
    __slots__ = (
        "_ahead",
        "_alike",
        "_bad_rows",
        "_batch_rows",
        "_batches",
        "_evolution",
        "_file",
        "_files",
        "_found",
        "_left_out",
        "_needed",
        "_options",
        "_partitions",
        "_pushed",
        "_query",
        "_row",
        "_schema",
        "_stored",
        "_strict_keys",
        "_total",
        "bytes_read",
    )

    def __init__(
        self,
        files: Sequence[DataFile],
        options: TextOptions,
        stored: pl.Schema,
        partitions: pl.DataFrame,
        schema: pl.Schema,
        query: Query | None,
        *,
        strict_keys: bool,
        evolution: Evolution,
        skipped: Sequence[DataFile] = (),
        bad_rows: BadRowsTo = "error",
        batch_rows: int | None = None,
    ) -> None:
        self._files = files
        self._batch_rows = batch_rows
        self._options = options
        self._strict_keys = strict_keys
        self._evolution = evolution
        self._bad_rows = bad_rows
        self._stored = stored
        self._partitions = partitions
        self._schema = schema
        self._query = query
        self._pushed: Pushed = pushed(query, schema)
        predicate = self._pushed.predicate
        self._needed = [] if files[0] in skipped else needed_files(predicate, partitions, len(files))
        self._found = stored
        """Columns of the last file that was read alone, and of those that are read together with it."""
        self._alike: Alike | None = None
        """Common traits that another file needs to be read together with the last one that was read alone."""
        self._ahead = ReadAhead(self._pieces())
        self._batches: deque[tuple[Batch, int]] = deque()
        """Batches to return, each with the number of rows of the file that were examined for it."""
        self._file = -1
        self._row = 0
        self._total = 0
        self._left_out = LeftOut(skipped, note_bad_rows=bad_rows == "skip")
        self.bytes_read = 0
        """Bytes of the files read for the batches so far: for text all bytes; for Parquet the column chunks that
        the footers list for the needed columns, or whole small files; for IPC the bytes that were copied."""

    def read(self) -> Batch | None:
        if not self._batches:
            drawn = self._ahead.next()
            if drawn is None:
                return None
            self._cut(*self._read(*drawn))
        batch, looked_at = self._batches.popleft()
        self._total += looked_at
        return batch

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
            self._left_out.values(piece.loss.count, partial(piece.loss.first, self._row))
        if piece.aside is not None and piece.aside.rows:
            self._left_out.bad_rows(piece.aside.rows, self._row)
        return piece, frame

    def _cut(self, piece: Piece, frame: pl.DataFrame) -> None:
        bad = 0 if piece.aside is None else len(piece.aside.rows)
        looked_at = frame.height + bad if piece.rows is None else piece.rows
        # True if row i of the frame is row i of the piece.
        kept = self._pushed.predicate is None and frame.height == looked_at
        most = self._batch_rows
        parts = max(1, round(frame.height / BATCH_ROWS) if most is None else -(-frame.height // most))
        size = max(1, -(-frame.height // parts))
        shared = 0
        for offset in range(0, max(frame.height, 1), size):
            part = frame.slice(offset, size)
            if piece.places is not None:
                places = piece.places()
                position = places.part(offset, part.height, looked_at) if kept else places.somewhere()
            else:
                start, stop = (offset, offset + part.height) if kept else (0, looked_at)
                position = Position(str(piece.path), self._row + start, self._row + stop)
            batch = Batch(part, position)
            share = min(offset + size, frame.height) * looked_at // max(frame.height, 1) - shared
            self._batches.append((batch, share))
            shared += share
        self._row += looked_at
        self._total += looked_at - shared  # rows of which the query left none
        self.bytes_read += piece.nbytes

    def close(self) -> None:
        self._ahead.close()
        self._batches.clear()

    @property
    def total_rows(self) -> int | None:
        files = [self._files[number] for number in self._needed]
        if len(files) > CHECKED_AT_BUILD:
            return None
        if self._files[0].kind.format in TEXT_FORMATS:
            return None
        rows = [open_table(file).rows for file in files]
        return sum(count for count in rows if count is not None) if None not in rows else None

    @property
    def rows_read(self) -> int | None:
        return None if self._files[0].kind.format in TEXT_FORMATS else self._total

    def _pieces(self) -> Generator[Piece, None, None]:
        waiting = Waiting()
        for number in self._needed:
            small = self._small(number)
            if waiting.files and (small is None or waiting.is_full):
                yield self._together(waiting)
                waiting = Waiting()
            if small is not None:
                waiting.add(*small)
            else:
                yield from self._alone(number)
                if len(self._needed) > 1:
                    self._alike = self._alike_of(self._files[number])
        if waiting.files:
            yield self._together(waiting)

    def _small(self, number: int) -> tuple[SmallFile, int] | None:
        """Return the file's content and size if it can be read together with others, else None."""
        if self._alike is None:
            return None
        file = self._files[number]
        if (found := small_content(file.path, file.kind.compression)) is None:
            return None
        small = self._alike.take(number, found[0])
        return None if small is None or small.nbytes > TOGETHER_BYTES else (small, found[1])

    def _alike_of(self, file: DataFile) -> Alike | None:
        """Return the traits that another file needs to be read together with this one."""
        found = small_content(file.path, file.kind.compression)
        if found is None or self._options.encoding != UTF8:
            return None
        content, columns = found[0], max(1, len(self._pushed.columns))
        match file.kind.format:
            case "csv":
                return AlikeCsv.of(self._options, content)
            case "parquet":
                return AlikeParquet.of(content, columns)
            case "ipc":
                return AlikeIpc.of(content, columns)
            case "lines":
                return AlikeLines()
            case "json" if is_array(content):
                return AlikeJson(self._known_keys)
            case "ndjson" | "json":
                return AlikeNdjson(self._known_keys)
            case _:
                return None

    def _together(self, waiting: Waiting) -> Piece:
        assert self._alike is not None
        found = self._found
        needed = self._columns_of(found)
        readings = Readings(
            found,
            needed or tuple(found)[:1],  # without any column, the number of rows would be lost
            lambda number: self._files[number].path,
            self._alone,
            self._finish,
        )
        return Group(readings, self._alike, waiting.files).piece(waiting.stored)

    def _alone(self, number: int) -> Iterator[Piece]:
        read = self._text if self._files[number].kind.format in TEXT_FORMATS else self._table
        for piece in read(number, self._files[number]):
            yield replace(piece, file=number)

    def _finish(self, frame: pl.DataFrame, files: Sequence[int], rows: Sequence[int]) -> pl.DataFrame:
        """Give the rows of several files, as stored, their partitions, final types and the query."""
        numbers = pl.Series(np.repeat(np.array(files, np.int64), np.array(rows, np.int64)))
        keys = self._partitions[numbers] if self._partitions.width else pl.DataFrame()
        values = [keys[name].cast(self._schema[name]) for name in keys.columns]
        return self._query_on(frame.with_columns(*values).lazy(), frame.schema, keys.columns).collect()

    def _table(self, number: int, file: DataFile) -> Iterator[Piece]:
        opened = open_table(file)
        found = opened.schema
        check_columns(file, found, self._files[0], self._stored, self._evolution)
        self._found = pl.Schema({name: dtype for name, dtype in found.items() if name in self._stored})
        columns = tuple(name for name in self._pushed.columns if name in found)
        return opened.pieces(columns, self._adapt(number, found))

    def _text(self, number: int, file: DataFile) -> Iterator[Piece]:
        widens = len(self._files) > 1 and not self._evolution.widen
        text = TextFile(file, self._options, aside=self._bad_rows != "error", widens=widens)
        try:
            # An object may leave out any of its keys, a record none of its fields.
            names = dict.fromkeys([*(self._stored if isinstance(text.format, Ndjson) else ()), *text.names()])
            check_names(file, list(names), self._files[0], self._stored, self._evolution)
            found = self._found = pl.Schema({n: dtype for n, dtype in self._stored.items() if n in names})
            columns = self._columns_of(found)
            adapt = self._adapt(number, pl.Schema({n: found[n] for n in columns}))
            yield from text.pieces(file, self._stored, adapt, columns=columns, known=self._known_keys)
        finally:
            text.close()

    def _columns_of(self, found: pl.Schema) -> tuple[str, ...]:
        """Return the columns of a file that are read: a row is bad whatever the query needs."""
        return tuple(n for n in found if self._bad_rows != "error" or n in self._pushed.columns)

    @property
    def _known_keys(self) -> pl.Schema | None:
        """Keys that objects may have, if any other is an error; else None."""
        # A key that is a partition too is a column, whether rows have it or not.
        return pl.Schema({**self._stored, **self._partitions.schema}) if self._strict_keys else None

    def _adapt(self, number: int, found: pl.Schema) -> Adapt:
        """Return the query on the rows of a file that has the columns `found`."""
        keys = self._partitions.row(number, named=True) if self._partitions.width else {}
        changed = [pl.lit(value, self._schema[name]).alias(name) for name, value in keys.items()]
        path, query = self._files[number].path, partial(self._query_on, found=found, typed=keys)
        return Adapt(path, lambda rows: query(rows.with_columns(changed)), found, self._schema)

    def _query_on(
        self, rows: pl.LazyFrame, found: Mapping[str, PolarsDataType], typed: Collection[str]
    ) -> pl.LazyFrame:
        """Apply the query to rows of the columns `found`, after those in `typed`, which have their final types."""
        changed = []
        for name, dtype in self._schema.items():
            if name in typed:
                continue
            if name not in found:
                changed.append(pl.lit(None, dtype).alias(name))
            elif found[name] != dtype:
                changed.append(cast_to(name, found[name], dtype))
        rows = rows.with_columns(changed).select(tuple(self._schema))
        return rows if self._query is None else self._query(rows)
