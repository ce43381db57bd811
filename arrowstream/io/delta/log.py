"""The data files of a table: those of a version, and those that one commit has added."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import polars as pl
import pyarrow as pa

from arrowstream.errors import SchemaError, SourceError
from arrowstream.io.delta.features import check_readable, deleted_rows, fields_of
from arrowstream.io.delta.location import DeltaLocation


@dataclass(frozen=True, slots=True)
class AddedFile:
    """A data file of a table.

    Parameters
    ----------
    path
        Its path in the folder of the table.
    partition
        Value of each column of its partition.
    """

    path: str
    partition: Mapping[str, str | None]


def files_of(table: Any, location: DeltaLocation) -> list[AddedFile]:
    """Return the files of a table in the order of their paths."""
    frame: Any = pl.from_arrow(pa.table(table.get_add_actions(flatten=True)))
    columns = list(table.metadata().partition_columns)
    values = frame.select(
        pl.col(name).dt.replace_time_zone(None).cast(pl.String)
        if isinstance(frame.schema[name], pl.Datetime)
        else pl.col(name).cast(pl.String)
        for name in (f"partition.{column}" for column in columns)
    ).rows()
    paths = frame["path"].to_list()
    found = zip(paths, values or [()] * len(paths), strict=True)
    return _sorted(
        location, ((path, dict(zip(columns, partition, strict=True))) for path, partition in found)
    )


def added_files(location: DeltaLocation, version: int, schema: Mapping[str, object]) -> list[AddedFile]:
    """Return the files that one commit has added, in the order of their paths.

    Parameters
    ----------
    location
        Place of the table.
    version
        Version of the table that the commit made.
    schema
        Name and type of its columns when reading began.

    Raises
    ------
    SourceError
        The commit has changed or removed rows, or its entry is gone.
    SchemaError
        The commit has changed the columns.
    """
    found = []
    for action in _actions(location, version):
        added, removed = action.get("add"), action.get("remove")
        if removed is not None and removed.get("dataChange", True):
            raise SourceError(
                f"version {version} of the Delta table {location} has removed or changed rows",
                expected="commits that only add rows, or rewrite files without changing rows",
                hint="read the table from the beginning, with run(from_checkpoint='ignore') and an empty target",
            )
        if added is not None and added.get("dataChange", True):
            if added.get("deletionVector") is not None:
                raise deleted_rows(location)
            found.append((added["path"], added["partitionValues"]))
        if "metaData" in action or "protocol" in action:
            table = location.table(version)
            check_readable(table, location)
            if columns_of(table) != schema:
                raise SchemaError(
                    f"version {version} of the Delta table {location} has other columns",
                    expected=", ".join(schema),
                    found=", ".join(columns_of(table)),
                    hint="build the pipeline again, and begin with run(from_checkpoint='ignore')",
                )
    return _sorted(location, found)


def columns_of(table: Any) -> dict[str, object]:
    """Return name and type of each column of a table."""
    return {name: field["type"] for name, field in fields_of(table).items()}


def has_version(location: DeltaLocation, version: int) -> bool:
    """Return whether the log has the entry of a version."""
    return location.size(_entry(version)) is not None


def _entry(version: int) -> str:
    return f"_delta_log/{version:020}.json"


def _actions(location: DeltaLocation, version: int) -> Iterator[dict[str, Any]]:
    files, root = location.file_system()
    try:
        with files.open_input_stream(f"{root}/{_entry(version)}", compression=None) as stream:
            content = stream.read()
    except FileNotFoundError:
        raise SourceError(
            f"the log of the Delta table {location} has no entry of version {version} any more",
            expected="a run before the time that delta.logRetentionDuration says, 30 days by default",
            hint="read the table from the beginning, with run(from_checkpoint='ignore') and an empty target",
        ) from None
    for line in content.splitlines():
        yield json.loads(line)


def _sorted(location: DeltaLocation, found: Any) -> list[AddedFile]:
    files = [AddedFile(unquote(path), partition) for path, partition in found]
    elsewhere = [file.path for file in files if "://" in file.path or file.path.startswith("/")]
    if elsewhere:
        raise SourceError(
            f"the Delta table {location} has data files in another folder",
            expected="files in its own folder, as all tables but shallow clones have",
            found=elsewhere[0],
        )
    return sorted(files, key=lambda file: file.path)
