"""Encoder of rows into Protocol Buffers messages."""

from __future__ import annotations

import base64
from functools import partial
from typing import ClassVar

import polars as pl
import pyarrow as pa

from arrowstream.core.hints import did_you_mean
from arrowstream.errors import SchemaError
from arrowstream.io.messages.protobuf.fields import Field, fields_of
from arrowstream.io.messages.protobuf.indexes import index_bytes
from arrowstream.io.messages.protobuf.known import is_of_protobuf
from arrowstream.io.messages.protobuf.options import ProtobufOptions, given
from arrowstream.io.messages.protobuf.pieces import message_pieces
from arrowstream.io.messages.registry.encoder import RowForm, SchemaEncoder
from arrowstream.io.messages.wire.resolution import converted
from arrowstream.io.messages.wire.varints import Pieces


class ProtobufEncoder(SchemaEncoder):
    """Encoder of rows into messages of Protocol Buffers. A field without a column is not written.

    Parameters
    ----------
    options
        The message, registry and subject.

    Raises
    ------
    PlanError
        No options are given.
    SchemaError
        No column can have a field of the message, or it cannot be registered.
    """

    kind: ClassVar[str] = "PROTOBUF"
    what: ClassVar[str] = "a message of Protocol Buffers"
    hint: ClassVar[str] = "make the field 'optional' for nulls, fill them, or cast the column before the sink"

    def __init__(self, options: ProtobufOptions | None = None) -> None:
        options = given(options)
        self._message = options.descriptor()
        super().__init__(f"protobuf {self._message.full_name}", options.registry, options.subject)
        self._enums = options.enums
        self.indexes = index_bytes(self._message)[0]
        others = [file.name for file in self._message.file.dependencies if not is_of_protobuf(file.name)]
        if options.registry is not None and others:
            raise SchemaError(
                f"{self._message.file.name} imports other files, which are not registered with it",
                expected="a file of its own",
                found=", ".join(others),
                hint="write the message and all that it holds into one file",
            )

    def form(self, schema: pl.Schema) -> RowForm:
        known = fields_of(self._message, self._enums, schema)
        names = [field.name for field in known]
        unknown = [name for name in schema if name not in names]
        if unknown or not len(schema):
            raise SchemaError(
                f"the message has no field {unknown[0]!r}"
                if unknown
                else "rows without columns are no messages",
                expected=", ".join(names),
                found=", ".join(schema) or "no columns",
                hint=(did_you_mean(unknown[0], names) if unknown else None)
                or "select the fields of the message before the sink",
            )
        fields = tuple(field for field in known if field.name in schema)
        wanted = pl.Schema({field.name: field.column for field in fields})
        types = ", ".join(f"{name}: {dtype}" for name, dtype in wanted.items())
        return RowForm(converted(schema, wanted, {}), partial(_pieces, fields), types, self._file)

    def _file(self) -> str:
        return base64.b64encode(self._message.file.serialized_pb).decode()


def _pieces(fields: tuple[Field, ...], columns: pa.RecordBatch) -> Pieces:
    return message_pieces(fields, columns.columns)
