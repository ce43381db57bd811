"""What a table demands of its readers and writers, and refusals of what would be read or written wrongly."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from arrowstream.errors import SinkError, SourceError, StageError
from arrowstream.io.delta.location import DeltaLocation

_READ = {"timestampNtz", "v2Checkpoint", "vacuumProtocolCheck", "deletionVectors", "columnMapping"}
"""Features of tables that can be read. Of the last two, only tables that do not use them."""
_WRITTEN = {
    *_READ,
    *(
        "appendOnly",
        "invariants",
        "checkConstraints",
        "changeDataFeed",
        "generatedColumns",
        "identityColumns",
    ),
}
"""Features of tables that can be written. Of the last six but appendOnly, what is used is looked for."""
_RULES = ("delta.invariants", "delta.generationExpression", "delta.identity")

Error = TypeVar("Error", bound=StageError)


def fields_of(table: Any) -> dict[str, dict[str, Any]]:
    """Return the columns of a table as its log describes them, by name."""
    return {field["name"]: field for field in json.loads(table.schema().to_json())["fields"]}


def readable_table(location: DeltaLocation, version: int | None) -> Any:
    """Return a table in its newest or an older version.

    Raises
    ------
    SourceError
        The table is missing, or its data files alone do not show its rows.
    """
    table = location.table(version)
    if table is None:
        raise SourceError(
            f"there is no Delta table in {location}", expected="a folder with the log of a table, _delta_log"
        )
    check_readable(table, location)
    return table


def check_readable(table: Any, location: DeltaLocation) -> None:
    """Raise SourceError if the table has rows or columns that its data files alone do not show."""
    _check_features(SourceError, table.protocol().reader_features, _READ, location)
    _check_mapping(SourceError, table, location)
    has_vectors = "deletionVectors" in (table.protocol().reader_features or ())
    if has_vectors and table.deletion_vectors().read_all().num_rows:
        raise deleted_rows(location)


def deleted_rows(location: DeltaLocation) -> SourceError:
    """Return the error for a data file of which the table has deleted some rows."""
    return SourceError(
        f"rows of the Delta table {location} are deleted by deletion vectors, which are not read",
        expected="data files without deleted rows",
        hint="REORG TABLE ... APPLY (PURGE) rewrites the files, or read with polars.scan_delta and from_frame",
    )


def check_writable(table: Any, location: DeltaLocation) -> None:
    """Raise SinkError if the table has rules for rows that only an engine with SQL can keep."""
    _check_features(SinkError, table.protocol().writer_features, _WRITTEN, location)
    _check_mapping(SinkError, table, location)
    rules = [key for key in table.metadata().configuration if key.startswith("delta.constraints.")]
    for name, field in fields_of(table).items():
        rules += [f"{key} of {name}" for key in field["metadata"] if key.startswith(_RULES)]
    if rules:
        raise SinkError(
            f"the Delta table {location} has rules that are not checked for these rows",
            expected="a table without constraints, generated columns and identity columns",
            found=", ".join(sorted(rules)),
            hint="write to a table without them, and from there with an engine that has SQL",
        )


def _check_features(
    kind: type[Error], found: list[str] | None, known: set[str], location: DeltaLocation
) -> None:
    unknown = sorted(set(found or ()) - known)
    if unknown:
        raise kind(
            f"the Delta table {location} has features that are not supported",
            expected=", ".join(sorted(known)),
            found=", ".join(unknown),
        )


def _check_mapping(kind: type[Error], table: Any, location: DeltaLocation) -> None:
    mode = table.metadata().configuration.get("delta.columnMapping.mode", "none")
    if mode != "none":
        raise kind(
            f"the Delta table {location} maps its columns to other names in its data files",
            expected="a table without column mapping",
            found=f"delta.columnMapping.mode = {mode}",
        )
