"""Rows of files: Parquet, CSV, NDJSON, JSON, Arrow IPC, Avro, Excel and lines of text."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import polars as pl

from arrowstream.core.checks import check_whole
from arrowstream.core.mistakes.explain import explain_calls, explain_names
from arrowstream.core.mistakes.other_names import SOURCE
from arrowstream.core.plural import counted
from arrowstream.core.snapshot_store import SourcePosition
from arrowstream.core.step_context import StepContext
from arrowstream.errors import ArrowstreamError, SourceError
from arrowstream.expressions.text import conjunction_text
from arrowstream.io.files.columnar.parquet_footer import row_groups, size_text
from arrowstream.io.files.evolution import Evolution, Extra, Missing
from arrowstream.io.files.formats import TEXT_FORMATS, Format, format_named
from arrowstream.io.files.hive_columns import needed_files, partition_columns
from arrowstream.io.files.listing import DataFile, check_format, find_files, first_file
from arrowstream.io.files.paths import printable, source_paths
from arrowstream.io.files.pushed_query import pushed
from arrowstream.io.files.reader import FileReader
from arrowstream.io.files.remote.options import StorageOptions
from arrowstream.io.files.schema import CHECKED_AT_BUILD, check_path_column, stored_schema
from arrowstream.io.files.tables import open_file
from arrowstream.io.files.text.bad.put_aside import BadRowsTo, checked_destination
from arrowstream.io.files.text.options.text_options import UTF8, TextOptions
from arrowstream.io.files.together.alike import has_content
from arrowstream.io.sink import SinkSpec
from arrowstream.io.source import BlockingReader, Query, SourceSpec


@explain_names("a source", SOURCE)
@explain_calls
@dataclass(frozen=True, slots=True)
class FileSource(SourceSpec):
    r"""Source of the rows of files, in the order of the files and of their rows.

    Parameters
    ----------
    paths
        Files, globs and folders, as the user wrote them.
    format
        Format of the files; None to take it from their names.
    given
        Types from the user. All others are the file's own; for text they are inferred from the first 10,000 rows of
        the first file, and then apply to every row of every file.
    delimiter
        Delimiter of CSV fields; None for a comma, or a tab in ``.tsv``.
    strict_keys
        Whether every key of NDJSON or JSON that is not a column is an error.
    evolution
        Differences between the columns of the files that are allowed.
    listed
        Whether the user wrote a list: folders ``key=value`` in its paths are partitions too.
    include_file_paths
        Name of a column with the path of each row's file; None for no such column.
    skip_empty
        Whether files without content are left out, instead of being an error.
    sheet, storage_options
        Sheet of Excel files, by name or by number from 1; options of the object store, if a path is a URL.
    bad_rows
        A sink for the rows of CSV, NDJSON and lines that cannot be read; ``"skip"`` or ``"error"``.
    text
        How text files are written, but for the delimiter.
    batch_rows
        Largest number of rows of a batch; None for some 131,072.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "prices.csv"
    >>> _ = file.write_text("item;price\ntea;3\n")
    >>> dict(FileSource.of(file).with_delimiter(";").schema())
    {'item': String, 'price': Int64}
    """

    paths: tuple[str, ...]
    format: Format | None = None
    given: pl.Schema = field(default_factory=pl.Schema)
    delimiter: str | None = None
    strict_keys: bool = False
    evolution: Evolution = field(default_factory=Evolution)
    listed: bool = False
    include_file_paths: str | None = None
    skip_empty: bool = False
    sheet: str | int | None = None
    storage_options: StorageOptions | None = None
    bad_rows: BadRowsTo = "error"
    text: TextOptions = field(default_factory=TextOptions)
    batch_rows: int | None = None
    _known: list[tuple[pl.Schema, pl.Schema]] = field(
        default_factory=list, init=False, compare=False, repr=False
    )
    """Columns found first: every run reads those that the pipeline was built for."""
    _seen: list[DataFile] = field(default_factory=list, init=False, compare=False, repr=False)
    """The first file when the columns were found."""

    @classmethod
    def of(
        cls,
        path: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        *,
        format: str | None = None,
        schema: Mapping[str, Any] | None = None,
    ) -> FileSource:
        """Make a source of the arguments of `Source.from_file`.

        Raises
        ------
        PlanError
            A path is a URL, or cannot be the name of a file; the format is unknown, or not given for standard input.
        """
        several = isinstance(path, Iterable) and not isinstance(path, str | bytes | os.PathLike)
        named = None if format is None else format_named(format)
        names = source_paths(path if several else [path], has_format=named is not None)  # type: ignore[arg-type]
        return cls(names, named, pl.Schema(schema or {}), listed=several)

    def with_delimiter(self, delimiter: str) -> FileSource:
        """Return the same source with another delimiter between the fields of its CSV files.

        Raises
        ------
        PlanError
            `delimiter` is not one ASCII character, or is a quote or a line end.
        """
        return replace(self, delimiter=delimiter, text=replace(self.text, delimiter=delimiter))

    def with_differences(self, missing_columns: Missing, extra_columns: Extra, *, widen: bool) -> FileSource:
        """Return the same source, whose files may have other columns than the first one.

        Parameters
        ----------
        missing_columns, extra_columns, widen
            See `Source.from_file`.

        Raises
        ------
        PlanError
            An argument has another value than those.
        """
        return replace(self, evolution=Evolution(missing_columns, extra_columns, widen))

    def with_bad_rows(self, bad_rows: BadRowsTo) -> FileSource:
        """Return the same source with a place for the rows that cannot be read: see `Source.from_file`.

        Raises
        ------
        PlanError
            `bad_rows` is neither a plain sink, ``"skip"`` nor ``"error"``.
        """
        return replace(self, bad_rows=checked_destination(bad_rows))

    def with_batch_rows(self, batch_rows: int) -> FileSource:
        """Return the same source, whose batches have at most this number of rows.

        Raises
        ------
        PlanError
            `batch_rows` is not a whole number of at least 1.
        """
        check_whole("batch_rows", batch_rows)
        return replace(self, batch_rows=batch_rows)

    def with_strict_keys(self) -> FileSource:
        r"""Return the same source, for which every key of NDJSON or JSON that is not a column is an error.

        Without this, a key that first appears after the first 10,000 rows of a file is left out; the run's report
        gives the number of such values and the place of the first. The check finds keys whose values are all null
        too. It reads the text once more, which takes twice as long as parsing, on top of it (100 and 54 ms of
        processor time for 45,000 rows of 190 bytes). If an object has a key twice, the first value counts; this is
        not an error, and the report counts the other values.

        Raises
        ------
        SourceError
            While the pipeline runs: at the first row with such a key, even in a nested object. The error names the
            row, the line and the key.

        Examples
        --------
        >>> import tempfile, pathlib
        >>> from arrowstream import Pipeline
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "prices.ndjson"
        >>> _ = file.write_text('{"item": "tea"}\n' * 10_000 + '{"item": "tea", "price": 3}\n')
        >>> source = FileSource.of(file).with_strict_keys()
        >>> Pipeline.builder().source(source).collect_sync()  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        arrowstream.errors.SourceError: row 10001 (line 10001) of ... has a key that is no column: 'price'...
        """
        return replace(self, strict_keys=True)

    @property
    def label(self) -> str:
        paths = ", ".join(map(printable, self.paths))
        try:
            files = self._files()
        except ArrowstreamError:
            return f"file {paths}"
        skips = ", bad rows are skipped" if self.bad_rows == "skip" else ""
        return f"file {paths} ({files[0].kind.format}, {counted(len(files), 'files')}{skips})"

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

    def open(
        self, context: StepContext, query: Query | None = None, resume: SourcePosition | None = None
    ) -> BlockingReader:
        files, skipped = self._listed()
        stored, partitioned = self._columns(files)
        schema = self._typed(stored, partitioned)
        partitions = partition_columns(files, partitioned)
        return FileReader(
            files,
            self._options(files),
            stored,
            partitions,
            schema,
            query,
            strict_keys=self.strict_keys,
            evolution=self.evolution,
            skipped=skipped,
            bad_rows=self.bad_rows,
            batch_rows=self.batch_rows,
        )

    def explain_read(self, query: Query) -> tuple[str, ...]:
        files, skipped = self._listed()
        schema = self._typed(*self._columns(files))
        found = pushed(query, schema)
        chosen = list(found.columns)
        names = f" ({', '.join(chosen)})" if len(chosen) < len(schema) else ""
        lines = [f"columns: {len(chosen)} of {len(schema)}{names}"]
        if found.predicate is not None:
            lines.append(f"filter: {conjunction_text(found.predicate)}")
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
    def _first(self) -> DataFile:
        """A file that has the format and the partition keys of all files."""
        if self._seen:
            return self._seen[0]
        first = first_file(self.paths, self.format, listed=self.listed, options=self.storage_options)
        return self._with_options(first)

    def _with_options(self, file: DataFile) -> DataFile:
        """Return a file with the sheet to read, and with its path as a column like a partition, if asked for."""
        if self.sheet is not None:
            file = replace(file, kind=replace(file.kind, sheet=self.sheet))
        if self.include_file_paths is None:
            return file
        path = str(file.path)
        try:
            path.encode()
        except UnicodeEncodeError as error:
            raise SourceError(
                f"the path of a file is not UTF-8, as a value of column {self.include_file_paths!r} must be",
                found=ascii(path),
                hint="rename the file, or leave out include_file_paths",
            ) from error
        return replace(file, partitions=(*file.partitions, (self.include_file_paths, path)))

    def _files(self) -> tuple[DataFile, ...]:
        return self._listed()[0]

    def _listed(self) -> tuple[tuple[DataFile, ...], tuple[DataFile, ...]]:
        """Return the files to read, and those without content that are left out."""
        files = find_files(self.paths, self.format, listed=self.listed, options=self.storage_options)
        for options, formats in self._limited:
            check_format(options, formats, files[0])
        files = tuple(map(self._with_options, files))
        if not self.skip_empty:
            return files, ()
        empty = [not has_content(file.path, file.kind) for file in files]
        # If no file has content, the first one stands for their format.
        full = tuple(file for file, is_empty in zip(files, empty, strict=True) if not is_empty)
        return full or files[:1], tuple(file for file, is_empty in zip(files, empty, strict=True) if is_empty)

    @property
    def _limited(self) -> Iterator[tuple[Sequence[str], frozenset[Format]]]:
        """The options that are set and only some formats have, each with these formats."""
        csv = ("delimiter",) if self.delimiter is not None else ()
        yield (*csv, *self.text.for_csv), frozenset({"csv"})
        yield ("encoding",) if self.text.encoding != UTF8 else (), TEXT_FORMATS
        yield ("strict_keys",) if self.strict_keys else (), frozenset({"ndjson", "json"})
        yield ("sheet",) if self.sheet is not None else (), frozenset({"excel"})
        yield ("bad_rows",) if self.bad_rows != "error" else (), frozenset({"csv", "ndjson", "lines"})

    def _columns(self, files: tuple[DataFile, ...]) -> tuple[pl.Schema, pl.Schema]:
        """Return the columns inside the files, and those of their partitions."""
        if not self._known:
            given, path = self.given, self.include_file_paths
            if path is not None:
                given = pl.Schema({**given, path: pl.String()})
            options, aside = self._options(files), self.bad_rows != "error"
            stored = stored_schema(
                files, options, given, self.evolution, aside=aside, skip_empty=self.skip_empty
            )
            if path is not None:
                check_path_column(path, stored, files[0])
            self._known.append((stored, partition_columns(files, given).schema))
            self._seen.append(files[0])
        return self._known[0]

    def _typed(self, stored: pl.Schema, partitions: pl.Schema) -> pl.Schema:
        both = {**stored, **partitions}
        return pl.Schema({name: self.given.get(name, dtype) for name, dtype in both.items()})

    def _options(self, files: tuple[DataFile, ...]) -> TextOptions:
        partitions = [key for key, _ in files[0].partitions]
        names = () if self.text.has_header else (name for name in self.given if name not in partitions)
        return replace(self.text, delimiter=self.delimiter or files[0].kind.delimiter, names=tuple(names))
