"""Decoder of Protocol Buffers messages."""

from __future__ import annotations

from typing import cast

import numpy as np
import polars as pl
import pyarrow as pa

from arrowstream.core.messages import Decoded, Decoder, Decoding
from arrowstream.core.step_context import StepContext
from arrowstream.errors import BadMessage
from arrowstream.io.compiled import numba_module
from arrowstream.io.messages.first_bad import decoded
from arrowstream.io.messages.protobuf.fields import Field, fields_of
from arrowstream.io.messages.protobuf.indexes import index_bytes, without_indexes
from arrowstream.io.messages.protobuf.options import ProtobufOptions, given
from arrowstream.io.messages.protobuf.reader import BadField, columns
from arrowstream.io.messages.wire.byte_ranges import ByteRanges, places_of
from arrowstream.io.messages.wire.header import without_header
from arrowstream.io.messages.wire.resolution import check_becomes, evolved, resolved


class ProtobufDecoder(Decoder):
    """Decoder of messages of Protocol Buffers.

    A field without presence that is not in a message has its default, one with presence is null. Maps are lists of
    keys and values; the number of an enum without a name is its digits.

    Parameters
    ----------
    schema
        Names and types of the columns; None for the fields of the message.
    options
        The message.

    Raises
    ------
    PlanError
        No options are given.
    SchemaError
        No column can have a field, or the fields do not become the declared columns.
    """

    def __init__(self, schema: pl.Schema | None = None, options: ProtobufOptions | None = None) -> None:
        options = given(options)
        message = options.descriptor()
        self._fields = fields_of(message, options.enums, schema)
        self._name = message.full_name
        self._forms = None if options.registry is None else index_bytes(message)
        written = pl.Schema({field.name: field.column for field in self._fields})
        self._schema = schema or written
        self._columns: list[pl.Expr] | None = None
        if self._schema != written:
            check_becomes(written, self._schema, "the message")
            self._columns = resolved(written, self._schema, {})

    @property
    def label(self) -> str:
        return f"protobuf {self._name}"

    @property
    def schema(self) -> pl.Schema:
        return self._schema

    def open(self, context: StepContext) -> Decoding:
        numba_module("reading messages of Protocol Buffers")
        return _ProtobufDecoding(self._schema, self._fields, self._forms, self._columns)


class _ProtobufDecoding(Decoding):
    def __init__(
        self,
        schema: pl.Schema,
        fields: tuple[Field, ...],
        forms: list[bytes] | None,
        wanted: list[pl.Expr] | None,
    ) -> None:
        self._schema = schema
        self._fields = fields
        self._forms = forms
        self._wanted = wanted

    def decode(self, values: pa.LargeBinaryArray) -> Decoded:
        return decoded(values, self._decoded)

    def _decoded(self, values: pa.LargeBinaryArray) -> Decoded:
        places, rows = places_of(values)
        indexes = np.arange(len(values)) if rows is None else rows
        if not len(places.starts):
            return Decoded(pl.DataFrame(schema=self._schema).clear(len(values)))
        if self._forms is not None:
            places, _ = without_header(places, indexes)
            places = without_indexes(places, indexes, self._forms)
        try:
            frame = self._rows(places)
        except BadMessage as error:
            error.index = int(indexes[error.index])
            raise
        if rows is not None:
            of = np.full(len(values), -1)
            of[rows] = np.arange(len(rows))
            place = pl.Series(of)
            frame = frame[place.set(place < 0, None)]
        return Decoded(frame)

    def _rows(self, places: ByteRanges) -> pl.DataFrame:
        try:
            arrays = columns(self._fields, places)
        except BadField as error:
            start, end = places.starts[error.index], places.ends[error.index]
            raise BadMessage(
                "a message is not one of Protocol Buffers",
                index=error.index,
                expected=", ".join(field.name for field in self._fields),
                found=f"{error}, in {end - start:,} bytes: {places.data[start:end][:40].tobytes()!r}",
                hint="is it the class of these messages?",
            ) from None
        table = pa.table(arrays, names=[field.name for field in self._fields])
        frame = cast(pl.DataFrame, pl.from_arrow(table))
        return frame if self._wanted is None else evolved(frame, self._wanted, self._schema)
