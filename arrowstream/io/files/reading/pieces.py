"""The rows of files in pieces, one file after the other, or many small files together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from arrowstream.errors import ArrowstreamError
from arrowstream.io.choice import ColumnChoice
from arrowstream.io.files.columnar.given_types import Adapt, cast_to
from arrowstream.io.files.formats import TEXT_FORMATS
from arrowstream.io.files.listing import ListedFile
from arrowstream.io.files.pushed_query import Pushed
from arrowstream.io.files.read_ahead import Piece
from arrowstream.io.files.reading.file_table import FileTable
from arrowstream.io.files.reading.progress import ResumePoint
from arrowstream.io.files.reading.stamps import Stamp, check_unchanged, local_stamp, stamp_of, status_of
from arrowstream.io.files.remote.urls import RemotePath
from arrowstream.io.files.schema import check_columns, check_names
from arrowstream.io.files.tables import TableFile, open_table
from arrowstream.io.files.text.file import TextFile
from arrowstream.io.files.text.ndjson_format import Ndjson
from arrowstream.io.files.text.options.text_options import UTF8
from arrowstream.io.files.together.alike import TOGETHER_BYTES, Alike, SmallFile, small_content
from arrowstream.io.files.together.columnar import AlikeIpc, AlikeParquet
from arrowstream.io.files.together.group import FileGroup, Readings, Waiting
from arrowstream.io.files.together.text import AlikeCsv, AlikeJson, AlikeLines, AlikeNdjson, is_array

if TYPE_CHECKING:
    from polars._typing import PolarsDataType


class FilePieces:
    """The pieces of files, in order. Its methods are called on one thread, which draws them.

    Parameters
    ----------
    table
        What the files have in common.
    pushed
        Columns and filter that the query pushes into the read.
    files
        One or more files.
    needed
        Numbers of the files to read.
    partitions
        Partition columns, one row per file.
    start
        Where an earlier run ended: the first of the files begin there.
    """

    __slots__ = (
        "_alike",
        "_files",
        "_found",
        "_needed",
        "_partitions",
        "_pushed",
        "_start",
        "_table",
        "stamps",
    )

    def __init__(
        self,
        table: FileTable,
        pushed: Pushed,
        files: Sequence[ListedFile],
        needed: Sequence[int],
        partitions: pl.DataFrame,
        start: ResumePoint,
    ) -> None:
        self._table = table
        self._pushed = pushed
        self._files = files
        self._needed = needed
        self._partitions = partitions
        self._start = start
        self._found = table.stored
        """Columns of the last file that was read alone, and of those that are read together with it."""
        self._alike: Alike | None = None
        """Common traits that another file needs to be read together with the last one that was read alone."""
        self.stamps: dict[int, Stamp | None] = {}
        """State of each file, by its number, when it was opened; None for what has no state, such as a pipe."""

    def pieces(self) -> Generator[Piece, None, None]:
        """Yield the pieces; each file is opened when the first of its rows is."""
        waiting = Waiting()
        for number in self._needed:
            small = self._small(number)
            if waiting.files and (small is None or waiting.is_full):
                yield self._together(waiting)
                waiting = Waiting()
            if small is not None:
                waiting.add(*small)
            else:
                self.stamps[number] = self._stamp(number, self._files[number])
                yield from self._alone(number)
                if len(self._needed) > 1:
                    self._alike = self._alike_of(self._files[number])
        if waiting.files:
            yield self._together(waiting)

    def _small(self, number: int) -> tuple[SmallFile, int] | None:
        """Return the file's content and size if it can be read together with others, else None."""
        if self._alike is None or number < len(self._start.files):
            return None
        file = self._files[number]
        status = None if isinstance(file.path, RemotePath) else status_of(file.path)
        found = None if status is None else small_content(file.path, file.kind.compression, status)
        if status is None or found is None:
            return None
        self.stamps[number] = local_stamp(str(file.path), status)
        small = self._alike.take(number, found[0])
        return None if small is None or small.nbytes > TOGETHER_BYTES else (small, found[1])

    def _alike_of(self, file: ListedFile) -> Alike | None:
        """Return the traits that another file needs to be read together with this one."""
        found = small_content(file.path, file.kind.compression)
        if found is None or self._table.options.encoding != UTF8:
            return None
        content, columns = found[0], max(1, len(self._pushed.columns))
        match file.kind.format:
            case "csv":
                return AlikeCsv.of(self._table.options, content)
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
        return FileGroup(readings, self._alike, waiting.files).piece(waiting.stored)

    def _alone(self, number: int) -> Iterator[Piece]:
        file = self._files[number]
        read = self._of_text if file.kind.format in TEXT_FORMATS else self._of_columns
        for piece in read(number, file):
            yield replace(piece, file=number)

    def _stamp(self, number: int, file: ListedFile) -> Stamp | None:
        """Return the stamp of a file that is about to be opened; an earlier run must have found the same."""
        stamp = stamp_of(file.path)
        if number >= len(self._start.files):
            return stamp
        before = self._start.files[number]
        check_unchanged(
            before,
            stamp,
            self._start.fingerprints[number],
            "handed out the first of its rows",
            "restore the file, or start from the beginning: from_checkpoint='ignore'",
        )
        return before

    def _finish(self, frame: pl.DataFrame, files: Sequence[int], rows: Sequence[int]) -> pl.DataFrame:
        """Give the rows of several files, as stored, their partitions, final types and the query."""
        numbers = pl.Series(np.repeat(np.array(files, np.int64), np.array(rows, np.int64)))
        keys = self._partitions[numbers] if self._partitions.width else pl.DataFrame()
        values = [keys[name].cast(self._table.schema[name]) for name in keys.columns]
        return self._query_on(frame.with_columns(*values).lazy(), frame.schema, keys.columns).collect()

    def _of_columns(self, number: int, file: ListedFile) -> Iterator[Piece]:
        opened = open_table(file)
        found = opened.schema
        check_columns(file, found, self._table.first, self._table.stored, self._table.evolution)
        self._found = pl.Schema({name: dtype for name, dtype in found.items() if name in self._table.stored})
        columns = tuple(name for name in self._pushed.columns if name in found)
        adapt = self._adapt(number, found)
        pieces = opened.pieces(columns, adapt)
        return pieces if number or not self._start.row else self._after_start(pieces, opened, columns, adapt)

    def _after_start(
        self, pieces: Iterator[Piece], opened: TableFile, columns: tuple[str, ...], adapt: Adapt
    ) -> Iterator[Piece]:
        """Yield the pieces after the row at which reading begins, without reading those before it."""
        first = 0
        for count, piece in enumerate(pieces):
            assert piece.rows is not None
            begin, first = self._start.row - first, first + piece.rows
            if begin >= piece.rows:
                continue
            if begin > 0:  # another version of arrowstream has cut the file into other pieces
                rest = replace(adapt, query=partial(_from_row, begin, adapt.query))
                part = next(islice(opened.pieces(columns, rest), count, None))
                explain = partial(_explain, piece.explain, begin)
                piece = replace(piece, rows=piece.rows - begin, read=part.read, explain=explain)
            yield piece

    def _of_text(self, number: int, file: ListedFile) -> Iterator[Piece]:
        widens = len(self._files) > 1 and not self._table.evolution.widen
        text = TextFile(file, self._table.options, aside=self._table.bad_rows != "error", widens=widens)
        try:
            # An object may leave out any of its keys, a record none of its fields.
            names = dict.fromkeys(
                [*(self._table.stored if isinstance(text.format, Ndjson) else ()), *text.names()]
            )
            check_names(file, list(names), self._table.first, self._table.stored, self._table.evolution)
            found = self._found = pl.Schema(
                {n: dtype for n, dtype in self._table.stored.items() if n in names}
            )
            columns = self._columns_of(found)
            adapt = self._adapt(number, pl.Schema({n: found[n] for n in columns}))
            yield from text.pieces(file, self._table.stored, adapt, columns=columns, known=self._known_keys)
        finally:
            text.close()

    def _columns_of(self, found: pl.Schema) -> tuple[str, ...]:
        """Return the columns of a file that are read: a row is bad whatever the query needs."""
        return tuple(n for n in found if self._table.bad_rows != "error" or n in self._pushed.columns)

    @property
    def _known_keys(self) -> pl.Schema | None:
        """Keys that objects may have, if any other is an error; else None."""
        # A key that is a partition too is a column, whether rows have it or not.
        return (
            pl.Schema({**self._table.stored, **self._partitions.schema}) if self._table.strict_keys else None
        )

    def _adapt(self, number: int, found: pl.Schema) -> Adapt:
        """Return the query on the rows of a file that has the columns `found`."""
        keys = self._partitions.row(number, named=True) if self._partitions.width else {}
        changed = [pl.lit(value, self._table.schema[name]).alias(name) for name, value in keys.items()]
        path, query = self._files[number].path, partial(self._query_on, found=found, typed=keys)
        choice = None if keys else self._choice(found)
        return Adapt(path, lambda rows: query(rows.with_columns(changed)), found, self._table.schema, choice)

    def _choice(self, found: pl.Schema) -> tuple[str, ...] | None:
        """Return the columns after the query if they are all among `found`, with their final types; else None."""
        schema, query = self._table.schema, self._table.query
        names = query.names if isinstance(query, ColumnChoice) else tuple(schema)
        plain = query is None or isinstance(query, ColumnChoice)
        return names if plain and all(found.get(name) == schema[name] for name in names) else None

    def _query_on(
        self, rows: pl.LazyFrame, found: Mapping[str, PolarsDataType], typed: Collection[str]
    ) -> pl.LazyFrame:
        """Apply the query to rows of the columns `found`, after those in `typed`, which have their final types."""
        changed = []
        for name, dtype in self._table.schema.items():
            if name in typed:
                continue
            if name not in found:
                changed.append(pl.lit(None, dtype).alias(name))
            elif found[name] != dtype:
                changed.append(cast_to(name, found[name], dtype))
        rows = rows.with_columns(changed).select(tuple(self._table.schema))
        return rows if self._table.query is None else self._table.query(rows)


def _from_row(row: int, query: Callable[[pl.LazyFrame], pl.LazyFrame], rows: pl.LazyFrame) -> pl.LazyFrame:
    return query(rows.slice(row))


def _explain(
    explain: Callable[[BaseException, int], ArrowstreamError], rows: int, error: BaseException, first_row: int
) -> ArrowstreamError:
    """Return the error of a piece of which the first rows are left out."""
    return explain(error, first_row - rows)
