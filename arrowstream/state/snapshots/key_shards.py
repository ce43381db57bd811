"""Key shards: a fixed number of groups of keys, by a hash that never changes.

Saved state is stored by shard, so that the shards of a state can be given to several workers later. The number of
shards and the hash are part of the checkpoint format.

The hash of a key is h = M(h ^ w) for each of its columns in order, from h = 0x9E3779B97F4A7C15 on; the shard is the
upper 4 bits of h. M is the finaliser of splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number
generators", 2014). w has 64 bits and depends on the type of the column:

- integers, Booleans, dates and times: the number in memory, in two's complement;
- decimals: M(lower half ^ M(upper half)) of the unscaled number in 128 bits;
- floats: the bits of the number in double precision; 0.0 for -0.0, and one NaN for all;
- text (UTF-8), bytes and categories (their text): t = M(t ^ v) from t = number of bytes on, for the 8-byte words v
  from the beginning, little-endian, the last filled up with zeros. Of more than 64 bytes the first and last 64 count;
- null: 0x6E756C6C6E756C6C.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import polars as pl
import pyarrow as pa

from arrowstream.state.arrays import Array
from arrowstream.state.close_integers import as_integers, is_integer

SHARDS = 16
"""Number of shards of every state with keys."""

SHARD = b"arrowstream.shard"
"""The name, in the metadata of a batch, of its shard."""

_SHIFT = np.uint64(60)
_START = np.uint64(0x9E37_79B9_7F4A_7C15)
_NULL = np.uint64(0x6E75_6C6C_6E75_6C6C)
_FACTORS = np.uint64(0xBF58_476D_1CE4_E5B9), np.uint64(0x94D0_49BB_1331_11EB)
_NAN = np.uint64(0x7FF8_0000_0000_0000)
_WORD = 8
_WORDS = 8
"""Words that count at the beginning of a text, and as many at its end."""
_MASKS = np.array([(1 << 8 * nbytes) - 1 for nbytes in range(_WORD + 1)], np.uint64)
_ROWS = 1 << 15
"""Rows that are hashed at a time, in the processor's cache."""
_CATEGORIES = (pl.Categorical, pl.Enum)
_OLDEST = pl.CompatLevel.oldest()


def shards_of(keys: pl.DataFrame) -> Array:
    """Return the shard of each key (rows,), uint8.

    Examples
    --------
    >>> import polars as pl
    >>> from arrowstream.state.snapshots.key_shards import shards_of
    >>> shards_of(pl.DataFrame({"k": ["a", "b", None, "a"]})).tolist()
    [14, 0, 8, 14]
    """
    shards = np.empty(keys.height, np.uint8)
    for start in range(0, keys.height, _ROWS):
        some = keys[start : start + _ROWS]
        hashes = np.full(some.height, _START)
        for column in some:
            hashes ^= _words(column)
            _mix(hashes)
        shards[start : start + _ROWS] = hashes >> _SHIFT
    return shards


def _words(column: pl.Series) -> Array:
    """Return the word of each value (rows,), uint64."""
    if column.dtype == pl.Null:
        return np.full(len(column), _NULL)
    nulls = column.is_null().to_numpy() if column.null_count() else None
    if column.dtype.is_float():
        words = _float_words(column)
    elif column.dtype.is_decimal():
        words = _decimal_words(column)
    elif is_integer(column.dtype) and column.dtype not in _CATEGORIES:
        plain = as_integers(column)
        words = (plain if nulls is None else plain.fill_null(0)).to_numpy().astype(np.int64).view(np.uint64)
    else:
        words = _text_words(column.cast(pl.String) if column.dtype in _CATEGORIES else column)
    return words if nulls is None else np.where(nulls, _NULL, words)


def _float_words(column: pl.Series) -> Array:
    # Adding 0.0 makes 0.0 of -0.0.
    numbers = column.cast(pl.Float64).fill_null(0.0).to_numpy() + 0.0
    return np.where(np.isnan(numbers), _NAN, numbers.view(np.uint64))


def _decimal_words(column: pl.Series) -> Array:
    array = _exported(column)
    halves = np.frombuffer(array.buffers()[1], np.dtype("<u8")).reshape(-1, 2)
    lower, upper = halves[array.offset : array.offset + len(array)].astype(np.uint64).T
    return _mix(lower ^ _mix(upper.copy()))


def _text_words(column: pl.Series) -> Array:
    array = _exported(column)
    _, ends, content = array.buffers()
    bounds = np.frombuffer(ends, np.dtype("<i8"))[array.offset : array.offset + len(array) + 1]
    # Every byte begins a word; a few more bytes let the last words be read.
    content = np.frombuffer(content or b"", np.uint8)[bounds[0] : bounds[-1]]
    padded = np.zeros(len(content) + _WORD, np.uint8)
    padded[: len(content)] = content
    every = np.ndarray((len(content) + 1,), np.dtype("<u8"), padded, strides=(1,))
    starts, lengths = bounds[:-1] - bounds[0], np.diff(bounds)
    words = lengths.astype(np.uint64)
    # The rows that have a word at a place; nearly all of them mostly have the first.
    rows = np.arange(len(words))
    hashes = words.copy()
    for place in range(0, _WORDS * _WORD, _WORD):
        longer = lengths > place
        if not longer.all():
            words[rows] = hashes
            rows, starts, lengths, hashes = (
                array.compress(longer) for array in (rows, starts, lengths, hashes)
            )
        hashes ^= every[starts + place] & _MASKS.take(np.minimum(lengths - place, _WORD))
        _mix(hashes)
    longer = lengths > _WORDS * _WORD
    words[rows] = hashes
    rows, stops, hashes = rows[longer], (starts + lengths)[longer], hashes[longer]
    for place in range(_WORDS * _WORD, 0, -_WORD):
        hashes ^= every[stops - place]
        _mix(hashes)
    words[rows] = hashes
    return words


def _exported(column: pl.Series) -> pa.Array:
    """Return a column in the oldest Arrow layout: text with offsets of 64 bits."""
    return cast(pa.Array, column.rechunk().to_arrow(compat_level=_OLDEST))


def _mix(hashes: Array) -> Array:
    """Mix the bits of hashes in place, and return them."""
    first, second = _FACTORS
    hashes ^= hashes >> np.uint64(30)
    hashes *= first
    hashes ^= hashes >> np.uint64(27)
    hashes *= second
    hashes ^= hashes >> np.uint64(31)
    return hashes
