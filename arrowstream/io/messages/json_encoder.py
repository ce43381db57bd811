"""Rows as JSON messages: the lines that the encoder of NDJSON files writes, one object each."""

from __future__ import annotations

import polars as pl
import pyarrow as pa

from arrowstream.core.failures import FAILURES
from arrowstream.core.messages import Encoder, Encoding
from arrowstream.core.step_context import StepContext
from arrowstream.io.files.column_types import check_types
from arrowstream.io.files.output.encoders import encoder_for
from arrowstream.io.files.output.streaming_sink import encoded
from arrowstream.io.files.text.records import Positions, positions
from arrowstream.io.messages.errors import unwritable
from arrowstream.io.messages.lines import every_other

_NEWLINE = ord("\n")


class JsonEncoder(Encoder):
    """Encoder of rows as JSON objects, each on one line without a newline at its end.

    Values are written as in NDJSON files: NaN and infinity as null, decimals, dates and times as strings.
    """

    @property
    def label(self) -> str:
        return "json"

    @property
    def is_json(self) -> bool:
        return True

    def check(self, schema: pl.Schema) -> None:
        check_types("ndjson", schema)

    def open(self, schema: pl.Schema, context: StepContext) -> Encoding:
        return _JsonEncoding(schema)


class _JsonEncoding(Encoding):
    def __init__(self, schema: pl.Schema) -> None:
        self._encoder = encoder_for("ndjson", schema, None)

    def encode(self, frame: pl.DataFrame) -> pa.LargeBinaryArray:
        try:
            text = encoded(frame, self._encoder)
        except FAILURES as error:
            raise unwritable(error) from error
        # JSON has no newline inside of a string, only the escape (RFC 8259, section 7).
        return messages_between(text, positions(text, _NEWLINE))


def messages_between(text: bytes, ends: Positions) -> pa.LargeBinaryArray:
    """Return the lines of a text as messages, without their line ends.

    Parameters
    ----------
    text
        Lines that end in a newline.
    ends
        Position of the newline of each line, ascending. Shape (n,), int64.
    """
    return every_other(text, ends, ends + 1)
