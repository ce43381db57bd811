"""How the files of a sink are encoded: compression, row groups, statistics, order of the rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import polars as pl

from arrowstream.core.hints import did_you_mean
from arrowstream.core.mistakes.explain import nearest_value
from arrowstream.errors import PlanError, SchemaError
from arrowstream.io.files.formats import (
    COMPRESSION_SUFFIXES,
    TEXT_FORMATS,
    FileKind,
    Format,
    a_file,
    format_named,
    kind_of,
)
from arrowstream.io.files.paths import printable
from arrowstream.io.files.text.options.csv_layout import CsvLayout

# The first of each is the default.
_COMPRESSIONS: Final[dict[Format, tuple[str, ...]]] = {
    "parquet": ("zstd", "snappy", "lz4", "gzip", "none"),
    "ipc": ("none", "lz4", "zstd"),
    "avro": ("none", "deflate", "snappy"),
    "csv": ("none", "gzip", "zstd"),
    "ndjson": ("none", "gzip", "zstd"),
    "json": ("none", "gzip", "zstd"),
}
_SUFFIXES: Final[dict[Format, str]] = {
    "parquet": ".parquet",
    "csv": ".csv",
    "ndjson": ".ndjson",
    "json": ".json",
    "ipc": ".arrow",
    "avro": ".avro",
}
_LEVELS: Final = {"zstd": range(1, 23), "gzip": range(1, 10)}


def compression_of(kind: FileKind, wanted: str | None, path: str, *, by_name: bool) -> str | None:
    """Return the compression of a sink's files; None for no compression.

    Parameters
    ----------
    kind
        The format, and the compression that the name implies.
    wanted
        The compression that was asked for, or None.
    path
        The path of the sink, for errors.
    by_name
        Whether readers learn the compression from the path.

    Raises
    ------
    PlanError
        The format does not have this compression, or the name implies another one; or such files are only read.
    """
    if kind.format not in _COMPRESSIONS:
        raise PlanError(
            f"{kind.format} files are only read",
            expected=", ".join(map(repr, _COMPRESSIONS)),
            found=repr(path),
            hint="write format='csv' or 'ndjson', or write the lines by Sink.to_fn(fn)"
            if kind.format == "lines"
            else "write CSV, which spreadsheets open",
        )
    known = _COMPRESSIONS[kind.format]
    chosen = wanted or kind.compression
    if chosen is not None and chosen not in known:
        raise PlanError(
            f"{a_file(kind.format)} cannot be compressed with {chosen!r}",
            expected=", ".join(map(repr, known)),
            found=repr(wanted or path),
            hint=(nearest_value(chosen, known) or "leave compression out for the default")
            if wanted
            else "choose another name",
        )
    if kind.format in TEXT_FORMATS and by_name and wanted not in (None, kind.compression or "none"):
        raise PlanError(
            f"compression={wanted!r} is not what the file's name tells",
            expected="a name that ends in .gz for gzip, in .zst for zstd, in neither for none",
            found=Path(path).name,
            hint="rename the file and leave compression out",
        )
    chosen = chosen or known[0]
    return None if chosen == "none" else chosen


def folder_kind(path: str, format: str | None, *, by_partitions: bool) -> FileKind:
    """Return the kind of the part files in a folder.

    Parameters
    ----------
    path
        The path of the sink.
    format
        The format that was asked for, or None.
    by_partitions
        Whether only the partitions show that the path is a folder.

    Raises
    ------
    PlanError
        The path looks like a file.
    """
    if format is not None:
        return FileKind(format_named(format))
    kind = kind_of(path.rstrip("/"))
    if kind is not None and by_partitions:
        raise PlanError(
            f"partition_by makes a folder, and {printable(path)!r} looks like a file",
            expected="the name of a folder, such as 'out/'",
            found=printable(path),
            hint=f"write '{printable(path)}/' if the folder is to have this name, or pass format=",
        )
    return kind or FileKind("parquet")


def check_level(level: int | None, compression: str | None, format: Format) -> None:
    """Raise PlanError unless files of this format and compression have this level of compression."""
    levels = _LEVELS.get(compression or "none", range(0)) if format != "ipc" else range(0)
    if level is not None and level not in levels:
        raise PlanError(
            f"compression_level={level} does not fit",
            expected=f"{levels[0]} to {levels[-1]}" if levels else "zstd or gzip, in Parquet or text",
            found=f"{level} for {compression or 'no compression'} in {format}",
            hint="leave compression_level out for a fast one",
        )


def check_parquet_only(format: Format, row_group_size: int | None, statistics: bool) -> None:
    """Raise PlanError if options of Parquet files are given for another format, or out of range."""
    if row_group_size is not None and (row_group_size < 1 or format != "parquet"):
        raise PlanError(
            "row_group_size is the number of rows in a row group of Parquet",
            expected="a Parquet file, and at least 1 row",
            found=f"row_group_size={row_group_size} for {format}",
            hint="leave it out",
        )
    if not statistics and format != "parquet":
        raise PlanError(
            "statistics are a part of Parquet files",
            expected="a Parquet file",
            found=f"statistics=False for {format}",
            hint="leave it out",
        )


def check_layout(format: Format, delimiter: str, layout: CsvLayout) -> None:
    """Raise PlanError if options of CSV files are given for another format, or do not fit to its delimiter."""
    if layout.given and format != "csv":
        raise PlanError(
            f"{' and '.join(layout.given)} {'is' if len(layout.given) == 1 else 'are'} for CSV files",
            expected="a CSV file, or format='csv'",
            found=a_file(format),
            hint="leave it out" if len(layout.given) == 1 else "leave them out",
        )
    replace(layout, delimiter=delimiter)  # raises


def check_order(by: tuple[str, ...], schema: pl.Schema) -> None:
    """Raise SchemaError unless rows of a file can be sorted by these columns."""
    for name in by:
        if name not in schema:
            raise SchemaError(
                f"there is no column {name!r} in the files to sort by",
                expected=f"some of {', '.join(map(repr, schema))}",
                found=repr(name),
                hint=did_you_mean(name, schema) or "compute the column before the sink",
            )
        if isinstance(schema[name], pl.Struct | pl.List | pl.Array | pl.Object | pl.Null):
            raise SchemaError(
                f"rows are not sorted by column {name!r} of type {schema[name]}",
                expected="a column of numbers, texts, times or booleans",
                found=str(schema[name]),
                hint="sort by a part of it, as a column of its own",
            )


def part_suffix(format: Format, compression: str | None) -> str:
    """Return the suffix of part files."""
    packed = "".join(suffix for suffix, name in COMPRESSION_SUFFIXES.items() if name == compression)
    return _SUFFIXES[format] + (packed if format in TEXT_FORMATS else "")
