"""Encoders of rows into messages of a schema, which a registry may have under a subject."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from arrowstream.core.batch import to_record
from arrowstream.core.messages import Encoder, Encoding
from arrowstream.core.step_context import StepContext
from arrowstream.errors import PlanError, SinkError
from arrowstream.io.compiled import numba_module
from arrowstream.io.messages.first_bad import first_bad
from arrowstream.io.messages.registry.client import RegistryClient
from arrowstream.io.messages.registry.options import SchemaRegistry
from arrowstream.io.messages.wire.header import header
from arrowstream.io.messages.wire.varints import BadValue, Pieces, fixed, joined

_REFUSALS = (BadValue, pl.exceptions.PolarsError)


@dataclass(frozen=True, slots=True)
class RowForm:
    """How rows of some columns become messages.

    Parameters
    ----------
    columns
        The columns in the types of their fields.
    pieces
        Returns the bytes of these columns, to be joined row by row; raises BadValue for a value that is none of its
        field.
    types
        The fields with their types, for errors.
    schema
        Returns the schema as text, for a registry.
    """

    columns: list[pl.Expr]
    pieces: Callable[[pa.RecordBatch], Pieces]
    types: str
    schema: Callable[[], str]


class SchemaEncoder(Encoder):
    """Encoder of rows into messages of one schema.

    Parameters
    ----------
    name
        The format and its message, for `explain()`.
    registry
        Where the schema is registered; None if messages have no header.
    subject
        Under which subject; None for that of a topic's values.
    """

    kind: ClassVar[str]
    """Name of the format in a registry."""

    what: ClassVar[str]
    """What a message is, for errors."""

    hint: ClassVar[str]
    """What to do about a value that cannot be written."""

    indexes: bytes = b""
    """Bytes between the id of the schema and the message."""

    def __init__(self, name: str, registry: SchemaRegistry | None, subject: str | None) -> None:
        self._name = name
        self._registry = registry
        self._subject = subject

    @abstractmethod
    def form(self, schema: pl.Schema) -> RowForm:
        """Return how rows of this schema become messages; raise SchemaError if they cannot."""

    @property
    def label(self) -> str:
        if self._registry is None or self._subject is None:
            return self._name
        return f"{self._name}, subject {self._subject} of {self._registry.url}"

    def for_topic(self, topic: str) -> Encoder:
        if self._registry is None or self._subject is not None:
            return self
        found = copy(self)
        found._subject = f"{topic}-value"
        return found

    def check(self, schema: pl.Schema) -> None:
        self.form(schema)
        if self._registry is not None and self._subject is None:
            raise PlanError(
                "a schema is registered under a subject",
                expected="the name of the subject",
                found="none",
                hint="give it with the options of the format: subject='flights-value'",
            )

    def open(self, schema: pl.Schema, context: StepContext) -> Encoding:
        numba_module("writing messages of Avro and Protocol Buffers")
        return _SchemaEncoding(self, self.form(schema), self._registry, self._subject)


class _SchemaEncoding(Encoding):
    def __init__(
        self, encoder: SchemaEncoder, form: RowForm, registry: SchemaRegistry | None, subject: str | None
    ) -> None:
        self._encoder = encoder
        self._form = form
        self._registry = registry
        self._subject = subject
        self._header: bytes | None = None if registry else b""

    def encode(self, frame: pl.DataFrame) -> pa.LargeBinaryArray:
        if self._header is None:
            self._header = header(self._registered()) + self._encoder.indexes
        try:
            return self._encoded(frame)
        except _REFUSALS as error:
            row = first_bad(frame, self._can_encode)
            raise SinkError(
                f"row {row + 1} of a batch is not {self._encoder.what}",
                expected=self._form.types,
                found=str(error).partition("\n")[0],
                hint=self._encoder.hint,
            ) from error

    def _registered(self) -> int:
        assert self._registry is not None and self._subject is not None
        client = RegistryClient(self._registry, SinkError)
        return client.register(self._subject, self._encoder.kind, self._form.schema())

    def _encoded(self, frame: pl.DataFrame) -> pa.LargeBinaryArray:
        pieces = self._form.pieces(to_record(frame.select(self._form.columns)))
        if self._header:
            head = np.tile(np.frombuffer(self._header, np.uint8), frame.height)
            pieces = [fixed(head, len(self._header)), *pieces]
        return joined(pieces)

    def _can_encode(self, frame: pl.DataFrame) -> bool:
        try:
            self._encoded(frame)
        except _REFUSALS:
            return False
        return True
