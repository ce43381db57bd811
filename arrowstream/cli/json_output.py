"""Results of commands as one line of JSON, for programs; ``docs/jobs.md`` lists the keys."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import polars as pl

from arrowstream.errors import ArrowstreamError
from arrowstream.jobs.job_errors import one_line
from arrowstream.metrics.snapshot import Metrics
from arrowstream.metrics.stage import StageMetrics
from arrowstream.runtime.report import RunReport

_STAGE = (
    *("name", "rows_in", "rows_out", "batches", "busy_seconds", "waiting_seconds", "nbytes", "errors"),
    *("failed_rows", "dead_letter_rows", "late_rows", "late_rows_kept", "dropped_rows"),
)


def line(result: dict[str, Any]) -> str:
    """Format a result; values that JSON lacks become text, and floats that it lacks become null.

    Examples
    --------
    >>> line({"xs": [1.5, float("nan")], "at": __import__("datetime").date(2026, 1, 1)})
    '{"xs": [1.5, null], "at": "2026-01-01"}'
    """
    return json.dumps(_plain(result), default=str, ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list():
            return [_plain(item) for item in value]
        case float() if not math.isfinite(value):
            return None
    return value


def of_report(report: RunReport | None) -> dict[str, Any]:
    """Return the keys of a run's report; all are null if the run has none."""
    names = ("name", "rows_in", "rows_out", "seconds", "rows_per_second", "stopped", "lost_rows", "losses")
    found = {name: None if report is None else getattr(report, name) for name in names}
    kept = None if report is None or report.checkpoints is None else asdict(report.checkpoints)
    return {
        **found,
        "checkpoints": kept,
        "stages": None if report is None else [_of_stage(stage) for stage in report.stages],
        "tables": None
        if report is None
        else {name: _of_table(inner) for name, inner in report.inner.items()},
    }


def _of_table(metrics: Metrics) -> list[dict[str, Any]]:
    return [_of_stage(stage) for stage in metrics.all_stages]


def _of_stage(stage: StageMetrics) -> dict[str, Any]:
    return {name: getattr(stage, name) for name in _STAGE} | {"batches": dict(stage.batches)}


def of_error(error: ArrowstreamError, hide: Callable[[str], str] = str) -> dict[str, Any]:
    """Return the keys of an error.

    Parameters
    ----------
    error
        The error.
    hide
        Masks the secrets in a text.
    """
    stage, position = error.stage, getattr(error, "position", None)
    return {
        "type": type(error).__name__,
        "message": hide(one_line(error)),
        "stage": stage,
        "position": None if position is None else hide(str(position)),
        "notes": [hide(note) for note in getattr(error, "__notes__", ())],
    }


def of_schema(schema: pl.Schema | None) -> dict[str, str] | None:
    """Return the types by column, as a job writes them; None if they are not known yet."""
    return None if schema is None else {name: str(dtype) for name, dtype in schema.items()}
