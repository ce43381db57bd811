"""CSV, NDJSON, JSON and other text files: their schemas, and their rows in pieces of bounded size."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from functools import partial

import polars as pl

from arrowstream.core.plural import counted
from arrowstream.errors import UnreadableData
from arrowstream.io.files.columnar.given_types import Adapt
from arrowstream.io.files.formats import Format
from arrowstream.io.files.listing import ListedFile
from arrowstream.io.files.read_ahead import Loss, Piece
from arrowstream.io.files.text.bad.bad_row import PutAside
from arrowstream.io.files.text.bad.put_aside import bad_rows
from arrowstream.io.files.text.bad.sift import inferred, sifted
from arrowstream.io.files.text.byte_stream import FileBytes
from arrowstream.io.files.text.csv_format import HEADER_BYTES, Csv
from arrowstream.io.files.text.csv_rows import CsvRows
from arrowstream.io.files.text.formats import FlawedRecord, TextFormat
from arrowstream.io.files.text.json.array import JsonLines
from arrowstream.io.files.text.lines_format import Lines
from arrowstream.io.files.text.locate_error import Fault
from arrowstream.io.files.text.ndjson_format import Ndjson
from arrowstream.io.files.text.ndjson_rows import NdjsonRows
from arrowstream.io.files.text.options.text_options import UTF8, TextOptions
from arrowstream.io.files.text.options.transcode import AfterLines, Transcoded
from arrowstream.io.files.text.record_errors import UnknownKey
from arrowstream.io.files.text.records import BLOCK_BYTES, RecordBlock, Text, blocks, count, whole
from arrowstream.io.files.text.unknown_key import unknown_key

_NEWLINE = ord("\n")

Parse = Callable[[bytes, bool, int | None], pl.DataFrame | pl.LazyFrame]
"""Parses whole records; called with whether their quotes are in order, and the number of newlines if it is known."""


class TextFile:
    """Open text file, with its header read if it has one. The caller closes it.

    Parameters
    ----------
    file
        The file.
    options
        How the file is written.
    keep
        Whether bytes read from a pipe are kept for the next reader.
    aside
        Whether bad rows are put aside instead of raising an error.
    widens
        Whether types may be widened over the files of the source if the user asks for it, for the hints of errors.

    Raises
    ------
    SourceError, SchemaError
        The file cannot be opened, lacks a CSV header, or has two columns of one name.
    """

    __slots__ = (
        "_aside",
        "_blocks",
        "_bytes",
        "_counted",
        "_csv",
        "_fault",
        "_first",
        "_lines",
        "_ndjson",
        "_path",
        "format",
    )

    def __init__(
        self,
        file: ListedFile,
        options: TextOptions,
        *,
        keep: bool = False,
        aside: bool = False,
        widens: bool = False,
    ) -> None:
        self._aside = aside
        self._path = str(file.path)
        can_skip = not aside and file.kind.format != "json"
        self._fault = partial(Fault, self._path, widens=widens, can_skip=can_skip)
        self._bytes = FileBytes(
            file.path,
            file.kind.compression,
            keep=keep,
            encoding=options.encoding,
            markup=file.kind.format == "lines",
        )
        self._counted = 0
        self._lines: int | None = 1
        self._csv: CsvRows | None = None
        self._ndjson: NdjsonRows | None = None
        try:
            self._open(file, options)
        except BaseException:
            self._bytes.close()
            raise

    def _open(self, file: ListedFile, options: TextOptions) -> None:
        text: Text = self._bytes
        if options.encoding != UTF8:
            text = Transcoded(text, options.encoding, self._path)
        self.format = _format(file.kind.format, options)
        if options.skip_lines:
            text = AfterLines(text, options.skip_lines)
            self._lines = 1 + options.skip_lines
        if file.kind.format == "json":
            text = lines = JsonLines(text, self._path)
            if lines.is_array:
                self._lines = None
                self.format = Ndjson(several=False)
        header = self._plain_header(text, self.format, options) if isinstance(self.format, Csv) else b""
        self._blocks = blocks(
            text,
            self.format.cut_lines(aside=self._aside)
            if isinstance(self.format, Csv)
            else whole(self.format.cut),
            name=self._path,
            size=BLOCK_BYTES,
            longest=self.format.longest,
            partial=self.format.quotes and not self._aside,
            is_live=self._bytes.is_live,
        )
        self._first: RecordBlock | None = None
        if header and isinstance(self.format, Csv):
            self._take_header(self.format, header, options, 0)
        elif isinstance(self.format, Csv):
            self._read_header(self.format, options)

    def _begin(self) -> RecordBlock:
        """Return the first block, which is read only once it is needed."""
        if self._first is None:
            self._first = next(self._blocks, RecordBlock(b"", True))
        return self._first

    def _plain_header(self, text: Text, format: Csv, options: TextOptions) -> bytes:
        """Take the header off a text that begins with it, so that no block is copied; else return no bytes."""
        others_first = options.comment_prefix is not None
        if not options.has_header or others_first or self._bytes.is_live:  # of a pipe, less may have come
            return b""
        head = text.read(HEADER_BYTES) or b""
        broken = (
            self._aside and not format.read_quotes(head).in_order
        )  # a line before the header may be a bad row
        ends = format.ends(b"" if broken else head)
        header = head[: ends[0]] if len(ends) > 1 else b""  # the only end may be that of `head`
        header = header if header.strip(b"\r\n") else b""
        text.put_back(head[len(header) :])
        return header

    def _take_header(self, format: Csv, header: bytes, options: TextOptions, before: int) -> None:
        """Name the columns by the header, which `before` other lines precede."""
        self.format = format.under(header, self._path)
        self._lines = 1 + options.skip_lines + header.count(b"\n") + before

    def _read_header(self, format: Csv, options: TextOptions) -> None:
        """Take the header off the first block, or name the columns without one."""
        first = self._begin()
        while not first.data.lstrip(b"\r\n") and (more := next(self._blocks, None)) is not None:
            self._first = first = first.joined(more)
        data, in_order, gaps = first
        body = data.lstrip(b"\r\n")
        end = format.end_of_first(body, 1)
        if not options.has_header:
            self.format = format.without_header(body[:end], self._path)
            return
        blank = len(data) - len(body)
        for gap in gaps:
            if gap.at <= blank and gap.error is not None:
                format.under(gap.text, self._path)  # raises
        if not end:
            raise UnreadableData(
                f"{self._path} is empty",
                position=self._path,
                expected="a header line that names the columns",
                found=counted(self._bytes.bytes_read, "bytes"),
                hint="remove the file, write the header also where there are no rows, or, if other files have rows, "
                "pass skip_empty=True",
            )
        before = sum(gap.at < blank + end for gap in gaps)
        self._take_header(format, body[:end], options, data.count(b"\n", 0, blank) + before)
        end += blank
        rest = tuple(gap._replace(at=gap.at - end) for gap in gaps[before:])
        self._first = RecordBlock(data[end:], in_order, rest)

    def infer(self, overrides: pl.Schema) -> pl.Schema:
        """Return names and types of the columns; those that `overrides` lacks from the first block.

        Raises
        ------
        SourceError
            A record of the block cannot be read.
        """
        if isinstance(self.format, Csv) and overrides.keys() >= set(self.format.names):
            return pl.Schema({name: overrides[name] for name in self.format.names})
        first = self._begin()
        try:
            infer = partial(inferred, self.format) if self._aside else self.format.infer
            return infer(first.data, overrides)
        except (FlawedRecord, pl.exceptions.PolarsError) as error:
            data, gaps = first.data, first.gaps_at
            fault = self._fault(self.format, overrides, lambda rows: rows, data, self._lines, gaps)
            raise fault.explain(error, 0) from error

    def read_types(self, given: pl.Schema) -> None:
        """Read a whole block of a pipe, of which only the first bytes were read, unless all types are given."""
        known = isinstance(self.format, Lines) or (
            isinstance(self.format, Csv) and given.keys() >= set(self.format.names)
        )
        if known or not self._bytes.is_live:
            return
        first = self._begin()
        while len(first.data) < BLOCK_BYTES and (more := next(self._blocks, None)) is not None:
            self._first = first = first.joined(more)

    def names(self) -> tuple[str, ...]:
        """Return the names of the columns, from the header of a CSV file, else from the first rows."""
        return self.format.names if isinstance(self.format, Csv) else tuple(self.infer(pl.Schema()))

    def pieces(
        self,
        file: ListedFile,
        schema: pl.Schema,
        adapt: Adapt,
        *,
        columns: Collection[str] | None = None,
        known: pl.Schema | None = None,
    ) -> Iterator[Piece]:
        """Yield the blocks, each to be parsed as `schema`, which must have the file's columns.

        Parameters
        ----------
        file
            The file.
        schema
            Names and types of the columns.
        adapt
            Query on the rows of a block.
        columns
            Names of the columns that the query needs; None for all.
        known
            Keys that objects may have; any other is an error. None if any key is allowed.
        """
        block: RecordBlock | None = self._begin()
        self._first = None
        if isinstance(self.format, Ndjson):
            self._ndjson = NdjsonRows(schema, nbytes=self._bytes.size)
        if isinstance(self.format, Csv):
            self._csv = CsvRows(self.format, schema, self.format.names if columns is None else columns)
        while block is not None:
            if not block.data and not block.gaps:
                if self._bytes.is_live:
                    yield self._nothing(file, schema, adapt)
            else:
                newlines = count(block.data, _NEWLINE)
                yield self._piece(file, block, newlines, schema, adapt, known)
                if self._lines is not None:
                    self._lines += newlines + len(block.gaps)
            block = next(self._blocks, None)

    def _nothing(self, file: ListedFile, schema: pl.Schema, adapt: Adapt) -> Piece:
        """Return a piece without rows, after which a run can stop: the pipe is silent."""
        fault = self._fault(self.format, schema, adapt, b"", self._lines)
        return Piece(file.path, 0, 0, lambda: adapt(pl.LazyFrame(schema=schema)).collect(), fault.explain)

    def _piece(
        self,
        file: ListedFile,
        block: RecordBlock,
        newlines: int,
        schema: pl.Schema,
        adapt: Adapt,
        known: pl.Schema | None,
    ) -> Piece:
        format, line = self.format, self._lines or 1
        before, self._counted = self._counted, self._bytes.bytes_read
        nbytes = self._counted - before
        fault = self._fault(format, schema, adapt, block.data, self._lines, block.gaps_at)
        loss, put_aside = Loss(fault.first_loss), PutAside()
        rows = self._parser(schema, known, loss)

        def read() -> pl.DataFrame:
            return adapt.collected(rows(block.data, block.in_order, newlines))

        def read_good() -> pl.DataFrame:
            # All columns, though the query may need few: a row is bad whatever the query.
            def read_all(data: bytes) -> pl.DataFrame:
                whole = data is block.data
                found = rows(data, whole and block.in_order, newlines if whole else None)
                return found.lazy().collect(engine="in-memory")

            found = sifted(format, schema, block, read_all)
            loss.first = replace(fault, block=found.data, cuts=found.whole.cuts).first_loss
            put_aside.rows = bad_rows(self._path, block.gaps, found, line)
            return adapt.collected(found.rows)

        if self._aside:
            return Piece(file.path, None, nbytes, read_good, fault.explain, loss, aside=put_aside)
        return Piece(file.path, None, nbytes, read, fault.explain, loss)

    def _parser(self, schema: pl.Schema, known: pl.Schema | None, loss: Loss) -> Parse:
        """Return the function that parses records; values that it leaves out are counted in `loss`."""
        format, csv, ndjson = self.format, self._csv, self._ndjson

        def rows(data: bytes, in_order: bool, newlines: int | None) -> pl.DataFrame | pl.LazyFrame:
            if ndjson is not None and (plain := ndjson.read_plain(data, newlines)) is not None:
                return plain
            # The keys of lines that cannot be read are not compared with those that are known.
            apart = format.apart(data) if known is not None else None
            try:
                if apart is not None:
                    return parsed(apart.data, in_order, None)
                return parsed(data, in_order, newlines)
            except pl.exceptions.PolarsError:
                if apart is not None or (apart := format.apart(data)) is None:
                    raise
                return parsed(apart.data, False, None)

        def parsed(data: bytes, in_order: bool, newlines: int | None) -> pl.DataFrame | pl.LazyFrame:
            sound = format.checked(data, in_order=in_order)
            if csv is not None:
                return csv.read(sound, newlines)
            if known is not None and (key := unknown_key(sound, known)) is not None:
                raise UnknownKey(key, known)
            if ndjson is None:
                return format.scan(sound, schema)
            # All columns, though the query may need few: only then it is known that no value is missing.
            frame, loss.count = ndjson.read(sound)
            return frame

        return rows

    def close(self) -> None:
        """Close the file."""
        self._bytes.close()


def _format(format: Format, options: TextOptions) -> TextFormat:
    if format == "csv":
        return Csv(options)
    return Lines() if format == "lines" else Ndjson()
