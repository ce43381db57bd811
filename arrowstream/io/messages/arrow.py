"""Arrow IPC messages: each one is a stream, or a file, with a schema and any number of rows."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.types as pat

from arrowstream.core.batch import to_frame, to_record
from arrowstream.core.messages import Decoded, Decoder, Decoding, Encoder, Encoding
from arrowstream.core.rows.arrow_schema import arrow_schema
from arrowstream.core.rows.arrow_types import UNFIT, polars_schema
from arrowstream.core.rows.empty_frames import nulls
from arrowstream.core.step_context import StepContext
from arrowstream.errors import BadMessage, SchemaError
from arrowstream.io.messages.arrow_limits import MAGIC, ArrowOptions, RefusedMessage
from arrowstream.io.messages.errors import no_columns, some_columns, unreadable

_DAMAGE: Final = (*UNFIT, OSError, SchemaError)
"""What pyarrow and Polars raise for a stream that they cannot read; a name that is not UTF-8 is a ValueError."""


class ArrowDecoder(Decoder):
    """Decoder of Arrow IPC streams and files, whose rows must have the names and types of the schema, in any order.

    Parameters
    ----------
    schema
        Names and types of the columns; None for those of the first message.
    options
        Largest messages that are read; None for the defaults.

    Raises
    ------
    SchemaError
        Arrow has no such type, or there are no columns.
    """

    def __init__(self, schema: pl.Schema | None = None, options: ArrowOptions | None = None) -> None:
        self._schema = schema
        self._limits = options or ArrowOptions()
        if schema is not None:
            arrow_schema(some_columns(schema, ""))

    @property
    def label(self) -> str:
        return "arrow"

    @property
    def schema(self) -> pl.Schema | None:
        return self._schema

    def settled(self, values: pa.LargeBinaryArray) -> Decoder:
        for index in np.flatnonzero(values.is_valid()):
            try:
                frame = _read(values[int(index)].as_py(), self._limits, None)
            except (RefusedMessage, *_DAMAGE):
                continue
            if frame.width:
                return ArrowDecoder(frame.schema, self._limits)
        raise no_columns(f"no Arrow IPC stream among the first {len(values)} messages")

    def open(self, context: StepContext) -> Decoding:
        assert self._schema is not None
        return _ArrowDecoding(self._schema, self._limits)


class _ArrowDecoding(Decoding):
    def __init__(self, schema: pl.Schema, limits: ArrowOptions) -> None:
        self._schema = schema
        self._limits = limits

    def decode(self, values: pa.LargeBinaryArray) -> Decoded:
        frames = [pl.DataFrame(schema=self._schema)]
        frames += [self._frame(message.as_py(), index) for index, message in enumerate(values)]
        rows = np.array([frame.height for frame in frames[1:]], np.int64)
        return Decoded(pl.concat(frames), rows)

    def _frame(self, message: bytes | None, index: int) -> pl.DataFrame:
        if message is None:
            return nulls(self._schema, 1)
        try:
            return _read(message, self._limits, self._schema)
        except (RefusedMessage, *_DAMAGE) as error:
            raise _bad(message, index, error) from error


def _bad(message: bytes, index: int, error: BaseException) -> BadMessage:
    reason = error.what if isinstance(error, SchemaError) else str(error).partition("\n")[0]
    expected = "an Arrow IPC stream or file with the columns of the schema"
    return unreadable("Arrow IPC", index, expected, reason, message)


def _read(message: bytes, limits: ArrowOptions, schema: pl.Schema | None) -> pl.DataFrame:
    """Return the rows of a message, checked; with the columns of the schema, or its own if that is None."""
    is_file = message.startswith(MAGIC)
    limits.check(message, is_file=is_file)
    stream = (pa.ipc.open_file if is_file else pa.ipc.open_stream)(pa.py_buffer(message))
    _check_columns(polars_schema(stream.schema), schema)
    table = stream.read_all()
    table.validate(full=True)
    nbytes = sum(_view_bytes(chunk) for column in table.columns for chunk in column.chunks)
    if nbytes > limits.max_bytes:
        raise RefusedMessage(f"texts of {nbytes:,} bytes, where at most {limits.max_bytes:,} are allowed")
    frame = to_frame(table)
    _check_columns(frame.schema, schema)  # the values of an Enum are metadata, by which schemas do not differ
    return frame if schema is None else frame.select(schema.names())


def _check_columns(found: pl.Schema, wanted: pl.Schema | None) -> None:
    if wanted is not None and dict(found) != dict(wanted):
        raise RefusedMessage(
            f"other columns: {', '.join(f'{name}: {dtype}' for name, dtype in found.items())}"
        )


def _view_bytes(array: pa.Array) -> int:
    """Return how many bytes the texts of views have together, which may share them."""
    dtype = array.type
    if pat.is_string_view(dtype) or pat.is_binary_view(dtype):
        lengths = np.frombuffer(array.buffers()[1] or b"", np.int32)[::4]
        return int(lengths.sum(dtype=np.int64))
    if pat.is_struct(dtype):
        return sum(_view_bytes(array.field(number)) for number in range(dtype.num_fields))
    if pat.is_list(dtype) or pat.is_large_list(dtype) or pat.is_fixed_size_list(dtype):
        return _view_bytes(array.values)
    return 0


class ArrowEncoder(Encoder):
    """Encoder of all rows of a batch as one Arrow IPC stream, in types that every reader knows."""

    @property
    def label(self) -> str:
        return "arrow"

    @property
    def rows_per_message(self) -> Literal["many"]:
        return "many"

    def check(self, schema: pl.Schema) -> None:
        arrow_schema(some_columns(schema, "no columns to write"))

    def open(self, schema: pl.Schema, context: StepContext) -> Encoding:
        return _ArrowEncoding()


class _ArrowEncoding(Encoding):
    def encode(self, frame: pl.DataFrame) -> pa.LargeBinaryArray:
        record = to_record(frame)
        out = pa.BufferOutputStream()
        with pa.ipc.new_stream(out, record.schema) as writer:
            writer.write_batch(record)
        data = out.getvalue()
        bounds = pa.py_buffer(np.array([0, data.size], np.int64))
        return pa.Array.from_buffers(pa.large_binary(), 1, [None, bounds, data])
