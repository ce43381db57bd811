"""The report of a run and the metrics of a pipeline as HTML."""

from __future__ import annotations

from collections.abc import Iterable
from math import isnan

from arrowstream.core.plural import counted
from arrowstream.display.style import shown
from arrowstream.display.tables import head, said, table
from arrowstream.metrics.snapshot import Metrics
from arrowstream.metrics.stage import StageMetrics
from arrowstream.runtime.report import RunReport

report_text = metrics_text = str


def report_html(report: RunReport) -> str:
    """Return the report of a run: totals, a row for each stage, checkpoints, losses."""
    totals = report.summary.removeprefix(f"{report.name}: ")
    parts = [head("Run of", report.name, totals), stages_table(report.all_stages)]
    if report.checkpoints is not None:
        parts.append(said(str(report.checkpoints)))
    if report.losses is not None:
        parts.append(said(report.losses, "as-lost" if report.has_losses else "as-said"))
    return shown(*parts)


def metrics_html(metrics: Metrics) -> str:
    """Return the metrics of a pipeline: totals, a row for each stage."""
    state = "running" if metrics.running else "not running"
    totals = (
        f"{state}, {counted(metrics.rows_in, 'rows in')}, {counted(metrics.rows_out, 'rows out')}, "
        f"{metrics.seconds:,.2f} s, {metrics.throughput:,.0f} rows/s, {metrics.latency}, "
        f"{counted(metrics.queue_depth, 'batches waiting')}, {counted(metrics.errors, 'errors')}"
    )
    stages = metrics.all_stages
    return shown(head("Metrics of", metrics.name, totals), stages_table(stages) if stages else "")


def stages_table(stages: Iterable[StageMetrics]) -> str:
    """Return a row for each stage; columns of what never happened are left out."""
    stages = tuple(stages)
    columns = [
        ("stage", [stage.name for stage in stages]),
        ("rows in", [f"{stage.rows_in:,}" for stage in stages]),
        ("rows out", [f"{stage.rows_out:,}" for stage in stages]),
        ("busy s", [f"{stage.busy_seconds:,.3f}" for stage in stages]),
        ("waiting s", [f"{stage.waiting_seconds:,.3f}" for stage in stages]),
        ("p99", [_milliseconds(stage.latency.p99_ms) for stage in stages]),
        ("batches", [_batches(stage) for stage in stages]),
        ("waiting batches", [_some(stage.queue_depth) for stage in stages]),
        ("late", [_some(stage.late_rows) for stage in stages]),
        ("failed", [_some(stage.failed_rows) for stage in stages]),
        ("dropped", [_some(stage.dropped_rows) for stage in stages]),
        ("errors", [_some(stage.errors) for stage in stages]),
    ]
    kept = [(name, cells) for place, (name, cells) in enumerate(columns) if place < 7 or any(cells)]
    rows = zip(*(cells for _, cells in kept), strict=True)
    numbers = [place for place, (name, _) in enumerate(kept) if name not in ("stage", "batches")]
    return table([name for name, _ in kept], rows, numbers, label="stages")


def _batches(stage: StageMetrics) -> str:
    return ", ".join(f"{backend} {count:,}" for backend, count in stage.batches.items())


def _some(count: int) -> str:
    return f"{count:,}" if count else ""


def _milliseconds(value: float) -> str:
    return "" if isnan(value) else f"{value:.3g} ms"
