"""What one stage counts while it runs, and a frozen picture of it.

A stage notes each batch in a short list, and adds the notes up some dozens at a time: between the kernels
of a small batch, where nothing of ours is in the processor's caches any more, one addition to a
histogram costs as much as ten in a row.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from types import MappingProxyType

from arrowstream.core.batch import Batch, Mark, Watermark
from arrowstream.core.channel import ChannelStatistics
from arrowstream.metrics.histogram import Histogram, Latency

SAMPLE = 1024
"""The bytes of one batch in so many are measured: adding up its buffers takes Arrow some 10 microseconds, and
the batches that follow more, for what it leaves in the processor's caches."""

NOTES = 48
"""Batches noted before they are added up: the more, the less each costs, but each takes some 150 bytes."""

Queue = Callable[[], ChannelStatistics]
Note = tuple[int, int, int, str]
"""A batch that was run: how old its rows were then, how many of them count, the time it took, and by what."""


_TAKEN, _KIND = itemgetter(2), itemgetter(3)


@dataclass(frozen=True, slots=True)
class StageMetrics:
    """One stage at one moment.

    Parameters
    ----------
    rows_in, rows_out
        Rows that went into and came out of the stage.
    batches
        Number of batches by the backend that ran them; opaque stages count under their own name.
    nbytes
        Bytes of the rows that came out (at the sink: went in), worked out from a sample of the batches.
    busy_seconds
        Time spent working, waiting excluded.
    latency
        How long rows took: at the sink from being read until written, at other stages the stage's own work. A
        source has none.
    queue_depth, queue_bytes, queue_capacity
        Batches that wait before this stage, their bytes, and how many may wait; 0 where the stage shares
        its neighbour's task and nothing can wait.
    errors
        Tries that failed, those that a handler dealt with included.
    failed_rows
        Rows that failed for good and were left out or put aside.
    late_rows
        Rows that came after the watermark had passed their window.
    dropped_rows
        Rows that a sink of best effort had no room for.
    watermark_us
        The last watermark, in microseconds since 1970 UTC; None without event time.
    watermark_lag_seconds
        How far that watermark was behind the wall clock; None without event time.
    rows_by_branch
        Rows that a split sent into each branch; empty at other stages.
    """

    name: str
    rows_in: int = 0
    rows_out: int = 0
    batches: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    nbytes: int = 0
    busy_seconds: float = 0.0
    latency: Latency = field(default_factory=lambda: Latency.of(Histogram()))
    queue_depth: int = 0
    queue_bytes: int = 0
    queue_capacity: int = 0
    errors: int = 0
    failed_rows: int = 0
    late_rows: int = 0
    dropped_rows: int = 0
    watermark_us: int | None = None
    watermark_lag_seconds: float | None = None
    rows_by_branch: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))


