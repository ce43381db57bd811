"""Hive partitions: columns whose values are in the folders' names."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from arrowstream.errors import SchemaError
from arrowstream.io.files.listing import DataFile
from arrowstream.io.files.pushed_query import conjuncts
from arrowstream.io.files.text.file import check_width


def partition_columns(files: Sequence[DataFile], given: pl.Schema) -> pl.DataFrame:
    """Return one row per file with the values of its partitions.

    Types are those in `given`, or else inferred from all values together by Polars' rules for CSV, which Polars
    uses for partitions too: integers, floats, booleans, dates, datetimes, text.

    Parameters
    ----------
    files
        One or more files, all partitioned by the same keys.
    given
        Types from the user.

    Raises
    ------
    SchemaError
        A value does not fit the type given for it.
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
    """Return False if the partitions of a file alone show that none of its rows passes, else True.

    Parameters
    ----------
    predicate
        The first filter on the rows, or None.
    partitions
        The file's partitions, one row.
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
        return True  # the read fails on it too, and its error names the place


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
