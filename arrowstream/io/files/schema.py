"""The one schema of all files of a source, and what is wrong where a file does not have it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from stat import S_ISREG

import polars as pl

from arrowstream.errors import SchemaError, SourceError
from arrowstream.io.files.columnar.scan import ipc_schema, parquet_schema
from arrowstream.io.files.listing import DataFile
from arrowstream.io.files.text.byte_stream import unreadable
from arrowstream.io.files.text.file import text_schema

CHECKED_AT_BUILD = 1000
"""Most files whose footers are all compared at `build()`; of more files, each is compared when it is read."""


def table_schema(file: DataFile) -> pl.Schema:
    """The schema of a Parquet or IPC file, read again only if the file changed."""
    try:
        status = file.path.stat()
    except OSError as error:
        raise unreadable(file.path, error) from error
    if not S_ISREG(status.st_mode):
        raise SourceError(
            f"{file.path} cannot be read as {file.kind.format}",
            position=str(file.path),
            expected="a regular file, because the columns are described at its end",
            found="a pipe or a device",
            hint="write it into a file first; CSV and NDJSON are read from pipes",
        )
    return _table_schema(file.path, file.kind.format, status.st_mtime_ns, status.st_size, status.st_ino)


@lru_cache(maxsize=2 * CHECKED_AT_BUILD)
def _table_schema(path: Path, format: str, *stamp: int) -> pl.Schema:
    return parquet_schema(path) if format == "parquet" else ipc_schema(path)


def stored_schema(files: Sequence[DataFile], delimiter: str, given: pl.Schema) -> pl.Schema:
    """The columns inside the files: names and types of the first, types as `given`.

    Raises
    ------
    SourceError
        A file cannot be read.
    SchemaError
        Files differ (for Parquet and IPC), or a column is given that does not exist.
    """
    first = files[0]
    partitions = [key for key, _ in first.partitions]
    inside = pl.Schema({name: dtype for name, dtype in given.items() if name not in partitions})
    if first.kind.format in ("parquet", "ipc"):
        schema = table_schema(first)
        if len(files) <= CHECKED_AT_BUILD:
            for file in files[1:]:
                check_columns(file, table_schema(file), first, schema)
    else:
        schema = text_schema(first, delimiter, inside)
    unknown = [name for name in inside if name not in schema]
    if unknown:
        raise SchemaError(
            f"schema= names a column that {first.path} does not have: {unknown[0]!r}",
            expected=f"some of {', '.join(schema)}",
            found=", ".join(unknown),
            hint="name the columns as the file does, and rename them by a step of the pipeline",
        )
    return schema


def check_columns(file: DataFile, found: pl.Schema, first: DataFile, expected: pl.Schema) -> None:
    """Raise SchemaError if a file does not have the columns and types of the first one, in any order."""
    missing = [name for name in expected if name not in found]
    extra = [name for name in found if name not in expected]
    other = [name for name in expected if name in found and found[name] != expected[name]]
    if not (missing or extra or other):
        return
    name = (missing or extra or other)[0]
    if missing:
        what, hint = f"has no column {name!r}", "give it one of nulls, or read it by a source of its own"
    elif extra:
        what, hint = f"has a column {name!r} more", "drop it there, or read the file by a source of its own"
    else:
        what = f"has another type in column {name!r}"
        hint = "write the files with one type, or read this one by a source of its own and cast"
    raise SchemaError(
        f"{file.path} {what} than the files before it" if not missing else f"{file.path} {what}",
        expected=f"{_columns(expected, [*missing, *other]) or _names(expected)}, as in {first.path}",
        found=f"{_columns(found, [*extra, *other]) or _names(found)} in {file.path}",
        hint=hint,
    )


def check_names(file: DataFile, found: Sequence[str], first: DataFile, expected: pl.Schema) -> None:
    """`check_columns` for a file whose header has names only."""
    known = {name: expected.get(name, pl.Unknown()) for name in found}
    check_columns(file, pl.Schema(known), first, expected)


def _columns(schema: pl.Schema, names: Sequence[str]) -> str:
    return ", ".join(f"{name}: {schema[name]}" for name in names)


def _names(schema: pl.Schema) -> str:
    return f"only {', '.join(schema)}"
