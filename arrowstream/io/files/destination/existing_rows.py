"""What a target already holds: data files in a folder, rows in a file, and whether other rows fit to them."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path, PurePath
from typing import Final, NamedTuple

import polars as pl

from arrowstream.core.hints import did_you_mean
from arrowstream.core.plural import counted
from arrowstream.errors import ArrowstreamError, SchemaError, SinkError, SourceError
from arrowstream.io.files.destination.old_csv import beginning, check_layout, check_numbers, newline_of
from arrowstream.io.files.destination.old_text import text_blocks, text_lines, unreadable
from arrowstream.io.files.destination.text_ends import END_BYTES, check_utf8
from arrowstream.io.files.formats import FileKind, Format, kind_of
from arrowstream.io.files.listing import ListedFile
from arrowstream.io.files.output.encoders import encoder_for
from arrowstream.io.files.output.streaming_sink import encoded
from arrowstream.io.files.remote.urls import RemotePath
from arrowstream.io.files.search.walk import files_in
from arrowstream.io.files.sink_errors import sink_errors
from arrowstream.io.files.staging.unfinished import is_partition
from arrowstream.io.files.tables import open_file, open_table
from arrowstream.io.files.text.options.csv_layout import CsvLayout

APPEND_REFUSED: Final = "rows cannot be appended"
REPLACE_REFUSED: Final = "partitions cannot be replaced"

_TYPED: Final[frozenset[Format]] = frozenset({"parquet", "ipc", "avro"})
"""Formats whose files have the types of their columns."""


def data_files(folder: Path) -> Iterator[tuple[Path, Format]]:
    """Yield the data files in a folder and its partitions, with their formats; all other files are left alone."""
    for path in files_in(folder, enter=is_partition):
        if (kind := kind_of(path)) is not None:
            yield path, kind.format


def holds_rows(path: Path | RemotePath, kind: FileKind, empty: bytes) -> bool:
    """Return False if a file has no rows, True if it has some or cannot be read.

    Parameters
    ----------
    path
        The file, or the object of a store.
    kind
        Its format and compression.
    empty
        Bytes of a file without rows.
    """
    try:
        opened = open_file(path)
        if opened.size in (0, len(empty)) and opened.read(0, opened.size) in (b"", empty):
            return False
        return kind.format not in _TYPED or open_table(ListedFile(path, kind)).rows != 0
    except (OSError, ArrowstreamError):
        return True


def placeholders(folder: Path, found: Iterable[Path], schema: pl.Schema, layout: CsvLayout) -> list[Path]:
    """Return the files without rows in the folder itself, not in a partition: a run without rows wrote them.

    CSV is written in `layout`.
    """
    return [
        path
        for path in found
        if path.parent == folder
        and (named := kind_of(path)) is not None
        and (kind := named.laid_out(layout))
        and not holds_rows(path, kind, file_without_rows(kind, schema, kind.compression))
    ]


def file_without_rows(kind: FileKind, schema: pl.Schema, compression: str | None) -> bytes:
    """Return the bytes of a file of these columns that a run without rows writes."""
    encoder = encoder_for(kind.format, schema, compression, kind.delimiter, kind.layout)
    return encoded(pl.DataFrame(schema=schema), encoder)


def check_formats(folder: object, found: Iterable[tuple[PurePath, Format]], format: Format) -> None:
    """Raise SinkError unless all files have this format; their paths are those in the folder."""
    others = [(file, held) for file, held in found if held != format]
    if others:
        raise SinkError(
            f"{folder} holds data files of another format",
            expected=f"{format} files",
            found=f"{counted(len(others), 'others')}, such as {others[0][0]} ({others[0][1]})",
            hint="a folder of two formats cannot be read again: choose another one, or delete those files",
        )


def check_partitions(folder: object, found: Iterable[PurePath], columns: Sequence[str]) -> None:
    """Raise SinkError unless all files are in folders that are named after these columns, in this order.

    Parameters
    ----------
    folder
        The folder as errors name it.
    found
        Paths of the files in the folder.
    columns
        Names of the columns.
    """
    for path in found:
        here = tuple(part.partition("=")[0] for part in path.parts[:-1])
        if here != tuple(columns):
            raise SinkError(
                f"{folder} is partitioned by other columns",
                expected=f"partition_by={list(here)!r}, as in {path}",
                found=f"partition_by={list(columns)!r}",
                hint="partition by the columns that the folder has, or choose another folder",
            )


def check_part(
    path: Path | RemotePath, schema: pl.Schema, kind: FileKind, refusal: str = APPEND_REFUSED
) -> None:
    """Raise SchemaError unless a file has the columns of `schema`, and except in text also its types.

    The types of text files are not in the files.

    Parameters
    ----------
    path, kind
        The file, its format and compression.
    schema
        Columns of the rows to write.
    refusal
        What cannot be done, for errors.
    """
    if kind.format == "avro":
        _check(path, _stored(path, kind), schema, refusal)
    elif kind.format in _TYPED:
        read = pl.read_parquet_schema if kind.format == "parquet" else pl.read_ipc_schema
        own = read(io.BytesIO(file_without_rows(kind, schema, None)))
        _check(path, _stored(path, kind), own, refusal)
    elif kind.format == "csv":
        fields, records = beginning(path, tuple(schema), kind)
        check_layout(path, fields, schema, kind, refusal)
        if kind.layout.has_header:
            _check(path, dict.fromkeys(fields), dict.fromkeys(schema), refusal)
        check_numbers(path, records, schema, kind, refusal)
    else:
        names = _json_names(path, kind)
        if names and set(names) != set(schema):
            _check(path, dict.fromkeys(names), dict.fromkeys(schema), refusal)


def _stored(path: Path | RemotePath, kind: FileKind) -> pl.Schema:
    """Return the names and types of a file's columns."""
    try:
        return open_table(ListedFile(path, kind)).schema
    except SourceError as error:
        raise unreadable(path, error.found or error.what) from error


