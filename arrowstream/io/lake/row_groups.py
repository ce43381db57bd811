"""Parts of a Parquet file from a row on."""

from __future__ import annotations

from pyarrow import parquet

BATCH_ROWS = 131_072
"""Rows that a batch of a data file has at most."""


def groups_from(metadata: parquet.FileMetaData, start: int) -> tuple[list[int], int]:
    """Return the row groups that have rows from `start` on, and the number of the first row of these."""
    row = first = 0
    while first < metadata.num_row_groups and row + metadata.row_group(first).num_rows <= start:
        row += metadata.row_group(first).num_rows
        first += 1
    return list(range(first, metadata.num_row_groups)), row
