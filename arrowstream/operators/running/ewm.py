"""Exponentially weighted running means and variances: ewm_mean, ewm_var, ewm_std."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import polars as pl

from arrowstream.operators.running.base import RunningFunction, known_where
from arrowstream.operators.running.ewm_decay import MEAN, SQUARES, VARIANCE, WEIGHT, Decay
from arrowstream.operators.running.ewm_plain import PlainMean
from arrowstream.operators.running.round_robin import RoundRobin
from arrowstream.operators.running.rows_by_slot import RowsBySlot
from arrowstream.state.arrays import Array
from arrowstream.state.memory import StateMemory

EWMS = frozenset({"EwmMean", "EwmVar", "EwmStd"})
_FIRST, _BLOCK = 256, 128
"""Values in a key's first block and in each later one, which are processed one after the other; see `Ewm`."""


class Ewm(RunningFunction):
    """An exponentially weighted function of all values of a key so far.

    Each key's values are cut into blocks, the first of 256 values and the others of 128, counted from the key's first
    one, so that batches do not move the cuts. All blocks of a batch are walked side by side, each separately; then
    every block is joined to the state of the blocks before it. Within a key's first block the states are those of
    Polars bit for bit, as the same steps are taken; later, after nulls that age weights, and where a bias is removed,
    the last digits may differ.

    The state of each slot: its number of values and the rows since the last one (slots,), int64, and the states of
    its whole blocks and of the block that has begun (slots, 2, kinds), in the type of the values; see `ewm_decay`.
    """

    __slots__ = (
        "_ages",
        "_bias",
        "_counts",
        "_decay",
        "_function",
        "_ignore_nulls",
        "_least",
        "_memory",
        "_states",
        "_type",
    )

    def __init__(
        self, memory: StateMemory, function: str, options: dict[str, Any], dtype: pl.DataType
    ) -> None:
        self._memory = memory
        kind = pl.Series(dtype=dtype).to_numpy().dtype
        self._function = function
        self._type = dtype
        self._bias = options["bias"]
        self._least = max(options["min_periods"], 1)
        self._ignore_nulls = options["ignore_nulls"]
        self._decay = Decay(options["alpha"], options["adjust"], function != "EwmMean", kind)
        self._counts = memory.array((0,), np.int64)
        self._ages = memory.array((0,), np.int64)
        self._states = memory.array((0, 2, len(self._decay.nothing(0))), kind)

    def begin(self, fresh: Array, capacity: int) -> None:
        self._counts = self._memory.longer(self._counts, capacity, 0)
        self._ages = self._memory.longer(self._ages, capacity, 0)
        self._states = self._memory.longer(self._states, capacity, 0)
        self._counts[fresh] = 0
        self._states[fresh] = self._decay.nothing(1)[:, 0]

    def run(self, column: pl.Series, by_slot: RowsBySlot) -> pl.Series:
        valid = column.is_not_null().to_numpy()
        known = by_slot.only(valid)
        values = column.cast(self._type).fill_null(0).to_numpy()[known.order]
        numbers = np.repeat(self._counts[known.owners], known.lengths) + known.offsets
        found = self._walk(values, self._aged(valid, by_slot, known), numbers, known)
        self._counts[known.owners] += known.lengths
        result, defined = self._results(found, numbers)
        defined &= numbers >= self._least - 1
        return known_where(known.back(result), known.back(defined))

    def snapshot(self, slots: Array) -> list[pl.Series]:
        states = self._states[slots].reshape(len(slots), 2 * self._states.shape[2])
        return [
            pl.Series(self._counts[slots]),
            pl.Series(self._ages[slots]),
            *map(pl.Series, states.T.copy()),
        ]

    def restore(self, columns: list[pl.Series], slots: Array) -> None:
        counts, ages, *parts = (column.to_numpy() for column in columns)
        self._counts[slots], self._ages[slots] = counts, ages
        self._states[slots] = np.stack(parts, axis=1).reshape(len(slots), *self._states.shape[1:])

    def _aged(self, valid: Array, by_slot: RowsBySlot, known: RowsBySlot) -> Array:
        """Return the factor by which each key's weights aged between a value and the one before it (values,)."""
        factor = self._decay.factor
        if self._ignore_nulls:
            return np.full(len(known.order), factor)
        at = by_slot.offsets[valid[by_slot.order]]
        gaps = np.diff(at, prepend=0)
        since = self._ages[known.owners] + at[known.begins] + 1
        gaps[known.begins] = since
        self._ages[by_slot.owners] += by_slot.lengths
        self._ages[known.owners] -= since + at[known.lasts] - at[known.begins]
        aged: Array = np.where(gaps == 1, factor, factor**gaps)
        return aged

    def _walk(self, values: Array, aged: Array, numbers: Array, known: RowsBySlot) -> Array:
        """Return the state at each value (kinds, values), and update the states of the slots."""
        owners, decay = known.owners, self._decay
        starts = np.flatnonzero((known.offsets == 0) | _begins(numbers))
        lengths = np.diff(starts, append=len(values))
        heads = np.flatnonzero(known.offsets[starts] == 0)
        states = self._states[owners].transpose(1, 2, 0)
        begun = decay.nothing(len(starts))
        begun[:, heads] = states[1]
        rounds = RoundRobin(lengths)
        walked = np.empty(len(values), np.int64)
        walked[rounds.places] = np.arange(len(values))
        found = decay.walk(
            begun[:, rounds.longest], values[walked], aged[walked], numbers[walked] == 0, rounds
        ).take(rounds.places, axis=1)
        blocks = found[:, starts + lengths - 1]
        before = decay.chain(heads, states[0], blocks)
        later = np.flatnonzero(np.repeat(before[WEIGHT] > 0, lengths))
        places = np.repeat(np.arange(len(starts)), lengths)[later]
        if len(later) == len(values):
            found = decay.join(before.take(places, axis=1), found)
        else:
            found[:, later] = decay.join(before.take(places, axis=1), found.take(later, axis=1))
        last = np.append(heads[1:], len(starts))[: len(heads)] - 1
        earlier, block = before[:, last], blocks[:, last]
        is_whole = _begins(numbers[known.lasts] + 1)
        states[0] = np.where(is_whole, decay.join(earlier, block), earlier)
        states[1] = np.where(is_whole, decay.nothing(1), block)
        self._states[owners] = states.transpose(2, 0, 1)
        return found

    @np.errstate(all="ignore")
    def _results(self, found: Array, numbers: Array) -> tuple[Array, Array]:
        """Return the result at each value (values,), and a mask (values,), bool, of defined results."""
        if self._function == "EwmMean":
            return found[MEAN], np.ones(len(numbers), np.bool_)
        result, defined = found[VARIANCE], np.ones(len(numbers), np.bool_)
        if not self._bias:
            squared = found[WEIGHT] * found[WEIGHT]
            rest = squared - found[SQUARES]
            defined = rest > 0
            result = squared / rest * result
            if _one_has_a_variance():
                result[numbers == 0], defined[numbers == 0] = 0, True
        return (np.sqrt(result) if self._function == "EwmStd" else result), defined


def _begins(numbers: Array) -> Array:
    """Return whether a block begins with the value of each number (values,), bool."""
    begins: Array = (numbers % _BLOCK == 0) & (numbers != _FIRST - _BLOCK)
    return begins


def running_ewm(
    memory: StateMemory, function: str, options: dict[str, Any], dtype: pl.DataType
) -> RunningFunction:
    """Return the running function for an exponentially weighted function with these options."""
    # Where nulls age the weights, the weight of a mean is part of its state, and only blocks are fast.
    if function == "EwmMean" and not options["adjust"] and options["ignore_nulls"]:
        return PlainMean(memory, options, dtype)
    return Ewm(memory, function, options, dtype)


@cache
def _one_has_a_variance() -> bool:
    """Return whether this Polars gives 0 for one value's unbiased spread, as version 1 does."""
    return bool(pl.Series([1.0]).ewm_var(alpha=0.5)[0] == 0)
