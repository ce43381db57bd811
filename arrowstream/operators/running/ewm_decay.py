"""Exponentially weighted means and variances: a step by one value, and the join of two segments."""

from __future__ import annotations

from collections.abc import Callable
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

    __slots__ = ("_adjust", "_constant", "_new", "_rows", "factor")

    def __init__(self, alpha: float, adjust: bool, variances: bool, dtype: np.dtype[Any]) -> None:
        share = dtype.type(alpha)
        self.factor = dtype.type(1) - share
        self._new = dtype.type(1) if adjust else share
        self._adjust = adjust
        self._rows = SQUARES + 1 if variances else MEAN + 1
        self._constant = [DECAY, WEIGHT, SQUARES] if variances else [DECAY, WEIGHT]

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
        new = np.where(first, 1, self._new).astype(values.dtype, copy=False)
        aged = aged.astype(values.dtype, copy=False)
        scale = (
            None if self._adjust else np.where(first, 1, aged + self._new).astype(values.dtype, copy=False)
        )
        segments = np.stack([aged, new, values, np.zeros_like(values), new * new][: self._rows])
        return self._advanced(before, segments, scale, lambda away: new * away * away, rounds)

    @np.errstate(all="ignore")
    def _advanced(
        self,
        before: Array,
        segments: Array,
        scale: Array | None,
        spread: Callable[[Array], Array],
        rounds: RoundRobin,
    ) -> Array:
        """Return the state after each segment (kinds, segments), from the state before each run (kinds, runs).

        What does not depend on the state of the segment before is computed for all at once, as each round of a few
        runs costs some 1 us a call.

        Parameters
        ----------
        scale
            The divisor of all weights after each segment (segments,); None for 1.
        spread
            Maps the distances of the segments' means from the new ones to the segments' parts of the variance,
            weighted (segments,).
        """
        new, means = segments[WEIGHT], segments[MEAN]
        weights, old = self._weights(before, segments, scale, rounds)
        weight = old + new
        share = new / weight
        found = np.empty_like(segments)
        found[self._constant] = weights
        moved = np.empty_like(new)
        mean, into = before[MEAN], found[MEAN]
        starts = before[WEIGHT] == 0
        for round_, (going, rows) in enumerate(rounds):
            mean, out = mean[:going], into[rows]
            np.subtract(means[rows], mean, out=out)
            out *= share[rows]
            out += mean
            if round_ == 0:
                # Do not update an empty state: with an infinite value 0 * inf would give NaN.
                np.copyto(out, means[rows], where=starts)
            np.subtract(mean, out, out=moved[rows])
            mean = out
        if self._rows > VARIANCE:
            moved *= moved
            added = spread(means - into)
            variance, into = before[VARIANCE], found[VARIANCE]
            for round_, (going, rows) in enumerate(rounds):
                out = into[rows]
                np.add(variance[:going], moved[rows], out=out)
                out *= old[rows]
                out += added[rows]
                out /= weight[rows]
                if round_ == 0:
                    np.copyto(out, segments[VARIANCE, rows], where=starts)
                variance = out
        return found

    def _weights(
        self, before: Array, segments: Array, scale: Array | None, rounds: RoundRobin
    ) -> tuple[Array, Array]:
        """Return the kinds that depend on no value, after each segment, and the weights before, aged (segments,)."""
        kinds = self._constant
        aged, plus, state = segments[DECAY], segments[kinds], before[kinds]
        times = np.stack([aged, aged, aged * aged][: len(kinds)])
        plus[DECAY] = 0
        by = None if scale is None else np.stack([scale, scale, scale * scale][: len(kinds)])
        weights, old = np.empty_like(times), np.empty_like(aged)
        for going, rows in rounds:
            state, out = state[:, :going], weights[:, rows]
            np.multiply(times[:, rows], state, out=out)
            old[rows] = out[WEIGHT]
            out += plus[:, rows]
            if by is not None:
                out /= by[:, rows]
            state = out
        return weights, old

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
        rounds = RoundRobin(np.diff(heads, append=segments.shape[1]))
        order = np.empty(segments.shape[1], np.int64)
        order[rounds.places] = np.arange(segments.shape[1])
        walked = segments[:, order]
        first = states[:, rounds.longest]

        def spread(away: Array) -> Array:
            found: Array = walked[WEIGHT] * (walked[VARIANCE] + away * away)
            return found

        after = self._advanced(first, walked, None, spread, rounds).take(rounds.places, axis=1)
        before = np.empty_like(segments)
        before[:, 1:] = after[:, :-1]
        before[:, heads] = states
        return before
