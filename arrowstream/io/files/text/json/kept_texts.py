"""Rows of NDJSON whose texts were certainly strings.

Polars' reader writes a number, a boolean, an object or a list into a column of text as a text of its own, and before
version 2 takes any value for an object without fields. The rows show it: a text that no other value becomes was a
string, and an object with a field was one. This costs less than a count of the tokens of the block, and does not mind
keys that are no columns.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

_FIRST: Final = np.isin(np.arange(256), list(b"-0123456789tf[{"))
"""First bytes of texts that Polars makes of other values."""

_OTHER: Final = r"^(?:-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false)$|^[\[{]"
"""Such texts: the numbers are those of JSON and Rust."""


def keeps_texts(rows: pl.DataFrame) -> bool:
    """Return True if all texts and objects of the rows certainly were some; False if one may have been another value.

    Examples
    --------
    >>> keeps_texts(pl.DataFrame({"s": ["N14228", "9E", None]})), keeps_texts(pl.DataFrame({"s": ["1.1"]}))
    (True, False)
    """
    return all(map(_keeps, rows.get_columns()))


def _keeps(values: pl.Series) -> bool:
    dtype = values.dtype
    if isinstance(dtype, pl.Struct):
        fields = [values.struct.field(field.name) for field in dtype.fields]
        empty = values.is_not_null()
        for field in fields:
            empty &= field.is_null()
        return not empty.any() and all(map(_keeps, fields))
    if isinstance(dtype, (pl.List, pl.Array)):
        return _keeps(values.explode())
    return dtype != pl.String or _were_strings(values)


def _were_strings(texts: pl.Series) -> bool:
    for chunk in texts.get_chunks():  # all at once would be a copy
        hits = np.flatnonzero(_FIRST[first_bytes(chunk)])
        if len(hits) and chunk[hits].str.contains(_OTHER).any():
            return False
    return True


def first_bytes(texts: pl.Series) -> npt.NDArray[np.uint8]:
    """Return the first byte of each text of one chunk, 0 for an empty text; anything for a null."""
    array = texts.to_arrow(compat_level=pl.CompatLevel.newest())
    # A view of 16 bytes holds the length of a text, in 4 bytes, and then its first bytes.
    return np.frombuffer(array.buffers()[1], np.uint8)[16 * array.offset :][4 : 16 * len(array) : 16]
