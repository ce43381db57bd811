"""The last rows that came out of a stage, kept while somebody asks for them."""

from __future__ import annotations

import threading
from collections import deque
from math import inf
from time import monotonic
from typing import ClassVar

import polars as pl

from arrowstream.core.batch import Batch
from arrowstream.metrics.counters import StageCounters

KEPT_SECONDS = 30.0
"""Time after the last question for which rows are kept, in seconds."""

MOST_ROWS = 10_000
"""The largest number of rows that can be asked for."""


class Tap:
    """The last batches that came out of one stage, as many as hold the rows that were asked for.

    A tap is called on the run's loop, and asked from any thread. It holds batches as they are, without a copy.

    Parameters
    ----------
    counters
        The counters of the stage, which call the tap until `detach`.
    """

    _placing: ClassVar = threading.Lock()
    """Held while a tap is put on a stage or taken off it, so that none takes off its successor."""

    __slots__ = ("_asked", "_batches", "_changed", "_counters", "_ended", "_held", "_waiting", "_wanted")

    def __init__(self, counters: StageCounters) -> None:
        self._counters = counters
        self._changed = threading.Condition()
        self._batches: deque[Batch] = deque()
        self._held = 0
        self._waiting = 0
        self._wanted = 0
        self._ended = False
        self._asked = monotonic()
        with self._placing:
            counters.tap = self._take

    def _take(self, batch: Batch) -> None:
        rows = batch.num_rows
        if not rows:
            return
        if self.is_forgotten:
            self._asked = -inf  # the next question is a first one
            self.detach()
            return
        batches = self._batches
        batches.append(batch)
        held = self._held + rows
        # Nobody has said yet how many rows to keep if a batch comes between the making and the first question.
        wanted = max(self._wanted, 1)
        while held - batches[0].num_rows >= wanted:
            held -= batches.popleft().num_rows
        self._held = held
        # The lock costs more than all of the above. Who waits has said so before looking at what is held.
        if self._waiting:
            with self._changed:
                self._changed.notify_all()

    def last(self, rows: int, wait_s: float = 0.0) -> list[pl.DataFrame]:
        """Return the last rows that have passed, up to `rows`, in their order.

        Parameters
        ----------
        rows
            Number of rows.
        wait_s
            Seconds to wait for as many rows; fewer are returned once the time is over or the run has ended.
        """
        with self._changed:
            self._wanted = max(self._wanted, rows)
            self._asked = max(self._asked, monotonic() + wait_s)
            self._waiting += 1
            try:
                self._changed.wait_for(lambda: self._held >= rows or self._ended, wait_s)
            finally:
                self._waiting -= 1
            batches = list(self._batches)
        parts: list[pl.DataFrame] = []
        for batch in reversed(batches):
            part = batch.slice(max(batch.num_rows - rows, 0), rows)
            parts.insert(0, part.polars())
            rows -= part.num_rows
            if not rows:
                break
        return parts

    @property
    def is_forgotten(self) -> bool:
        """True if nobody has asked for `KEPT_SECONDS`, and nobody waits for rows."""
        return monotonic() - self._asked > KEPT_SECONDS

    def detach(self) -> None:
        """Take the tap off its stage; it keeps what it has, and nobody waits for more."""
        with self._placing:
            if self._counters.tap == self._take:
                self._counters.tap = None
        with self._changed:
            self._ended = True
            self._changed.notify_all()


class Taps:
    """The taps of a run, by the names of the stages."""

    def __init__(self) -> None:
        self._taps: dict[str, Tap] = {}
        self._lock = threading.Lock()

    def has(self, name: str) -> bool:
        """Return whether a stage has a tap that is not forgotten."""
        tap = self._taps.get(name)
        return tap is not None and not tap.is_forgotten

    def of(self, name: str, counters: StageCounters) -> Tap:
        """Return the tap of a stage, which gets one if it has none."""
        with self._lock:
            tap = self._taps.get(name)
            if tap is None or tap.is_forgotten:
                tap = self._taps[name] = Tap(counters)
            return tap

    def drop_forgotten(self) -> None:
        """Take off the taps that nobody has asked for a while."""
        with self._lock:
            for name in [name for name, tap in self._taps.items() if tap.is_forgotten]:
                self._taps.pop(name).detach()

    def end(self) -> None:
        """Take off every tap at the end of the run; what they hold can still be asked for."""
        with self._lock:
            for tap in self._taps.values():
                tap.detach()
