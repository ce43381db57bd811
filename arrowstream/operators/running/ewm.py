"""Exponentially weighted running means and spreads: ewm_mean, ewm_var, ewm_std."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import polars as pl

from arrowstream.operators.running.base import Running, known_where
from arrowstream.operators.running.ewm_decay import MEAN, SPREAD, SQUARES, WEIGHT, Decay
from arrowstream.operators.running.ewm_plain import PlainMean
from arrowstream.operators.running.layout import Layout
from arrowstream.operators.running.turns import Turns
from arrowstream.state.arrays import Array
from arrowstream.state.memory import StateMemory

EWMS = frozenset({"EwmMean", "EwmVar", "EwmStd"})
_BLOCK = 64
"""So many values of a key are walked one after the other; see `Ewm`."""
_CHAIN = 64 * _BLOCK
"""So many values are in the blocks that are joined one after the other, before chains are joined in turn."""


class Ewm(Running):
    """An exponentially weighted function of all earlier values of a key.

    Each key's values are cut into blocks, counted from the key's first one, so that batches do not move the cuts.
    All blocks of a batch are walked side by side, each on its own, and then every block is joined to what is known
    of the blocks before it; that, too, in chains side by side, which are then joined. So one key with many rows
    costs about what many keys with few rows do. Within a
    key's first block the numbers are those of Polars bit for bit, as the same steps are taken; later the
    last digits differ.

    For each slot there are kept its number of values, the rows since the last one, and what is known of its whole
    chains, of the whole blocks of the chain that has begun, and of the block that has begun.
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
        self._states = memory.array((0, 3, len(self._decay.nothing(0))), kind)

    def begin(self, fresh: Array, capacity: int) -> None:
        self._counts = self._memory.longer(self._counts, capacity, 0)
        self._ages = self._memory.longer(self._ages, capacity, 0)
        self._states = self._memory.longer(self._states, capacity, 0)
        self._counts[fresh] = 0
        self._states[fresh] = self._decay.nothing(1)[:, 0]

    def run(self, column: pl.Series, layout: Layout) -> pl.Series:
        valid = column.is_not_null().to_numpy()
        known = layout.only(valid)
        values = column.cast(self._type).fill_null(0).to_numpy()[known.order]
        numbers = np.repeat(self._counts[known.owners], known.lengths) + known.offsets
        found = self._walk(values, self._aged(valid, layout, known), numbers, known)
        self._counts[known.owners] += known.lengths
        result, defined = self._results(found, numbers)
        defined &= numbers >= self._least - 1
        return known_where(known.back(result), known.back(defined))

    def snapshot(self, slots: Array) -> list[pl.Series]:
        states = self._states[slots].reshape(len(slots), 3 * self._states.shape[2])
        return [
            pl.Series(self._counts[slots]),
            pl.Series(self._ages[slots]),
            *map(pl.Series, states.T.copy()),
        ]

    def restore(self, columns: list[pl.Series], slots: Array) -> None:
        counts, ages, *parts = (column.to_numpy() for column in columns)
        self._counts[slots], self._ages[slots] = counts, ages
        self._states[slots] = np.stack(parts, axis=1).reshape(len(slots), *self._states.shape[1:])

    def _aged(self, valid: Array, layout: Layout, known: Layout) -> Array:
        """What each value's key's weights were multiplied with since its value before."""
        factor = self._decay.factor
        if self._ignore_nulls:
            return np.full(len(known.order), factor)
        at = layout.offsets[valid[layout.order]]
        gaps = np.diff(at, prepend=0)
        since = self._ages[known.owners] + at[known.begins] + 1
        gaps[known.begins] = since
        self._ages[layout.owners] += layout.lengths
        self._ages[known.owners] -= since + at[known.lasts] - at[known.begins]
        aged: Array = np.where(gaps == 1, factor, factor**gaps)
        return aged

    def _walk(self, values: Array, aged: Array, numbers: Array, known: Layout) -> Array:
        """What is known at each value, and the states brought forward."""
        owners, decay = known.owners, self._decay
        starts = np.flatnonzero((known.offsets == 0) | (numbers % _BLOCK == 0))
        lengths = np.diff(starts, append=len(values))
        heads = np.flatnonzero(known.offsets[starts] == 0)
        states = self._states[owners].transpose(1, 2, 0)
        begun = decay.nothing(len(starts))
        begun[:, heads] = states[2]
        turns = Turns(lengths)
        walked = np.empty(len(values), np.int64)
        walked[turns.places] = np.arange(len(values))
        found = decay.walk(
            begun[:, turns.longest], values[walked], aged[walked], numbers[walked] == 0, turns
        ).take(turns.places, axis=1)
        blocks = found[:, starts + lengths - 1]
        # Chains of blocks, and of those chains one chain for each key.
        is_head = np.zeros(len(starts), np.bool_)
        is_head[heads] = True
        links = np.flatnonzero(is_head | (numbers[starts] % _CHAIN == 0))
        begun = decay.nothing(len(links))
        begun[:, is_head[links]] = states[1]
        earlier = decay.chain(links, begun, blocks)
        ends = _ends(links, len(starts))
        chains = decay.join(earlier[:, ends], blocks[:, ends])
        firsts = np.flatnonzero(is_head[links])
        whole = decay.chain(firsts, states[0], chains)
        before = decay.join(np.repeat(whole, np.diff(links, append=len(starts)), axis=1), earlier)
        later = np.flatnonzero(np.repeat(before[WEIGHT] > 0, lengths))
        places = np.repeat(np.arange(len(starts)), lengths)[later]
        joined = decay.join(before.take(places, axis=1), found.take(later, axis=1))
        if len(later) == len(values):
            found = joined
        else:
            found[:, later] = joined
        last, link = _ends(heads, len(starts)), _ends(firsts, len(links))
        upto, counts = chains[:, link], numbers[known.lasts] + 1
        block_done, chain_done = counts % _BLOCK == 0, counts % _CHAIN == 0
        nothing = decay.nothing(1)
        states[0] = np.where(chain_done, decay.join(whole[:, link], upto), whole[:, link])
        states[1] = np.where(chain_done, nothing, np.where(block_done, upto, earlier[:, last]))
        states[2] = np.where(block_done, nothing, blocks[:, last])
        self._states[owners] = states.transpose(2, 0, 1)
        return found

    @np.errstate(all="ignore")
    def _results(self, found: Array, numbers: Array) -> tuple[Array, Array]:
        """The result at each value, and whether there is one."""
        if self._function == "EwmMean":
            return found[MEAN], np.ones(len(numbers), np.bool_)
        result, defined = found[SPREAD], np.ones(len(numbers), np.bool_)
        if not self._bias:
            squared = found[WEIGHT] * found[WEIGHT]
            rest = squared - found[SQUARES]
            defined = rest > 0
            result = squared / rest * result
            if _one_has_a_spread():
                result[numbers == 0], defined[numbers == 0] = 0, True
        return (np.sqrt(result) if self._function == "EwmStd" else result), defined


def running_ewm(memory: StateMemory, function: str, options: dict[str, Any], dtype: pl.DataType) -> Running:
    """What computes an exponentially weighted function with these options."""
    # With nulls that age the weights, the weight of a mean is part of its state, and only blocks are quick.
    if function == "EwmMean" and not options["adjust"] and options["ignore_nulls"]:
        return PlainMean(memory, options, dtype)
    return Ewm(memory, function, options, dtype)


def _ends(heads: Array, count: int) -> Array:
    """The last of each group, of `count` things in all, from the first of each."""
    ends: Array = np.append(heads[1:], count)[: len(heads)] - 1
    return ends


@cache
def _one_has_a_spread() -> bool:
    """Whether this Polars gives 0 for one value's unbiased spread, as version 1 does."""
    return bool(pl.Series([1.0]).ewm_var(alpha=0.5)[0] == 0)
