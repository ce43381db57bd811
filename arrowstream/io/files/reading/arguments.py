"""The arguments of a source of files, and the methods that change them."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import polars as pl

from arrowstream.core.checks import check_whole
from arrowstream.core.duration import Duration, seconds
from arrowstream.core.mistakes.explain import explain_calls
from arrowstream.errors import PlanError
from arrowstream.io.files.evolution import Evolution, Extra, Missing
from arrowstream.io.files.formats import TEXT_FORMATS, Format, format_named, kind_of
from arrowstream.io.files.listing import ListedFile
from arrowstream.io.files.paths import can_be_resumed, printable, source_paths
from arrowstream.io.files.reading.selection import Selection
from arrowstream.io.files.remote.options import StorageOptions
from arrowstream.io.files.remote.urls import is_url
from arrowstream.io.files.text.bad.put_aside import BadRowsTo, checked_destination
from arrowstream.io.files.text.options.text_options import UTF8, TextOptions


@explain_calls
@dataclass(frozen=True, slots=True)
class FileArguments:
    """What the user says of the files of a source.

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
    watch_s
        Seconds between two looks for new files, without end; None to read the files that are there.
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
    watch_s: float | None = None

    @classmethod
    def of(
        cls,
        path: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        *,
        format: str | None = None,
        schema: Mapping[str, Any] | None = None,
    ) -> Self:
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

    def with_delimiter(self, delimiter: str) -> Self:
        """Return the same source with another delimiter between the fields of its CSV files.

        Raises
        ------
        PlanError
            `delimiter` is not one ASCII character, or is a quote or a line end.
        """
        return replace(self, delimiter=delimiter, text=replace(self.text, delimiter=delimiter))

    def with_differences(self, missing_columns: Missing, extra_columns: Extra, *, widen: bool) -> Self:
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

    def with_bad_rows(self, bad_rows: BadRowsTo) -> Self:
        """Return the same source with a place for the rows that cannot be read: see `Source.from_file`.

        Raises
        ------
        PlanError
            `bad_rows` is neither a plain sink, ``"skip"`` nor ``"error"``.
        """
        return replace(self, bad_rows=checked_destination(bad_rows))

    def with_batch_rows(self, batch_rows: int) -> Self:
        """Return the same source, whose batches have at most this number of rows.

        Raises
        ------
        PlanError
            `batch_rows` is not a whole number of at least 1.
        """
        check_whole("batch_rows", batch_rows)
        return replace(self, batch_rows=batch_rows)

    def with_watch(self, watch: Duration) -> Self:
        """Return the same source, which looks for new files again and again: see `Source.from_file`.

        Raises
        ------
        PlanError
            `watch` is not a duration of more than 0 seconds, or a path is a URL or standard input.
        """
        watch_s = seconds(watch)
        if watch_s <= 0:
            raise PlanError("watch= is too short", expected="more than 0 seconds", found=f"{watch_s:g} s")
        other = next((path for path in self.paths if is_url(path) or not can_be_resumed(path)), None)
        if other is not None:
            raise PlanError(
                f"{printable(other)} cannot be watched for new files",
                expected="folders and globs on this machine",
                found="a URL" if is_url(other) else "a pipe or a device",
                hint="leave out watch=: a run with checkpoint= reads what is new since the last one",
            )
        return replace(self, watch_s=watch_s)

    def with_strict_keys(self) -> Self:
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
        >>> from arrowstream import Pipeline, Source
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "prices.ndjson"
        >>> _ = file.write_text('{"item": "tea"}\n' * 10_000 + '{"item": "tea", "price": 3}\n')
        >>> source = Source.from_file(file).with_strict_keys()
        >>> Pipeline.builder().source(source).collect_sync()  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        arrowstream.errors.UnreadableData: row 10001 (line 10001) of ... has a key that is no column: 'price'...
        """
        return replace(self, strict_keys=True)

    @property
    def selection(self) -> Selection:
        """The files that are read."""
        return Selection(
            self.paths,
            self.format,
            self.listed,
            self.storage_options,
            self.sheet,
            self.include_file_paths,
            self.skip_empty,
            self.watch_s is not None,
        )

    def check(self, file: ListedFile) -> None:
        """Raise PlanError if an option is set that files of the format of `file` do not have."""
        for options, formats in self._limited:
            _check_format(options, formats, file)

    @property
    def _limited(self) -> Iterator[tuple[Sequence[str], frozenset[Format]]]:
        """The options that are set and only some formats have, each with these formats."""
        csv = ("delimiter",) if self.delimiter is not None else ()
        yield (*csv, *self.text.for_csv), frozenset({"csv"})
        yield ("encoding",) if self.text.encoding != UTF8 else (), TEXT_FORMATS
        yield ("strict_keys",) if self.strict_keys else (), frozenset({"ndjson", "json"})
        yield ("sheet",) if self.sheet is not None else (), frozenset({"excel"})
        yield ("bad_rows",) if self.bad_rows != "error" else (), frozenset({"csv", "ndjson", "lines"})

    @property
    def options_identity(self) -> str:
        """The options that change what rows mean, by which a checkpoint knows them; empty without any."""
        kinds = [kind_of(path) for path in self.paths]
        is_known = self.delimiter is None or all(kind and kind.delimiter == self.delimiter for kind in kinds)
        delimiter = () if is_known else (f"delimiter={self.delimiter!r}",)
        sheet = () if self.sheet in (None, 1) else (f"sheet={self.sheet!r}",)
        options = ", ".join((*delimiter, *self.text.identity, *sheet))
        return f" ({options})" if options else ""

    def text_options(self, first: ListedFile) -> TextOptions:
        """Return how the files are written, if `first` is one of them."""
        partitions = [key for key, _ in first.partitions]
        names = () if self.text.has_header else (name for name in self.given if name not in partitions)
        return replace(self.text, delimiter=self.delimiter or first.kind.delimiter, names=tuple(names))


def _check_format(options: Sequence[str], formats: Collection[Format], file: ListedFile) -> None:
    """Raise PlanError if options are set that a file's format does not have.

    Parameters
    ----------
    options
        Names of the options that are set.
    formats
        The formats that have them.
    file
        The file.
    """
    if options and file.kind.format not in formats:
        names = " or ".join(name.upper() for name in sorted(formats))
        raise PlanError(
            f"only {names} files have {options[0]}",
            expected=f"{names} files",
            found=f"{file.kind.format} in {file.path}",
            hint=f"leave out {', '.join(options)}",
        )
