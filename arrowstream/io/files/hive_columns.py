"""Hive partitions: columns whose values stand in the folders' names."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from arrowstream.errors import SchemaError
from arrowstream.io.files.listing import DataFile
from arrowstream.io.files.pushed_query import conjuncts
from arrowstream.io.files.text.file import check_width


def partition_columns(files: Sequence[DataFile], given: pl.Schema) -> pl.DataFrame:
    """One row for each file with the values of its partitions.

    Types are those `given`, else inferred from all values together by the rules Polars has for CSV,
    which are the ones it uses for partitions: whole numbers, floats, booleans, dates, datetimes, text.

    Parameters
    ----------
    files
        The files, all partitioned by the same keys.
    given
        Types the user gave.

    Raises
    ------
    SchemaError
        A value does not fit the type that was given for it.
    """
    columns = []
    for number, (key, _) in enumerate(files[0].partitions):
        values = [file.partitions[number][1] for file in files]
        column = pl.Series(key, values, pl.String)
        columns.append(_typed(column, given.get(key)))
    partitions = pl.DataFrame(columns)
    check_width(partitions.schema, given, str(files[0].path))
    return partitions


def may_match(predicate: pl.Expr | None, partitions: pl.DataFrame) -> bool:
    """Whether a file can hold rows that pass: False only if its partitions alone decide against them.

    Parameters
    ----------
    predicate
        A filter that comes first, or None.
    partitions
        The one row of the file's partitions.
    """
    if predicate is None or not partitions.width:
        return True
    return all(_may_hold(part, partitions) for part in conjuncts(predicate))


def _may_hold(predicate: pl.Expr, partitions: pl.DataFrame) -> bool:
    names = predicate.meta.root_names()
    if not names or not set(names) <= set(partitions.columns):
        return True
    try:
        return bool(partitions.select(predicate).item())
    except pl.exceptions.PolarsError:
        return True  # the read will fail on it too, and say where


def _typed(column: pl.Series, dtype: pl.DataType | None) -> pl.Series:
    if dtype is None:
        return _read(column, None)
    if dtype == pl.String:
        return column
    try:
        return _read(column, dtype)
    except pl.exceptions.PolarsError as error:
        raise SchemaError(
            f"a partition does not fit the type of its column {column.name!r}",
            expected=f"{column.name}: {dtype}",
            found=", ".join(repr(value) for value in column.unique().sort()[:5]),
            hint=f"leave its type out of schema= ({str(error).splitlines()[0]})",
        ) from error


def _read(column: pl.Series, dtype: pl.DataType | None) -> pl.Series:
    schema = None if dtype is None else {column.name: dtype}
    text = column.to_frame().write_csv().encode()
    return pl.read_csv(text, schema=schema, infer_schema_length=None, try_parse_dates=True).to_series()
