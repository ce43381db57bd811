"""Sorted runs of groups by pane, merged lazily; runs that do not fit in memory are spilled to a few files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
import polars as pl

from arrowstream.operators.windows.panes import PANE, Rows, SortedGroups, cut, cut_all
from arrowstream.state.memory import StateMemory
from arrowstream.state.owned_rows import held_bytes, with_own_text

_FAN = 8
"""The number of runs in files that are merged into one, if none is this many times as long as the last."""

_LEAST_BYTES = 1 << 20
"""The least bytes that are merged at a time, however small the memory limit is."""


@dataclass(frozen=True, slots=True)
class PaneStatistics:
    """The sizes of a `PaneStore` or a `SessionStore`.

    Parameters
    ----------
    aside
        The number of buffered frames that wait to be grouped or merged.
    runs, filed
        The number of groups of each run in memory, and of each run in a file.
    """

    aside: int
    runs: tuple[int, ...]
    filed: tuple[int, ...]


class RunStore:
    """A merged run, the runs added since, and runs in files.

    Runs are merged once those added hold more than twice as many groups as the merged one, so each group is touched
    a bounded number of times however large the state is. A run is sorted by pane, so closed panes are sliced off
    its beginning.

    Once the runs in memory take half of it, they are spilled as one run to a file. Runs in files are merged when
    there are 8 of about one size, as in a log-structured merge tree whose levels are 8 times as large as the ones
    below (O'Neil et al., 1996): each group is written O(log n) times, and there are O(log n) files.

    Parameters
    ----------
    merged
        A function that combines groups with the same pane and keys into one row, and sorts by pane.
    keys
        The key columns.
    memory
        The memory that holds the runs.
    """

    def __init__(
        self, merged: Callable[[Sequence[Rows]], pl.DataFrame], keys: Sequence[str], memory: StateMemory
    ) -> None:
        self._groups = merged
        self._keys = list(keys)
        self._memory = memory
        self._filed: list[SortedGroups] = []
        self._merged: SortedGroups | None = None
        self._added: list[SortedGroups] = []
        self._held = 0
        self._group_bytes = 1
        """Bytes per group: the largest average of any run spilled so far."""

    @property
    def runs(self) -> list[SortedGroups]:
        """All runs, older ones first."""
        return [*self._filed, *self._in_memory()]

    def statistics(self, aside: int = 0) -> PaneStatistics:
        """Return the sizes of the runs, with the number of frames that a pane store has buffered."""
        runs, filed = (tuple(run.frame.height for run in kept) for kept in (self._in_memory(), self._filed))
        return PaneStatistics(aside, runs, filed)

    def in_files(self, pane: int | None) -> bool:
        """Return whether groups of panes before `pane` (None: of any pane) lie in files."""
        return any(pane is None or run.low < pane for run in self._filed)

    def first_few(self, share: int) -> tuple[int, int] | None:
        """Return how far groups may be taken at once within the memory.

        Parameters
        ----------
        share
            Divisor of the number of groups that are merged at a time.

        Returns
        -------
        tuple of int, or None
            The first pane, and the pane before which groups may be taken at once, at least one pane later. None if
            all groups may.
        """
        return _few(self.runs, max(self._most() // share, 1))

    def add(self, run: SortedGroups) -> None:
        """Add a run."""
        self._added.append(run)
        if sum(run.frame.height for run in self._added) > 2 * (
            self._merged.frame.height if self._merged is not None else 0
        ):
            self._merged, self._added = self._merge(self._merged, self._added), []
        self._settle()

    def take(self, pane: int | None, keep: int | None, rows: SortedGroups | None) -> SortedGroups | None:
        """Return the groups of panes before `pane`, merged with `rows`, and remove those before `keep`.

        Parameters
        ----------
        pane
            The first pane that is not taken; None to take all.
        keep
            The first pane that stays in the store, though it may be taken too; None to keep none of those taken.
        rows
            Groups to merge in; they lie before `pane`.
        """
        before, self._merged = cut(self._merged, pane)
        parts, self._added = cut_all(self._added, pane)
        here = self._merge(before, parts if rows is None else [*parts, rows])
        _, later = cut(here, keep)
        if later is not None:
            self._merged = later if self._merged is None else later.joined(self._merged)
        there, _ = cut_all(self._filed, pane)
        _, self._filed = cut_all(self._filed, keep)
        self._settle()
        found = there if here is None else [*there, here]
        return self._one(found) if found else None

    def _in_memory(self) -> list[SortedGroups]:
        return [*self._added] if self._merged is None else [self._merged, *self._added]

    def _merge(self, merged: SortedGroups | None, added: list[SortedGroups]) -> SortedGroups | None:
        """Merge runs into one; `merged` has each pane and key once."""
        if not added:
            return merged
        # Earlier panes got no new groups and stay as they are.
        kept, open_ = cut(merged, min(run.low for run in added))
        groups = self._one([open_, *added] if open_ is not None else added)
        return groups if kept is None else kept.joined(groups)

    def _one(self, parts: list[SortedGroups]) -> SortedGroups:
        if len(parts) == 1:
            return parts[0]
        return SortedGroups.of(with_own_text(self._groups([run.moved(1, 0) for run in parts])))

    def _settle(self) -> None:
        """Count the bytes in memory, and spill the runs to a file if they are too many."""
        if not self._memory.is_limited:
            return
        self._hold(sum(held_bytes(run.frame) for run in self._in_memory()))
        if self._memory.spills and self._held > self._memory.half:
            self._filed.append(self._in_file(self._in_memory()))
            self._merged, self._added = None, []
            self._hold(0)
            while (count := _alike(self._filed)) >= _FAN:
                self._filed[-count:] = [self._in_file(self._filed[-count:])]

    def _hold(self, nbytes: int) -> None:
        self._memory.reserve(nbytes - self._held)
        self._held = nbytes

    def _most(self) -> int:
        """Return the number of groups that are merged at a time."""
        return max(max(self._memory.half, _LEAST_BYTES) // self._group_bytes, 1)

    def _in_file(self, parts: list[SortedGroups]) -> SortedGroups:
        nbytes = sum(held_bytes(run.frame) for run in parts)
        self._group_bytes = max(self._group_bytes, -(-nbytes // sum(run.frame.height for run in parts)))
        low, high = min(run.low for run in parts), max(run.high for run in parts)
        file = self._memory.in_file(self._pieces(parts))
        return SortedGroups(low, high, file.frame, file)

    def _pieces(self, parts: list[SortedGroups]) -> Iterator[pl.DataFrame]:
        """Yield the parts merged, a few panes at a time, or one pane a few keys at a time."""
        most = self._most()
        while parts:
            panes = _few(parts, most)
            few, parts = cut_all(parts, None if panes is None else panes[1])
            if len(few) == 1:
                yield from few[0].frame.iter_slices(most)
            elif not self._keys or sum(run.frame.height for run in few) <= most:
                yield self._one(few).frame
            else:
                yield from self._by_key(few, most)

    def _by_key(self, parts: list[SortedGroups], most: int) -> Iterator[pl.DataFrame]:
        """Yield the groups of a single pane, merged a few keys at a time; a file holds them partitioned by hash."""
        count = -(-sum(run.frame.height for run in parts) // most)
        starts: list[list[int]] = []
        end = 0

        def sorted_pieces() -> Iterator[pl.DataFrame]:
            nonlocal end
            for run in parts:
                for piece in run.frame.iter_slices(most):
                    which = (piece[self._keys].hash_rows() % count).to_numpy()
                    order = np.argsort(which, kind="stable")
                    starts.append((end + np.searchsorted(which[order], np.arange(count + 1))).tolist())
                    end += piece.height
                    yield piece[pl.Series(order)]

        together = self._memory.in_file(sorted_pieces()).frame
        for number in range(count):
            spans = [places[number : number + 2] for places in starts]
            found = [SortedGroups.of(together[start:stop]) for start, stop in spans if start < stop]
            if found:
                yield self._one(found).frame


def _few(runs: list[SortedGroups], most: int) -> tuple[int, int] | None:
    """Return the first pane, and a later one before which at most `most` groups, or only the first pane, lie.

    None if there are at most `most` groups.
    """
    place = most // max(len(runs), 1)
    ends: list[int] = [run.frame[PANE][place] for run in runs if run.frame.height > place]
    if not ends:
        return None
    first = min(run.low for run in runs)
    return first, max(min(ends), first + 1)


def _alike(runs: list[SortedGroups]) -> int:
    """Return the number of runs at the end that are shorter than `_FAN` times the last one."""
    longest = _FAN * runs[-1].frame.height
    return sum(1 for _ in takewhile(lambda run: run.frame.height < longest, reversed(runs)))
