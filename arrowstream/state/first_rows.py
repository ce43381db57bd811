"""The first of the rows with the same hash, found without sorting."""

from __future__ import annotations

import numpy as np

from arrowstream.state.arrays import Array

_FACTOR = np.uint64(0x9E37_79B9_7F4A_7C15)
"""An odd number near 2**64 divided by the golden ratio: times this, other bits of a hash come first."""

_LEAST_BITS = 10


def first_rows(hashes: Array) -> Array:
    """Return for each row the first row with its hash (rows,), int64.

    The first bits of a hash give a place in an array, which the first row there owns. Rows with another hash than the
    owner's go on to the next round, where other bits give the place: a fifth of those before, or fewer.

    Parameters
    ----------
    hashes
        The hashes (rows,), uint64.

    Examples
    --------
    >>> first_rows(np.array([7, 8, 7, 8, 9], np.uint64)).tolist()
    [0, 1, 0, 1, 4]
    """
    bits = max(len(hashes).bit_length() + 1, _LEAST_BITS)
    shift = np.uint64(64 - bits)
    # Only places that have just been written are read.
    owners = np.empty(1 << bits, np.int32)
    first = np.empty(len(hashes), np.int64)
    rows, marks, mixed = np.arange(len(hashes)), hashes, hashes
    while len(rows):
        mixed = mixed * _FACTOR
        places = (mixed >> shift).view(np.int64)
        # Of several values for one place numpy keeps the last; written in reverse, the first row wins.
        owners[places[::-1]] = rows[::-1]
        owner = owners.take(places)
        first[rows] = owner
        lost = np.flatnonzero(hashes.take(owner) != marks)
        rows, marks, mixed = rows[lost], marks[lost], mixed[lost]
    return first
