"""Hive partitions: columns whose values are in the folders' names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from arrowstream.errors import SchemaError
from arrowstream.io.files.columnar.given_types import changed
from arrowstream.io.files.listing import ListedFile
from arrowstream.io.files.pushed_query import conjuncts
from arrowstream.io.files.text.times import is_time, read_times
from arrowstream.io.files.text.types import check_width


def partition_columns(files: Sequence[ListedFile], given: pl.Schema) -> pl.DataFrame:
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


def needed_files(predicate: pl.Expr | None, partitions: pl.DataFrame, files: int) -> list[int]:
    """Return the numbers of the files whose partitions alone do not show that none of their rows passes.

    Parameters
    ----------
    predicate
        The first filter on the rows, or None.
    partitions
        Partition columns, one row per file.
    files
        Number of files.
    """
    parts = [] if predicate is None or not partitions.width else conjuncts(predicate)
    needed = np.ones(files, np.bool_)
    for part in parts:
        names = part.meta.root_names()
        if names and set(names) <= set(partitions.columns):
            needed &= _holds(part, partitions)
    return [int(number) for number in np.flatnonzero(needed)]


def _holds(predicate: pl.Expr, partitions: pl.DataFrame) -> npt.NDArray[np.bool_] | bool:
    """Return whether a filter holds for each row of the partitions; True for all if it fails."""
    try:
        found = partitions.select(predicate).to_series()
    except pl.exceptions.PolarsError:
        return True  # the read fails on it too, and its error names the place
    held: npt.NDArray[np.bool_] = found.fill_null(value=False).to_numpy()
    return held


def _typed(column: pl.Series, dtype: pl.DataType | None) -> pl.Series:
    if dtype is None:
        return _inferred(column)
    if dtype == pl.String:
        return column
    if is_time(dtype):
        times = read_times(column, dtype)
        refused = column.filter(times.is_null() & column.is_not_null())
        if len(refused):
            raise _misfit(refused, dtype, "dates and times are read with the year first, and no digit is cut")
        return times
    try:
        typed = _read(column, dtype)
    except pl.exceptions.PolarsError as error:
        raise _misfit(column, dtype, str(error).splitlines()[0]) from error
    lost = column.filter(changed(column, typed))
    if not lost.is_empty():
        raise _misfit(lost, dtype, "the type would change the value")
    return typed


def _misfit(column: pl.Series, dtype: pl.DataType, reason: str) -> SchemaError:
    return SchemaError(
        f"a partition does not fit the type of its column {column.name!r}",
        expected=f"{column.name}: {dtype}",
        found=", ".join(repr(value) for value in column.unique().sort()[:5]),
        hint=f"leave its type out of schema= ({reason})",
    )


def _inferred(column: pl.Series) -> pl.Series:
    try:
        found = _read(column, None)
    except pl.exceptions.ComputeError:
        return column  # dates in several forms
    if is_time(found.dtype) and read_times(column, found.dtype).null_count() > column.null_count():
        return column  # Polars has guessed which number is the day, or cut digits
    return found


def _read(column: pl.Series, dtype: pl.DataType | None) -> pl.Series:
    schema = None if dtype is None else {column.name: dtype}
    text = column.to_frame().write_csv().encode()
    return pl.read_csv(text, schema=schema, infer_schema_length=None, try_parse_dates=True).to_series()
