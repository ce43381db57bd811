"""How exponentially weighted means and spreads go from one value to the next, and how two stretches are joined."""

from __future__ import annotations

from typing import Any

import numpy as np

from arrowstream.operators.running.round_robin import RoundRobin
from arrowstream.state.arrays import Array

KEPT, WEIGHT, MEAN, SPREAD, SQUARES = range(5)
"""What is known of a stretch of values, as rows of an array.

`KEPT` is what is left of the weight that stood before the stretch, `WEIGHT` the weight of its own values, `MEAN` and
`SPREAD` their weighted mean and biased variance, and `SQUARES` the sum of their squared weights.
"""


class Decay:
    """How weights age: by a factor with every step, all values weighing 1 when new, or a share `alpha` of the whole.

    Parameters
    ----------
    alpha
        The share of the newest value.
    adjust
        Whether values weigh 1 when new; otherwise the weights of all values are scaled to 1 each time.
    spreads
        Whether variances are wanted too.
    dtype
        The floating type of everything.
    """

    __slots__ = ("_adjust", "_new", "_rows", "factor")

    def __init__(self, alpha: float, adjust: bool, spreads: bool, dtype: np.dtype[Any]) -> None:
        share = dtype.type(alpha)
        self.factor = dtype.type(1) - share
        self._new = dtype.type(1) if adjust else share
        self._adjust = adjust
        self._rows = SQUARES + 1 if spreads else MEAN + 1

    def nothing(self, count: int) -> Array:
        """So many stretches of no values."""
        empty = np.zeros((self._rows, count), type(self.factor))
        empty[KEPT] = 1
        return empty

    @np.errstate(all="ignore")
    def walk(self, before: Array, values: Array, aged: Array, first: Array, turns: RoundRobin) -> Array:
        """What is known at each row, from what was known before each run.

        Parameters
        ----------
        before
            For each run, the longest first.
        values, aged, first
            The value of each row, what the weights before it were multiplied with since the value before, and whether
            it is the very first one of its key; in the order of `turns`.
        """
        found = np.empty((self._rows, len(values)), values.dtype)
        new = np.where(first, 1, self._new)
        scale = np.ones_like(values) if self._adjust else np.where(first, 1, aged + self._new)
        state = before
        starts = state[WEIGHT] == 0
        for going, rows in turns:
            state = self._step(state[:, :going], values[rows], aged[rows], new[rows], scale[rows])
            if starts is not None:
                # Nothing must be computed with no value at all: it could be infinity that comes.
                state[MEAN, starts] = values[rows][starts]
                state[SPREAD:4, starts] = 0
                starts = None
            found[:, rows] = state
        return found

    def _step(self, state: Array, value: Array, aged: Array, new: Array, scale: Array) -> Array:
        after = np.empty_like(state)
        old = aged * state[WEIGHT]
        weight = old + new
        mean = state[MEAN] + (value - state[MEAN]) * (new / weight)
        after[KEPT] = aged * state[KEPT] / scale
        after[WEIGHT] = weight / scale
        after[MEAN] = mean
        if self._rows > SPREAD:
            moved, away = state[MEAN] - mean, value - mean
            after[SPREAD] = (old * (state[SPREAD] + moved * moved) + new * away * away) / weight
            after[SQUARES] = (aged * aged * state[SQUARES] + new * new) / (scale * scale)
        return after

    @np.errstate(all="ignore")
    def join(self, before: Array, after: Array) -> Array:
        """Two stretches, one following the other, as one (Chan, Golub and LeVeque, 1979, with weights)."""
        joined = np.empty_like(after)
        old = after[KEPT] * before[WEIGHT]
        weight = old + after[WEIGHT]
        mean = before[MEAN] + (after[MEAN] - before[MEAN]) * (after[WEIGHT] / weight)
        joined[KEPT] = before[KEPT] * after[KEPT]
        joined[WEIGHT] = weight
        joined[MEAN] = mean
        if self._rows > SPREAD:
            moved, away = before[MEAN] - mean, after[MEAN] - mean
            spread = old * (before[SPREAD] + moved * moved) + after[WEIGHT] * (after[SPREAD] + away * away)
            joined[SPREAD] = spread / weight
            joined[SQUARES] = after[KEPT] * after[KEPT] * before[SQUARES] + after[SQUARES]
        # Nothing must be computed with no value at all: the other side could be infinity.
        np.copyto(joined[WEIGHT:], before[WEIGHT:], where=after[WEIGHT] == 0)
        np.copyto(joined[WEIGHT:], after[WEIGHT:], where=before[WEIGHT] == 0)
        return joined

    def chain(self, heads: Array, states: Array, stretches: Array) -> Array:
        """What is known before each stretch; `heads` are the ones that begin a chain, from `states` on."""
        before = np.empty_like(stretches)
        before[:, heads] = states
        turns = RoundRobin(np.diff(heads, append=stretches.shape[1]))
        chains = heads[turns.longest]
        for turn, (going, _) in enumerate(turns):
            if turn:
                at = chains[:going] + turn
                before[:, at] = self.join(before[:, at - 1], stretches[:, at - 1])
        return before
