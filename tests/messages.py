"""Messages of Avro, as fastavro writes and reads them."""

import io
import json
from typing import Any

import fastavro
import pyarrow as pa


def messages(*values: bytes | None) -> pa.LargeBinaryArray:
    """Messages in memory that cannot be written to, as that of received bytes."""
    made = pa.array(values, pa.large_binary())
    buffers = [None if part is None else pa.py_buffer(part.to_pybytes()) for part in made.buffers()]
    return pa.Array.from_buffers(made.type, len(made), buffers)


def record(*fields: tuple[str, object]) -> dict[str, Any]:
    return {
        "type": "record",
        "name": "Row",
        "fields": [{"name": name, "type": kind} for name, kind in fields],
    }


def parsed(schema: object) -> Any:
    return fastavro.parse_schema(json.loads(json.dumps(schema)))


def datum(schema: object, row: object) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, parsed(schema), row)
    return out.getvalue()


def rows_of(schema: object, values: pa.LargeBinaryArray) -> list[Any]:
    """The rows of messages, each of which is one datum and no more."""
    found = []
    for value in values.to_pylist():
        content = io.BytesIO(value)
        found.append(fastavro.schemaless_reader(content, parsed(schema), None, return_record_name=False))
        assert content.read() == b""
    return found
