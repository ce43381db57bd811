"""Sorted runs of groups by pane, merged lazily; those that do not fit in memory lie in a few files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
import polars as pl

from arrowstream.operators.windows.panes import PANE, Rows, Run, cut, cut_all
from arrowstream.state.memory import StateMemory
from arrowstream.state.owned_rows import held_bytes, with_own_text

_FAN = 8
"""Runs in files that become one, if none is this many times as long as the last."""

_LEAST_BYTES = 1 << 20
"""Bytes that are merged at a time at least, however little memory there may be."""


@dataclass(frozen=True, slots=True)
class PaneStatistics:
    """What a `PaneStore` or a `SessionStore` holds.

    Parameters
    ----------
    aside
        Frames that were put aside and wait to be grouped or merged.
    runs, filed
        The groups of each run in memory, and of each one in a file.
    """

    aside: int
    runs: tuple[int, ...]
    filed: tuple[int, ...]


class RunStore:
    """What was merged, and what was added since.

    Runs are merged once those added hold more than twice as many groups as what was merged before, so that each
    group is touched a bounded number of times however much state there is. A run is sorted by pane,
    so panes that are over are sliced off its beginning.

    Once runs take half of the memory that there is, they become one in a file. Runs in files are merged when there
    are 8 of about one size, as in a log-structured merge tree whose levels are 8 times as large as the ones below
    (O'Neil et al., 1996): each group is written O(log n) times, and there are O(log n) files.

    Parameters
    ----------
    merged
        Makes one row of all groups with the same pane and keys, sorted by pane.
    keys
        The columns rows are grouped by.
    memory
        Where they lie.
    """

    def __init__(
        self, merged: Callable[[Sequence[Rows]], pl.DataFrame], keys: Sequence[str], memory: StateMemory
    ) -> None:
        self._groups = merged
        self._keys = list(keys)
        self._memory = memory
        self._filed: list[Run] = []
        self._merged: Run | None = None
        self._added: list[Run] = []
        self._held = 0
        self._group_bytes = 1
        """What a group in a file takes, on average, where it takes the most."""

    @property
    def runs(self) -> list[Run]:
        """All of them, older ones first."""
        return [*self._filed, *self._in_memory()]

    def statistics(self, aside: int = 0) -> PaneStatistics:
        """What is held now, with the number of frames that a pane store has put aside."""
        runs, filed = (tuple(run.frame.height for run in kept) for kept in (self._in_memory(), self._filed))
        return PaneStatistics(aside, runs, filed)

    def in_files(self, pane: int | None) -> bool:
        """Whether groups of panes before `pane`, of any for None, lie in files."""
        return any(pane is None or run.low < pane for run in self._filed)

    def first_few(self, share: int) -> tuple[int, int] | None:
        """The first pane, and one before which the groups are few enough to be taken together.

        Parameters
        ----------
        share
            They may be as many as are merged at a time, divided by this.

        Returns
        -------
        tuple of int, or None
            The second is at least the pane after the first. None if all may be taken.
        """
        return _few(self.runs, max(self._most() // share, 1))

    def add(self, run: Run) -> None:
        """One more run."""
        self._added.append(run)
        if sum(run.frame.height for run in self._added) > 2 * (
            self._merged.frame.height if self._merged is not None else 0
        ):
            self._merged, self._added = self._merge(self._merged, self._added), []
        self._settle()

    def take(self, pane: int | None, keep: int | None, rows: Run | None) -> Run | None:
        """The groups of panes before `pane`, merged with `rows`; those from `keep` on are kept as well.

        All are taken where `pane` is None, and none of them is kept where `keep` is.
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

    def _in_memory(self) -> list[Run]:
        return [*self._added] if self._merged is None else [self._merged, *self._added]

    def _merge(self, merged: Run | None, added: list[Run]) -> Run | None:
        """These as one; `merged` is a single run or none."""
        if not added:
            return merged
        # Panes that nothing was added to are as they should be.
        kept, open_ = cut(merged, min(run.low for run in added))
        groups = self._one([open_, *added] if open_ is not None else added)
        return groups if kept is None else kept.joined(groups)

    def _one(self, parts: list[Run]) -> Run:
        if len(parts) == 1:
            return parts[0]
        return Run.of(with_own_text(self._groups([run.moved(1, 0) for run in parts])))

    def _settle(self) -> None:
        """Count what is in memory, and put it into a file if it is too much."""
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
        """Groups that are merged at a time."""
        return max(max(self._memory.half, _LEAST_BYTES) // self._group_bytes, 1)

    def _in_file(self, parts: list[Run]) -> Run:
        nbytes = sum(held_bytes(run.frame) for run in parts)
        self._group_bytes = max(self._group_bytes, -(-nbytes // sum(run.frame.height for run in parts)))
        low, high = min(run.low for run in parts), max(run.high for run in parts)
        return Run(low, high, self._memory.in_file(self._pieces(parts)))

    def _pieces(self, parts: list[Run]) -> Iterator[pl.DataFrame]:
        """The parts merged some panes at a time, or a pane some keys at a time."""
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

    def _by_key(self, parts: list[Run], most: int) -> Iterator[pl.DataFrame]:
        """The groups of a single pane, merged some keys at a time: in a file, each of those lie together first."""
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

        together = self._memory.in_file(sorted_pieces())
        for number in range(count):
            spans = [places[number : number + 2] for places in starts]
            found = [Run.of(together[start:stop]) for start, stop in spans if start < stop]
            if found:
                yield self._one(found).frame


def _few(runs: list[Run], most: int) -> tuple[int, int] | None:
    """The first pane, and one after it before which there are at most `most` groups, or only those of that pane.

    None if there are not more in all.
    """
    place = most // max(len(runs), 1)
    ends: list[int] = [run.frame[PANE][place] for run in runs if run.frame.height > place]
    if not ends:
        return None
    first = min(run.low for run in runs)
    return first, max(min(ends), first + 1)


def _alike(runs: list[Run]) -> int:
    """The number of runs at the end that are shorter than `_FAN` times the last one."""
    longest = _FAN * runs[-1].frame.height
    return sum(1 for _ in takewhile(lambda run: run.frame.height < longest, reversed(runs)))
