"""Search for the first message that cannot be read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import pyarrow as pa

from arrowstream.core.messages import Decoded
from arrowstream.errors import BadMessage


class Sliced(Protocol):
    """An array of messages, or a frame of their rows."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> Any: ...


Rows = TypeVar("Rows", bound=Sliced)


def first_bad(values: Rows, fine: Callable[[Rows], bool]) -> int:
    """Return the index of the first bad message, by halving: log2 n calls, each with half of the messages before.

    Parameters
    ----------
    values
        Messages that cannot be read together.
    fine
        Returns whether messages can be read; what it says of some follows from what it says of each.
    """
    low, high = 0, len(values)
    while high - low > 1:
        middle = (low + high) // 2
        if fine(values[low:middle]):
            low = middle
        else:
            high = middle
    return low


def decoded(values: pa.LargeBinaryArray, decode: Callable[[pa.LargeBinaryArray], Decoded]) -> Decoded:
    """Return what messages are, or raise BadMessage for the first one that cannot be read.

    Parameters
    ----------
    values
        The messages.
    decode
        Decodes messages; raises BadMessage for any of those that cannot be read. Columns are made one after the
        other, so that one before it may be bad in a later column.
    """
    bad: BadMessage | None = None
    while True:
        try:
            found = decode(values if bad is None else values[: bad.index])
        except BadMessage as error:
            bad = error
        else:
            if bad is None:
                return found
            raise bad
