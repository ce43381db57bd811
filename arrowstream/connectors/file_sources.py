"""`FileSources`: the constructor of sources of files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from arrowstream.core.checks import PathLike, check_flag, check_name
from arrowstream.core.duration import Duration
from arrowstream.core.mistakes.explain import explain_calls
from arrowstream.core.schemas import SchemaLike, declared_schema

if TYPE_CHECKING:
    from arrowstream.io.files.evolution import Extra, Missing
    from arrowstream.io.files.formats import Format
    from arrowstream.io.files.source import FileSource
    from arrowstream.io.files.text.bad.put_aside import BadRowsTo
    from arrowstream.io.files.text.options.text_options import NullValues


@explain_calls
class FileSources:
    """Constructor of sources of files; `Source` inherits it."""

    @staticmethod
    def from_file(
        path: PathLike | Iterable[PathLike],
        *,
        format: Format | None = None,
        schema: SchemaLike | None = None,
        delimiter: str | None = None,
        strict_keys: bool = False,
        missing_columns: Missing = "error",
        extra_columns: Extra = "error",
        widen: bool = False,
        include_file_paths: str | None = None,
        skip_empty: bool = False,
        bad_rows: BadRowsTo = "error",
        has_header: bool = True,
        quote_char: str | None = '"',
        null_values: NullValues | None = None,
        comment_prefix: str | None = None,
        skip_lines: int = 0,
        decimal_comma: bool = False,
        encoding: str = "utf8",
        batch_rows: int | None = None,
        sheet: str | int | None = None,
        storage_options: Mapping[str, str | int] | None = None,
        watch: Duration | None = None,
    ) -> FileSource:
        r"""Read rows from files: Parquet, CSV, NDJSON, JSON, Arrow IPC, Avro, Excel, lines of text; text also packed.

        Parameters
        ----------
        path
            A file (text also as ``.gz``, ``.zst`` or ``.zip``), a glob, a list of files, or a folder: all files of
            one format at any depth, through symbolic links, except names that begin with ``.`` or ``_``. Hive
            partitions ``key=value`` and ``_key=value`` become columns: below the folder, from the first folder of a
            glob that has a wildcard, and everywhere in the paths of a list, so that ``["in/day=1/"]`` has a column
            ``day`` and ``"in/day=1/"`` has none. ``~`` is the home folder. ``s3://``, ``gs://`` and ``az://`` URLs
            name objects in the same ways, ``https://`` and ``http://`` URLs one file of a web server. ``"-"`` is
            standard input, whose `format` must be given.
        format
            ``"parquet"``, ``"csv"``, ``"ndjson"``, ``"json"``, ``"ipc"``, ``"avro"`` or ``"excel"``; by default the
            names of the files decide. ``"lines"`` reads any text as one column, ``line``, of a text for each line.
        schema
            Types of all columns, or of some: the others are those of the file, or inferred from the first 10,000 rows
            of the first text file. A schema of Polars or pyarrow, or pairs or a dict of their types or Python's. If a
            Parquet, Arrow IPC, Avro or Excel file has another type, each value must be equal when cast back to it:
            1.0 is read as 1, while 2.5 as an integer, 1e300 as a Float32 or a time of day as a date is an error that
            names its row (a Float32 has fewer digits, though). So is a number of CSV or NDJSON that Float32 or a
            Decimal does not hold, and a date or time whose year is not first, or of which digits or an offset would
            be lost. To round or cut values, leave the column out of `schema` and ``.cast()`` it in a step.
        delimiter
            Delimiter between the fields of CSV files; by default a comma, and a tab in ``.tsv``.
        strict_keys
            Whether a key of NDJSON or JSON is an error if it first appears after the first 10,000 rows and is not in
            `schema`; by default it is left out and counted in the report. Adds twice the time of parsing.
        missing_columns
            ``"insert"`` to read a column of the first file or of `schema` as nulls where a file lacks it.
        extra_columns
            ``"ignore"`` to leave out columns that a later file has in addition. Those of the first file are read,
            also if `schema` does not name them, as it may give the types of some columns only. To have the same
            columns whatever file comes first, add ``missing_columns="insert"`` and ``.select(...)`` after the source.
        widen
            Whether a column may have several types, as far as one holds all values exactly. In text, integers and
            floats become Float64, others text. Of text, the first 10,000 rows of each file count: give the type in
            `schema` where others come later. Of more than 1,000 files, the types of the first must hold all values.
        include_file_paths
            Name of a last column with the path of each row's file. A filter on it decides which files are read.
        skip_empty
            Whether files without content are left out and counted in the report; by default an error. If no file has
            content, the stream has the columns of `schema` and no rows; without a schema this is an error.
        batch_rows
            Largest number of rows of a batch, by default some 131,072. A gentle stop delivers the batches that were
            read, so fewer rows make it quicker where a step is slow; they cost some 30 us a batch and step.
        bad_rows
            A sink for rows of CSV, NDJSON and lines that cannot be read, with the columns ``file``, ``row``,
            ``line``, ``error``, ``text``; those of earlier runs stay in it, as dead letters do. ``"skip"`` leaves
            such rows out and counts them in the report; by default they are an error.
        has_header
            Whether the first record of a CSV file names its columns; else `schema` names every field, in order, or
            they are ``column_1``, ``column_2`` and so on.
        quote_char
            Character around the CSV fields that hold a delimiter or a line end, doubled inside of them; None or an
            empty text if quotes are text like any other. A backslash escapes nothing.
        null_values
            A text or texts that are null in every column of CSV, or a dict from columns to one text each. An empty
            field is null in any case; an empty text in quotes is none.
        comment_prefix
            Beginning of lines of CSV that are comments.
        skip_lines
            Number of lines before the header of a CSV file, or its first row, whatever they hold. Lines after the
            header are left out together with it: by ``has_header=False``, with the columns in `schema`.
        decimal_comma
            Whether a comma is before the decimals of numbers in CSV.
        encoding
            Encoding of text: ``"utf8"``, ``"utf8-lossy"`` where invalid bytes become U+FFFD, or any name that Python
            knows, such as ``"cp1252"`` or ``"utf-16"``.
        sheet
            Sheet of Excel files: its name, or its number from 1; by default the first.
        storage_options
            Options of the object store of a URL, such as ``{"aws_region": "eu-west-1"}``; secrets are never shown.
        watch
            Seconds between two looks for new files, such as ``"1s"``: each file of the folders and globs is read
            once, when it has come, until the run is stopped or its `duration` is over. A file is taken when its size
            and time of change have stayed the same for this long. By default the files that are there are read.

        Raises
        ------
        SourceError, SchemaError, PlanError
            At `build()`: a file is missing, or the files have different formats or schemas.

        Notes
        -----
        Costs a thread and memory for a few batches; files are read in order. Parquet and IPC read only
        the columns and row groups that the first steps need, text only the columns. Holds no state between batches.

        Avro is read block by block, in any compression of its specification; a map becomes a list of keys and
        values, an enum an Enum. A union other than of one type with null is refused. A block with more rows than it
        says is an error if a field is text, bytes, an enum or a number without a logical type.
        Excel files need the extra ``excel`` and are read whole: the first row that is not blank names the columns,
        types come from all rows, blank rows are left out, and cells with an error such as ``#DIV/0!`` are null.
        A second column ``a`` is ``a_1``, and one without a name ``__UNNAMED__`` with its number from 0. Whole numbers
        alone are Int64. Times are rounded to milliseconds; a time of day is one of 1899-12-31. A column that has
        texts too is one of texts. In others, texts that mean no value, such as ``NA`` and ``n/a``, are null.

        Objects of a store are read in ranges of bytes, those of up to 1 MB whole. The store is asked
        with the credentials in `storage_options`, else those of the
        environment and of the store's own tools. S3 takes ``aws_access_key_id``, ``aws_secret_access_key``,
        ``aws_session_token``, ``aws_region``, ``aws_endpoint_url``, ``aws_allow_http``, ``aws_skip_signature`` (for
        public data) and ``aws_virtual_hosted_style_request``; Google ``google_skip_signature``; Azure
        ``azure_storage_account_name`` and ``azure_storage_account_key``. Requests to stores that fail are repeated by
        the libraries that make them; those to web servers 3 times within 5 s, and text that breaks off goes on at the
        same byte. An object that is replaced while it is read is an error.
        Lines end in a newline, or in a carriage return and a newline, which are not part of the text. A last line
        needs no end, and blank lines are rows. A line that is not UTF-8 is a bad row.
        A line of NDJSON may hold several objects, with or without blank space between them: each is a row. An object
        that goes over several lines is an error; an array of such objects is read by ``format="json"``.
        Text is read from pipes, too: in blocks of up to 8 MiB of what comes within 100 ms, so that the rows of an
        endless pipe flow; one packed with zstd is read in whole blocks. Its types, unless all are given for CSV, are
        inferred once 8 MiB have come or it ends.
        Parquet, IPC, Avro and Excel need a file: redirect one to standard input, or write the pipe to one.

        In a run with ``checkpoint=``, a restart goes on after the last row, and a later run reads the files that are
        new since the last one, in the order of their names: the daily job. Each file is known by its path as it is
        written here, its size and its time of change. A file that was read and has changed since is an error, as rows
        may have been appended to it or replaced; one that is gone is not, unless only a part of it was read. Give
        `schema`, so that the types do not depend on the file that comes first. Standard input, pipes and files of web
        servers cannot be read again; objects of a store can, by their entity tag. Text is read again up to the row
        where it goes on, Parquet, Arrow IPC and Avro only from there.
        With `watch`, names that begin with ``.`` or ``_`` or end in ``.tmp``, ``.part`` or ``.inprogress`` are left
        out. The sure way to add a file is to write it under such a name, or in another folder of the file system,
        and to rename it. Of several new files the first by name is read first. A folder that is empty at `build()`
        needs `schema`, and `format` unless a glob such as ``"in/*.csv"`` tells it. The report counts the files.

        A blank line of CSV is a row of nulls; before the header it is skipped, as it is in NDJSON. A quote that is
        opened and never closed makes the line it is on a bad row, and reading goes on with the next line; so does
        text after a closing quote. Types are inferred from rows that are not bad for another reason; give `schema`
        where a value of another type should be a bad row. Bad rows are looked for in all columns.

        Examples
        --------
        >>> import pathlib, tempfile
        >>> from arrowstream import Pipeline, Source
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "prices.csv"
        >>> _ = file.write_text("item;price\ntea;3\n")
        >>> source = Source.from_file(file, delimiter=";")
        >>> Pipeline.builder().source(source).collect_sync().rows()
        [('tea', 3)]
        >>> _ = file.write_text("item;price\ntea;3\ncake;?\n")
        >>> source = Source.from_file(file, delimiter=";", schema={"price": int}, bad_rows="skip")
        >>> Pipeline.builder().source(source).collect_sync().rows()
        [('tea', 3)]
        >>> Pipeline.builder().source(Source.from_file(file, format="lines")).collect_sync()["line"].to_list()
        ['item;price', 'tea;3', 'cake;?']
        """
        from arrowstream.io.files.remote.urls import options_for
        from arrowstream.io.files.source import FileSource  # here, to keep importing arrowstream fast
        from arrowstream.io.files.text.options.text_options import TextOptions

        flags = {"strict_keys": strict_keys, "widen": widen, "skip_empty": skip_empty}
        for name, flag in (flags | {"has_header": has_header, "decimal_comma": decimal_comma}).items():
            check_flag(name, flag)
        if include_file_paths is not None:
            check_name("include_file_paths", include_file_paths)
        source = FileSource.of(path, format=format, schema=declared_schema("from_file", schema))
        source = source.with_differences(missing_columns, extra_columns, widen=widen)
        source = replace(source, include_file_paths=include_file_paths, skip_empty=skip_empty, sheet=sheet)
        if batch_rows is not None:
            source = source.with_batch_rows(batch_rows)
        if watch is not None:
            source = source.with_watch(watch)
        if delimiter is not None:
            source = source.with_delimiter(delimiter)
        text = TextOptions(
            delimiter or (";" if decimal_comma else ","),
            quote_char or None,
            has_header=has_header,
            null_values=null_values,
            comment_prefix=comment_prefix,
            skip_lines=skip_lines,
            decimal_comma=decimal_comma,
            encoding=encoding,
        )
        source = replace(source.with_bad_rows(bad_rows), text=text)
        if storage_options is not None:
            source = replace(source, storage_options=options_for(source.paths, storage_options))
        return source.with_strict_keys() if strict_keys else source
