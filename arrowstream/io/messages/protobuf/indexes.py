"""Which message of its schema a message is: what Confluent's header says after the id of the schema."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from arrowstream.errors import BadMessage
from arrowstream.io.files.avro.container import number_bytes
from arrowstream.io.messages.wire.byte_ranges import ByteRanges, Int64s


def index_bytes(message: Any) -> list[bytes]:
    """Return the forms of the path to a message in its file; the first one is the shorter one."""
    path: list[int] = []
    while message is not None:
        around = message.containing_type
        neighbours = message.file.message_types_by_name.values() if around is None else around.nested_types
        path.insert(0, [each.full_name for each in neighbours].index(message.full_name))
        message = around
    long = number_bytes(len(path)) + b"".join(map(number_bytes, path))
    return [b"\0", long] if path == [0] else [long]


def without_indexes(places: ByteRanges, rows: Int64s, forms: list[bytes]) -> ByteRanges:
    """Return messages without these bytes at their beginning, in one of several forms.

    Raises
    ------
    BadMessage
        A message does not begin with any of them.
    """
    sizes = np.zeros(len(places.starts), np.int64)
    for form in forms:
        sizes[(sizes == 0) & _begins(places, form)] = len(form)
    if not sizes.all():
        index = int(np.argmin(sizes))
        start, end = places.starts[index], places.ends[index]
        raise BadMessage(
            "a message is another one of its schema",
            index=int(rows[index]),
            expected=f"the bytes {forms[0]!r} after the id of the schema",
            found=repr(places.data[start:end][:10].tobytes()),
            hint="is it the class of these messages?",
        )
    return ByteRanges(places.data, places.starts + sizes, places.ends)


def _begins(places: ByteRanges, form: bytes) -> npt.NDArray[np.bool_]:
    found = places.ends - places.starts >= len(form)
    if found.any():
        at = np.where(found, places.starts, 0)
        for place, byte in enumerate(form):
            found &= places.data[at + place] == byte
    return found
