"""CSV messages: each one is a record without a header, and becomes one row.

All messages of a batch are parsed together by the reader of CSV files. A message is one record if the ends of the
records, outside of quotes, are the ends of the messages.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa

from arrowstream.core.failures import FAILURES
from arrowstream.core.messages import Decoded, Decoder, Decoding, Encoder, Encoding
from arrowstream.core.plural import counted
from arrowstream.core.step_context import StepContext
from arrowstream.errors import BadMessage, PlanError
from arrowstream.io.files.column_types import check_types
from arrowstream.io.files.output.encoders import encoder_for
from arrowstream.io.files.output.streaming_sink import encoded
from arrowstream.io.files.text.bad.sift_csv import sifted_csv
from arrowstream.io.files.text.bad.sound_records import TEXT_AFTER_QUOTE, UNCLOSED_QUOTE
from arrowstream.io.files.text.csv_format import Csv
from arrowstream.io.files.text.csv_rows import CsvRows
from arrowstream.io.files.text.options.csv_layout import CsvLayout
from arrowstream.io.files.text.options.text_options import NullValues, TextOptions
from arrowstream.io.files.text.quotes import Quotes
from arrowstream.io.files.text.records import Positions, count, positions
from arrowstream.io.files.text.types import check_text_types
from arrowstream.io.messages.errors import some_columns, unreadable, unwritable
from arrowstream.io.messages.json_encoder import messages_between
from arrowstream.io.messages.lines import LineWriter, offsets, without_line_ends

_NEWLINE = ord("\n")


@dataclass(frozen=True, slots=True)
class CsvOptions:
    """How CSV messages are written.

    Parameters
    ----------
    delimiter
        One ASCII character between two fields.
    quote_char
        One ASCII character around fields that hold a delimiter, a quote or a line end; None if quotes are text, for
        a source only.
    null_values
        Texts that are null, besides an empty field; for a sink, one text that is written for null.

    Raises
    ------
    PlanError
        An option has a value that it cannot have.
    """

    delimiter: str = ","
    quote_char: str | None = '"'
    null_values: NullValues | None = None

    def __post_init__(self) -> None:
        self.reading(())

    @property
    def label(self) -> str:
        """The format with the options that are set, by which `explain()` and checkpoints know it."""
        options = TextOptions(self.delimiter, self.quote_char, null_values=self.null_values)
        delimiter = () if self.delimiter == "," else (f"delimiter={self.delimiter!r}",)
        return ", ".join(("csv", *delimiter, *options.identity))

    def reading(self, names: tuple[str, ...]) -> Csv:
        """Return the format of records with these columns."""
        options = TextOptions(
            self.delimiter, self.quote_char, has_header=False, names=names, null_values=self.null_values
        )
        return Csv(options, names)

    def writing(self) -> CsvLayout:
        """Return the layout of records that are written."""
        null = self.null_values
        if self.quote_char is None or not (null is None or isinstance(null, str)):
            raise PlanError(
                "CSV messages cannot be written like this",
                expected="a quote_char, and one text or none for null_values",
                found=f"quote_char={self.quote_char!r}, null_values={null!r}",
            )
        return CsvLayout(self.delimiter, self.quote_char, has_header=False, null_values=null)


class CsvDecoder(Decoder):
    """Decoder of CSV records. A line end after the record is left out; an empty message is a row of nulls.

    Parameters
    ----------
    schema
        Names and types of the columns, in the order of the fields.
    options
        How the records are written; None for the defaults.

    Raises
    ------
    SchemaError
        CSV has no values of a type, or there are no columns.
    """

    def __init__(self, schema: pl.Schema | None, options: CsvOptions | None = None) -> None:
        self._schema = some_columns(schema, "CSV messages, which have no header")
        check_text_types("csv", self._schema)
        self._options = options or CsvOptions()

    @property
    def label(self) -> str:
        return self._options.label

    @property
    def schema(self) -> pl.Schema:
        return self._schema

    def open(self, context: StepContext) -> Decoding:
        return _CsvDecoding(self._schema, self._options)


class _CsvDecoding(Decoding):
    def __init__(self, schema: pl.Schema, options: CsvOptions) -> None:
        self._schema = schema
        self._format = options.reading(tuple(schema))
        self._rows = CsvRows(self._format, schema, schema.names())
        self._lines = LineWriter(b"")

    def decode(self, values: pa.LargeBinaryArray) -> Decoded:
        if not len(values):
            return Decoded(pl.DataFrame(schema=self._schema))
        records = without_line_ends(self._lines.filled(values))
        text = self._lines.records(records)
        quotes = self._format.read_quotes(text)
        if count(text, _NEWLINE) != len(records) or not quotes.in_order or len(quotes.enclosing) % 2:
            self._check_records(values, records, text, quotes)
        try:
            return Decoded(self._rows.read(self._format.checked(text)))
        except FAILURES as error:
            _, errors = sifted_csv(self._format, text, self._schema)
            if not errors:
                raise  # whatever it is, no message is its cause
            index = min(errors)
            raise self._bad(values, index, errors[index]) from error

    def _check_records(
        self, values: pa.LargeBinaryArray, records: pa.LargeBinaryArray, text: bytes, quotes: Quotes
    ) -> None:
        """Raise BadMessage for the first message that is not exactly one record."""
        own = (offsets(records) - offsets(records)[0])[1:] + np.arange(len(records))  # the newline after each
        wrong = np.setxor1d(own, quotes.outside(positions(text, _NEWLINE)))
        if quotes.flaw is not None:
            wrong = np.append(wrong, quotes.flaw)
        if len(wrong):
            at = int(wrong.min())
            index = int(np.searchsorted(own, at))
            self.decode(values[:index])  # raises if one of the records before cannot be read
            raise self._bad(values, index, self._reason(at, index, own, quotes))

    def _reason(self, at: int, index: int, own: Positions, quotes: Quotes) -> str:
        if at == quotes.flaw:
            return TEXT_AFTER_QUOTE
        return UNCLOSED_QUOTE if at == own[index] else "several records"

    def _bad(self, values: pa.LargeBinaryArray, index: int, reason: str) -> BadMessage:
        expected = f"one record of {counted(len(self._schema), 'fields')} in UTF-8 that fit their columns"
        return unreadable("CSV", index, expected, reason, values[index].as_py())


class CsvEncoder(Encoder):
    """Encoder of rows as CSV records, without a line end.

    Parameters
    ----------
    options
        How the records are written; None for the defaults.

    Raises
    ------
    PlanError
        Records cannot be written so.
    """

    def __init__(self, options: CsvOptions | None = None) -> None:
        self._options = options or CsvOptions()
        self._layout = self._options.writing()

    @property
    def label(self) -> str:
        return self._options.label

    def check(self, schema: pl.Schema) -> None:
        check_types("csv", schema)

    def open(self, schema: pl.Schema, context: StepContext) -> Encoding:
        return _CsvEncoding(schema, self._options, self._layout)


class _CsvEncoding(Encoding):
    def __init__(self, schema: pl.Schema, options: CsvOptions, layout: CsvLayout) -> None:
        self._encoder = encoder_for("csv", schema, None, options.delimiter, layout)
        self._format = options.reading(tuple(schema))

    def encode(self, frame: pl.DataFrame) -> pa.LargeBinaryArray:
        try:
            text = encoded(frame, self._encoder)
        except FAILURES as error:
            raise unwritable(error) from error
        return messages_between(text, self._format.ends(text) - 1)
