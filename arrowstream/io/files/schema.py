"""The common schema of a source's files, and the error for a file that does not have it."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from arrowstream.core.hints import did_you_mean
from arrowstream.errors import SchemaError
from arrowstream.io.files.columnar.open_file import OpenFile
from arrowstream.io.files.columnar.scan import schema_of
from arrowstream.io.files.listing import DataFile
from arrowstream.io.files.text.file import text_schema

CHECKED_AT_BUILD = 1000
"""Most files whose footers are all compared at `build()`; if there are more, each is compared when it is read."""


def table_schema(file: DataFile) -> pl.Schema:
    """Return the schema of a Parquet or IPC file, read again only if the file changed."""
    return schema_of(OpenFile(file.path), file.kind.format)


def stored_schema(files: Sequence[DataFile], delimiter: str, given: pl.Schema) -> pl.Schema:
    """Return the columns inside the files: names and types of the first file, and for text the types in `given`.

    Raises
    ------
    SourceError
        A file cannot be read.
    SchemaError
        Parquet or IPC files differ, or `given` names a column that does not exist.
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
            hint=did_you_mean(unknown[0], schema)
            or "name the columns as the file does, and rename them by a step of the pipeline",
        )
    return schema


def check_columns(file: DataFile, found: pl.Schema, first: DataFile, expected: pl.Schema) -> None:
    """Raise SchemaError unless a file has the columns and types of the first one, in any order."""
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
    """Apply `check_columns` to a file whose header has names only."""
    known = {name: expected.get(name, pl.Unknown()) for name in found}
    check_columns(file, pl.Schema(known), first, expected)


def _columns(schema: pl.Schema, names: Sequence[str]) -> str:
    return ", ".join(f"{name}: {schema[name]}" for name in names)


def _names(schema: pl.Schema) -> str:
    return f"only {', '.join(schema)}"
