"""Errors for Parquet and IPC files that cannot be read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import polars as pl
import pyarrow as pa

from arrowstream.core.hints import cast_hint
from arrowstream.core.rows.arrow_schema import arrow_schema
from arrowstream.core.rows.arrow_types import polars_schema, unfit_columns
from arrowstream.errors import SchemaError, SourceError, StageError, UnreadableData
from arrowstream.io.files.columnar.open_file import OpenFile

DAMAGE: Final = (OSError, pa.ArrowException, UnicodeDecodeError)
"""What pyarrow raises for a file that it cannot read; the last for names that are not UTF-8."""


def checked_types(file: OpenFile, schema: pl.Schema) -> pl.Schema:
    """Return the schema of a file, after checking that rows may have its types.

    Raises
    ------
    SchemaError
        A column's type has no Arrow form that Polars reads: a Decimal that is too long, an Array of width 0.
    """
    try:
        arrow_schema(schema)
    except SchemaError as error:
        error.what = f"{error.what}, in {file.path}"
        raise
    return schema


def unreadable_schema(
    file: OpenFile, error: BaseException, what: str, read_schema: Callable[[str | pa.NativeFile], pa.Schema]
) -> SourceError | SchemaError:
    """Make the error for a file whose schema Polars cannot read: it lacks a type, or the file is damaged.

    Parameters
    ----------
    file
        The file.
    error
        Error that Polars raised.
    what
        Name of the format.
    read_schema
        Reads the Arrow schema of a path or an open file with pyarrow.
    """
    unreachable = file.unreachable(error)
    if unreachable is not None:
        return unreachable
    try:
        schema = read_schema(file.source)
        polars_schema(schema)
    except SchemaError:
        return unfit_columns(schema, error, f" of {file.path}")
    except DAMAGE:
        return damaged_file(file, error, what)
    # Polars knows the types, but may be unable to read them from a file.
    is_panic = isinstance(error, pl.exceptions.PanicException)
    return unfit_columns(schema, error, f" of {file.path}") if is_panic else damaged_file(file, error, what)


def damaged_file(file: OpenFile, error: BaseException, what: str) -> SourceError:
    """Make the error for a file whose footer cannot be read."""
    if file.read(0, 4) == b"\xff\xff\xff\xff":
        return UnreadableData(
            f"{file.path} is an Arrow IPC stream, not a file",
            position=str(file.path),
            expected="the file form, which has a footer",
            found="the stream form",
            hint="read it by Source.from_frame(pyarrow.ipc.open_stream(path)), or write it as a file",
        )
    return UnreadableData(
        f"{file.path} is not a complete {what} file",
        position=str(file.path),
        expected=f"{what} with its footer",
        found=file.text(error) if file.size else "an empty file",
        hint="the file is damaged, was not copied completely, or is still being written",
    )


def damaged_rows(file: OpenFile, error: BaseException, start: int, rows: int) -> SourceError:
    """Make the error for rows that cannot be read, although the footer can."""
    return UnreadableData(
        f"{file.path} cannot be read to its end",
        position=f"{file.path} rows {start}-{start + rows}",
        expected="a complete file that nothing writes to while it is read",
        found=file.text(error),
        hint="the file is damaged; fetch or write it again",
    )


def failed_steps(file: OpenFile, error: BaseException, start: int, rows: int) -> StageError:
    """Make the error for rows that can be read, but on which the query fails."""
    return StageError(
        "the pipeline's first steps, which run inside the read, failed",
        position=f"{file.path} rows {start}-{start + rows}",
        found=file.text(error),
        hint=cast_hint(error)
        or "the rows themselves can be read; look at the expressions and at the types given by schema=",
    )
