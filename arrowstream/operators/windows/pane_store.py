"""State of panes, short stretches of the stream: rows as they came, and sorted runs of partial aggregates.

Rows are put aside until there are many, because a million of them are grouped in far less time than sixteen
times a sixteenth. Then they become one run, which goes to those from before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import polars as pl

from arrowstream.operators.aggregation.aggregation import Aggregation
from arrowstream.operators.windows.dense_groups import dense_groups
from arrowstream.operators.windows.panes import PANE, Rows, Run, by_pane, cut_all
from arrowstream.operators.windows.run_store import RunStore
from arrowstream.state.memory import StateMemory
from arrowstream.state.owned_rows import held_bytes, owned, with_own_text
from arrowstream.state.small_frames import small_at_end

_ASIDE_ROWS = 1 << 20
_ASIDE_BYTES = 64 << 20
"""The most rows, and bytes, that are put aside before they are grouped."""

_CUTS = 4
"""How often each row that is put aside may be cut off from others, on average, before it is grouped."""


class PaneStore:
    """Groups by pane and keys.

    Parameters
    ----------
    keys
        The columns rows are grouped by.
    aggregation
        What is kept of a group.
    pane
        The pane of a row.
    memory
        Where the groups lie.
    """

    def __init__(
        self, keys: Sequence[str], aggregation: Aggregation, pane: pl.Expr, memory: StateMemory
    ) -> None:
        self._keys = tuple(keys)
        self._aggregation = aggregation
        self._pane = pane.alias(PANE)
        self._columns = list(dict.fromkeys((*keys, *aggregation.reads)))
        self._memory = memory
        self._aside: list[Rows] = []
        self._aside_rows = 0
        self._aside_bytes = 0
        self._cuts = 0.0
        """How often rows that are aside were cut off from others, all in all."""
        # Not a method of this store: files of a cycle would stay open until the garbage collector comes.
        self._runs = RunStore(partial(_merged, aggregation, self._keys), self._keys, memory)

    def in_files(self, pane: int | None) -> bool:
        """Whether groups of panes before `pane`, of any for None, lie in files."""
        return self._runs.in_files(pane)

    def first_few(self, pane: int | None, share: int) -> tuple[int, int] | None:
        """The first pane, and one before which groups may be taken together; None if all before `pane` may.

        That may be as many as are merged at a time, divided by `share`, and those of the first pane always.
        """
        if not self._runs.in_files(pane):
            return None
        if self._aside:
            # Else the rows would be cut, and a part of them grouped, for every few panes anew.
            self._group_all()
        return self._runs.first_few(share)

    def add(self, rows: pl.DataFrame, low: int, high: int) -> None:
        """Take in rows, at least one, with a column `ROW`, whose panes reach from `low` to `high`."""
        part = rows[self._columns] if low == high else rows.select(self._pane, *self._columns)
        self._put_aside(Rows(low, high, part))
        if self._aside_rows >= _ASIDE_ROWS or self._aside_bytes >= min(_ASIDE_BYTES, self._memory.half):
            # Of the memory that there is, the other half is for runs.
            self._group_all()

    def take(self, pane: int | None, keep: int | None) -> Run | None:
        """The groups of panes before `pane`, or None if there are none; those from `keep` on are kept as well.

        All are taken where `pane` is None, and none of them is kept where `keep` is.
        """
        parts = self._emptied()
        rows, kept = cut_all(parts, pane)
        for part in kept:
            self._put_aside(part)
        self._count_cuts(parts, pane)
        taken = self._runs.take(pane, keep, self._reduced(rows) if rows else None)
        if self._cuts > _CUTS * self._aside_rows:
            # Rows out of order, of many panes in each batch, would all be copied whenever one is over.
            self._group_all()
        return taken

    def frames(self) -> Iterator[pl.DataFrame]:
        """All state: groups sorted by pane, older ones first, in frames of which each has a pane and keys once."""
        for run in self._runs.runs:
            yield run.frame
        if self._aside:
            yield self._reduced(self._aside).frame

    def restore(self, frames: Iterable[pl.DataFrame]) -> None:
        """Take over what `frames` gave, or slices of it."""
        for groups in frames:
            self._runs.add(Run.of(groups))

    def merged(self, parts: Sequence[Rows]) -> pl.DataFrame:
        """State with one row for each pane and keys, sorted by pane."""
        return _merged(self._aggregation, self._keys, parts)

    def _group_all(self) -> None:
        """Group what is aside."""
        self._runs.add(self._reduced(self._emptied()))
        self._cuts = 0.0

    def _count_cuts(self, parts: list[Rows], pane: int | None) -> None:
        """Of the parts that were aside those before `pane` are gone: each that has others, too, was copied."""
        before = sum(part.frame.height for part in parts)
        whole = sum(part.frame.height for part in parts if pane is not None and part.low >= pane)
        # Rows that are gone take their share with them.
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
        """What was aside, which is nothing from now on."""
        self._hold(-self._aside_bytes)
        parts, self._aside = self._aside, []
        self._aside_rows = 0
        return parts

    def _reduced(self, rows: list[Rows]) -> Run:
        one, first = self._aggregation.init_row, self._aggregation.init
        return Run.of(with_own_text(_grouped(self._aggregation, self._keys, rows, first, one)))


def _merged(aggregation: Aggregation, keys: Sequence[str], parts: Sequence[Rows]) -> pl.DataFrame:
    """State with one row for each pane and keys, sorted by pane."""
    values = [pl.col(expr.meta.output_name()) for expr in aggregation.init_row]
    return _grouped(aggregation, keys, parts, aggregation.combine, values)


def _grouped(
    aggregation: Aggregation,
    keys: Sequence[str],
    parts: Sequence[Rows],
    exprs: Sequence[pl.Expr],
    values: Sequence[pl.Expr],
) -> pl.DataFrame:
    groups = dense_groups(parts, keys, values, aggregation.update) if aggregation.update else None
    return by_pane(parts, keys, exprs, aggregation.any_order) if groups is None else groups
