"""What a target in a store already holds, and what happens to it in each write mode."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import polars as pl

from arrowstream.core.plural import counted
from arrowstream.errors import SinkError
from arrowstream.io.files.destination.existing_rows import (
    APPEND_REFUSED,
    REPLACE_REFUSED,
    check_formats,
    check_part,
    check_partitions,
    file_without_rows,
    holds_rows,
)
from arrowstream.io.files.destination.write_mode import Mode
from arrowstream.io.files.formats import FileKind, kind_of
from arrowstream.io.files.hive_folders import HivePartitions
from arrowstream.io.files.remote.failures import store_error
from arrowstream.io.files.remote.stores import exists, objects_below
from arrowstream.io.files.remote.urls import RemotePath
from arrowstream.io.files.staging.unfinished import is_partition


@dataclass(frozen=True, slots=True)
class Held:
    """Objects that a target has when a run begins.

    Parameters
    ----------
    data
        Names of the data objects in the folder; empty for a single object.
    old
        Those of them that are deleted once the new ones are in place.
    only_written
        Whether only those are deleted that are in folders which the run has written to.
    alone
        Whether the run fails if others have added data objects meanwhile.
    may_stay
        Whether a run without rows changes nothing.
    """

    data: tuple[str, ...] = ()
    old: tuple[str, ...] = ()
    only_written: bool = False
    alone: bool = False
    may_stay: bool = False


def held_object(path: RemotePath, mode: Mode, kind: FileKind, schema: pl.Schema) -> Held:
    """Return what the place of a single object holds.

    Raises
    ------
    SinkError
        It holds rows that may not be replaced, or cannot be looked at.
    """
    if mode == "error":
        path = replace(path)  # opened at each run, not once for all
        try:
            found = exists(path)
        except Exception as error:  # of pyarrow
            raise store_error(SinkError, "cannot be written", path, error) from error
        if found and holds_rows(path, kind, file_without_rows(kind, schema, kind.compression)):
            raise SinkError(
                f"{path} already holds rows",
                expected="an object without rows, or none",
                found=path.key,
                hint="choose another key, pass mode='overwrite' to replace the object, or end the URL with '/' "
                "and pass mode='append' to keep the rows of all runs in a folder",
            )
    return Held()


def held_folder(
    path: RemotePath, mode: Mode, kind: FileKind, schema: pl.Schema, partitions: HivePartitions
) -> Held:
    """Return what a folder in a store holds.

    Raises
    ------
    SinkError
        It holds data objects that may not stay or be replaced, or cannot be listed.
    SchemaError
        They have other columns.
    """
    found = {name: found.laid_out(kind.layout) for name, found in data_objects(path).items()}
    names = tuple(found)
    if found and mode == "error":
        raise SinkError(
            f"{path} already holds data objects",
            expected="a folder without any",
            found=f"{counted(len(found), 'objects')}, such as {names[0]}",
            hint="choose another folder, pass mode='append' to keep them, or mode='overwrite' to replace them",
        )
    check_formats(path, [(PurePosixPath(name), held.format) for name, held in found.items()], kind.format)
    if mode in ("error", "overwrite"):
        return Held(names, names, alone=True)
    roots = [name for name in names if "/" not in name]
    spare = [
        name
        for name in (roots if partitions.columns else roots[:1])
        if not holds_rows(
            path.below(name), held := found[name], file_without_rows(held, schema, held.compression)
        )
    ]
    parts = [name for name in names if name not in spare]
    check_partitions(path, map(PurePosixPath, parts), partitions.columns)
    refusal = APPEND_REFUSED if mode == "append" else REPLACE_REFUSED
    for name in dict.fromkeys((*parts[:1], *parts[-1:])):
        check_part(path.below(name), partitions.file_schema(schema), found[name], refusal)
    if mode == "append":
        return Held(names, tuple(spare), may_stay=bool(found))
    return Held(names, names, only_written=True, alone=True, may_stay=bool(found))


def data_objects(path: RemotePath) -> dict[str, FileKind]:
    """Return the data objects in a folder and its partitions, by their names there; all others are left alone.

    Raises
    ------
    SinkError
        The folder cannot be listed.
    """
    try:
        keys = objects_below(path)
    except Exception as error:  # of pyarrow
        raise store_error(SinkError, "cannot be written", path, error) from error
    found = {}
    for name in (key.removeprefix(path.key) for key in keys):
        *folders, last = name.split("/")
        kind = kind_of(last)
        if kind is not None and last[0] not in "._" and all(map(is_partition, folders)):
            found[name] = kind
    return found
