"""One stage at one moment: what it has counted, frozen, and that as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from arrowstream.metrics.histogram import Histogram, Latency


@dataclass(frozen=True, slots=True)
class StageMetrics:
    """One stage at one moment; `Metrics.stages` and `RunReport.stages` hold one for each.

    Parameters
    ----------
    rows_in, rows_out
        Rows that went into and came out of the stage.
    batches
        Number of batches by the backend that ran them; opaque stages count under their own name.
    busy_seconds
        Time spent working.
    waiting_seconds
        Time spent waiting for something outside of the pipeline: a source for its next rows, an async step or sink
        for what it awaits. Batches that are awaited at the same time each count theirs.
    nbytes
        Bytes of the rows that came out (at a sink: went in), estimated from a sample of the batches.
    latency
        How long rows took: at the sink from being read until written, at other stages the stage's own work. A
        source has none.
    queue_depth, queue_bytes, queue_capacity
        Batches in the queue before this stage, their bytes, and the batches it holds at most; 0 where the stage
        shares its neighbour's task and has no queue.
    errors
        Tries that failed, those that a handler dealt with included.
    failed_rows, dead_letter_rows
        Rows that failed for good, and those of them that went to a sink of dead letters; the others were skipped.
    late_rows, late_rows_kept
        Rows that came after the watermark had passed their window, and those of them that went to a sink.
    dropped_rows
        Rows that a best-effort sink had no room for, or that came after its failure.
    limited_rows
        Rows that reached a sink after the limit of the run.
    aborted
        Whether this is a best-effort sink that failed, so that what it had written may be gone, too.
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
    rows_by_branch: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def lost_rows(self) -> int:
        """Rows that nobody got: late ones, skipped ones, and those that a best-effort sink had no room for."""
        late, skipped = self.late_rows - self.late_rows_kept, self.failed_rows - self.dead_letter_rows
        return late + skipped + self.dropped_rows

    @property
    def losses(self) -> tuple[str, ...]:
        """What was lost here, a phrase for each reason.

        Examples
        --------
        >>> StageMetrics("window", late_rows=3, late_rows_kept=1, failed_rows=2).losses
        ('2 rows came late to window', '2 rows failed in window and were skipped')
        """
        return tuple(self._losses())

    def format_line(self, width: int) -> str:
        """One line for a report, the name padded to `width`."""
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
            f"{self.name:{width}}  {self.rows_in:,} rows in, {self.rows_out:,} rows out{counts}, "
            f"{self.busy_seconds:.3f} s busy{waiting}{f' ({batches})' if batches else ''}"
        )

    def _losses(self) -> Iterator[str]:
        if late := self.late_rows - self.late_rows_kept:
            yield f"{late:,} rows came late to {self.name}"
        if skipped := self.failed_rows - self.dead_letter_rows:
            yield f"{skipped:,} rows failed in {self.name} and were skipped"
        if self.dropped_rows:
            yield f"{self.dropped_rows:,} rows were dropped before {self.name}, which is best effort"
        if self.aborted:
            yield f"{self.name}, which is best effort, failed and was aborted after {self.rows_out:,} rows"
