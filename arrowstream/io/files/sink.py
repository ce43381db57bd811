"""Files as a sink: one file, a folder of part files, or Hive partitions."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import polars as pl

from arrowstream.core.mistakes.explain import explain_calls, explain_names
from arrowstream.core.mistakes.other_names import SINK
from arrowstream.core.step_context import StepContext
from arrowstream.errors import PlanError, SinkError, SourceError
from arrowstream.io.files.column_types import check_types
from arrowstream.io.files.folder_writer import FolderWriter
from arrowstream.io.files.formats import (
    COMPRESSION_SUFFIXES,
    TEXT_FORMATS,
    FileKind,
    Format,
    detect,
    format_named,
    kind_of,
)
from arrowstream.io.files.hive_folders import Partitions
from arrowstream.io.files.output.encoders import encoder_for, unit_rows
from arrowstream.io.files.output.growing_file import GrowingFile
from arrowstream.io.files.output.stream_file import StreamFile, is_stream
from arrowstream.io.files.paths import local, path_text, printable
from arrowstream.io.files.search.walk import files_in
from arrowstream.io.files.sink_errors import sink_errors
from arrowstream.io.files.staging.base import Staging
from arrowstream.io.files.staging.filled_folder import FilledFolder
from arrowstream.io.files.staging.journal import finish_interrupted
from arrowstream.io.files.staging.new_folder import NewFolder
from arrowstream.io.files.staging.single_file import StagedFile
from arrowstream.io.files.staging.unfinished import is_partition
from arrowstream.io.files.writer import SingleFileWriter
from arrowstream.io.sink import BlockingWriter, SinkSpec

ROWS_PER_FILE: Final = 4_194_304
"""Default number of rows per part file: 16 row groups of Parquet."""

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


@explain_names("a sink", SINK)
@explain_calls
@dataclass(frozen=True)
class FileSink(SinkSpec):
    """Sink that writes rows into files, which get their final names only when the run has succeeded.

    With `partition_by`, or if the path ends in ``/`` or is a folder, the sink writes part files
    ``part-00000.parquet``, ``part-00001.parquet``, ... into that folder; any other path is one file. An existing file
    is replaced. A folder that holds data files is refused, except with `overwrite`.

    Parameters
    ----------
    path
        A file or a folder. A missing folder is created, but the parent folder of a single file must exist. A symbolic
        link is followed; a pipe, a character device or ``/dev/stdout`` gets the rows as they come.
    format
        ``"parquet"``, ``"csv"``, ``"ndjson"``, ``"json"`` (one array of objects), ``"ipc"`` (Arrow's file
        format, also called Feather) or ``"avro"``. None to take it from the name; Parquet for a folder.
    partition_by
        Columns whose values become folders, as in ``day=2013-01-01/part-00000.parquet``.
    compression
        parquet: ``"zstd"`` (the default, level 1), ``"snappy"``, ``"lz4"``, ``"gzip"``, ``"none"``;
        ipc: ``"none"`` (the default), ``"lz4"``, ``"zstd"``; avro: ``"none"`` (the default), ``"deflate"``,
        ``"snappy"``; text formats in a folder: ``"none"`` (the default),
        ``"gzip"``, ``"zstd"``. A single text file is compressed as its name says (``.gz``, ``.zst``).
    overwrite
        Replace the data files of this format in the folder.
    max_rows_per_file
        Most rows in a part file; None for `ROWS_PER_FILE`.

    Raises
    ------
    PlanError
        The arguments do not fit together. Raised by `check` and `open`, as the arguments can change until then.

    Notes
    -----
    JSON has neither NaN nor infinity: they become null. Decimals and times become strings there, and CSV
    keeps no types. Parquet and IPC give back exactly the rows that were written.

    A replaced file keeps its mode and owner. A replaced folder is exchanged for the new one in one step, if the file
    system can do that; otherwise files are moved one by one, and a reader may see old and new ones meanwhile. A run
    killed during these moves leaves a ``.*.publishing`` file: sources refuse the folder, and the next sink of the
    folder finishes the moves. A run killed earlier leaves a hidden ``.*.inprogress`` file or folder; the next run to
    the same place logs its name.

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
    overwrite: bool = False
    max_rows_per_file: int | None = None

    @classmethod
    def of(
        cls,
        path: str | os.PathLike[str],
        *,
        format: str | None = None,
        partition_by: str | Sequence[str] = (),
        compression: str | None = None,
        overwrite: bool = False,
        max_rows_per_file: int | None = None,
    ) -> FileSink:
        """Make a sink with the class's parameters; `partition_by` may also be the name of one column.

        Raises
        ------
        PlanError
            The path is a URL, or cannot be the name of a file.
        """
        columns = (partition_by,) if isinstance(partition_by, str) else tuple(partition_by)
        return cls(path_text("to_file", path), format, columns, compression, overwrite, max_rows_per_file)

    def with_format(self, format: str) -> FileSink:
        """Return the same sink with another format, whatever the file's name says."""
        return replace(self, format=format)

    @property
    def label(self) -> str:
        kind = self._kind()
        compression = self._compression(kind)
        details = ", ".join([kind.format, *([compression] if compression else [])])
        if not self._is_folder:
            return f"file {printable(self.path)} ({details})"
        partitions = "".join(f"{name}=*/" for name in self.partition_by)
        return f"files {printable(self.path).rstrip('/')}/{partitions} ({details})"

    @property
    def place(self) -> str | None:
        with sink_errors("cannot write to", self.path):
            return str(self._local.resolve())

    @property
    def needs_schema(self) -> bool:
        return True

    @property
    def guarantee(self) -> str:
        if self._is_stream:
            return "none: a device or pipe gets the rows as they come, also those of a run that fails"
        if self._is_folder and self._target.is_dir():
            return "no partial files: all of them appear at the end of a run that has succeeded"
        return "atomic: the final name appears only when the run has succeeded"

    def check(self, schema: pl.Schema) -> None:
        kind = self._kind()
        self._compression(kind)
        self._rows_per_file()
        partitions = Partitions(self.partition_by)
        partitions.check(schema)
        check_types(kind.format, partitions.file_schema(schema))

    def open(self, schema: pl.Schema, context: StepContext) -> BlockingWriter:
        """Start writing.

        Raises
        ------
        SinkError
            The place cannot be written to, or already holds data files.
        """
        self.check(schema)
        kind = self._kind()
        compression = self._compression(kind)
        target = self._target
        if not self._is_folder:
            encoder = encoder_for(kind.format, schema, compression, kind.delimiter)
            if self._is_stream:
                stream = StreamFile(self._local)
                return SingleFileWriter(stream, stream, encoder, unit_rows(kind.format))
            staged = StagedFile(target)
            file = GrowingFile(lambda: staged.path, target)
            return SingleFileWriter(staged, file, encoder, unit_rows(kind.format))
        return FolderWriter(
            self._stage(target, kind.format),
            target,
            partitions=Partitions(self.partition_by),
            new_encoder=partial(encoder_for, kind.format, compression=compression),
            suffix=_suffix(kind.format, compression),
            max_rows=self._rows_per_file(),
            unit_rows=unit_rows(kind.format),
            schema=schema,
        )

    @property
    def _local(self) -> Path:
        """The path with the user's home folder in place of ``~``."""
        with sink_errors("cannot write to", self.path):
            return local(self.path)

    @property
    def _target(self) -> Path:
        """File or folder that is written or replaced, with symbolic links followed."""
        path = self._local
        with sink_errors("cannot write to", path):
            return path.resolve() if path.is_symlink() else path

    @property
    def _is_stream(self) -> bool:
        """True if the rows go to a device, a pipe or a descriptor, which is written to and never replaced."""
        with sink_errors("cannot write to", self._local):
            return not self.path.endswith("/") and not self.partition_by and is_stream(self._local)

    @property
    def _is_folder(self) -> bool:
        with sink_errors("cannot write to", self._local):
            return self.path.endswith("/") or bool(self.partition_by) or self._local.is_dir()

    def _kind(self) -> FileKind:
        kind = self._named_kind()
        if kind.format not in _SUFFIXES:
            raise PlanError(
                f"{kind.format} files are only read",
                expected=", ".join(map(repr, _SUFFIXES)),
                found=repr(self.format or self.path),
                hint="write CSV, which spreadsheets open",
            )
        return kind

    def _named_kind(self) -> FileKind:
        if not self._is_folder:
            return detect(self.path, self.format)
        if self.format is not None:
            return FileKind(format_named(self.format))
        return kind_of(self.path.rstrip("/")) or FileKind("parquet")

    def _compression(self, kind: FileKind) -> str | None:
        """Return the compression to use; None for no compression."""
        known = _COMPRESSIONS[kind.format]
        wanted = self.compression or kind.compression
        if wanted is not None and wanted not in known:
            raise PlanError(
                f"a {kind.format} file cannot be compressed with {wanted!r}",
                expected=", ".join(map(repr, known)),
                found=repr(wanted if self.compression else self.path),
                hint="leave compression out for the default" if self.compression else "choose another name",
            )
        by_name = kind.compression or "none"
        named = not self._is_folder and not self._is_stream
        if kind.format in TEXT_FORMATS and named and self.compression not in (None, by_name):
            raise PlanError(
                f"compression={self.compression!r} is not what the file's name tells",
                expected="a name that ends in .gz for gzip, in .zst for zstd, in neither for none",
                found=Path(self.path).name,
                hint="rename the file and leave compression out",
            )
        chosen = self.compression or kind.compression or known[0]
        return None if chosen == "none" else chosen

    def _rows_per_file(self) -> int:
        if self.max_rows_per_file is None:
            return ROWS_PER_FILE
        if self.max_rows_per_file < 1 or not self._is_folder:
            raise PlanError(
                "max_rows_per_file is the number of rows in each part file of a folder",
                expected="a folder, and at least 1 row",
                found=f"max_rows_per_file={self.max_rows_per_file} for {self.path}",
                hint="end the path with '/' to write part files",
            )
        return self.max_rows_per_file

    def _stage(self, target: Path, format: Format) -> Staging:
        if not target.exists():
            return NewFolder(target)
        if not target.is_dir():
            raise SinkError(
                f"{target} is a file",
                expected="a folder, or a name that is free, since part files are to be written",
                hint="choose another name, or delete the file",
            )
        finish_interrupted(target)
        try:
            found = list(_data_files(target))
        except SourceError as error:
            raise SinkError(error.what, found=error.found, hint=error.hint) from error
        if found and not self.overwrite:
            raise SinkError(
                f"{target} already holds data files",
                expected="an empty folder, or none",
                found=f"{len(found)} files, such as {found[0][0].relative_to(target)}",
                hint="choose another folder, or pass overwrite=True to replace them",
            )
        others = [(file, held) for file, held in found if held != format]
        if others:
            raise SinkError(
                f"{target} holds data files of another format",
                expected=f"{format} files, which overwrite=True replaces",
                found=f"{len(others)} others, such as {others[0][0].relative_to(target)} ({others[0][1]})",
                hint="a folder of two formats cannot be read again: choose another one, or delete those files",
            )
        return FilledFolder(target, (file for file, _ in found))


def _suffix(format: Format, compression: str | None) -> str:
    """Return the suffix of part files."""
    packed = "".join(suffix for suffix, name in COMPRESSION_SUFFIXES.items() if name == compression)
    return _SUFFIXES[format] + (packed if format in TEXT_FORMATS else "")


def _data_files(folder: Path) -> Iterator[tuple[Path, Format]]:
    """Yield the data files in a folder and its partitions, with their formats; all other files are left alone."""
    for path in files_in(folder, enter=is_partition):
        if (kind := kind_of(path)) is not None:
            yield path, kind.format
