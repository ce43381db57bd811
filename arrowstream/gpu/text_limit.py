"""The limit of the text that one column on the device may have.

libcudf counts the bytes of a column of strings in 32 bits, unless it is built and set for more. A batch with more
text than that has no room on the device: it is halved, like one that its memory does not suffice for.
"""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

TEXT_LIMIT = 2**31 - 1
"""Most bytes of text in a column."""


def check_text(sizes: Iterable[int]) -> None:
    """Raise MemoryError if the columns that a call makes, or brings to the device, may have too many bytes of text.

    Parameters
    ----------
    sizes
        Upper limits of the sizes of the columns, in bytes.
    """
    for size in sizes:
        if size > TEXT_LIMIT:
            raise MemoryError(f"{size} bytes of text in a column, of which the GPU takes {TEXT_LIMIT}")


def text_sizes(record: pa.RecordBatch) -> list[int]:
    """Return the sizes of a record's columns of text, in bytes."""
    return [column.nbytes for column in record.columns if pa.types.is_large_string(column.type)]
