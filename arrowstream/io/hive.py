"""Hive partitions: columns whose values stand in the folders' names."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from arrowstream.io.file_list import DataFile

_NULL = "__HIVE_DEFAULT_PARTITION__"


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
    """
    columns = []
    for number, (key, _) in enumerate(files[0].partitions):
        values = [file.partitions[number][1] for file in files]
        column = pl.Series(key, [None if value == _NULL else value for value in values], pl.String)
        columns.append(_typed(column, given.get(key)))
    return pl.DataFrame(columns)


def _typed(column: pl.Series, dtype: pl.DataType | None) -> pl.Series:
    if dtype is not None and dtype == pl.String:
        return column
    text = column.to_frame().write_csv(quote_style="necessary").encode()
    inferred = pl.read_csv(text, infer_schema_length=None, try_parse_dates=True).to_series()
    return inferred if dtype is None else inferred.cast(dtype)
