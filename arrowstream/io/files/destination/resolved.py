"""A file sink whose path has been looked at: where it writes, and in which files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from arrowstream.core.step_context import StepContext
from arrowstream.io.files.destination.encoding import part_suffix
from arrowstream.io.files.destination.part_limits import PartLimits
from arrowstream.io.files.destination.write_mode import Kind, Mode
from arrowstream.io.files.formats import FileKind
from arrowstream.io.files.hive_folders import HivePartitions
from arrowstream.io.files.output.encoder import FileEncoder
from arrowstream.io.files.output.encoders import RowGroups, encoder_for, unit_rows
from arrowstream.io.files.output.sorting_encoder import SortingEncoder
from arrowstream.io.sink import JsonPart


@dataclass(frozen=True, slots=True)
class ResolvedSink:
    """What a file sink writes.

    Parameters
    ----------
    target
        The file or folder, with symbolic links followed; a stream as it was named.
    place
        What the path names.
    kind
        Format of the files, and the layout of CSV.
    compression
        Compression of the files; None for none.
    mode
        What happens to rows that the target holds.
    limits
        Where part files end.
    partitions
        Columns whose values name the folders.
    sort_by
        Columns by which the rows of each file are sorted.
    groups
        Row groups of Parquet.
    level
        Level of the compression; None for a fast one.
    """

    target: Path
    place: Kind
    kind: FileKind
    compression: str | None
    mode: Mode
    limits: PartLimits
    partitions: HivePartitions
    sort_by: tuple[str, ...]
    groups: RowGroups
    level: int | None

    @property
    def unit_rows(self) -> int:
        """Number of rows that are encoded together."""
        return unit_rows(self.kind.format)

    @property
    def part_suffix(self) -> str:
        """Suffix of part files, such as ``".csv.gz"``."""
        return part_suffix(self.kind.format, self.compression)

    def encoder(
        self, context: StepContext, schema: pl.Schema, *, header: bool = True, newline: str = "\n"
    ) -> FileEncoder:
        """Make the encoder of files of this schema.

        Parameters
        ----------
        context
            The context of the sink.
        schema
            Schema of the rows in the files.
        header, newline
            Of CSV, as for `encoder_for`.
        """
        encoder = encoder_for(
            self.kind.format,
            schema,
            self.compression,
            self.kind.delimiter,
            self.kind.layout,
            header=header,
            newline=newline,
            level=self.level,
            groups=self.groups,
            flows=self.place == "stream" or self.limits.nbytes is not None,
        )
        if not self.sort_by:
            return encoder
        return SortingEncoder(encoder, self.sort_by, context.memory, context.id, self.unit_rows)


def json_part(kind: FileKind, partitions: Sequence[str], schema: pl.Schema) -> JsonPart | None:
    """Return what gives the columns in files of a kind, if these are JSON; see `SinkSpec.json_part`."""
    names = HivePartitions(tuple(partitions)).file_schema(schema).names()
    return (lambda rows: rows.select(names)) if kind.format in ("ndjson", "json") else None