class StageCounters:
    """The counters of one running stage. One task writes them; `snapshot` may be called from any thread.

    Parameters
    ----------
    name
        The stage's name, as `explain()` prints it.

    Examples
    --------
    >>> counters = StageCounters("map")
    >>> counters.ran("arrow", rows=1000, taken_ns=50_000, latency_ns=50_000)
    >>> moment = counters.snapshot(wall_us=0)
    >>> dict(moment.batches), moment.busy_seconds, moment.latency.count
    ({'arrow': 1}, 5e-05, 1000)
    """

    __slots__ = (
        "_adding",
        "_gap",
        "_latency",
        "_measure_at",
        "_measured_bytes",
        "_measured_rows",
        "_notes",
        "batches",
        "busy_ns",
        "dropped_rows",
        "errors",
        "failed_rows",
        "late_rows",
        "name",
        "queues",
        "rows_by_branch",
        "rows_in",
        "rows_out",
        "watermark_us",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows_in = 0
        self.rows_out = 0
        self.busy_ns = 0
        self.batches: dict[str, int] = {}
        self.errors = 0
        self.failed_rows = 0
        self.late_rows = 0
        self.dropped_rows = 0
        self.rows_by_branch: dict[str, int] = {}
        self._latency = Histogram()
        self._notes: list[Note] = []
        self._adding = threading.Lock()
        self.watermark_us: int | None = None
        self.queues: list[Queue] = []
        self._gap = 0
        self._measure_at = 0
        self._measured_rows = 0
        self._measured_bytes = 0

    def ran(self, kind: str, rows: int, taken_ns: int, latency_ns: int) -> None:
        """A batch was run.

        Parameters
        ----------
        kind
            By what.
        rows
            Its rows, or 0 if nobody knows what time counts for them.
        taken_ns
            The time it took.
        latency_ns
            The time that counts for its rows.
        """
        notes = self._notes
        notes.append((latency_ns, rows, taken_ns, kind))
        if len(notes) >= NOTES:
            self.add_up()

    def count(self, kind: str) -> None:
        """One more batch run by `kind`, where nobody knows how long it took."""
        self.batches[kind] = self.batches.get(kind, 0) + 1

    def add_up(self) -> None:
        """Add up what was noted; on the task that notes it only."""
        with self._adding:
            self.busy_ns += _add(self._notes, self.batches, self._latency)
            self._notes.clear()

    def fail(self, rows: int) -> None:
        """So many rows have failed for good, and were left out."""
        self.failed_rows += rows

    def saw(self, mark: Mark) -> None:
        """A mark came to this stage."""
        if isinstance(mark, Watermark):
            self.watermark_us = mark.time_us

    def came_out(self, batch: Batch) -> None:
        """Count the rows of a batch that came out, and measure its bytes if it is its turn."""
        rows = batch.num_rows
        self.rows_out = out = self.rows_out + rows
        if out > self._measure_at:
            # Soon again at first, so that what a short run counts are not the bytes of its first batch alone.
            self._measure_at = out + self._gap * rows
            self._gap = min(4 * self._gap + 3, SAMPLE - 1)
            self._measured_bytes += batch.nbytes
            self._measured_rows += rows

    @property
    def latency(self) -> Histogram:
        """How old rows were, or how long they took, so far."""
        return self._now()[1]

    @property
    def nbytes(self) -> int:
        """Bytes of all rows that came out, as the sample has them."""
        return round(self.rows_out * self._measured_bytes / max(self._measured_rows, 1))

    def snapshot(self, wall_us: int) -> StageMetrics:
        """The counters as they stand.

        Parameters
        ----------
        wall_us
            The wall clock, in microseconds since 1970 UTC, for the watermark's lag.
        """
        batches, latency, busy_ns = self._now()
        queues = [queue() for queue in self.queues]
        watermark = self.watermark_us
        return StageMetrics(
            self.name,
            self.rows_in,
            self.rows_out,
            MappingProxyType(batches),
            self.nbytes,
            busy_ns / 1e9,
            Latency.of(latency),
            sum(queue.length for queue in queues),
            sum(queue.nbytes for queue in queues),
            sum(queue.capacity for queue in queues),
            self.errors,
            self.failed_rows,
            self.late_rows,
            self.dropped_rows,
            watermark,
            None if watermark is None else (wall_us - watermark) / 1e6,
            MappingProxyType(self.rows_by_branch.copy()),
        )

    def _now(self) -> tuple[dict[str, int], Histogram, int]:
        """Batches, latencies and busy nanoseconds, with what is only noted yet."""
        with self._adding:
            batches, latency, busy_ns = self.batches.copy(), self._latency.copy(), self.busy_ns
            notes = self._notes[:]
        busy_ns += _add(notes, batches, latency)
        return batches, latency, busy_ns


def _add(notes: list[Note], batches: dict[str, int], latency: Histogram) -> int:
    """Add notes to these counts; gives the nanoseconds they took."""
    latency.record_all(notes)
    kinds = list(map(_KIND, notes))
    for kind in dict.fromkeys(kinds):
        batches[kind] = batches.get(kind, 0) + kinds.count(kind)
    return sum(map(_TAKEN, notes))
