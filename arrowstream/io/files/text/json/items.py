"""Items of the objects and lists in a block of NDJSON, depth by depth, without a Python loop over them.

An item is a key with its value, or an element of a list. In a text that is well-formed, the commas and brackets of
one depth, outside strings, bound the items of that depth.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from arrowstream.io.files.text.json.tokens import skip_blanks, unescaped
from arrowstream.io.files.text.records import Positions, byte_view

_QUOTE, _COMMA, _OPEN, _CLOSE = 1, 2, 3, 4


def _classes() -> npt.NDArray[np.uint8]:
    table = np.zeros(256, np.uint8)
    for signs, number in (('"', _QUOTE), (",", _COMMA), ("[{", _OPEN), ("]}", _CLOSE)):
        table[[ord(sign) for sign in signs]] = number
    return table


_CLASS: Final = _classes()
_STEP: Final = np.array([0, 0, 0, 1, -1], np.int8)


class Items(NamedTuple):
    """Items of all objects and lists of one depth, in order.

    Parameters
    ----------
    container
        Number of the object or list that has the item, among those of this depth. Shape (n,), int64.
    start, end
        First byte after the bracket or comma before the item, and the bracket or comma after it. Shape (n,), int64.
    after_comma
        Whether a comma is before the item. Shape (n,), bool.
    key, key_end
        Opening and closing quote of the key; -1 for elements of lists. Shape (n,), int64.
    value
        First byte of the value. Shape (n,), int64.
    """

    container: Positions
    start: Positions
    end: Positions
    after_comma: npt.NDArray[np.bool_]
    key: Positions
    key_end: Positions
    value: Positions

    def among(self, at: Positions) -> Items:
        """Return the items with these numbers."""
        return Items(
            self.container[at],
            self.start[at],
            self.end[at],
            self.after_comma[at],
            self.key[at],
            self.key_end[at],
            self.value[at],
        )


class Tape:
    """Places of strings, brackets and commas in a block.

    Parameters
    ----------
    block
        Lines of well-formed NDJSON.
    """

    __slots__ = ("_at", "_kinds", "_starts", "quotes", "view")

    def __init__(self, block: bytes) -> None:
        self.view = view = byte_view(block)
        at = np.flatnonzero(_CLASS[view])
        if b"\\" in block:
            at = at[unescaped(block, at)]
        kinds = _CLASS[view[at]]
        is_quote = kinds == _QUOTE
        self.quotes: Positions = at[is_quote]
        """Opening and closing quotes in turn."""
        sign = np.cumsum(is_quote, dtype=np.uint8) % 2 == 0
        sign &= ~is_quote
        at, kinds = at[sign], kinds[sign]
        depth = np.cumsum(_STEP[kinds], dtype=np.int32)
        depth += kinds == _CLOSE  # a bracket is of the depth inside it
        order = np.argsort(depth.astype(np.min_scalar_type(int(depth.max(initial=0)))), kind="stable")
        self._at, self._kinds = at[order], kinds[order]
        self._starts = np.concatenate(([0], np.cumsum(np.bincount(depth))))

    def depths(self) -> Iterator[Items]:
        """Yield the items of each depth, beginning with those of the rows."""
        for depth in range(1, len(self._starts) - 1):
            signs = slice(*self._starts[depth : depth + 2])
            yield self._items(self._at[signs], self._kinds[signs])

    def _items(self, at: Positions, kinds: npt.NDArray[np.uint8]) -> Items:
        view = self.view
        opens = kinds == _OPEN
        first = np.flatnonzero(kinds != _CLOSE)
        container = np.cumsum(opens)[first] - 1
        start, end = at[first] + 1, at[first + 1]
        value = skip_blanks(view, start)
        there = value != end  # a bracket may be closed at once
        first, container, start, end, value = (part[there] for part in (first, container, start, end, value))
        keyed = view[at[opens]][container] == ord("{")
        key = np.where(keyed, value, -1)
        key_end = np.full_like(key, -1)
        number = np.searchsorted(self.quotes, value[keyed])
        key_end[keyed] = self.quotes[number + 1]
        value[keyed] = skip_blanks(view, skip_blanks(view, key_end[keyed] + 1) + 1)
        return Items(container, start, end, ~opens[first], key, key_end, value)

    def keys(self, items: Items) -> tuple[npt.NDArray[np.int64], list[str]]:
        """Return the number of each item's key among the different keys, shape (n,), int64, and these keys.

        Keys are different if their bytes are. All items must have keys.
        """
        start, size = items.key + 1, items.key_end - items.key - 1
        ends = np.cumsum(size)
        offsets = np.concatenate(([0], ends))
        letters = self.view[np.repeat(start - offsets[:-1], size) + np.arange(offsets[-1])]
        found = pa.LargeBinaryArray.from_buffers(
            pa.large_binary(), len(size), [None, pa.py_buffer(offsets), pa.py_buffer(letters)]
        ).dictionary_encode()
        numbers = found.indices.to_numpy().astype(np.int64)
        return numbers, [key.decode() for key in found.dictionary.to_pylist()]

    def in_strings(self, at: Positions) -> npt.NDArray[np.bool_]:
        """Return which of these positions, none of a quote, are inside a string; shape (n,), bool."""
        inside: npt.NDArray[np.bool_] = np.searchsorted(self.quotes, at) % 2 == 1
        return inside
