"""Rows that are gathered for the files of a table keep no more memory than they need."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl
import pytest

from arrowstream.core.snapshot_store import JsonValue
from arrowstream.io.lake.gathered_files import GatheredFiles, Key

ROWS = pl.DataFrame({"x": range(40_000)}).select(
    "x",
    rare=pl.col("x") % 1_000 == 0,
    text=pl.lit("a text of more than 12 bytes ") + pl.col("x").cast(pl.String),
)


@dataclass
class Written:
    """A file that holds rows, and counts the bytes that their texts keep."""

    path: str
    rows: int
    kept: int

    def as_json(self) -> JsonValue:
        return self.path


def write(key: Key, rows: pl.DataFrame) -> Written:
    arrays = [chunk.to_arrow(compat_level=pl.CompatLevel.newest()) for chunk in rows["text"].get_chunks()]
    kept = {(part.address, part.size) for array in arrays for part in array.buffers()[2:]}
    return Written(str(key), rows.height, sum(size for _, size in kept))


@pytest.mark.parametrize("partition_by", [(), ("rare",)])
def test_few_rows_keep_none_of_the_others(partition_by: tuple[str, ...]) -> None:
    files = GatheredFiles(partition_by, write, lambda path: None)
    for number in range(10):
        rows = ROWS.with_columns(pl.col("text") + str(number))
        files.add(rows if partition_by else rows.filter("rare"))
    rare = next(file for file in files.finish() if file.rows == 10 * 40)
    assert rare.kept < 10 * 40 * 40
