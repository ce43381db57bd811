"""Tables on the device."""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
from pylibcudf.interop import ColumnMetadata
from pylibcudf.types import DataType

from fake_gpu.arrow import labelled
from fake_gpu.calls import Handle, call
from fake_gpu.memory import Memory
from fake_gpu.plc.column import Column, download, made, upload


class Table(Handle):
    """Columns of the same number of rows."""

    def __init__(self, columns: Sequence[Column], num_rows: int | None = None) -> None:
        self._columns = list(columns)
        sizes = {column.size() for column in self._columns}
        if len(sizes) > 1 or (num_rows is not None and sizes - {num_rows}):
            raise ValueError("Column size mismatch.")
        self._rows = sizes.pop() if sizes else num_rows or 0

    def memories(self) -> Iterator[Memory]:
        for column in self._columns:
            yield from column.memories()

    def num_columns(self) -> int:
        return len(self._columns)

    def num_rows(self) -> int:
        return self._rows

    def shape(self) -> tuple[int, int]:
        return self._rows, len(self._columns)

    def columns(self) -> tuple[Column, ...]:
        return tuple(self._columns)

    def release(self) -> list[Column]:
        columns, self._columns = self._columns, []
        return columns

    @call
    def copy(self, stream: Any = None, mr: Any = None) -> "Table":
        return Table([made(column.array(), column.type(), stream) for column in self._columns], self._rows)

    @call
    def to_arrow(self, metadata: list[ColumnMetadata | str] | None = None, stream: Any = None) -> pa.Table:
        """Copy to the host by one transfer; waits for the stream."""
        given: list[Any] = [None] * len(self._columns) if metadata is None else list(metadata)
        if len(given) != len(self._columns):
            raise ValueError("CUDF failure: mismatch between metadata and number of columns")
        arrays = [labelled(column.array(), each) for column, each in zip(self._columns, given, strict=True)]
        fields = [
            pa.field(
                getattr(each, "name", each) or "",
                array.type,
                bool(array.null_count) or pa.types.is_null(array.type),
            )
            for array, each in zip(arrays, given, strict=True)
        ]
        download(stream, given, self._columns)
        return pa.Table.from_arrays(arrays, schema=pa.schema(fields))

    @staticmethod
    @call
    def from_arrow(
        arrow_like: Any, dtype: DataType | None = None, stream: Any = None, mr: Any = None
    ) -> "Table":
        """Copy from the host by one transfer.

        Of a RecordBatch, it may return before it has read the batch; of a Table (which comes as a stream of
        batches), it waits.
        """
        if dtype is not None:
            raise NotImplementedError("Creating a Table with the dtype argument specified.")
        if isinstance(arrow_like, pa.RecordBatch):
            return Table(upload(arrow_like, arrow_like, stream), arrow_like.num_rows)
        if not hasattr(arrow_like, "__arrow_c_stream__"):
            raise ValueError("Arrow-like object must implement one of the Arrow C data interface methods")
        table = pa.table(arrow_like).combine_chunks()
        batch = table.to_batches()[0] if table.num_rows else pa.RecordBatch.from_pylist([], table.schema)
        columns = upload(arrow_like, batch, stream)
        stream.queue.synchronize()
        return Table(columns, batch.num_rows)


def _field(name: str, array: pa.Array) -> pa.Field:
    """A field that is nullable if the values are."""
    return pa.field(name, array.type, bool(array.null_count) or pa.types.is_null(array.type))
