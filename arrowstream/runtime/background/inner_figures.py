"""The figures of pipelines that stages run by themselves, such as one that reads the table of a join."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from arrowstream.metrics.snapshot import Metrics
from arrowstream.metrics.stage import StageMetrics
from arrowstream.plan.step_ids import inner_id
from arrowstream.runtime.background.history import Rates
from arrowstream.runtime.background.snapshot import StageFigures

_STILL = Rates(0.0, 0.0, 0.0)


def inner_figures(metrics: Metrics, done: bool) -> Iterator[StageFigures]:
    """Yield the figures of all stages inside of stages, under the ids that the outline has for them.

    Their rates are averages over the inner run, and 0 while only the outer one goes on.

    Parameters
    ----------
    metrics
        The metrics of the outer run.
    done
        Whether it has ended.
    """
    for within, inner in metrics.inner.items():
        known = done or inner.running
        own = (
            StageFigures.of(id, stage, average(stage, inner.seconds) if known else _STILL)
            for id, stage in inner.stages.items()
        )
        for figures in (*inner_figures(inner, done), *own):
            yield replace(figures, id=inner_id(within, inner.name, figures.id))


def average(stage: StageMetrics, seconds: float) -> Rates:
    """Return the rates of a stage over all `seconds` of its run."""
    took = max(seconds, 1e-9)
    return Rates(stage.rows_in / took, stage.rows_out / took, stage.busy_seconds / took)
