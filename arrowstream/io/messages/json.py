"""JSON messages: each one is an object, and becomes one row.

Objects of plain columns are read by a compiled loop, if there is one; see `plain_json`. What it leaves, and all other
messages of a batch are parsed together, as lines of NDJSON, by the reader of NDJSON files, which changes no value
silently. What that reader takes for a row is one object in UTF-8: of two objects, an array, a number or ``null``, of
text after the object and of nothing at all it makes an error or no row. So the number of rows is that of the messages
only if each message is one row.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa

from arrowstream.core.failures import FAILURES
from arrowstream.core.messages import Decoded, Decoder, Decoding
from arrowstream.core.step_context import StepContext
from arrowstream.io.files.columnar.given_types import cast_to
from arrowstream.io.files.text.bad.sift import inferred
from arrowstream.io.files.text.bad.sift_ndjson import sifted_ndjson
from arrowstream.io.files.text.formats import FlawedRecord
from arrowstream.io.files.text.ndjson_format import Ndjson
from arrowstream.io.files.text.ndjson_rows import NdjsonRows
from arrowstream.io.files.text.times import with_times
from arrowstream.io.files.text.types import check_text_types, check_width
from arrowstream.io.messages.errors import no_columns, some_columns, unreadable
from arrowstream.io.messages.first_bad import first_bad
from arrowstream.io.messages.lines import LineWriter
from arrowstream.io.messages.plain_json.reader import plain_reader

_NULL = b"{}"
"""The line of a null message, of which all columns are null."""

_TRIES = 64
"""Reads in which messages or times are unusual, such as those that look for a bad message, until this is expected."""

_MANY = 10_000
"""Messages whose decoding is worth some time to load the compiled loop; they are decoded on a worker thread."""

_EXPECTED = "one object in UTF-8 whose values fit their columns"


class JsonDecoder(Decoder):
    """Decoder of JSON objects.

    Keys that are not columns are left out; a column without a key is null. Of a key that comes twice the first value
    counts. A number in a column of text keeps its digits. Decimals are texts or numbers, times of day are texts.

    Parameters
    ----------
    schema
        Names and types of the columns; None to infer them from the first messages.

    Raises
    ------
    SchemaError
        JSON has no values of a type, or there are no columns.
    """

    def __init__(self, schema: pl.Schema | None = None) -> None:
        self._schema = schema
        if schema is not None:
            check_text_types("ndjson", _as_texts(some_columns(schema, "")))

    @property
    def label(self) -> str:
        return "json"

    @property
    def schema(self) -> pl.Schema | None:
        return self._schema

    def settled(self, values: pa.LargeBinaryArray) -> Decoder:
        found = inferred(Ndjson(several=False), LineWriter(_NULL).of(values), pl.Schema())
        if not found:
            raise no_columns(f"no key in the first {len(values)}")
        check_width(found, pl.Schema(), "the messages")
        return JsonDecoder(found)

    def open(self, context: StepContext) -> Decoding:
        assert self._schema is not None
        return _JsonDecoding(self._schema)


class _JsonDecoding(Decoding):
    def __init__(self, schema: pl.Schema) -> None:
        self._schema = _as_texts(schema)
        self._format = Ndjson()
        self._rows = NdjsonRows(self._schema, counts=False)
        self._casts = [
            with_times(pl.col(name), dtype) if dtype == pl.Time else cast_to(name, pl.String(), dtype)
            for name, dtype in schema.items()
            if dtype != self._schema[name]
        ]
        self._plain = plain_reader(self._schema)
        self._unusual = 0
        """Number of reads one after the other in which too many messages were not plain."""
        self._lines = LineWriter(_NULL)

    def decode(self, values: pa.LargeBinaryArray) -> Decoded:
        try:
            return Decoded(self._read(values))
        except FAILURES as error:
            index = first_bad(values, self._is_fine)
            reason = self._reason(values[index : index + 1])
            if reason is None:
                raise  # whatever it is, no message is its cause
            raise unreadable("JSON", index, _EXPECTED, reason, values[index].as_py()) from error

    def _read(self, values: pa.LargeBinaryArray) -> pl.DataFrame:
        """Return the rows of messages: by the compiled loop, and by Polars those that are left."""
        plain = self._plain
        if plain is None or not (plain.is_ready or len(values) >= _MANY):
            return self._read_lines(values)
        found = plain.read(values)
        if found is None:
            self._unusual += 1
            if self._unusual == _TRIES:
                self._plain = None
            return self._read_lines(values)
        self._unusual = 0
        rows, left = found
        rows = rows.with_columns(self._casts)
        if not len(left):
            return rows
        order = np.arange(len(values))
        order[left] = np.arange(len(left)) + len(values)
        return pl.concat([rows, self._read_lines(values.take(pa.array(left)))])[order]

    def _read_lines(self, values: pa.LargeBinaryArray) -> pl.DataFrame:
        rows = self._parsed(self._lines.of(values))
        if rows.height != len(values):
            raise FlawedRecord(0, "no object", 0)
        return rows

    def _parsed(self, lines: bytes) -> pl.DataFrame:
        rows, _ = self._rows.read(self._format.checked(lines))
        return rows.with_columns(self._casts) if self._casts else rows

    def _is_fine(self, values: pa.LargeBinaryArray) -> bool:
        try:
            self._read(values)
        except FAILURES:
            return False
        return True

    def _reason(self, message: pa.LargeBinaryArray) -> str | None:
        """Return why a single message cannot be read, None if it can."""
        if self._is_fine(message):
            return None
        line = self._lines.of(message)
        _, _, errors = sifted_ndjson([line], self._schema, self._parsed)
        return errors.get(0, "nothing but blank space")


def _as_texts(schema: pl.Schema) -> pl.Schema:
    """Return the schema with text for decimals, which a float would change, and for times of day."""
    return pl.Schema(
        {
            name: pl.String() if isinstance(dtype, pl.Decimal | pl.Time) else dtype
            for name, dtype in schema.items()
        }
    )
