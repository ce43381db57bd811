"""The frozen metrics of one stage, and their text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from arrowstream.core.plural import counted
from arrowstream.core.values.frozen_mapping import FrozenMapping
from arrowstream.metrics.histogram import Histogram, Latency


@dataclass(frozen=True, slots=True)
class StageMetrics:
    """The metrics of one stage at one moment, as in `Metrics.stages` and `RunReport.stages`.

    Parameters
    ----------
    name
        The stage's name, as `explain()` prints it.
    rows_in, rows_out
        Numbers of rows that went into and came out of the stage.
    batches
        Number of batches by the backend that ran them; opaque stages count under the operator's name.
    busy_seconds
        Time spent on work, in seconds.
    waiting_seconds
        Time spent waiting for something outside of the pipeline, in seconds: a source for its next rows, an async
        step or sink for what it awaits. Batches that are awaited at the same time each count their full
        wait.
    nbytes
        Bytes of the rows that came out (at a sink: that went in), estimated from a sample of the batches.
    latency
        Latency of rows: at a sink from being read until written, at other stages the stage's own work. Empty at
        a source.
    queue_depth, queue_bytes, queue_capacity
        Batches in the queue before this stage, their bytes, and the capacity in batches; 0 where the stage
        shares its neighbour's task and has no queue.
    errors
        Number of attempts that failed, including those that a handler resolved.
    latest_errors
        The texts of the last of these failures, at most 5, the newest last.
    failed_rows, dead_letter_rows
        Rows that failed for good, and those of them that went to a dead-letter sink; the others were skipped.
    late_rows, late_rows_kept
        Rows that came after the watermark had passed their window, and those of them that went to a sink.
    dropped_rows
        Rows that found the queue of a best-effort sink full, or that came after its failure.
    limited_rows
        Rows that reached a sink after the limit of the run.
    aborted
        Whether this is a best-effort sink that failed, so that what it had written may also be lost.
    watermark_us
        The last watermark, in microseconds since 1970 UTC; None without event time.
    watermark_lag_seconds
        Seconds from that watermark to the wall clock; None without event time.
    rows_by_branch
        Rows that a split sent into each branch; empty at other stages.
    lag
        At a source of partitions, such as Kafka's: offsets from the next row to the end of each partition, as far as
        they are known; empty at other stages.
    rebalances
        Number of times that a source's group has given out its partitions again.
    """

    name: str
    rows_in: int = 0
    rows_out: int = 0
    batches: Mapping[str, int] = field(default_factory=FrozenMapping)
    busy_seconds: float = 0.0
    waiting_seconds: float = 0.0
    nbytes: int = 0
    latency: Latency = field(default_factory=lambda: Latency.of(Histogram()))
    queue_depth: int = 0
    queue_bytes: int = 0
    queue_capacity: int = 0
    errors: int = 0
    failed_rows: int = 0
    dead_letter_rows: int = 0
    late_rows: int = 0
    late_rows_kept: int = 0
    dropped_rows: int = 0
    limited_rows: int = 0
    aborted: bool = False
    watermark_us: int | None = None
    watermark_lag_seconds: float | None = None
    rows_by_branch: Mapping[str, int] = field(default_factory=FrozenMapping)
    lag: Mapping[str, int] = field(default_factory=FrozenMapping)
    rebalances: int = 0
    latest_errors: tuple[str, ...] = ()

    @property
    def lost_rows(self) -> int:
        """Rows that reached no sink: late rows, skipped rows, and rows that a best-effort sink dropped."""
        late, skipped = self.late_rows - self.late_rows_kept, self.failed_rows - self.dead_letter_rows
        return late + skipped + self.dropped_rows

    @property
    def losses(self) -> tuple[str, ...]:
        """The losses of this stage, a phrase for each reason.

        Examples
        --------
        >>> StageMetrics("window", late_rows=3, late_rows_kept=1, failed_rows=2).losses
        ('2 rows came late to window', '2 rows failed in window and were skipped')
        """
        return tuple(self._losses())

    def format_line(self, width: int) -> str:
        """Format the metrics as one line of a report, with the name padded to `width` characters."""
        batches = ", ".join(f"{backend} {count:,}" for backend, count in self.batches.items())
        waiting = f", {self.waiting_seconds:.3f} s waiting" if self.waiting_seconds >= 0.0005 else ""
        asides = (
            (self.late_rows, "late"),
            (self.failed_rows, "failed"),
            (self.dropped_rows, "dropped"),
            (self.limited_rows, "over the limit"),
        )
        counts = "".join(f", {count:,} {what}" for count, what in asides if count)
        return (
            f"{self.name:{width}}  {counted(self.rows_in, 'rows in')}, {counted(self.rows_out, 'rows out')}{counts}, "
            f"{self.busy_seconds:.3f} s busy{waiting}{f' ({batches})' if batches else ''}"
        )

    def _losses(self) -> Iterator[str]:
        if late := self.late_rows - self.late_rows_kept:
            yield f"{counted(late, 'rows came late to')} {self.name}"
        if skipped := self.failed_rows - self.dead_letter_rows:
            were = "was" if skipped == 1 else "were"
            yield f"{counted(skipped, 'rows failed in')} {self.name} and {were} skipped"
        if self.dropped_rows:
            yield f"{counted(self.dropped_rows, 'rows')} dropped before {self.name}, which is best effort"
        if self.aborted:
            yield f"{self.name}, which is best effort, failed and was aborted after {counted(self.rows_out, 'rows')}"
