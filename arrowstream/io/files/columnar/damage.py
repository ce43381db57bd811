"""What is wrong with a Parquet or IPC file that cannot be read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa

from arrowstream.core.batch import arrow_schema
from arrowstream.core.hints import cast_hint
from arrowstream.core.rows.arrow_types import polars_schema, unfit_columns
from arrowstream.errors import SchemaError, SourceError, StageError
from arrowstream.io.files.text.byte_stream import unreadable


def checked_types(path: Path, schema: pl.Schema) -> pl.Schema:
    """The schema of a file, whose columns all have types that rows may have.

    Raises
    ------
    SchemaError
        A column's type has no Arrow form that Polars reads: a longer Decimal, an Array of no values.
    """
    try:
        arrow_schema(schema)
    except SchemaError as error:
        error.what = f"{error.what}, in {path}"
        raise
    return schema


def unreadable_schema(
    path: Path, error: BaseException, what: str, read_schema: Callable[[Path], pa.Schema]
) -> SourceError | SchemaError:
    """The error for a file whose columns Polars cannot tell: their types are unknown to it, or the file is damaged.

    Parameters
    ----------
    path
        The file.
    error
        What Polars raised.
    what
        The format's name.
    read_schema
        Reads the Arrow schema with pyarrow.
    """
    try:
        schema = read_schema(path)
        polars_schema(schema)
    except SchemaError:
        return unfit_columns(schema, error, f" of {path}")
    except (OSError, pa.ArrowException):
        return damaged_file(path, error, what)
    # Polars can take in the types, but not read them from a file.
    is_panic = isinstance(error, pl.exceptions.PanicException)
    return unfit_columns(schema, error, f" of {path}") if is_panic else damaged_file(path, error, what)


def damaged_file(path: Path, error: BaseException, what: str) -> SourceError:
    """A file whose footer cannot be read."""
    if isinstance(error, PermissionError | FileNotFoundError):
        return unreadable(path, error)
    if _begins_as_stream(path):
        return SourceError(
            f"{path} is an Arrow IPC stream, not a file",
            position=str(path),
            expected="the file form, which has a footer",
            found="the stream form",
            hint="read it by Source.from_frame(pyarrow.ipc.open_stream(path)), or write it as a file",
        )
    return SourceError(
        f"{path} is not a complete {what} file",
        position=str(path),
        expected=f"{what} with its footer",
        found="an empty file" if not path.stat().st_size else str(error).splitlines()[0],
        hint="the file is damaged, was not copied completely, or is still being written",
    )


def _begins_as_stream(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\xff\xff\xff\xff"


def damaged_rows(path: Path, error: BaseException, start: int, rows: int) -> SourceError:
    """Rows that cannot be read, though the footer can."""
    return SourceError(
        f"{path} cannot be read to its end",
        position=f"{path} rows {start}-{start + rows}",
        expected="a complete file that nothing writes to while it is read",
        found=str(error).splitlines()[0],
        hint="the file is damaged; fetch or write it again",
    )


def failed_steps(path: Path, error: BaseException, start: int, rows: int) -> StageError:
    """Rows that can be read, but not computed with."""
    return StageError(
        "the pipeline's first steps, which run inside the read, failed",
        position=f"{path} rows {start}-{start + rows}",
        found=str(error).splitlines()[0],
        hint=cast_hint(error)
        or "the rows themselves can be read; look at the expressions and at the types given by schema=",
    )
