"""Buffers of each column of a record batch, by the layouts of the Arrow columnar format."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.types as pat


def column_buffers(schema: pa.Schema, variadic: Sequence[int]) -> list[range]:
    """Return the numbers of each column's buffers.

    Parameters
    ----------
    schema
        Schema of the record batch.
    variadic
        Number of data buffers of each string or binary view, in the order of columns and their parts.

    Examples
    --------
    >>> column_buffers(pa.schema({"x": pa.int64(), "s": pa.string()}), [])
    [range(0, 2), range(2, 5)]
    """
    spans = []
    start = 0
    texts = iter(variadic)
    for dtype in schema.types:
        stop = start + _count(dtype, texts)
        spans.append(range(start, stop))
        start = stop
    return spans


def _count(dtype: pa.DataType, texts: Iterator[int]) -> int:
    if isinstance(dtype, pa.BaseExtensionType):
        return _count(dtype.storage_type, texts)
    if pat.is_string_view(dtype) or pat.is_binary_view(dtype):
        return 2 + next(texts, 0)
    own = _own(dtype)
    return own + sum(_count(dtype.field(number).type, texts) for number in range(dtype.num_fields))


def _own(dtype: pa.DataType) -> int:
    """Return the number of buffers of a type itself, without its parts."""
    if pat.is_null(dtype):
        return 0
    if pat.is_struct(dtype) or pat.is_fixed_size_list(dtype):
        return 1
    texts = (pat.is_string, pat.is_binary, pat.is_large_string, pat.is_large_binary)
    return 3 if any(check(dtype) for check in texts) else 2
