"""State of panes, which are short stretches of event time: buffered rows, and sorted runs of partial aggregates.

Rows are buffered until there are many, because grouping a million rows at once takes far less time than grouping
sixteen times a sixteenth of them. The buffer then becomes one run and joins the older runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import polars as pl

from arrowstream.core.batch import Batch
from arrowstream.operators.aggregation.aggregation import Aggregation
from arrowstream.operators.windows.groups.dense_groups import dense_groups
from arrowstream.operators.windows.groups.extreme_of_panes import extreme_of_panes
from arrowstream.operators.windows.groups.hashed_groups import hashed_groups
from arrowstream.operators.windows.panes import PANE, Rows, SortedGroups, by_pane, cut_all, in_order
from arrowstream.operators.windows.run_store import PaneStatistics, RunStore
from arrowstream.state.memory import StateMemory
from arrowstream.state.owned_rows import held_bytes, owned, owned_if_few, with_own_text
from arrowstream.state.small_frames import small_at_end
from arrowstream.state.spill_file import RowsInFile

_ASIDE_ROWS = 1 << 20
_ASIDE_BYTES = 64 << 20
"""The most rows, and bytes, that are buffered before they are grouped."""

_PART_ROWS = 1 << 16
"""The most rows that are buffered before they are grouped without keys: nothing is hashed, and fewer rows wait."""

_WORTH_SIFTING = 4_096
"""Rows of a batch from which those that cannot count are left out at once: it takes 0.3 ms."""

_TRIES = 2
"""Groupings in vain by integers that may tell the texts beside them."""

_CUTS = 4
"""Copies that cutting panes off may cost per buffered row, on average, before the buffer is grouped."""


class PaneGrouping(Protocol):
    """What groups keep of rows."""

    @property
    def reads(self) -> Iterable[str]:
        """The columns that it needs of rows, besides the keys."""

    def needed(self, rows: Rows) -> Rows:
        """Return the rows of a batch that can count: at least one of each pane that has any."""
        return rows

    def reduced(self, rows: Sequence[Rows]) -> pl.DataFrame:
        """Return the state of rows, sorted by pane."""

    def merged(self, parts: Sequence[Rows]) -> pl.DataFrame:
        """Return the combined state of parts, sorted by pane."""


class PartialAggregates(PaneGrouping):
    """Partial aggregates, a row for each pane and key.

    Parameters
    ----------
    keys
        The key columns.
    aggregation
        The aggregation that each group keeps the state of.
    """

    __slots__ = ("_aggregation", "_keys", "_tried")

    def __init__(self, keys: Sequence[str], aggregation: Aggregation) -> None:
        self._keys = tuple(keys)
        self._aggregation = aggregation
        self._tried = 0
        """How often texts were not told by the integers beside them."""

    @property
    def reads(self) -> Iterable[str]:
        return self._aggregation.reads

    def needed(self, rows: Rows) -> Rows:
        extreme = self._aggregation.extreme
        # Without keys, a pane has the same place wherever its first row is.
        if extreme is None or self._keys or rows.frame.height < _WORTH_SIFTING:
            return rows
        found = extreme_of_panes(rows, extreme)
        return found._replace(frame=owned_if_few(found.frame, rows.frame.height))

    def reduced(self, rows: Sequence[Rows]) -> pl.DataFrame:
        return self._grouped(rows, self._aggregation.init, self._aggregation.init_row)

    def merged(self, parts: Sequence[Rows]) -> pl.DataFrame:
        values = [pl.col(expr.meta.output_name()) for expr in self._aggregation.init_row]
        return self._grouped(parts, self._aggregation.combine, values)

    def _grouped(
        self, parts: Sequence[Rows], exprs: Sequence[pl.Expr], values: Sequence[pl.Expr]
    ) -> pl.DataFrame:
        groups = self._dense(parts, values)
        return by_pane(parts, self._keys, exprs, self._aggregation.any_order) if groups is None else groups

    def _dense(self, parts: Sequence[Rows], values: Sequence[pl.Expr]) -> pl.DataFrame | None:
        update = self._aggregation.update
        if not update:
            return None
        groups = None
        if self._tried < _TRIES:
            groups = dense_groups(parts, self._keys, values, update)
            if groups is None and any(parts[0].frame.schema[name] == pl.String for name in self._keys):
                self._tried += 1
        if groups is None and self._keys:
            groups = hashed_groups(parts, self._keys, values, update)
        return groups


class PaneStore:
    """The state of groups by pane and keys.

    Parameters
    ----------
    keys
        The key columns.
    grouping
        What each group keeps.
    pane
        The expression of a row's pane, Int64.
    memory
        The memory that holds rows and groups.
    in_parts
        Whether few rows may be grouped at a time, at little cost.
    ordered
        Whether the groups of a pane are put into the order of their first rows, which panes taken several times need.
    """

    def __init__(
        self,
        keys: Sequence[str],
        grouping: PaneGrouping,
        pane: pl.Expr,
        memory: StateMemory,
        in_parts: bool = False,
        ordered: bool = False,
    ) -> None:
        self._in_parts = in_parts
        self._ordered = ordered
        self._grouping = grouping
        self._pane = pane.alias(PANE)
        self._columns = list(dict.fromkeys((*keys, *grouping.reads)))
        self._memory = memory
        self._aside: list[Rows] = []
        self._aside_rows = 0
        self._aside_bytes = 0
        self._cuts = 0.0
        """Row copies that cutting the buffered rows has cost so far."""
        # Not a method of the store: a reference cycle would keep files open until the garbage collector runs.
        self._runs = RunStore(grouping.merged, keys, memory)

    def statistics(self) -> PaneStatistics:
        """Return the number of buffered frames and the sizes of the runs."""
        return self._runs.statistics(len(self._aside))

    def in_files(self, pane: int | None) -> bool:
        """Return whether groups of panes before `pane` (None: of any pane) lie in files."""
        return self._runs.in_files(pane)

    def first_few(self, pane: int | None, share: int) -> tuple[int, int] | None:
        """Return how far groups may be taken at once within the memory.

        Parameters
        ----------
        pane
            The pane before which groups are to be taken; None for all.
        share
            Divisor of the number of groups that are merged at a time.

        Returns
        -------
        tuple of int, or None
            The first pane, and the pane before which groups may be taken at once, at least one pane later. None if
            all groups before `pane` may.
        """
        if not self._runs.in_files(pane):
            return None
        if self._aside:
            # Otherwise rows would be cut, and a part of them grouped, again for every few panes.
            self._group_all()
        return self._runs.first_few(share)

    def add(self, rows: pl.DataFrame, low: int, high: int) -> None:
        """Add at least one row, with a column `ROW`; the panes of the rows reach from `low` to `high`."""
        part = rows[self._columns] if low == high else rows.select(self._pane, *self._columns)
        self._put_aside(self._grouping.needed(Rows(low, high, part)))
        most = _PART_ROWS if self._in_parts else _ASIDE_ROWS
        if self._aside_rows >= most or self._aside_bytes >= min(_ASIDE_BYTES, self._memory.half):
            # The other half of the memory is for runs.
            self._group_all()

    def add_groups(self, groups: pl.DataFrame) -> None:
        """Add at least one group that is made already; they have columns `PANE` and `ROW`, and are sorted by both."""
        if self._aside:
            # Rows that came before are combined before them.
            self._group_all()
        self._runs.add(SortedGroups.of(with_own_text(groups)))

    def take(self, pane: int | None, keep: int | None) -> SortedGroups | None:
        """Return the groups of panes before `pane`, or None if there are none, and remove those before `keep`.

        Parameters
        ----------
        pane
            The first pane that is not taken; None to take all.
        keep
            The first pane that stays in the store, though it may be taken too; None to keep none of those taken.
        """
        parts = self._emptied()
        rows, kept = cut_all(parts, pane)
        for part in kept:
            self._put_aside(part)
        self._count_cuts(parts, pane)
        taken = self._runs.take(pane, keep, self._reduced(rows) if rows else None)
        if self._cuts > _CUTS * self._aside_rows:
            # With rows out of order, each batch has many panes, and every pane that closes would copy all rows.
            self._group_all()
        return taken

    def saved(self) -> Iterator[Batch | RowsInFile]:
        """Yield all state, older rows first; each part is sorted by pane and has each pane and key once."""
        for run in self._runs.runs:
            yield run.saved()
        if self._aside:
            yield self._reduced(self._aside).saved()

    def restore(self, frames: Iterable[pl.DataFrame]) -> None:
        """Add the frames, or slices of them, that `saved` gave."""
        for groups in frames:
            self._runs.add(SortedGroups.of(groups))

    def merged(self, parts: Sequence[Rows]) -> pl.DataFrame:
        """Return the combined state, one row for each pane and key, sorted by pane."""
        return self._grouping.merged(parts)

    def _group_all(self) -> None:
        """Group the buffered rows into a run."""
        self._runs.add(self._reduced(self._emptied()))
        self._cuts = 0.0

    def _count_cuts(self, parts: list[Rows], pane: int | None) -> None:
        """Count the row copies of cutting `parts` at `pane`: a part on both sides of it was copied."""
        before = sum(part.frame.height for part in parts)
        whole = sum(part.frame.height for part in parts if pane is not None and part.low >= pane)
        # Rows that left the buffer take their share of the copies with them.
        share = self._aside_rows / before if before else 0.0
        self._cuts = self._cuts * share + self._aside_rows - whole

    def _put_aside(self, rows: Rows) -> None:
        self._aside.append(rows)
        self._aside_rows += rows.frame.height
        self._hold(held_bytes(rows.frame))
        if count := small_at_end(part.frame.height for part in reversed(self._aside)):
            few = self._aside[-count:]
            one = Rows.of(owned(pl.concat([part.all() for part in few])))
            self._aside[-count:] = [one]
            self._hold(held_bytes(one.frame) - sum(held_bytes(part.frame) for part in few))

    def _hold(self, nbytes: int) -> None:
        self._aside_bytes += nbytes
        self._memory.reserve(nbytes)

    def _emptied(self) -> list[Rows]:
        """Return the buffered rows and empty the buffer."""
        self._hold(-self._aside_bytes)
        parts, self._aside = self._aside, []
        self._aside_rows = 0
        return parts

    def _reduced(self, rows: list[Rows]) -> SortedGroups:
        groups = self._grouping.reduced(rows)
        return SortedGroups.of(with_own_text(in_order(groups) if self._ordered else groups))
