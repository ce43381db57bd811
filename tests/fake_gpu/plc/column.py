"""Columns on the device."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from pylibcudf.interop import ColumnMetadata
from pylibcudf.types import DataType, TypeId

from fake_gpu.arrow import device_bytes, labelled
from fake_gpu.calls import Handle, call
from fake_gpu.log import Transfer
from fake_gpu.memory import Memory
from fake_gpu.plc.gpumemoryview import gpumemoryview, packed, unpacked
from fake_gpu.plc.scalar import Scalar
from fake_gpu.types import NUMPY, device_type
from fake_gpu.uploads import Upload
from fake_gpu.values import array_of, numbers, validity


class Column(Handle):
    """Values of one type in device memory: opaque, but for the functions of this package."""

    def __init__(
        self,
        data_type: DataType,
        size: int,
        data: Any,
        mask: Any,
        null_count: int,
        offset: int,
        children: Iterable["Column"],
        validate: bool = True,
    ) -> None:
        if list(children) or data_type.id() not in NUMPY:
            raise NotImplementedError("the fake makes columns of fixed width only out of their parts")
        kind = np.dtype(NUMPY[data_type.id()])
        end = offset + size
        if size and (data is None or data.size < end * kind.itemsize):
            raise ValueError("the data is shorter than the column")
        held = [span.memory for span in (data, mask) if span is not None]

        def content() -> pa.Array:
            values = data.bytes.view(np.uint8)[offset * kind.itemsize : end * kind.itemsize] if size else b""
            valid = unpacked(mask, offset, end) if mask is not None else None
            return array_of(np.frombuffer(values, kind), valid, data_type)

        self._set(data_type, tuple(held), content, size, null_count)

    def _set(
        self,
        dtype: DataType,
        held: tuple[Memory, ...],
        content: Callable[[], pa.Array],
        size: int,
        nulls: int,
    ) -> None:
        self._dtype = dtype
        self._held = held
        self._content = content
        self._array: pa.Array | None = None
        self._size = size
        self._nulls = nulls
        self._whole: Column | None = None
        """What this is a view of; not itself, which would be a circle that only the collector frees."""
        self._offset = 0
        self._shown: np.ndarray | None = None
        """Its data, once someone has a pointer to it."""

    @classmethod
    def _made(
        cls, dtype: DataType, held: tuple[Memory, ...], content: Callable[[], pa.Array], size: int, nulls: int
    ) -> "Column":
        column = cls.__new__(cls)
        column._set(dtype, held, content, size, nulls)
        return column

    def _base(self) -> "Column":
        return self if self._whole is None else self._whole

    def memories(self) -> Iterator[Memory]:
        yield from self._held

    def array(self) -> pa.Array:
        """The values, as an Arrow array (for the fake's own functions; a device has none)."""
        shown = self._base()._shown
        if shown is not None:
            # A kernel may have written it since.
            values = shown.view(NUMPY[self._dtype.id()])[self._offset : self._offset + self._size]
            return array_of(values.copy(), validity(self._values()), self._dtype)
        return self._values()

    def _values(self) -> pa.Array:
        if self._array is None:
            self._array = self._content()
        return self._array

    def type(self) -> DataType:
        return self._dtype

    def size(self) -> int:
        return self._size

    def null_count(self) -> int:
        return self._nulls

    def offset(self) -> int:
        """Where it begins in its data and mask, in values."""
        return self._offset

    def data(self) -> gpumemoryview | None:
        """The memory of its values, those before `offset` as well; booleans are bytes."""
        if self._dtype.id() not in NUMPY:
            raise NotImplementedError(f"the fake shows no data of {self._dtype.id().name}")
        base = self._base()
        if base._shown is None:
            base._shown = numbers(base._values(), self._dtype).copy().view(np.uint8)
        return gpumemoryview._of(self._held[0], base._shown)

    def num_children(self) -> int:
        return len(self.children())

    def children(self) -> list["Column"]:
        kind = self._dtype.id()
        if kind == TypeId.STRUCT:
            return [self._child(lambda a, i=i: a.field(i)) for i in range(self.array().type.num_fields)]
        if kind == TypeId.LIST:
            return [self._child(lambda a: a.offsets), self._child(lambda a: a.values)]
        if kind in (TypeId.STRING, TypeId.DICTIONARY32):
            raise NotImplementedError(f"the fake shows no children of {kind.name}")
        return []

    def child(self, index: int) -> "Column":
        return self.children()[index]

    def _slice(self, begin: int, end: int) -> "Column":
        """A view of some rows, without a copy."""
        if not 0 <= begin <= end <= self._size:
            raise IndexError("CUDF failure: Slice range out of bounds.")
        array = self.array().slice(begin, end - begin)
        view = Column._made(self._dtype, self._held, lambda: array, len(array), array.null_count)
        view._whole, view._offset = self._base(), self._offset + begin
        return view

    def _child(self, part: Callable[[Any], pa.Array]) -> "Column":
        array = part(self.array())
        return Column._made(device_type(array.type), self._held, lambda: array, len(array), array.null_count)

    def device_buffer_size(self) -> int:
        return sum(memory.size for memory in self._held)

    def with_mask(self, mask: Any, null_count: int, validate: bool = True) -> "Column":
        """The same values with other nulls, without a copy."""
        if mask is None:
            return Column._made(self._dtype, self._held, lambda: _masked(self.array(), None), self._size, 0)
        valid = unpacked(mask, self._offset, self._offset + self._size)
        if null_count != self._size - int(np.count_nonzero(valid)):
            mask.memory.machine.violate("with_mask is given a null count that is not the mask's")
        return Column._made(
            self._dtype,
            (*self._held, mask.memory),
            lambda: _masked(self.array(), valid),
            self._size,
            null_count,
        )

    def null_mask(self) -> gpumemoryview | None:
        valid = validity(self._base().array())
        return None if valid is None else gpumemoryview._of(self._held[-1], packed(valid))

    @call
    def copy(self, stream: Any = None, mr: Any = None) -> "Column":
        return made(self.array(), self._dtype, stream)

    @staticmethod
    @call
    def from_scalar(scalar: Scalar, size: int, stream: Any = None, mr: Any = None) -> "Column":
        return made(pa.repeat(scalar.value, size), scalar.type(), stream)

    @call
    def to_scalar(self, stream: Any = None, mr: Any = None) -> Scalar:
        if self._size != 1:
            raise ValueError("to_scalar only works for columns of size 1")
        return Scalar._made(self.array()[0], self._dtype, stream)

    @staticmethod
    @call
    def all_null_like(like: "Column", size: int, stream: Any = None, mr: Any = None) -> "Column":
        return made(pa.nulls(size, like.array().type), like.type(), stream)

    @call
    def to_arrow(self, metadata: ColumnMetadata | str | None = None, stream: Any = None) -> pa.Array:
        """Copy to the host; waits for the stream."""
        array = labelled(self.array(), metadata)
        download(stream, [metadata], [self])
        return array

    @staticmethod
    @call
    def from_arrow(obj: Any, dtype: DataType | None = None, stream: Any = None, mr: Any = None) -> "Column":
        """Copy from the host; may return before it has read the array."""
        if dtype is not None:
            raise NotImplementedError("Creating a Column with the dtype argument specified.")
        if not isinstance(obj, pa.Array):
            raise NotImplementedError("the fake uploads pyarrow arrays only")
        return upload(obj, pa.RecordBatch.from_arrays([obj], [""]), stream)[0]


def made(array: pa.Array, dtype: DataType, stream: Any) -> Column:
    """Make the column that a call returns: new memory, written by the newest work of the stream."""
    memory = Memory(stream.queue, device_bytes(array, dtype))
    return Column._made(dtype, (memory,), lambda: array, len(array), array.null_count)


def upload(owner: Any, batch: pa.RecordBatch, stream: Any) -> list[Column]:
    """Make the columns that an asynchronous copy from the host fills, by one transfer."""
    queue = stream.queue
    types = [device_type(field.type) for field in batch.schema]
    parts = [
        (dtype, Memory(queue, device_bytes(column, dtype)), len(column), column.null_count)
        for dtype, column in zip(types, batch.columns, strict=True)
    ]
    copy = Upload(queue, owner, batch)
    _log(queue.machine.log.uploads, batch.schema.names, sum(memory.size for _, memory, _, _ in parts))
    return [
        Column._made(dtype, (memory,), lambda at=at: copy.read()[at], rows, nulls)
        for at, (dtype, memory, rows, nulls) in enumerate(parts)
    ]


def download(stream: Any, metadata: list[Any], columns: list[Column]) -> None:
    """Log a copy to the host, and wait for it."""
    names = [getattr(each, "name", each) or "" for each in metadata]
    size = sum(device_bytes(column.array(), column.type()) for column in columns)
    _log(stream.queue.machine.log.downloads, names, size)
    stream.queue.synchronize()


def _log(transfers: list[Any], names: list[str], size: int) -> None:
    transfers.append(Transfer(tuple(names), size))


def _masked(array: pa.Array, valid: np.ndarray | None) -> pa.Array:
    """The same values and other nulls."""
    mask = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))
    nulls = 0 if valid is None else len(array) - int(np.count_nonzero(valid))
    if array.offset:
        array = pa.concat_arrays([array, array.slice(0, 0)])
    children = array.type.num_fields
    buffers = array.buffers()
    if children:
        raise NotImplementedError("the fake sets no masks of nested columns")
    return pa.Array.from_buffers(array.type, len(array), [mask, *buffers[1:]], nulls, array.offset)
