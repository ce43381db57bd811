"""Rows of files: Parquet, CSV, NDJSON, JSON, Arrow IPC, Avro, Excel and lines of text."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import polars as pl

from arrowstream.core.mistakes.explain import explain_calls, explain_names
from arrowstream.core.mistakes.other_names import SOURCE
from arrowstream.core.plural import counted
from arrowstream.core.snapshot_store import SourcePosition
from arrowstream.core.step_context import StepContext
from arrowstream.errors import ArrowstreamError
from arrowstream.expressions.text import conjunction_text
from arrowstream.io.files.columnar.parquet_footer import row_groups, size_text
from arrowstream.io.files.formats import TEXT_FORMATS
from arrowstream.io.files.hive_columns import needed_files, partition_columns
from arrowstream.io.files.listing import ListedFile
from arrowstream.io.files.paths import can_be_resumed, printable
from arrowstream.io.files.reader import FileReader
from arrowstream.io.files.reading.arguments import FileArguments
from arrowstream.io.files.reading.file_table import FileTable
from arrowstream.io.files.reading.progress import ReadProgress
from arrowstream.io.files.reading.remaining import remaining
from arrowstream.io.files.reading.watching import WatchingReader
from arrowstream.io.files.reading.written_paths import in_full
from arrowstream.io.files.remote.urls import is_url
from arrowstream.io.files.schema import CHECKED_AT_BUILD, check_path_column, stored_schema
from arrowstream.io.files.tables import open_file
from arrowstream.io.files.text.bad.left_out import LeftOut
from arrowstream.io.sink import SinkSpec
from arrowstream.io.source import BlockingReader, Query, SourceSpec


@explain_names("a source", SOURCE)
@explain_calls
@dataclass(frozen=True, slots=True)
class FileSource(FileArguments, SourceSpec):
    r"""Source of the rows of files, in the order of the files and of their rows; see `FileArguments`.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "prices.csv"
    >>> _ = file.write_text("item;price\ntea;3\n")
    >>> dict(FileSource.of(file).with_delimiter(";").schema())
    {'item': String, 'price': Int64}
    """

    _known: list[tuple[pl.Schema, pl.Schema]] = field(
        default_factory=list, init=False, compare=False, repr=False
    )
    """Columns found first: every run reads those that the pipeline was built for."""
    _seen: list[ListedFile] = field(default_factory=list, init=False, compare=False, repr=False)
    """The first file when the columns were found."""

    @property
    def label(self) -> str:
        try:
            files, format = self._files(), self._first.kind.format
        except ArrowstreamError:
            return self.brief
        skips = ", bad rows are skipped" if self.bad_rows == "skip" else ""
        watched = "" if self.watch_s is None else f", watched every {self.watch_s:g} s"
        return f"{self.brief} ({format}, {counted(len(files), 'files')}{watched}{skips})"

    @property
    def brief(self) -> str:
        return f"file {', '.join(map(printable, self.paths))}"

    @property
    def at_hand(self) -> bool:
        return not any(map(is_url, self.paths)) and all(map(can_be_resumed, self.paths))

    @property
    def endless(self) -> bool:
        return self.watch_s is not None

    @property
    def identity(self) -> str:
        return f"file {', '.join(map(printable, sorted(self.paths)))}{self.options_identity}"

    @property
    def identity_in_full(self) -> str:
        return f"file {in_full(self.paths)}{self.options_identity}"

    def schema(self) -> pl.Schema:
        stored, partitions = self._columns(self._files())
        return self._typed(stored, partitions)

    @property
    def pushdown(self) -> Literal["columns", "query"]:
        format = self.format or self._first.kind.format
        return "columns" if format in TEXT_FORMATS else "query"

    @property
    def bad_rows_sink(self) -> SinkSpec | None:
        return self.bad_rows.side_output if isinstance(self.bad_rows, SinkSpec) else None

    def with_bad_rows_sink(self, sink: SinkSpec) -> FileSource:
        return self if self.bad_rows_sink is None else replace(self, bad_rows=sink)

    @property
    def constant_columns(self) -> frozenset[str]:
        partitions = frozenset(name for name, _ in self._first.partitions)
        # A column that some files lack is null there, and `fill_null` makes it a constant.
        return partitions | (
            frozenset(self.schema()) if self.evolution.missing_columns == "insert" else set()
        )

    @property
    def resumable(self) -> bool:
        return all(map(can_be_resumed, self.paths))

    def open(
        self, context: StepContext, query: Query | None = None, resume: SourcePosition | None = None
    ) -> BlockingReader:
        progress, files, skipped = ReadProgress(self.paths, resume), *self._listed()
        table = self._table(files, query)
        if self.watch_s is not None:
            return WatchingReader(self.selection, table, progress, self.watch_s, context)
        left = remaining([] if files[0] in skipped else files, progress)
        known = [file for file in files if progress.done and progress.done.count(str(file.path))]
        left_out = LeftOut(skipped, known, note_bad_rows=self.bad_rows == "skip")
        partitions = partition_columns(left or files[:1], self._columns(files)[1])
        return FileReader(table, left, partitions, progress, left_out, progress.start)

    def _table(self, files: tuple[ListedFile, ...], query: Query | None) -> FileTable:
        stored, partitions = self._columns(files)
        first = files[0] if files else self._first
        return FileTable(
            first,
            self.text_options(first),
            stored,
            self._typed(stored, partitions),
            query,
            self.strict_keys,
            self.evolution,
            self.bad_rows,
            self.batch_rows,
        )

    def explain_read(self, query: Query) -> tuple[str, ...]:
        files, skipped = self._listed()
        table = self._table(files, query)
        found, schema = table.pushed, table.schema
        chosen = list(found.columns)
        names = f" ({', '.join(chosen)})" if len(chosen) < len(schema) else ""
        lines = [f"columns: {len(chosen)} of {len(schema)}{names}"]
        if found.predicate is not None:
            lines.append(f"filter: {conjunction_text(found.predicate)}")
        if not files:
            return tuple(lines)
        needed = needed_files(found.predicate, partition_columns(files, self._columns(files)[1]), len(files))
        if len(needed) < len(files):
            lines.append(f"files: {len(needed)} of {len(files)}")
        if files[0].kind.format == "parquet" and len(files) <= CHECKED_AT_BUILD and files[0] not in skipped:
            groups = [row_groups(open_file(file.path), chosen) for file in files]
            read = sum(group.stored for number in needed for group in groups[number])
            whole = sum(group.whole for file in groups for group in file)
            lines.append(f"bytes: {size_text(read)} of {size_text(whole)}")
        return tuple(lines)

    @property
    def _first(self) -> ListedFile:
        """A file that has the format and the partition keys of all files."""
        return self._seen[0] if self._seen else self.selection.first

    def _files(self) -> tuple[ListedFile, ...]:
        return self._listed()[0]

    def _listed(self) -> tuple[tuple[ListedFile, ...], tuple[ListedFile, ...]]:
        """Return the files to read, and those without content that are left out."""
        selection = self.selection
        files, skipped = selection.files()
        self.check(files[0] if files else selection.stand_in)
        return files, skipped

    def _columns(self, files: tuple[ListedFile, ...]) -> tuple[pl.Schema, pl.Schema]:
        """Return the columns inside the files, and those of their partitions."""
        if not self._known:
            given, path = self.given, self.include_file_paths
            if path is not None:
                given = pl.Schema({**given, path: pl.String()})
            first = files[0] if files else self._first
            options, aside = self.text_options(first), self.bad_rows != "error"
            stored = stored_schema(
                files or (first,),
                options,
                given,
                self.evolution,
                aside=aside,
                skip_empty=self.skip_empty,
                is_there=bool(files),
            )
            if path is not None:
                check_path_column(path, stored, first)
            self._known.append((stored, partition_columns(files or (first,), given).schema))
            self._seen.append(first)
        return self._known[0]

    def _typed(self, stored: pl.Schema, partitions: pl.Schema) -> pl.Schema:
        both = {**stored, **partitions}
        return pl.Schema({name: self.given.get(name, dtype) for name, dtype in both.items()})
