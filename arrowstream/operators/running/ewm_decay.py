"""Exponentially weighted means and variances: a step by one value, and the join of two segments."""

from __future__ import annotations

from typing import Any

import numpy as np

from arrowstream.operators.running.round_robin import RoundRobin
from arrowstream.state.arrays import Array

DECAY, WEIGHT, MEAN, VARIANCE, SQUARES = range(5)
"""The kinds of state of a segment of values, as rows of an array (kinds, segments); the first three for means alone.

`DECAY` is the remaining share of the weight before the segment, `WEIGHT` the weight of its own values, `MEAN` and
`VARIANCE` their weighted mean and biased variance, and `SQUARES` the sum of their squared weights.
"""


class Decay:
    """The ageing of weights: by a factor with every step; a new value weighs 1, or the share `alpha` of the whole.

    Parameters
    ----------
    alpha
        The share of the newest value.
    adjust
        True if new values weigh 1; otherwise the weights of all values are scaled to a sum of 1 at every step.
    variances
        True to keep variances, too.
    dtype
        The floating-point type of values and states.
    """

    __slots__ = ("_adjust", "_new", "_rows", "factor")

    def __init__(self, alpha: float, adjust: bool, variances: bool, dtype: np.dtype[Any]) -> None:
        share = dtype.type(alpha)
        self.factor = dtype.type(1) - share
        self._new = dtype.type(1) if adjust else share
        self._adjust = adjust
        self._rows = SQUARES + 1 if variances else MEAN + 1

    def nothing(self, count: int) -> Array:
        """Return the state of `count` segments without values (kinds, count)."""
        empty = np.zeros((self._rows, count), type(self.factor))
        empty[DECAY] = 1
        return empty

    @np.errstate(all="ignore")
    def walk(self, before: Array, values: Array, aged: Array, first: Array, rounds: RoundRobin) -> Array:
        """Return the state at each row (kinds, rows), from the state before each run.

        Parameters
        ----------
        before
            The state before each run, the longest run first (kinds, runs).
        values, aged, first
            The value of each row, the factor by which weights aged since the value before, and whether it is the
            first value of its key (rows,); in the order of `rounds`.
        rounds
            The rows, round by round.
        """
        found = np.empty((self._rows, len(values)), values.dtype)
        new = np.where(first, 1, self._new)
        scale = np.ones_like(values) if self._adjust else np.where(first, 1, aged + self._new)
        state = before
        starts = state[WEIGHT] == 0
        for going, rows in rounds:
            state = self._step(state[:, :going], values[rows], aged[rows], new[rows], scale[rows])
            if starts is not None:
                # Do not update an empty state: with an infinite value 0 * inf would give NaN.
                state[MEAN, starts] = values[rows][starts]
                state[VARIANCE:4, starts] = 0
                starts = None
            found[:, rows] = state
        return found

    def _step(self, state: Array, value: Array, aged: Array, new: Array, scale: Array) -> Array:
        after = np.empty_like(state)
        old = aged * state[WEIGHT]
        weight = old + new
        mean = state[MEAN] + (value - state[MEAN]) * (new / weight)
        after[DECAY] = aged * state[DECAY] / scale
        after[WEIGHT] = weight / scale
        after[MEAN] = mean
        if self._rows > VARIANCE:
            moved, away = state[MEAN] - mean, value - mean
            after[VARIANCE] = (old * (state[VARIANCE] + moved * moved) + new * away * away) / weight
            after[SQUARES] = (aged * aged * state[SQUARES] + new * new) / (scale * scale)
        return after

    @np.errstate(all="ignore")
    def join(self, before: Array, after: Array) -> Array:
        """Return the state of two consecutive segments as one (Chan, Golub and LeVeque, 1979, with weights).

        `before`, `after` and the result are (kinds, segments).
        """
        joined = np.empty_like(after)
        old = after[DECAY] * before[WEIGHT]
        weight = old + after[WEIGHT]
        mean = before[MEAN] + (after[MEAN] - before[MEAN]) * (after[WEIGHT] / weight)
        joined[DECAY] = before[DECAY] * after[DECAY]
        joined[WEIGHT] = weight
        joined[MEAN] = mean
        if self._rows > VARIANCE:
            moved, away = before[MEAN] - mean, after[MEAN] - mean
            spread = old * (before[VARIANCE] + moved * moved) + after[WEIGHT] * (
                after[VARIANCE] + away * away
            )
            joined[VARIANCE] = spread / weight
            joined[SQUARES] = after[DECAY] * after[DECAY] * before[SQUARES] + after[SQUARES]
        # Where one side is empty, take the other: with an infinite value 0 * inf would give NaN.
        np.copyto(joined[WEIGHT:], before[WEIGHT:], where=after[WEIGHT] == 0)
        np.copyto(joined[WEIGHT:], after[WEIGHT:], where=before[WEIGHT] == 0)
        return joined

    def chain(self, heads: Array, states: Array, segments: Array) -> Array:
        """Return the state before each segment (kinds, segments).

        `heads` (chains,) are the segments that begin a chain, each from its column of `states` (kinds, chains).
        """
        before = np.empty_like(segments)
        before[:, heads] = states
        rounds = RoundRobin(np.diff(heads, append=segments.shape[1]))
        chains = heads[rounds.longest]
        for round_, (going, _) in enumerate(rounds):
            if round_:
                at = chains[:going] + round_
                before[:, at] = self.join(before[:, at - 1], segments[:, at - 1])
        return before
