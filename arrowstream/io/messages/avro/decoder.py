"""Decoder of Avro messages."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from arrowstream.core.messages import Decoded, Decoder, Decoding
from arrowstream.core.step_context import StepContext
from arrowstream.errors import BadMessage, PlanError, SchemaError, SourceError
from arrowstream.io.compiled import numba_module
from arrowstream.io.messages.avro.derived import derived_schema
from arrowstream.io.messages.avro.options import AvroOptions, fields_of, parsed, with_references
from arrowstream.io.messages.avro.program import BadDatum
from arrowstream.io.messages.avro.reader import DatumReader
from arrowstream.io.messages.first_bad import decoded
from arrowstream.io.messages.registry.client import RegistryClient, UnknownSchema
from arrowstream.io.messages.wire.byte_ranges import ByteRanges, places_of
from arrowstream.io.messages.wire.header import without_header
from arrowstream.io.messages.wire.resolution import (
    Defaults,
    Unresolvable,
    check_becomes,
    defaults_of,
    evolved,
    resolved,
)

_PLANS: Final = 1_000
"""Number of schemas of writers whose programs are kept."""


class AvroDecoder(Decoder):
    """Decoder of messages that are Avro records.

    Parameters
    ----------
    schema
        Names and types of the columns; None for those of the Avro schema: the one of `options`, or else the latest
        one of the first messages.
    options
        Schema and registry.

    Raises
    ------
    PlanError
        Neither columns nor a schema nor a registry are given.
    SchemaError
        The Avro schema cannot be that of columns, or does not become the declared columns.
    """

    def __init__(self, schema: pl.Schema | None = None, options: AvroOptions | None = None) -> None:
        self._options = options or AvroOptions()
        self._schema = schema
        self._defaults: Defaults = {}
        given = None if self._options.schema is None else parsed(self._options.schema)
        if given is not None:
            columns = pl.Schema({name: kind.dtype for name, kind in fields_of(given).items()})
            self._schema = schema or columns
            if self.waits:
                self._defaults = defaults_of(given, columns)
            if schema is not None:
                check_becomes(columns, schema, "the Avro schema")
        elif self._schema is None and not self.waits:
            raise PlanError(
                "Avro messages are read with the schema that they were written with",
                expected="an Avro schema, a registry, or the columns of messages that arrowstream wrote",
                found="none of them",
                hint="give the schema: AvroOptions(schema='record.avsc')",
            )
        elif self._schema is not None and not self.waits:
            given = derived_schema(self._schema)
        self._written = given

    @property
    def label(self) -> str:
        return f"avro, schemas from {self._options.registry.url}" if self._options.registry else "avro"

    @property
    def schema(self) -> pl.Schema | None:
        return self._schema

    @property
    def waits(self) -> bool:
        return self._options.registry is not None

    def settled(self, values: pa.LargeBinaryArray) -> Decoder:
        assert self._options.registry is not None
        places, rows = places_of(values)
        _, numbers = without_header(places, np.arange(len(places.starts)) if rows is None else rows)
        if not len(numbers):
            raise SchemaError(
                "the first messages show no columns",
                expected="a message with the id of its schema",
                found="messages without a value only",
                hint="declare the columns: schema={...}",
            )
        client = RegistryClient(self._options.registry, SourceError)
        latest = int(numbers.max())
        try:
            written = _written(client, latest)
        except UnknownSchema:
            raise SourceError(
                f"the first messages have a schema that the registry does not have: id {latest}",
                expected=f"a schema of {self._options.registry.url}",
                found="status 404",
                hint="is it the registry that the messages were written with?",
            ) from None
        fields = fields_of(written, f"schema {latest} of the registry")
        return AvroDecoder(pl.Schema({name: kind.dtype for name, kind in fields.items()}), self._options)

    def open(self, context: StepContext) -> Decoding:
        numba_module("reading Avro messages")
        assert self._schema is not None
        registry = self._options.registry
        client = None if registry is None else RegistryClient(registry, SourceError)
        return _AvroDecoding(self._schema, self._defaults, self._written, client)


class _Plan(NamedTuple):
    """How the messages of one schema are read."""

    reader: DatumReader
    columns: list[pl.Expr] | None


class _AvroDecoding(Decoding):
    def __init__(
        self, schema: pl.Schema, defaults: Defaults, written: Any, client: RegistryClient | None
    ) -> None:
        self._schema = schema
        self._defaults = defaults
        self._written = written
        self._client = client
        self._plan = lru_cache(_PLANS)(self._made_plan)

    def decode(self, values: pa.LargeBinaryArray) -> Decoded:
        return decoded(values, self._decoded)

    def _decoded(self, values: pa.LargeBinaryArray) -> Decoded:
        places, rows = places_of(values)
        count = len(places.starts)
        indexes = np.arange(count) if rows is None else rows
        if self._client is None:
            numbers = np.zeros(count, np.int64)
        else:
            places, numbers = without_header(places, indexes)
        frames, order = self._frames(places, numbers, indexes)
        if not frames:
            return Decoded(pl.DataFrame(schema=self._schema).clear(len(values)))
        frame = frames[0] if len(frames) == 1 else pl.concat(frames)
        if len(frames) > 1 or rows is not None:
            of = np.full(len(values), -1)
            of[indexes[order]] = np.arange(count)
            place = pl.Series(of)
            frame = frame[place.set(place < 0, None)]
        return Decoded(frame)

    def _frames(
        self, places: ByteRanges, numbers: npt.NDArray[np.int64], indexes: npt.NDArray[np.int64]
    ) -> tuple[list[pl.DataFrame], npt.NDArray[np.int64]]:
        """Return the rows of each schema, and the places among the messages of all of them."""
        found, first, group = np.unique(numbers, return_index=True, return_inverse=True)
        frames: list[pl.DataFrame] = []
        orders: list[npt.NDArray[np.int64]] = []
        bad: BadMessage | None = None
        # In the order of the first message of each schema: what comes after a bad message need not be read.
        for each in np.argsort(first):
            chosen = np.flatnonzero(group == each) if len(found) > 1 else np.arange(len(numbers))
            if bad is not None:
                chosen = chosen[indexes[chosen] < bad.index]
            if not len(chosen):
                continue
            try:
                frames.append(self._rows(int(found[each]), places.chosen(chosen)))
                orders.append(chosen)
            except BadMessage as error:
                error.index = int(indexes[chosen[error.index]])
                bad = error
        if bad is not None:
            raise bad
        return frames, np.concatenate(orders) if orders else np.empty(0, np.int64)

    def _rows(self, number: int, places: ByteRanges) -> pl.DataFrame:
        try:
            reader, columns = self._plan(number)
        except UnknownSchema:
            raise BadMessage(
                "a message has a schema that the registry does not have",
                index=0,
                expected="the id of a schema of the registry",
                found=f"id {number}",
                hint="is it the registry that the message was written with?",
            ) from None
        except (SchemaError, Unresolvable) as error:
            raise BadMessage(
                f"a message of schema {number} cannot have the declared columns",
                index=0,
                expected="fields that become the columns",
                found=(error.found if isinstance(error, SchemaError) else None) or str(error),
                hint="declare other types, or leave the column out",
            ) from error
        try:
            frame = reader.read(places)
        except BadDatum as error:
            start, end = places.starts[error.index], places.ends[error.index]
            raise BadMessage(
                "a message is not an Avro record of its schema",
                index=error.index,
                expected=", ".join(reader.schema),
                found=f"{error}, in {end - start:,} bytes: {places.data[start:end][:40].tobytes()!r}",
                hint="is it the schema that the message was written with?",
            ) from None
        return frame if columns is None else evolved(frame, columns, self._schema)

    def _made_plan(self, number: int) -> _Plan:
        written = self._written if self._client is None else _written(self._client, number)
        reader = DatumReader(fields_of(written, f"schema {number} of the registry"))
        if reader.schema == self._schema:
            return _Plan(reader, None)
        return _Plan(reader, resolved(reader.schema, self._schema, self._defaults))


def _written(client: RegistryClient, number: int) -> Any:
    """Return a schema of the registry as JSON values."""
    found = client.schema(number)
    if found.kind != "AVRO":
        raise SchemaError(
            f"schema {number} of the registry is not an Avro schema", expected="AVRO", found=found.kind
        )
    try:
        named = {name: json.loads(text) for name, text in found.references.items()}
        return with_references(json.loads(found.text), named)
    except (ValueError, RecursionError) as error:
        raise SchemaError(
            f"schema {number} of the registry is not JSON", expected="an Avro schema", found=str(error)
        ) from error
