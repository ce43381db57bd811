"""Staging of what a sink writes, by what its target holds and what is to happen to that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from arrowstream.core.plural import counted
from arrowstream.errors import SinkError, SourceError
from arrowstream.io.files.destination.existing_rows import (
    APPEND_REFUSED,
    REPLACE_REFUSED,
    check_formats,
    check_part,
    check_partitions,
    data_files,
    end_of,
    file_without_rows,
    holds_rows,
    placeholders,
)
from arrowstream.io.files.destination.write_mode import Mode
from arrowstream.io.files.formats import FileKind, Format, detect
from arrowstream.io.files.hive_folders import HivePartitions
from arrowstream.io.files.staging.appended_file import AppendedFile
from arrowstream.io.files.staging.base import Staging
from arrowstream.io.files.staging.contents import Version
from arrowstream.io.files.staging.filled_folder import FilledFolder
from arrowstream.io.files.staging.journal import finish_interrupted
from arrowstream.io.files.staging.new_folder import NewFolder
from arrowstream.io.files.staging.rolling_folder import RollingFolder
from arrowstream.io.files.staging.single_file import NewFile, StagedFile


def stage_file(
    target: Path, mode: Mode, kind: FileKind, schema: pl.Schema, compression: str | None
) -> tuple[StagedFile, str]:
    """Return the staging of one file, and what ends the lines of a text that rows are appended to.

    Raises
    ------
    SinkError
        The file cannot be written, or holds rows that may not be replaced.
    SchemaError
        It holds rows of other columns, to which these cannot be appended.
    """
    if mode == "overwrite" or target.is_dir():
        return StagedFile(target), "\n"
    empty = file_without_rows(kind, schema, compression)
    if mode == "append":
        newline = b"\n"
        if target.is_file() and target.stat().st_size:
            newline = end_of(target, schema, kind).newline
        return AppendedFile(target, empty, lambda path: end_of(path, schema, kind).missing), newline.decode()
    found = Version.of(target)
    if found is not None and holds_rows(target, kind, empty):
        raise SinkError(
            f"{target} already holds rows",
            expected="a file without rows, or none",
            found=counted(target.stat().st_size, "bytes"),
            hint="choose another name, pass mode='overwrite' to replace the file, or end the path with '/' "
            "and pass mode='append' to keep the rows of all runs in a folder",
        )
    return NewFile(target, found), "\n"


def stage_folder(
    target: Path, mode: Mode, kind: FileKind, schema: pl.Schema, partitions: HivePartitions, rolls: bool
) -> tuple[Staging, bool]:
    """Return the staging of part files in a folder, and whether the folder holds data files that stay.

    Parameters
    ----------
    target
        The folder, without symbolic links.
    mode
        What happens to data files in it.
    kind
        Format of the files, and the layout of CSV.
    schema
        Schema of the batches.
    partitions
        Columns whose values name the folders.
    rolls
        Whether appended files are seen while the run goes on.

    Raises
    ------
    SinkError
        The folder cannot be written to, or holds data files that may not stay or be replaced.
    SchemaError
        It holds files of other columns.
    """
    keeps = mode in ("append", "overwrite_partitions")
    if not target.exists():
        return (
            RollingFolder(target) if rolls else FilledFolder(target) if keeps else NewFolder(target)
        ), False
    found = found_in(target)
    if found and mode == "error":
        raise SinkError(
            f"{target} already holds data files",
            expected="an empty folder, or none",
            found=f"{counted(len(found), 'files')}, such as {found[0][0].relative_to(target)}",
            hint="choose another folder, pass overwrite=True to replace them, or mode='append' to keep them",
        )
    if mode in ("error", "overwrite"):
        check_formats(target, [(path.relative_to(target), held) for path, held in found], kind.format)
        if mode == "error":
            return FilledFolder(target), False
        return FilledFolder(target, lambda: _paths(target), alone=True), False
    refusal = APPEND_REFUSED if mode == "append" else REPLACE_REFUSED
    spare = parts_that_stay(target, found, kind, schema, partitions, refusal)
    if mode == "append":
        return (RollingFolder(target, spare) if rolls else FilledFolder(target, lambda: spare)), bool(found)
    return FilledFolder(target, lambda: _paths(target), only_written=True, alone=True), bool(found)


def found_in(target: Path) -> list[tuple[Path, Format]]:
    """Return the data files in a folder, with their formats; none if it does not exist.

    Raises
    ------
    SinkError
        The target is a file, or cannot be listed.
    """
    if not target.exists():
        return []
    if not target.is_dir():
        raise SinkError(
            f"{target} is a file",
            expected="a folder, or a name that is free, since part files are to be written",
            hint="choose another name, or delete the file",
        )
    finish_interrupted(target)
    with _as_sink_errors():
        return list(data_files(target))


def parts_that_stay(
    target: Path,
    found: Sequence[tuple[Path, Format]],
    kind: FileKind,
    schema: pl.Schema,
    partitions: HivePartitions,
    refusal: str = APPEND_REFUSED,
) -> list[Path]:
    """Check that rows can be added to those of a folder; return its files without rows, which go once it has others.

    Parameters
    ----------
    target
        The folder.
    found
        The data files in it.
    kind, schema, partitions
        Of the rows to write.
    refusal
        What cannot be done, for errors.

    Raises
    ------
    SinkError
        The files are of another format, or partitioned by other columns.
    SchemaError
        They have other columns.
    """
    check_formats(target, [(path.relative_to(target), held) for path, held in found], kind.format)
    parts = [path for path, _ in found]
    spare = placeholders(target, parts if partitions.columns else parts[:1], schema, kind.layout)
    parts = [path for path in parts if path not in spare]
    check_partitions(target, [path.relative_to(target) for path in parts], partitions.columns)
    for path in dict.fromkeys((*parts[:1], *parts[-1:])):
        check_part(path, partitions.file_schema(schema), detect(path).laid_out(kind.layout), refusal)
    return spare


def _paths(target: Path) -> list[Path]:
    with _as_sink_errors():
        return [path for path, _ in data_files(target)]


@contextmanager
def _as_sink_errors() -> Iterator[None]:
    """Raise errors of listing a folder as those of the sink."""
    try:
        yield
    except SourceError as error:
        raise SinkError(error.what, found=error.found, hint=error.hint) from error
