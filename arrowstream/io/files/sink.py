"""Files as a sink: one file, a folder of part files, or Hive partitions."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import polars as pl

from arrowstream.core.checks import column_names
from arrowstream.core.duration import Duration
from arrowstream.core.mistakes.explain import explain_calls, explain_names
from arrowstream.core.mistakes.other_names import SINK
from arrowstream.core.step_context import StepContext
from arrowstream.io.files.column_types import check_types
from arrowstream.io.files.destination.encoding import (
    check_layout,
    check_level,
    check_order,
    check_parquet_only,
    compression_of,
    folder_kind,
)
from arrowstream.io.files.destination.opening import open_files
from arrowstream.io.files.destination.part_limits import PartLimits, part_limits
from arrowstream.io.files.destination.resolved import ResolvedSink, json_part
from arrowstream.io.files.destination.write_mode import (
    Kind,
    Mode,
    check_mode,
    default_mode,
    mode_of,
)
from arrowstream.io.files.epochs.opening import check_grows, guarantee, open_epochs
from arrowstream.io.files.formats import FileKind, Format, detect
from arrowstream.io.files.hive_folders import HivePartitions
from arrowstream.io.files.output.encoders import RowGroups
from arrowstream.io.files.output.stream_file import is_stream
from arrowstream.io.files.paths import local, path_text, printable
from arrowstream.io.files.reading.written_paths import in_full
from arrowstream.io.files.sink_errors import sink_errors
from arrowstream.io.files.text.options.csv_layout import PLAIN, CsvLayout
from arrowstream.io.sink import JsonPart, SinkSpec
from arrowstream.io.writer import BlockingWriter


@explain_names("a sink", SINK)
@explain_calls
@dataclass(frozen=True)
class FileSink(SinkSpec):
    """Sink that writes rows into files, which get their final names only when the run has succeeded.

    With `partition_by`, or if the path ends in ``/`` or is a folder, the sink writes part files into that folder;
    any other path is one file.

    Parameters
    ----------
    path
        A file or a folder. A missing folder is created, but the parent folder of a single file must exist. A symbolic
        link is followed; a pipe, a character device, ``/dev/stdout`` or ``"-"``, which is standard output, gets the
        bytes as they are encoded: rows of text that is not compressed as they come.
    format
        ``"parquet"``, ``"csv"``, ``"ndjson"``, ``"json"`` (one array of objects), ``"ipc"`` (Arrow's file
        format, also called Feather) or ``"avro"``. None to take it from the name; Parquet for a folder.
    partition_by
        Columns whose values become folders, as in ``day=2013-01-01/part-00000.parquet``.
    compression
        parquet: ``"zstd"`` (the default, level 1), ``"snappy"``, ``"lz4"``, ``"gzip"``, ``"none"``;
        ipc: ``"none"`` (the default), ``"lz4"``, ``"zstd"``; avro: the same, ``"deflate"``, ``"snappy"``;
        text in a folder: the same, ``"gzip"``, ``"zstd"``. One text file is packed as its name says (``.gz``).
    mode
        What happens to rows that the target holds: ``"append"``, ``"overwrite"``, ``"overwrite_partitions"`` or
        ``"error"``. By default a file is overwritten, and a folder that holds data files is an error.
    max_rows_per_file
        Most rows in a part file; None for 4,194,304.
    max_bytes_per_file
        Bytes after which a part file ends; None for no limit.
    roll_every
        Time after which part files end, as in ``"10m"``; None for no limit.
    sort_by
        Columns by which the rows of each file are sorted.
    row_group_size, statistics, compression_level
        Of Parquet files, and the level also of compressed text.
    layout
        How CSV files are written.
    side
        True for late rows and dead letters, which are appended by default.
    epochs
        True in a run with checkpoints, in which rows become visible epoch by epoch.

    Raises
    ------
    PlanError
        The arguments do not fit together. Raised by `check` and `open`, as the arguments can change until then.

    Notes
    -----
    JSON has neither NaN nor infinity: they become null, counted. Decimals and times become strings there, and CSV
    keeps no types. Parquet and IPC give back exactly the rows that were written.

    A replaced file keeps its mode and owner. A replaced folder is exchanged for the new one in one step, if the file
    system can do that; otherwise files are moved one by one, and a reader may see old and new ones meanwhile. A run
    killed during these moves leaves a ``.*.publishing`` file: sources refuse the folder, and the next sink of the
    folder finishes the moves. A run killed earlier leaves a hidden ``.*.inprogress`` file or folder; the next run to
    the same place removes it, and logs its name.

    With checkpoints, part files and the ends of text files become visible epoch by epoch (`io/files/epochs/`).

    Examples
    --------
    >>> sink = FileSink.of("out.json").with_format("ndjson")
    >>> sink.label
    'file out.json (ndjson)'
    >>> FileSink.of("flights/", partition_by=["month"]).label
    'files flights/month=*/ (parquet, zstd)'
    """

    path: str
    format: str | None = None
    partition_by: tuple[str, ...] = ()
    compression: str | None = None
    mode: Mode | None = None
    max_rows_per_file: int | None = None
    max_bytes_per_file: int | None = None
    roll_every: Duration | None = None
    sort_by: tuple[str, ...] = ()
    row_group_size: int | None = None
    statistics: bool = True
    compression_level: int | None = None
    layout: CsvLayout = PLAIN
    side: bool = False
    epochs: bool = False

    @classmethod
    def of(
        cls,
        path: str | os.PathLike[str],
        *,
        format: str | None = None,
        partition_by: str | Sequence[str] = (),
        compression: str | None = None,
        overwrite: bool = False,
        mode: str | None = None,
        max_rows_per_file: int | None = None,
        max_bytes_per_file: int | None = None,
        roll_every: Duration | None = None,
        sort_by: str | Sequence[str] = (),
        row_group_size: int | None = None,
        statistics: bool = True,
        compression_level: int | None = None,
        layout: CsvLayout = PLAIN,
    ) -> FileSink:
        """Make a sink with the class's parameters.

        Parameters
        ----------
        partition_by
            Names of columns, or one name; so for `sort_by`.
        overwrite
            Short for ``mode="overwrite"``.

        Raises
        ------
        PlanError
            The path is a URL, or cannot be the name of a file; or no mode has this name.
        """
        text = path_text("to_file", path)
        return cls(
            "/dev/stdout" if text == "-" else text,
            format,
            column_names("partition_by", partition_by),
            compression,
            mode_of(mode, overwrite),
            max_rows_per_file,
            max_bytes_per_file,
            roll_every,
            column_names("sort_by", sort_by),
            row_group_size,
            statistics,
            compression_level,
            layout,
        )

    def with_format(self, format: str) -> FileSink:
        """Return the same sink with another format, whatever the file's name says."""
        return replace(self, format=format)

    @property
    def label(self) -> str:
        place = self._place_kind
        kind = self._kind(place)
        return self._described(", ".join(filter(None, (kind.format, self._compression(kind, place)))))

    @property
    def identity(self) -> str:
        return self._described(self._format_identity)

    @property
    def identity_in_full(self) -> str:
        return self._described(self._format_identity, in_full([self.path]))

    @property
    def _format_identity(self) -> str:
        """The format, and the options that change the text of rows."""
        kind = self._kind(self._place_kind)
        plain = replace(self, layout=PLAIN)._kind(self._place_kind)
        delimiter = () if kind.delimiter == plain.delimiter else (f"delimiter={kind.delimiter!r}",)
        return ", ".join((kind.format, *delimiter, *self.layout.identity))

    def _described(self, details: str, path: str | None = None) -> str:
        path = printable(self.path) if path is None else path
        if self._place_kind != "folder":
            return f"file {path} ({details})"
        partitions = "".join(f"{name}=*/" for name in self.partition_by)
        return f"files {path.rstrip('/')}/{partitions} ({details})"

    @property
    def place(self) -> str | None:
        with sink_errors("cannot write to", self.path):
            return str(self._local.resolve())

    @property
    def needs_schema(self) -> bool:
        return True

    @property
    def guarantee(self) -> str:
        if self.epochs:
            return guarantee(self.resolved)
        place = self._place_kind
        if place == "stream":
            return "none: a device or pipe gets the rows as they come, also those of a run that fails"
        rolls = place == "folder" and self._limits(place).rolls
        if rolls and self._mode(self._kind(place).format, place) == "append":
            return "at least once: each file appears once it is complete, and stays if the run fails later"
        if place == "folder" and self._target.is_dir():
            return "no partial files: all of them appear at the end of a run that has succeeded"
        return "atomic: the final name appears only when the run has succeeded"

    @property
    def exactly_once(self) -> bool:
        return True

    def with_checkpoints(self) -> FileSink:
        sink = replace(self, epochs=True)
        check_grows(sink.resolved, self.label)
        return sink

    @cached_property
    def side_output(self) -> FileSink:
        return replace(self, side=True)

    def check(self, schema: pl.Schema) -> None:
        place = self._place_kind
        kind = self._kind(place)
        check_level(self.compression_level, self._compression(kind, place), kind.format)
        check_parquet_only(kind.format, self.row_group_size, self.statistics)
        check_layout(kind.format, kind.delimiter, self.layout)
        self._limits(place)
        check_mode(self._mode(kind.format, place), place, kind.format, bool(self.partition_by))
        partitions = HivePartitions(self.partition_by)
        partitions.check(schema)
        self.layout.check_columns(partitions.file_schema(schema))
        check_types(kind.format, partitions.file_schema(schema))
        check_order(self.sort_by, partitions.file_schema(schema))

    def json_part(self, schema: pl.Schema) -> JsonPart | None:
        return json_part(self._kind(self._place_kind), self.partition_by, schema)

    def open(self, schema: pl.Schema, context: StepContext) -> BlockingWriter:
        """Start writing.

        Raises
        ------
        SinkError
            The place cannot be written to, or already holds data files.
        SchemaError
            It holds rows of other columns, to which these cannot be appended.
        """
        self.check(schema)
        if self.epochs:
            return open_epochs(self.resolved, schema, context)
        return open_files(self.resolved, self._local, schema, context)

    @property
    def resolved(self) -> ResolvedSink:
        """What is written, and where."""
        place = self._place_kind
        kind, limits = self._kind(place), self._limits(place)
        return ResolvedSink(
            self._target if place != "stream" else self._local,
            place,
            kind,
            self._compression(kind, place),
            self._mode(kind.format, place),
            limits,
            HivePartitions(self.partition_by),
            self.sort_by,
            RowGroups(self.row_group_size, limits.waiting_bytes, self.statistics),
            self.compression_level,
        )

    @property
    def _local(self) -> Path:
        """The path with the user's home folder in place of ``~``."""
        with sink_errors("cannot write to", self.path):
            return local(self.path)

    @property
    def _target(self) -> Path:
        """File or folder that is written or replaced, with symbolic links followed."""
        with sink_errors("cannot write to", path := self._local):
            return path.resolve() if path.is_symlink() else path

    @property
    def _place_kind(self) -> Kind:
        """What the path names now; a stream is a device, pipe or descriptor, written to and never replaced."""
        with sink_errors("cannot write to", path := self._local):
            if self.path.endswith("/") or self.partition_by:
                return "folder"
            if is_stream(path):
                return "stream"
            return "folder" if path.is_dir() else "file"

    def _mode(self, format: Format, place: Kind) -> Mode:
        return self.mode or ("append" if self.epochs else default_mode(place, format, self.side))

    def _kind(self, place: Kind) -> FileKind:
        if place != "folder":
            return detect(self.path, self.format, written=True).laid_out(self.layout)
        by_partitions = not self.path.endswith("/") and not self._local.is_dir()
        return folder_kind(self.path, self.format, by_partitions=by_partitions).laid_out(self.layout)

    def _compression(self, kind: FileKind, place: Kind) -> str | None:
        """Return the compression to use; None for no compression."""
        return compression_of(kind, self.compression, self.path, by_name=place == "file")

    def _limits(self, place: Kind) -> PartLimits:
        """Return where part files end."""
        return part_limits(
            self.max_rows_per_file,
            self.max_bytes_per_file,
            self.roll_every,
            self.path if place == "folder" else None,
            self._mode(self._kind(place).format, place),
        )
