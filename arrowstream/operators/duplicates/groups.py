"""Rows of one key grouped by time: a group begins with a row, and has those that are at most so much later."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from arrowstream.operators.duplicates.slot_times import NEVER
from arrowstream.state.arrays import Array, ranked, stable_order


@dataclass(frozen=True, slots=True)
class Groups:
    """The rows of a batch by key, and in a key as they came.

    Parameters
    ----------
    order
        The index of each row in the batch (rows,), int64.
    slots
        The slot of its key (rows,), int64.
    begins
        Whether it begins a group (rows,), bool.
    apart
        Whether it is in no group: it is more than the length earlier than the group of its key (rows,), bool.
    """

    order: Array
    slots: Array
    begins: Array
    apart: Array


def groups_of(slots: Array, times: Array, began: Array, length: int) -> Groups:
    """Group the rows of a batch.

    The first row of a key begins a group, and so does each row that is more than `length` later than the one that
    began the last group. Such a row is later than all rows of its key before it; so the row after it that begins a
    group is the first one at which the latest time so far is more than `length` later. From these links every row
    that begins a group is found by following them in steps of 1, 2, 4, ... links, as in the parallel ranking of
    lists (Wyllie, 1979).

    Parameters
    ----------
    slots
        The slot of each row's key (rows,), int64.
    times
        The time of each row (rows,), int64.
    began
        The time at which the group of each slot began (slots,), int64; `NEVER` for none.
    length
        The longest time by which a row of a group is later than its first one.

    Examples
    --------
    >>> found = groups_of(np.array([0, 1, 0, 0, 0]), np.array([0, 3, 4, 6, 11]), np.array([NEVER, 2]), 5)
    >>> found.order[found.begins].tolist()
    [0, 3]
    """
    order = stable_order(slots)
    values, ranks = ranked(times)
    slots, times, ranks = slots[order], times[order], ranks[order]
    count = len(slots)
    before = began[slots]
    if np.all(before == NEVER) and np.all(slots[1:] != slots[:-1]):
        return Groups(order, slots, np.ones(count, np.bool_), np.zeros(count, np.bool_))
    firsts = np.flatnonzero(np.concatenate([[True], slots[1:] != slots[:-1]]))
    number = np.repeat(np.arange(len(firsts)), np.diff(firsts, append=count))
    width = len(values) + 1
    # The latest time so far of each key, and its key, as one number.
    latest = np.maximum.accumulate(number * width + ranks)

    def follower(key: Array, rank: Array) -> Array:
        """Return the first row of the key whose latest time has at least this rank; `count` for none."""
        found = np.searchsorted(latest, key * width + rank)
        same = number.take(found, mode="clip") == key
        return np.where(same & (found < count), found, count)

    links = [np.append(follower(number, np.searchsorted(values, values + length, "right")[ranks]), count)]
    while (links[-1] < count).any():
        links.append(links[-1][links[-1]])
    begun = before[firsts]
    known = np.searchsorted(values, np.where(begun == NEVER, 0, begun) + length, "right")
    reached = np.zeros(count + 1, np.bool_)
    reached[follower(np.arange(len(firsts)), np.where(begun == NEVER, 0, known))] = True
    for link in reversed(links):
        reached[link[np.flatnonzero(reached)]] = True
    begins = reached[:count]
    # The row that began the group of each row, -1 for the group of an earlier batch.
    beginning = _carried(begins, firsts, count)
    since = np.where(beginning < 0, before, times[beginning])
    return Groups(order, slots, begins, ~begins & (times < since - length))


def _carried(begins: Array, firsts: Array, count: int) -> Array:
    """Return the last row before or at each row that begins a group of its key (rows,), int64; -1 for none."""
    last = np.maximum.accumulate(np.where(begins, np.arange(count), -1))
    first = np.repeat(firsts, np.diff(firsts, append=count))
    return np.where(last < first, -1, last)
