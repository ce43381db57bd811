"""Messages as they are: each one is the value of the only column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import polars as pl
import pyarrow as pa

from arrowstream.core.messages import VALUE, Decoded, Decoder, Decoding, Encoder, Encoding
from arrowstream.core.step_context import StepContext
from arrowstream.errors import SchemaError
from arrowstream.io.messages.errors import unreadable
from arrowstream.io.messages.first_bad import first_bad


class RawDecoder(Decoder):
    """Decoder of messages into one column ``value`` of Binary, or of String if the schema says so.

    Parameters
    ----------
    schema
        The column with its type; None for ``{"value": pl.Binary}``.

    Raises
    ------
    SchemaError
        The schema has another column or type.
    """

    def __init__(self, schema: pl.Schema | None = None) -> None:
        self._schema = pl.Schema({VALUE: pl.Binary()}) if schema is None else schema
        if self._schema.names() != [VALUE] or self._schema[VALUE] not in (pl.Binary, pl.String):
            raise SchemaError(
                "raw messages have one column, the message itself",
                expected=f"{{{VALUE!r}: pl.Binary}} or {{{VALUE!r}: pl.String}}",
                found=str(dict(self._schema)),
                hint="leave schema= out, and compute other columns in a step of the pipeline",
            )

    @property
    def label(self) -> str:
        return "raw"

    @property
    def schema(self) -> pl.Schema:
        return self._schema

    def open(self, context: StepContext) -> Decoding:
        return _RawDecoding(is_text=self._schema[VALUE] == pl.String)


@dataclass(frozen=True, slots=True)
class _RawDecoding(Decoding):
    is_text: bool

    def decode(self, values: pa.LargeBinaryArray) -> Decoded:
        if self.is_text and not is_utf8(values):
            index = first_bad(values, is_utf8)
            raise unreadable("text", index, "UTF-8", "invalid UTF-8", values[index].as_py())
        return Decoded(_column(texts(values) if self.is_text else values))


class RawEncoder(Encoder):
    """Encoder of one column of Binary or String into messages; a null is a null message."""

    @property
    def label(self) -> str:
        return "raw"

    def check(self, schema: pl.Schema) -> None:
        if len(schema) != 1 or schema.dtypes()[0] not in (pl.Binary, pl.String):
            raise SchemaError(
                "a raw message is the value of one column",
                expected="one column of Binary or String",
                found=", ".join(f"{name}: {dtype}" for name, dtype in schema.items()) or "no columns",
                hint="select the column before the sink, or choose another format",
            )

    def open(self, schema: pl.Schema, context: StepContext) -> Encoding:
        return _RawEncoding()


class _RawEncoding(Encoding):
    def encode(self, frame: pl.DataFrame) -> pa.LargeBinaryArray:
        column = frame.to_series().to_arrow(compat_level=pl.CompatLevel.oldest())
        return column.cast(pa.large_binary())


def texts(values: pa.LargeBinaryArray) -> pa.LargeStringArray:
    """Return messages as texts, not copied and not checked."""
    return pa.Array.from_buffers(
        pa.large_string(), len(values), values.buffers(), values.null_count, values.offset
    )


def is_utf8(values: pa.LargeBinaryArray) -> bool:
    """Return whether all messages are UTF-8."""
    try:
        texts(values).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _column(values: pa.Array) -> pl.DataFrame:
    return cast(pl.Series, pl.from_arrow(values)).alias(VALUE).to_frame()
