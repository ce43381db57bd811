"""The counters of a stage while it runs.

A stage appends a note for each batch to a short list, and adds 48 notes to the counters at a time: between the
kernels of small batches, the code and data of metrics are no longer in the processor's caches, so that one addition
to a histogram costs as much as ten in sequence.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from operator import itemgetter

from arrowstream.core.batch import Batch, Mark, Watermark
from arrowstream.core.channels.state import ChannelStatistics
from arrowstream.core.notes import ReaderNote
from arrowstream.core.values.frozen_mapping import FrozenMapping
from arrowstream.metrics.backlog import Backlog
from arrowstream.metrics.histogram import Histogram, Latency
from arrowstream.metrics.stage import StageMetrics

SAMPLE = 1024
"""The bytes of one batch in this many are measured: adding up its buffers takes Arrow some 10 microseconds,
and what that leaves in the processor's caches slows down the batches that follow."""

ERRORS = 5
"""Number of errors of a stage whose texts are kept."""

_ERROR_LETTERS = 1_000
"""Longest text of an error that is kept, in characters."""

NOTES = 48
"""Number of notes that are added up together. Larger numbers cost less time a note, and some 150 bytes each."""

Queue = Callable[[], ChannelStatistics]
Note = tuple[int, int, int, str]
"""Note of a batch that was run: latency in nanoseconds, number of rows, work in nanoseconds, and backend."""

_BUSY, _KIND = itemgetter(2), itemgetter(3)


_NOTHING_LEFT = Backlog()


