"""Arrow arrays on their way to the device and back: what libcudf keeps of a type, and what metadata restores."""

from typing import Any

import pyarrow as pa
from pylibcudf.interop import ColumnMetadata
from pylibcudf.types import DataType, TypeId

from fake_gpu.types import NUMPY, decimal_type, device_type, plain_type


def copied(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Copy a batch: whoever changes the memory of the first, does not change the copy."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return pa.ipc.open_stream(sink.getvalue()).read_next_batch()


def plain(array: pa.Array) -> pa.Array:
    """Give an array as the device holds it: types of `fake_gpu.types.plain_type`."""
    kind = plain_type(array.type)
    if kind == array.type:
        return array
    if pa.types.is_timestamp(kind):
        return array.view(kind)
    if pa.types.is_struct(kind):
        children = [plain(array.field(index)) for index in range(array.type.num_fields)]
        return pa.StructArray.from_arrays(children, fields=list(kind), mask=array.is_null())
    if pa.types.is_list(kind):
        offsets, values = _list_parts(array)
        return pa.ListArray.from_arrays(offsets.cast(pa.int32()), plain(values), kind, mask=_mask(array))
    if pa.types.is_dictionary(kind):
        return pa.DictionaryArray.from_arrays(array.indices.cast(pa.int32()), plain(array.dictionary))
    return array.cast(kind)


def labelled(array: pa.Array, metadata: ColumnMetadata | str | None) -> pa.Array:
    """Give an array of the device as it comes back: with the zones, precisions and names of the metadata."""
    if not isinstance(metadata, ColumnMetadata):
        return array
    kind = array.type
    if pa.types.is_timestamp(kind):
        return array.view(pa.timestamp(kind.unit, metadata.timezone)) if metadata.timezone else array
    if pa.types.is_decimal(kind):
        return array.cast(decimal_type(device_type(kind), metadata.precision))
    children = metadata.children_meta
    if pa.types.is_struct(kind) and children:
        _expect_children(kind.num_fields, children)
        fields = [labelled(array.field(index), child) for index, child in enumerate(children)]
        names = [
            pa.field(child.name, field.type, bool(field.null_count))
            for child, field in zip(children, fields, strict=True)
        ]
        return pa.StructArray.from_arrays(fields, fields=names, mask=array.is_null())
    if pa.types.is_list(kind) and children:
        _expect_children(2, children)
        offsets, values = _list_parts(array)
        values = labelled(values, children[1])
        field = pa.field(children[1].name, values.type, bool(values.null_count))
        return pa.ListArray.from_arrays(offsets, values, pa.list_(field), mask=_mask(array))
    return array


def device_bytes(array: pa.Array, dtype: DataType) -> int:
    """Give the bytes that an array takes on the device: libcudf's booleans are bytes, its masks padded to 64."""
    rows = len(array)
    mask = -(-rows // 512) * 64 if array.null_count else 0
    if dtype.id() in NUMPY:
        return mask + rows * NUMPY[dtype.id()]().itemsize
    if dtype.id() == TypeId.EMPTY:
        return 0
    return mask + int(array.nbytes)


def _list_parts(array: Any) -> tuple[pa.Array, pa.Array]:
    """Offsets that start at 0, and the values that they reach."""
    offsets = array.offsets
    first, last = (offsets[0].as_py(), offsets[-1].as_py()) if len(array) else (0, 0)
    if not len(array):
        return pa.array([0], offsets.type), array.values.slice(0, 0)
    return pa.compute.subtract(offsets, pa.scalar(first, offsets.type)), array.values.slice(
        first, last - first
    )


def _mask(array: pa.Array) -> pa.Array | None:
    return array.is_null() if array.null_count else None


def _expect_children(count: int, children: list[ColumnMetadata]) -> None:
    if len(children) != count:
        raise ValueError(
            f"CUDF failure: mismatched number of children in metadata: {len(children)} for {count}"
        )
