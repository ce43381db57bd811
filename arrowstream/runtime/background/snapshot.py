"""What a viewer of a run shows: the graph, the figures of each stage, losses and errors, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isnan
from typing import Literal

from arrowstream.metrics.stage import StageMetrics
from arrowstream.plan.outline import Outline
from arrowstream.runtime.background.history import Rates

State = Literal["ready", "running", "stopping", "done", "failed", "cancelled"]
"""``ready`` before the first run of a pipeline, ``stopping`` after `stop` while rows in flight are delivered,
``cancelled`` after `cancel`."""


@dataclass(frozen=True, slots=True)
class StageFigures:
    """The figures of one source, stage or sink at one moment.

    Parameters
    ----------
    id
        The id of its node in the outline.
    rows_in, rows_out
        Numbers of rows so far.
    rows_in_per_second, rows_per_second
        Rows a second that went in and that came out, over the last second or so; after the run, over all of it.
    nbytes
        Bytes of the rows that came out, estimated.
    queue_depth, queue_capacity, queue_bytes
        Batches in the queue before it, its capacity in batches, and the bytes in it; 0 where it has no queue.
    busy_seconds, waiting_seconds
        Time spent on work, and on waiting for something outside of the pipeline.
    busy_share
        Seconds of work a second, over the same time as the rates.
    p50_ms, p99_ms
        Latency in milliseconds that 50 % and 99 % of the rows did not exceed, over the whole run; None without rows.
    recent_p99_ms
        The same as `p99_ms` for the rows of the last full second; None without rows.
    batches
        Number of batches by backend; opaque stages count under the operator's name.
    backend_shares
        The share of all batches, 0 to 1, by backend.
    watermark_us, watermark_lag_seconds
        The last watermark, in microseconds since 1970 UTC, and the seconds from it to now; None without event time.
    late_rows, late_rows_kept, failed_rows, dead_letter_rows, dropped_rows, limited_rows
        Rows that were lost or went elsewhere, as in `StageMetrics`.
    errors
        Number of attempts that failed.
    latest_errors
        The texts of the last of them, the newest last.
    rows_by_branch
        Rows that a split sent into each branch.
    lag
        Offsets from the next row to the end of each partition of a source.
    """

    id: str
    rows_in: int = 0
    rows_out: int = 0
    rows_in_per_second: float = 0.0
    rows_per_second: float = 0.0
    nbytes: int = 0
    queue_depth: int = 0
    queue_capacity: int = 0
    queue_bytes: int = 0
    busy_seconds: float = 0.0
    waiting_seconds: float = 0.0
    busy_share: float = 0.0
    p50_ms: float | None = None
    p99_ms: float | None = None
    recent_p99_ms: float | None = None
    batches: dict[str, int] = field(default_factory=dict)
    backend_shares: dict[str, float] = field(default_factory=dict)
    watermark_us: int | None = None
    watermark_lag_seconds: float | None = None
    late_rows: int = 0
    late_rows_kept: int = 0
    failed_rows: int = 0
    dead_letter_rows: int = 0
    dropped_rows: int = 0
    limited_rows: int = 0
    errors: int = 0
    latest_errors: tuple[str, ...] = ()
    rows_by_branch: dict[str, int] = field(default_factory=dict)
    lag: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, id: str, stage: StageMetrics, rates: Rates) -> StageFigures:
        """Return the figures of a stage with these metrics and rates."""
        total = sum(stage.batches.values())
        return cls(
            id=id,
            rows_in=stage.rows_in,
            rows_out=stage.rows_out,
            rows_in_per_second=rates.rows_in,
            rows_per_second=rates.rows_out,
            nbytes=stage.nbytes,
            queue_depth=stage.queue_depth,
            queue_capacity=stage.queue_capacity,
            queue_bytes=stage.queue_bytes,
            busy_seconds=stage.busy_seconds,
            waiting_seconds=stage.waiting_seconds,
            busy_share=rates.busy_share,
            p50_ms=_known(stage.latency.p50_ms),
            p99_ms=_known(stage.latency.p99_ms),
            recent_p99_ms=rates.p99_ms,
            batches=dict(stage.batches),
            backend_shares={name: count / total for name, count in stage.batches.items()},
            watermark_us=stage.watermark_us,
            watermark_lag_seconds=stage.watermark_lag_seconds,
            late_rows=stage.late_rows,
            late_rows_kept=stage.late_rows_kept,
            failed_rows=stage.failed_rows,
            dead_letter_rows=stage.dead_letter_rows,
            dropped_rows=stage.dropped_rows,
            limited_rows=stage.limited_rows,
            errors=stage.errors,
            latest_errors=stage.latest_errors,
            rows_by_branch=dict(stage.rows_by_branch),
            lag=dict(stage.lag),
        )


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run at one moment. All values are plain: ``dataclasses.asdict`` gives what `json.dumps` takes.

    Parameters
    ----------
    name
        The pipeline's name.
    state
        Whether it runs, is stopping, or how it has ended.
    stopped
        The reason for which it is stopping or has stopped, such as ``"limit"``; None for none.
    unix_seconds
        The wall clock, in seconds since 1970 UTC.
    seconds
        Time since the run began, in seconds; its duration once it has ended.
    rows_in, rows_out
        Rows that sources have read, and rows that have left the pipeline, each counted once.
    rows_per_second
        Rows a second that sources read, over the last second or so; after the run, over all of it.
    p50_ms, p99_ms
        Latency from source to sink in milliseconds that 50 % and 99 % of the rows did not exceed; None without rows.
    queue_depth
        Number of batches in all queues.
    errors
        Number of attempts that failed in all stages.
    losses
        What was lost or noted so far, on one line, as in the report; None for nothing.
    has_losses
        Whether something was lost, in place of only noted.
    error
        The error of a run that has failed, as text; None for none.
    outline
        The graph, with the fitted costs of this moment.
    stages
        The figures of each source, stage and sink that has been opened: those of pipelines that read the table of a
        join first, then sources, and sinks last.
    """

    name: str
    state: State
    stopped: str | None
    unix_seconds: float
    seconds: float
    rows_in: int
    rows_out: int
    rows_per_second: float
    p50_ms: float | None
    p99_ms: float | None
    queue_depth: int
    errors: int
    losses: str | None
    has_losses: bool
    error: str | None
    outline: Outline
    stages: tuple[StageFigures, ...]

    def stage(self, id: str) -> StageFigures | None:
        """Return the figures of a node; None if it has none: nothing of its own runs there, or not yet."""
        return next((stage for stage in self.stages if stage.id == id), None)


def _known(milliseconds: float) -> float | None:
    return None if isnan(milliseconds) else milliseconds


def error_text(error: BaseException | None) -> str | None:
    """Return the type and the message of an error; None for none."""
    return None if error is None else f"{type(error).__name__}: {error}"
