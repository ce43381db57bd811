"""Sorted runs of groups by pane, merged lazily, in files where there is no memory for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import polars as pl

from arrowstream.operators.panes import PANE, Rows, Run, cut, cut_all
from arrowstream.operators.state_memory import PIECE, StateMemory


class RunStore:
    """What was merged, and what was added since.

    Runs are merged once those added hold more than twice as many groups as what was merged before, so that each
    group is touched a bounded number of times however much state there is. A run is sorted by pane,
    so panes that are over are sliced off its beginning.

    Once runs are more than the memory for them, all lie in files, and are merged a few panes at a time.

    Parameters
    ----------
    merged
        Makes one row of all groups with the same pane and keys, sorted by pane.
    memory
        Where they lie.
    """

    def __init__(self, merged: Callable[[Sequence[Rows]], pl.DataFrame], memory: StateMemory) -> None:
        self._groups = merged
        self._memory = memory
        self._merged: Run | None = None
        self._added: list[Run] = []
        self._held = 0
        self._in_files = False

    @property
    def runs(self) -> list[Run]:
        """All of them."""
        return [*self._added] if self._merged is None else [self._merged, *self._added]

    @property
    def in_files(self) -> bool:
        """Whether they lie in files: then there may be more of them than memory."""
        return self._in_files

    def add(self, run: Run) -> None:
        """One more run."""
        self._added.append(self._filed(run) if self._in_files else run)
        if sum(run.frame.height for run in self._added) > 2 * (
            self._merged.frame.height if self._merged is not None else 0
        ):
            merge = self._merge_in_files if self._in_files else self.merge
            self._merged, self._added = merge(self._merged, self._added), []
        self._settle()

    def take(self, pane: int | None, rows: Run | None) -> Run | None:
        """Remove and return, merged with `rows`, the groups of panes before `pane`, all for None."""
        before, self._merged = cut(self._merged, pane)
        parts, self._added = cut_all(self._added, pane)
        self._settle()
        return self.merge(before, parts if rows is None else [*parts, rows])

    def put_back(self, groups: Run) -> None:
        """Keep groups of the first panes, that were taken, for longer."""
        if self._in_files:
            groups = self._filed(groups)
        self._merged = groups if self._merged is None else groups.joined(self._merged, self._in_files)
        self._settle()

    def merge(self, merged: Run | None, added: list[Run]) -> Run | None:
        """These as one, in memory; `merged` is a single run or none."""
        if not added:
            return merged
        # Panes that nothing was added to are as they should be.
        kept, open_ = cut(merged, min(run.low for run in added))
        groups = self._one([open_, *added] if open_ is not None else added)
        return groups if kept is None else kept.joined(groups)

    def _merge_in_files(self, merged: Run | None, added: list[Run]) -> Run:
        kept, open_ = cut(merged, min(run.low for run in added))
        parts = [open_, *added] if open_ is not None else added
        low, high = min(run.low for run in parts), max(run.high for run in parts)
        groups = Run(low, high, self._memory.in_file(self._few_panes(parts)))
        return groups if kept is None else kept.joined(groups, in_pieces=True)

    def _few_panes(self, parts: list[Run]) -> Iterator[pl.DataFrame]:
        """The parts merged some panes at a time: about `PIECE` groups, or a single pane."""
        while parts:
            place = PIECE // len(parts)
            ends = [run.frame[PANE][place] for run in parts if run.frame.height > place]
            until = max(min(ends), min(run.low for run in parts) + 1) if ends else None
            few, parts = cut_all(parts, until)
            yield self._one(few).frame

    def _one(self, parts: list[Run]) -> Run:
        if len(parts) == 1:
            return parts[0]
        return Run.of(self._groups([run.moved(1, 0) for run in parts]))

    def _filed(self, run: Run) -> Run:
        return Run(run.low, run.high, self._memory.in_file([run.frame]))

    def _settle(self) -> None:
        """Count what is in memory, and put it into files if it is too much."""
        if not self._memory.is_limited or self._in_files:
            return
        self._hold(sum(int(run.frame.estimated_size()) for run in self.runs))
        if self._memory.is_short and self._held:
            self._in_files = True
            self._merged = None if self._merged is None else self._filed(self._merged)
            self._added = [self._filed(run) for run in self._added]
            self._hold(0)

    def _hold(self, nbytes: int) -> None:
        self._memory.held += nbytes - self._held
        self._held = nbytes
