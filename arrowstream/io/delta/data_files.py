"""Parquet files in the folder of a table, which do not belong to it before their commit."""

from __future__ import annotations

import io
import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any
from urllib.parse import quote

import polars as pl

from arrowstream.io.delta.location import DeltaLocation
from arrowstream.io.lake.gathered_files import Key

NULL_FOLDER = "__HIVE_DEFAULT_PARTITION__"
"""Name that the folder of a partition has for null."""
_STATISTICS = (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.Date)
_INDEXED = 32
"""Number of columns with statistics in the log, as Delta's own writers have them."""


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file in the folder of a table.

    Parameters
    ----------
    path
        Its path in the folder.
    size
        Its bytes.
    partition
        Value of each column of its partition.
    modified
        Time when it was written, in milliseconds since 1970.
    stats
        Its number of rows and statistics of its columns, as JSON.
    """

    path: str
    size: int
    partition: Mapping[str, str | None]
    modified: int
    stats: str

    def action(self) -> Any:
        """Return the entry of the log that adds the file to the table."""
        from deltalake.transaction import AddAction

        return AddAction(
            self.path, self.size, self.partition, self.modified, data_change=True, stats=self.stats
        )

    def as_json(self) -> Any:
        """Return the file as part of a handle."""
        return asdict(self)


class DataFileWriter:
    """Writes files of a table.

    Parameters
    ----------
    location
        Folder of the table.
    partition_by
        Columns by which it is partitioned.
    before_file
        Called with the path of each file before it is made.
    """

    def __init__(
        self, location: DeltaLocation, partition_by: tuple[str, ...], before_file: Callable[[str], None]
    ) -> None:
        self._location = location
        self._partition_by = partition_by
        self._before_file = before_file

    def write(self, key: Key, frame: pl.DataFrame) -> DataFile:
        """Write the rows of a partition as one file."""
        out = io.BytesIO()
        frame.write_parquet(out)
        values = [_text(value) for value in key]
        folders = [
            f"{_quoted(name)}={NULL_FOLDER if value is None else _quoted(value)}/"
            for name, value in zip(self._partition_by, values, strict=True)
        ]
        path = f"{''.join(folders)}part-{uuid.uuid4()}.zstd.parquet"
        self._before_file(path)
        with out.getbuffer() as content:
            self._location.write(path, content)
            size = len(content)
        partition = dict(zip(self._partition_by, values, strict=True))
        return DataFile(path, size, partition, time.time_ns() // 1_000_000, _stats(frame))


def _quoted(text: str) -> str:
    return quote(text, safe="")


def _text(value: object) -> str | None:
    """Return the value of a partition as a Delta log has it."""
    if isinstance(value, bool):
        return str(value).lower()
    return value if value is None else value.isoformat() if isinstance(value, date) else str(value)


def _stats(frame: pl.DataFrame) -> str:
    names = frame.columns[:_INDEXED]
    plain = [name for name in names if not frame.schema[name].is_nested()]
    bounded = [name for name in plain if isinstance(frame.schema[name], _STATISTICS)]
    least, greatest = frame.select(pl.col(bounded).min()), frame.select(pl.col(bounded).max())
    found = {
        "numRecords": frame.height,
        "minValues": _known(least),
        "maxValues": _known(greatest),
        "nullCount": _known(frame.select(pl.col(plain).null_count())),
    }
    return json.dumps(found, default=date.isoformat)


def _known(row: pl.DataFrame) -> dict[str, object]:
    return {
        name: value
        for name, value in (row.row(0, named=True) if row.width else {}).items()
        if value is not None
    }
