"""Sizes of the row groups of a Parquet file, from its footer."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import pyarrow.parquet as pq

from arrowstream.io.files.columnar.damage import DAMAGE, damaged_file
from arrowstream.io.files.columnar.open_file import OpenFile

_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 12, "FLOAT": 4, "DOUBLE": 8}
_VIEW = 16  # bytes of a string's view, to which its text is added


@dataclass(frozen=True, slots=True)
class RowGroup:
    """Size of one row group, counting only the columns that are needed.

    Parameters
    ----------
    rows
        Number of rows.
    stored
        Bytes of the columns in the file.
    decoded
        Estimated bytes of the columns in memory.
    whole
        Bytes of all columns in the file.
    """

    rows: int
    stored: int
    decoded: int
    whole: int


def row_groups(file: OpenFile, columns: Collection[str] | None = None) -> list[RowGroup]:
    """Return the row groups of a Parquet file, with the bytes of `columns` (None for all).

    Raises
    ------
    SourceError
        The footer cannot be read.
    """
    try:
        return _row_groups(_footer_of(file), columns)
    except UnicodeDecodeError as error:
        raise damaged_file(file, error, "Parquet") from error


def _row_groups(footer: pq.FileMetaData, columns: Collection[str] | None) -> list[RowGroup]:
    groups = []
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        stored = decoded = whole = 0
        for index in range(group.num_columns):
            chunk = group.column(index)
            whole += chunk.total_compressed_size
            # The path of a nested column includes its parts ("x.list.element"), that of a plain one is its name.
            if columns is None or _root(chunk.path_in_schema, columns):
                stored += chunk.total_compressed_size
                width = _WIDTHS.get(chunk.physical_type)
                text = 0 if width else chunk.total_uncompressed_size
                decoded += chunk.num_values * (width or _VIEW) + text
        groups.append(RowGroup(group.num_rows, stored, decoded, whole))
    return groups


def rows_of(file: OpenFile) -> int:
    """Return the number of rows of a Parquet file. Raises as `row_groups` does."""
    rows: int = _footer_of(file).num_rows
    return rows


def _footer_of(file: OpenFile) -> pq.FileMetaData:
    try:
        return pq.read_metadata(file.source)
    except DAMAGE as error:
        raise file.unreachable(error) or damaged_file(file, error, "Parquet") from error


def _root(path: str, columns: Collection[str]) -> bool:
    return (
        path in columns or path.partition(".")[0] in columns or any(path.startswith(f"{c}.") for c in columns)
    )


def size_text(nbytes: int) -> str:
    """Format a number of bytes in decimal units: ``12 B``, ``1.2 KB``, ``14.6 MB``."""
    step = min((len(str(nbytes)) - 1) // 3, 4)
    return f"{nbytes / 1000**step:.{min(step, 1)}f} {('B', 'KB', 'MB', 'GB', 'TB')[step]}"
