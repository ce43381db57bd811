"""What joins by the version that is valid at a time share: strategy, columns, the choice of a version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from arrowstream.operators.joins.keys import JoinKeys, null_keys
from arrowstream.operators.joins.stream_columns import StreamColumns
from arrowstream.operators.joins.versions import Versions
from arrowstream.operators.windows.event_time import EventTimeColumn
from arrowstream.state.arrays import Array

Strategy = Literal["backward", "forward", "nearest"]
AsofHow = Literal["left", "inner"]

END = int(np.iinfo(np.int64).max)
"""A tick after all times."""


@dataclass(frozen=True, slots=True, eq=False)
class Asof:
    """How versions are chosen for rows.

    Parameters
    ----------
    keys
        The key columns, none for one key.
    types
        The types in which keys are compared.
    times
        The columns of time of the rows and of the versions, in one unit.
    strategy
        Which version is chosen.
    tolerance
        How far apart times may be, in ticks; None for any distance.
    columns
        The columns that come out.
    """

    keys: JoinKeys
    types: pl.Schema
    times: tuple[EventTimeColumn, EventTimeColumn]
    strategy: Strategy
    tolerance: int | None
    columns: StreamColumns

    def keys_of(self, port: int, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the keys of rows (port 0) or of versions (1), in the same columns."""
        if not self.types:
            return pl.DataFrame()
        return self.keys.of_right(rows, self.types) if port else self.keys.of_left(rows, self.types)

    def ticks(self, port: int, rows: pl.DataFrame) -> Array:
        """Return the times of rows or of versions in ticks (rows,), int64."""
        return rows.select(self.times[port].expression()).to_series().to_numpy()

    def with_keys(self, port: int, rows: pl.DataFrame) -> Array | None:
        """Return whether each row has a key without nulls (rows,), bool; None if all have."""
        nulls = null_keys(self.keys_of(port, rows))
        return None if nulls is None or self.keys.nulls_equal else ~nulls

    def choose(self, versions: Versions, slots: Array, times: Array, final: int) -> tuple[Array, Array]:
        """Return the version of each row, -1 for none, and the tick from which on it is known (rows,), int64 each.

        Parameters
        ----------
        versions
            The versions.
        slots
            The slot of each row's key (rows,), int64; -1 for none.
        times
            The time of each row (rows,), int64.
        final
            The tick before which no version comes any more.
        """
        if self.strategy == "backward":
            chosen = versions.before(slots, times)
            return self._near(versions, chosen, times), times + 1
        nearest = self.strategy == "nearest"
        chosen = versions.after(slots, times, last=nearest)
        later = versions.times.take(chosen, mode="clip") if len(versions.times) else times
        later = np.where(chosen >= 0, later, END)
        # A version that may yet be replaced by one that comes counts from its time on.
        known = np.where(later < final, times + 1, END)
        if nearest:
            before = versions.before(slots, times)
            distance = times - versions.times.take(before, mode="clip") if len(versions.times) else times
            nearer = (before >= 0) & ((chosen < 0) | (distance < later - times))
            chosen = np.where(nearer, before, chosen)
            # One that comes later than this is further away.
            known = np.where(before >= 0, np.minimum(known, times + distance + 1), known)
        if self.tolerance is not None:
            known = np.minimum(known, times + self.tolerance + 1)
        return self._near(versions, chosen, times), known

    def joined(self, rows: pl.DataFrame, found: pl.DataFrame, chosen: Array) -> pl.DataFrame:
        """Return what comes out for rows and their versions, of nulls where there is none."""
        out = self.columns.paired(rows, found)
        return out if self.columns.how == "left" else out.filter(pl.Series(chosen >= 0))

    def _near(self, versions: Versions, chosen: Array, times: Array) -> Array:
        if self.tolerance is None or not len(versions.times):
            return chosen
        apart = np.abs(versions.times.take(chosen, mode="clip") - times)
        return np.where(apart <= self.tolerance, chosen, -1)
