"""Encoder of rows into Avro messages."""

from __future__ import annotations

import json
from functools import partial
from typing import ClassVar

import polars as pl
import pyarrow as pa

from arrowstream.core.hints import did_you_mean
from arrowstream.errors import SchemaError
from arrowstream.io.files.avro.types import AvroType
from arrowstream.io.messages.avro.derived import derived_schema
from arrowstream.io.messages.avro.options import AvroOptions, fields_of, parsed
from arrowstream.io.messages.avro.pieces import pieces_of
from arrowstream.io.messages.registry.encoder import RowForm, SchemaEncoder
from arrowstream.io.messages.wire.resolution import converted, defaults_of
from arrowstream.io.messages.wire.varints import Pieces


class AvroEncoder(SchemaEncoder):
    """Encoder of rows into messages that are Avro records.

    Parameters
    ----------
    options
        Schema, registry and subject.

    Raises
    ------
    SchemaError
        The Avro schema is not that of a record, or has a type that no column can have.
    """

    kind: ClassVar[str] = "AVRO"
    what: ClassVar[str] = "an Avro record"
    hint: ClassVar[str] = "cast the column before the sink, or give another Avro schema"

    def __init__(self, options: AvroOptions | None = None) -> None:
        options = options or AvroOptions()
        super().__init__("avro", options.registry, options.subject)
        self._given = None if options.schema is None else parsed(options.schema)
        if self._given is not None:
            fields_of(self._given)

    def form(self, schema: pl.Schema) -> RowForm:
        avro = derived_schema(schema) if self._given is None else self._given
        fields = fields_of(avro)
        wanted = pl.Schema({name: kind.dtype for name, kind in fields.items()})
        defaults = defaults_of(avro, wanted)
        unknown = [name for name in schema if name not in wanted]
        missing = [
            name
            for name, kind in fields.items()
            if name not in schema and not isinstance(kind.schema, list) and (name,) not in defaults
        ]
        if unknown or missing:
            raise SchemaError(
                f"the Avro schema has no field {unknown[0]!r}"
                if unknown
                else f"the Avro field {missing[0]!r} has no column, and neither a default nor null",
                expected=f"the columns {', '.join(wanted)}",
                found=", ".join(schema),
                hint=(did_you_mean(unknown[0], wanted) if unknown else None)
                or "select the columns of the Avro schema before the sink",
            )
        types = ", ".join(f"{name}: {dtype}" for name, dtype in wanted.items())
        columns = converted(schema, wanted, defaults)
        return RowForm(columns, partial(_pieces, fields), types, partial(json.dumps, avro))


def _pieces(fields: dict[str, AvroType], columns: pa.RecordBatch) -> Pieces:
    return [
        piece for name, kind in fields.items() for piece in pieces_of(kind.schema, columns.column(name), name)
    ]
