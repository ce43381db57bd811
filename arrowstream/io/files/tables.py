"""Files that know the types of their columns: one way to open each format."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import polars as pl

from arrowstream.errors import SourceError
from arrowstream.io.files.avro.rows import AvroFile
from arrowstream.io.files.columnar.given_types import Adapt
from arrowstream.io.files.columnar.ipc_file import IpcFile
from arrowstream.io.files.columnar.open_file import OpenFile
from arrowstream.io.files.columnar.parquet_footer import rows_of
from arrowstream.io.files.columnar.parquet_pieces import parquet_pieces
from arrowstream.io.files.columnar.scan import Table, ipc_pieces, schema_of
from arrowstream.io.files.excel import Sheet
from arrowstream.io.files.listing import ListedFile
from arrowstream.io.files.read_ahead import Piece
from arrowstream.io.files.remote.file import RemoteFile
from arrowstream.io.files.remote.urls import RemotePath


class TableFile(Protocol):
    """Open file with typed columns."""

    @property
    def schema(self) -> pl.Schema:
        """Names and types of the columns."""
        ...

    @property
    def rows(self) -> int | None:
        """Number of rows; None if only reading them shows it."""
        ...

    def pieces(self, columns: tuple[str, ...], adapt: Adapt) -> Iterator[Piece]:
        """Yield the rows in pieces: `columns` are needed, and `adapt` is the query on rows of all columns."""
        ...


def open_table(file: ListedFile) -> TableFile:
    """Open a file of a format with typed columns.

    Raises
    ------
    SourceError, SchemaError, MissingExtra
        The file cannot be read.
    """
    opened = open_file(file.path)
    if not opened.is_regular:
        raise SourceError(
            f"{file.path} cannot be read as {file.kind.format}",
            expected="a regular file, because it is not read from its beginning to its end",
            found="a pipe or a device",
            hint="write it into a file first, which may be standard input: '< data'; text is read from pipes, too",
        )
    if file.kind.format == "avro":
        return AvroFile(opened)
    if file.kind.format == "excel":
        return Sheet(opened, file.kind.sheet)
    return _Columnar(opened, file)


def open_file(path: Path | RemotePath) -> OpenFile:
    """Open a columnar file, on this machine or in a store. Raises SourceError if it cannot be opened."""
    return RemoteFile(path) if isinstance(path, RemotePath) else OpenFile(path)


class _Columnar:
    """Parquet or IPC file."""

    def __init__(self, opened: OpenFile, file: ListedFile) -> None:
        self._opened = opened
        self._format = file.kind.format
        self.schema = schema_of(opened, self._format)

    @property
    def rows(self) -> int:
        return rows_of(self._opened) if self._format == "parquet" else IpcFile(self._opened).rows

    def pieces(self, columns: tuple[str, ...], adapt: Adapt) -> Iterator[Piece]:
        table = Table(self._opened, self.schema, columns, adapt)
        return ipc_pieces(table) if self._format == "ipc" else parquet_pieces(table)
