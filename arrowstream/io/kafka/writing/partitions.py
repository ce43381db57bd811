"""The partition of each row."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import polars as pl

from arrowstream.errors import SinkError
from arrowstream.io.kafka.records.buffers import Integers
from arrowstream.io.kafka.records.partitioner import partitions_of

_RUN: Final = 4_096
"""Neighbouring rows without a key that stay together: few partitions make few and large record batches."""


class Chooser:
    """The choice of partitions: the one that a row names, else that of its key, else the next in turn."""

    def __init__(self) -> None:
        self._turn = 0

    def choose(self, keys: Any, given: pl.Series | None, codes: Integers, counts: Integers) -> Integers:
        """Return the partition of each row.

        Parameters
        ----------
        keys
            An Arrow array of texts or binary, or None.
        given
            Numbers of partitions, or None.
        codes
            The topic of each row, as a place in `counts`.
        counts
            Number of partitions of each topic.

        Raises
        ------
        SinkError
            A topic has no partition of a given number.
        """
        chosen = np.full(len(codes), -1, np.int64)
        if given is not None:
            chosen = _given(given, counts[codes])
        if keys is not None and (chosen < 0).any():
            chosen = np.where(chosen < 0, _by_key(keys, codes, counts), chosen)
        [free] = np.nonzero(chosen < 0)
        if len(free):
            turns = self._turn + np.arange(len(free)) // _RUN
            chosen[free] = turns % counts[codes[free]]
            self._turn = int(turns[-1]) + 1
        return chosen


def _given(numbers: pl.Series, counts: Integers) -> Integers:
    wrong = (numbers < 0) | (numbers >= pl.Series(counts))
    if wrong.any():
        row = wrong.arg_max() or 0
        raise SinkError(
            f"the topic of a row has no partition {numbers[row]}",
            expected=f"a number from 0 to {int(counts[row]) - 1}, or null",
            found=f"{numbers[row]} in row {row:,} of the batch, in the column {numbers.name!r}",
        )
    found: Integers = numbers.cast(pl.Int64).fill_null(-1).to_numpy().copy()
    return found


def _by_key(keys: Any, codes: Integers, counts: Integers) -> Integers:
    """Return the partition of each key; -1 without one."""
    found: Integers = np.full(len(codes), -1, np.int64)
    for count in np.unique(counts).tolist():
        own = partitions_of(keys, count).fill_null(-1).to_numpy()
        found = np.where(counts[codes] == count, own, found)
    return found