class End(NamedTuple):
    """What a text file ends with."""

    missing: bytes
    """What is missing at the end before further rows: a line break, or nothing."""
    newline: bytes
    """What ends the lines."""


def end_of(path: Path, schema: pl.Schema, kind: FileKind) -> End:
    """Return what a text file ends with, to which rows are appended.

    Raises
    ------
    SchemaError
        The file has other columns, or other numbers.
    SinkError
        The file cannot be read, is not UTF-8, or ends inside a quoted field.
    """
    check_part(path, schema, kind)
    last = b"\n"
    with sink_errors("cannot append to", path):
        if kind.compression is None:
            with path.open("rb") as plain:
                plain.seek(-min(END_BYTES, path.stat().st_size), io.SEEK_END)
                last = plain.read()
        else:
            for block in text_blocks(path, kind):
                last = (last + block)[-END_BYTES:]
    check_utf8(path, last, is_end=True)
    newline = newline_of(path, last, len(schema), kind) if kind.format == "csv" else b"\n"
    if last.endswith(b"\n"):
        return End(b"", newline)
    if kind.compression is None:
        return End(newline, newline)
    raise SinkError(
        f"{path} does not end with a line break",
        expected="a compressed file whose last line is complete",
        found=repr(last[-1:]),
        hint="complete the file, or write to another one",
    )


def _check(
    path: Path | RemotePath, found: Mapping[str, object], expected: Mapping[str, object], refusal: str
) -> None:
    """Raise SchemaError unless both have the same columns, in the same order, of the same types."""
    if list(found.items()) == list(expected.items()):
        return
    missing = [name for name in expected if name not in found]
    extra = [name for name in found if name not in expected]
    typed = [name for name in expected if name in found and found[name] != expected[name]]
    if missing:
        what, name = f"has no column {missing[0]!r}", missing[0]
        hint = did_you_mean(name, extra) or "leave the column out"
    elif extra:
        what, hint = f"has a column {extra[0]!r} more", "add the column"
    elif typed:
        what, hint = f"has another type in column {typed[0]!r}", "cast it"
    else:
        what, hint = "has the columns in another order", "select them in that order"
    differing = [*missing, *extra, *typed]
    raise SchemaError(
        f"{refusal}: {path} {what}",
        expected=f"{_columns(found, differing)}, as in {path}",
        found=_columns(expected, differing),
        hint=f"{hint} before the sink, or write to another place",
    )


def _columns(columns: Mapping[str, object], differing: Sequence[str]) -> str:
    """Return the columns that differ, or all of them if none does, with their types if they are known."""
    shown = [name for name in columns if name in differing] or list(columns)
    return ", ".join(name if columns[name] is None else f"{name}: {columns[name]}" for name in shown)


def _json_names(path: Path | RemotePath, kind: FileKind) -> Sequence[str]:
    """Return the keys of the first object; none if there is no object on a line of its own."""
    with closing(text_blocks(path, kind)) as blocks:
        line = next(filter(None, (line.strip(b"[], \r\n") for line in text_lines(blocks))), b"")
    try:
        first, _ = json.JSONDecoder().raw_decode(line.decode() or "{}")  # others may follow on the same line
        if not isinstance(first, dict):
            raise ValueError(f"the first value is not an object: {first!r:.50}")
        return list(first)
    except ValueError as error:
        if kind.format == "json":  # an array that has a line for each value
            return []
        raise unreadable(path, str(error)) from error
