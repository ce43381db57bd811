"""Pairs of equal hashes and close times, by a hash table in layers, and by sorting where many hashes are equal."""

from __future__ import annotations

import numpy as np

from arrowstream.operators.joins.pairs import expanded
from arrowstream.state.arrays import Array, stable_order

_LEAST_BITS, _MOST_BITS = 8, 20
_LAYERS = 8
"""The most layers, each of which one look-up of each hash searches."""

_LEFT = 5 / 8
"""The part of the hashes that a layer may leave to the next one; sorting all that are left takes less time then."""

_ODD = np.uint64(0x9E3779B97F4A7C15)
"""Spreads times over 64 bits (Knuth's multiplicative hashing)."""


def spell_pairs(
    asked: Array, first: Array, last: Array, there: Array, times: Array, most: int
) -> tuple[Array, Array] | None:
    """Return the places of equal hashes in both arrays, of which the second has times that may be in an interval.

    Hashes are looked up together with the spell of time that they lie in. Spells are at least twice as long as an
    interval, so that at most half of the intervals lie in two of them.

    Parameters
    ----------
    asked
        The hashes that are looked for (questions,), uint64.
    first, last
        The first and the last time of the interval of each (questions,), int64.
    there, times
        The hashes among which they are looked for, uint64, and their times, int64 (rows,).
    most
        See `hash_pairs`.

    Returns
    -------
    tuple or None
        Places in `asked` and in `there` (pairs,), int64, in any order; None if more than `most` pairs are looked at.
    """
    width = int((last - first).max())
    bits = min(width.bit_length() + 1, 63) if width else 0
    begin, end = first >> bits, last >> bits
    both = np.flatnonzero(begin != end)
    questions = np.concatenate([_with_time(asked, begin), _with_time(asked[both], end[both])])
    pairs = hash_pairs(questions, _with_time(there, times >> bits), most)
    return None if pairs is None else (np.append(np.arange(len(asked)), both)[pairs[0]], pairs[1])


def hash_pairs(asked: Array, there: Array, most: int) -> tuple[Array, Array] | None:
    """Return the places of equal hashes in both arrays, in any order; None if more than `most` pairs are looked at.

    A layer of the table has a place for each bucket, which one hash of the second array takes; the others of the
    bucket go to the next layer. Hashes that differ take some 8 ns in either array. Hashes that are still left, as
    many are equal, are sorted by bucket, of which there are about as many as hashes, so that a few are looked at for
    each hash of the first array: some 40 ns for a hash of either.

    Parameters
    ----------
    asked, there
        The hashes (rows,), uint64.
    most
        The most pairs to look at among hashes that are sorted.

    Returns
    -------
    tuple or None
        Places in `asked` and in `there` (pairs,), int64.

    Examples
    --------
    >>> hashes = np.array([7, 8, 7], np.uint64)
    >>> asked, there = hash_pairs(np.array([9, 7], np.uint64), hashes, most=10)
    >>> asked.tolist(), sorted(there.tolist())
    ([1, 1], [0, 2])
    >>> hash_pairs(np.repeat(hashes, 10), np.repeat(hashes, 10), most=400) is None
    True
    """
    bits = _bits(len(there))
    mine, buckets = _buckets(asked, bits), _buckets(there, bits)
    looking, rows = np.arange(len(asked)), np.arange(len(there))
    pairs: list[tuple[Array, Array]] = []
    for _ in range(_LAYERS):
        layer = np.full(1 << bits, -1, np.int32)
        # Whichever row of a bucket stays, the others are those that do not find themselves there.
        layer[buckets] = rows
        found = layer[mine]
        some = np.flatnonzero(found >= 0)
        looking, mine, found = looking[some], mine[some], found[some]
        same = np.flatnonzero(asked[looking] == there[found])
        pairs.append((looking[same], found[same].astype(np.int64)))
        others = np.flatnonzero(layer[buckets] != rows)
        many = len(others) > _LEFT * len(rows)
        rows, buckets = rows[others], buckets[others]
        if many or not len(rows) or not len(looking):
            break
    if len(rows) and len(looking):
        rest = _sorted_pairs(asked[looking], there[rows], most)
        if rest is None:
            return None
        pairs.append((looking[rest[0]], rows[rest[1]]))
    first, second = zip(*pairs, strict=True)
    return np.concatenate(first), np.concatenate(second)


def _sorted_pairs(asked: Array, there: Array, most: int) -> tuple[Array, Array] | None:
    bits = _bits(len(there))
    mine, buckets = _buckets(asked, bits), _buckets(there, bits)
    starts = np.zeros((1 << bits) + 1, np.int64)
    np.cumsum(np.bincount(buckets, minlength=1 << bits), out=starts[1:])
    begins = starts[mine]
    counts = starts[1:][mine] - begins
    if int(counts.sum()) > most:
        return None
    first, places = expanded(begins, counts)
    second = stable_order(buckets)[places]
    same = np.flatnonzero(asked[first] == there[second])
    return first[same], second[same]


def _bits(rows: int) -> int:
    return min(max(rows.bit_length(), _LEAST_BITS), _MOST_BITS)


def _buckets(hashes: Array, bits: int) -> Array:
    """Return the bucket of each hash (rows,), int64."""
    buckets: Array = (hashes & np.uint64((1 << bits) - 1)).view(np.int64)
    return buckets


def _with_time(hashes: Array, times: Array) -> Array:
    """Return hashes together with whole numbers (rows,), uint64."""
    mixed: Array = hashes ^ (times.view(np.uint64) * _ODD)
    return mixed
