"""Types of the columns of a text file: inferred from its first rows, or given."""

from __future__ import annotations

from typing import Final

import polars as pl

from arrowstream.errors import SchemaError
from arrowstream.io.files.formats import Format
from arrowstream.io.files.listing import ListedFile
from arrowstream.io.files.text.file import TextFile
from arrowstream.io.files.text.lines_format import check_columns
from arrowstream.io.files.text.options.text_options import TextOptions
from arrowstream.io.files.text.times import has_inside

_NOT_IN_JSON: Final = (pl.Binary, pl.Duration, pl.Time, pl.Decimal, pl.Object)


def text_schema(
    file: ListedFile, options: TextOptions, given: pl.Schema, *, aside: bool = False
) -> pl.Schema:
    """Return names and types of a text file's columns: types in `given`, the others inferred from the first rows.

    Raises
    ------
    SourceError
        The file cannot be read.
    SchemaError
        The file has no rows to infer types from and `given` is empty, or the format cannot hold a given type.
    """
    check_readable(file, given)
    text = TextFile(file, options, keep=True, aside=aside)
    try:
        text.read_types(given)
        schema = text.infer(given)
    finally:
        text.close()
    if not schema:
        raise SchemaError(
            f"{file.path} holds no rows to learn the columns from",
            expected="at least one object with a key",
            found="none",
            hint="give the columns: schema={'name': pl.String, ...}",
        )
    check_width(schema, given, str(file.path))
    return schema


def check_width(schema: pl.Schema, given: pl.Schema, where: str) -> None:
    """Raise SchemaError for an inferred type that Arrow lacks: Polars 2 reads long integers as Int128."""
    for name, dtype in schema.items():
        if name not in given and has_inside(dtype, lambda inner: inner == pl.Int128):
            raise SchemaError(
                f"column {name!r} of {where} holds integers of more than 64 bits",
                expected="integers that Int64 holds, or a type given for them",
                found=f"{dtype}, inferred from the values",
                hint=f"say how to read it: schema={{{name!r}: pl.String}}, or pl.UInt64 or pl.Float64",
            )


def check_readable(file: ListedFile, given: pl.Schema) -> None:
    """Raise SchemaError for a type that the text of a file cannot be read as."""
    if file.kind.format == "lines":
        check_columns(given, {name for name, _ in file.partitions}, str(file.path))
        return
    check_text_types(file.kind.format, given)


def check_text_types(format: Format, given: pl.Schema) -> None:
    """Raise SchemaError for a type that a value of CSV or JSON cannot be read as."""
    for name, dtype in given.items():
        if format == "csv":
            readable = not (dtype.is_nested() or dtype in (pl.Binary, pl.Duration, pl.Null, pl.Object))
            types = "numbers, booleans, text, categories, dates or times"
        else:
            # A decimal would be read through a float, which is not exact.
            readable = not has_inside(dtype, _NOT_IN_JSON.__contains__)
            types = "integers, floats, booleans, text, categories, dates, datetimes, and lists or structs of these"
        if not readable:
            raise SchemaError(
                f"column {name!r} cannot be read from {format.upper()} as {dtype}",
                expected=types,
                found=str(dtype),
                hint="read it as pl.String and convert it by a step of the pipeline",
            )
