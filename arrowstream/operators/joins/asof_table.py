"""A table in memory, in which the version of a key that is valid at a time is looked up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from arrowstream.core.batch import Batch
from arrowstream.operators.joins.asof import END, Asof
from arrowstream.operators.joins.table_joining import Lookup
from arrowstream.operators.joins.versions import Versions
from arrowstream.state.arrays import Array
from arrowstream.state.memory import StateMemory

_BUILT_AT_A_TIME = 1 << 22


@dataclass(frozen=True, slots=True, eq=False)
class AsofLookup(Lookup):
    """What a join by time knows of its table.

    Parameters
    ----------
    asof
        How versions are chosen.
    """

    asof: Asof

    def index(self, table: pl.DataFrame, memory: StateMemory) -> AsofIndex:
        return AsofIndex(self.asof, table, memory)

    def asked(self, rows: pl.DataFrame) -> pl.DataFrame:
        return rows


class AsofIndex:
    """The versions of a table by key and time; versions without a time or with a null among their keys are left out.

    Parameters
    ----------
    asof
        How versions are chosen.
    table
        The table.
    memory
        The memory that holds the index.
    """

    __slots__ = ("_asof", "_numbers", "_versions")

    def __init__(self, asof: Asof, table: pl.DataFrame, memory: StateMemory) -> None:
        self._asof = asof
        self._versions = Versions(pl.Schema({"row": pl.UInt32}), asof.types, memory)
        for start in range(0, table.height, _BUILT_AT_A_TIME):
            rows = table.slice(start, _BUILT_AT_A_TIME)
            there = rows[asof.times[1].column].is_not_null()
            if (keyed := asof.with_keys(1, rows)) is not None:
                there &= pl.Series(keyed)
            places = pl.select(pl.int_range(start, start + rows.height, dtype=pl.UInt32).alias("row")).filter(
                there
            )
            rows = rows.filter(there)
            if rows.height:
                self._versions.append(places, asof.keys_of(1, rows), asof.ticks(1, rows))

    def pairs(self, asked: pl.DataFrame, *, unmatched: bool = False) -> Iterator[tuple[Array, Array]]:
        """Yield positions in `asked`, and the table's row of each, -1 for none (rows,), int64 each."""
        asof = self._asof
        asof.times[0].check(Batch(asked), "join_asof()")
        times = asof.ticks(0, asked)
        slots = self._versions.slots(asof.keys_of(0, asked), asked.height)
        if (keyed := asof.with_keys(0, asked)) is not None:
            slots = np.where(keyed, slots, -1)
        chosen, _ = asof.choose(self._versions, slots, times, END)
        found = self._versions.log.gather(chosen)["row"].cast(pl.Int64).fill_null(-1).to_numpy()
        ours = np.arange(asked.height) if unmatched else np.flatnonzero(found >= 0)
        yield ours, found[ours]

    def find(self, asked: pl.DataFrame) -> Array:
        """Return the table's row of each row, -1 for none (rows,), int64."""
        ((_, found),) = self.pairs(asked, unmatched=True)
        return found