class StageCounters:
    """The counters of one running stage. One task writes them; `snapshot` may be called from any thread.

    Parameters
    ----------
    name
        The stage's name, as `explain()` prints it.
    backlog
        What a source has not read yet.

    Examples
    --------
    >>> counters = StageCounters("map")
    >>> counters.record_batch("arrow", rows=1000, busy_ns=50_000, latency_ns=50_000)
    >>> moment = counters.snapshot(wall_us=0)
    >>> dict(moment.batches), moment.busy_seconds, moment.latency.count
    ({'arrow': 1}, 5e-05, 1000)
    """

    __slots__ = (
        "_adding",
        "_backlog",
        "_gap",
        "_latency",
        "_measure_at",
        "_measured_bytes",
        "_measured_rows",
        "_notes",
        "aborted",
        "batches",
        "busy_ns",
        "dead_letter_rows",
        "dropped_rows",
        "errors",
        "failed_rows",
        "late_rows",
        "late_rows_kept",
        "latest_errors",
        "limited_rows",
        "name",
        "notes",
        "queues",
        "rows_by_branch",
        "rows_in",
        "rows_out",
        "tap",
        "waiting_ns",
        "watermark_us",
    )

    def __init__(self, name: str, backlog: Backlog | None = None) -> None:
        self.name = name
        self._backlog = backlog or _NOTHING_LEFT
        self.rows_in = 0
        self.rows_out = 0
        self.busy_ns = 0
        self.waiting_ns = 0
        self.batches: dict[str, int] = {}
        self.errors = 0
        self.latest_errors: tuple[str, ...] = ()
        self.tap: Callable[[Batch], None] | None = None
        """Called with each batch that comes out, on the loop, while somebody looks at them."""
        self.failed_rows = 0
        self.dead_letter_rows = 0
        self.late_rows = 0
        self.late_rows_kept = 0
        self.dropped_rows = 0
        self.limited_rows = 0
        self.aborted = False
        self.rows_by_branch: dict[str, int] = {}
        self.notes: tuple[ReaderNote, ...] = ()
        self._latency = Histogram()
        self._notes: list[Note] = []
        self._adding = threading.Lock()
        self.watermark_us: int | None = None
        self.queues: list[Queue] = []
        self._gap = 0
        self._measure_at = 0
        self._measured_rows = 0
        self._measured_bytes = 0

    def record_batch(self, kind: str, rows: int, busy_ns: int, latency_ns: int) -> None:
        """Count a batch that was run.

        Parameters
        ----------
        kind
            The backend or operator that ran it.
        rows
            Number of its rows, or 0 if their latency is unknown.
        busy_ns
            Time of work, in nanoseconds.
        latency_ns
            Latency of each of its rows, in nanoseconds.
        """
        notes = self._notes
        notes.append((latency_ns, rows, busy_ns, kind))
        if len(notes) >= NOTES:
            self.flush()

    def record_call(self, kind: str) -> None:
        """Count a batch that `kind` has run, without times."""
        self.batches[kind] = self.batches.get(kind, 0) + 1

    def on_waiting(self) -> None:
        """Add the notes to the counters if they are many; call it where the task is about to wait anyway.

        In a stream of single records no record then waits for the 20 us of an addition.
        """
        if len(self._notes) >= NOTES // 2:
            self.flush()

    def flush(self) -> None:
        """Add the notes to the counters. Call it only on the task that records batches."""
        with self._adding:
            self.busy_ns += _add(self._notes, self.batches, self._latency)
            self._notes.clear()

    def record_error(self, error: BaseException) -> None:
        """Count an attempt that failed, and keep the text of its error among the latest ones."""
        self.errors += 1
        text = f"{type(error).__name__}: {error}"[:_ERROR_LETTERS]
        self.latest_errors = (*self.latest_errors, text)[-ERRORS:]

    def record_skipped(self, rows: int) -> None:
        """Count rows that failed for good and were left out."""
        self.failed_rows += rows

    def record_dead_letters(self, rows: int) -> None:
        """Count rows that failed for good and went to a dead-letter sink."""
        self.failed_rows += rows
        self.dead_letter_rows += rows

    def record_mark(self, mark: Mark) -> None:
        """Record a mark that came to this stage."""
        if isinstance(mark, Watermark):
            self.watermark_us = mark.time_us

    def record_output(self, batch: Batch) -> None:
        """Count the rows of a batch that came out, and measure its bytes if it belongs to the sample."""
        rows = batch.num_rows
        self.rows_out = out = self.rows_out + rows
        if out > self._measure_at:
            # The gap starts small, so that a short run measures more than its first batch.
            self._measure_at = out + self._gap * rows
            self._gap = min(4 * self._gap + 3, SAMPLE - 1)
            self._measured_bytes += batch.nbytes
            self._measured_rows += rows
        if (tap := self.tap) is not None:  # read once: another thread may take it off
            tap(batch)

    @property
    def latency(self) -> Histogram:
        """Latencies of all rows so far."""
        return self._now()[1]

    @property
    def busy_seconds(self) -> float:
        """Time spent on work, in seconds."""
        with self._adding:
            busy_ns: int = self.busy_ns + sum(map(_BUSY, self._notes))
        return busy_ns / 1e9

    @property
    def nbytes(self) -> int:
        """Bytes of all rows that came out, estimated from the sample."""
        return round(self.rows_out * self._measured_bytes / max(self._measured_rows, 1))

    def snapshot(self, wall_us: int) -> StageMetrics:
        """Return the counters at this moment, frozen; from any thread.

        Parameters
        ----------
        wall_us
            The wall clock, in microseconds since 1970 UTC, for the watermark's lag.
        """
        batches, latency, busy_ns = self._now()
        queues = [queue() for queue in self.queues]
        watermark = self.watermark_us
        return StageMetrics(
            name=self.name,
            rows_in=self.rows_in,
            rows_out=self.rows_out,
            batches=FrozenMapping(batches),
            busy_seconds=busy_ns / 1e9,
            waiting_seconds=self.waiting_ns / 1e9,
            nbytes=self.nbytes,
            latency=Latency.of(latency),
            queue_depth=sum(queue.length for queue in queues),
            queue_bytes=sum(queue.nbytes for queue in queues),
            queue_capacity=sum(queue.capacity for queue in queues),
            errors=self.errors,
            latest_errors=self.latest_errors,
            failed_rows=self.failed_rows,
            dead_letter_rows=self.dead_letter_rows,
            late_rows=self.late_rows,
            late_rows_kept=self.late_rows_kept,
            dropped_rows=self.dropped_rows,
            limited_rows=self.limited_rows,
            aborted=self.aborted,
            watermark_us=watermark,
            watermark_lag_seconds=None if watermark is None else (wall_us - watermark) / 1e6,
            rows_by_branch=FrozenMapping(self.rows_by_branch),
            lag=FrozenMapping(self._backlog.lag),
            rebalances=self._backlog.rebalances,
        )

    def _now(self) -> tuple[dict[str, int], Histogram, int]:
        """Return batches, latencies and busy nanoseconds, including the notes."""
        with self._adding:
            batches, latency, busy_ns = self.batches.copy(), self._latency.copy(), self.busy_ns
            notes = self._notes[:]
        busy_ns += _add(notes, batches, latency)
        return batches, latency, busy_ns


def _add(notes: list[Note], batches: dict[str, int], latency: Histogram) -> int:
    """Add notes to these counts, and return their nanoseconds of work."""
    latency.record_all(notes)
    kinds = list(map(_KIND, notes))
    for kind in dict.fromkeys(kinds):
        batches[kind] = batches.get(kind, 0) + kinds.count(kind)
    return sum(map(_BUSY, notes))
