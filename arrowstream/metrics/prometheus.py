"""Metrics in the format of Prometheus: stable names, and labels for the pipeline's steps and a source's partitions.

prometheus-client comes with the extra ``metrics``; only this module and the server import it, when it is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

from arrowstream.errors import MissingExtra
from arrowstream.metrics.histogram import BOUNDS_SECONDS
from arrowstream.metrics.stage import StageMetrics

if TYPE_CHECKING:
    from prometheus_client import Metric

Value = Callable[[StageMetrics], float | None]

_COUNTERS: tuple[tuple[str, str, Value], ...] = (
    ("rows_in", "Rows that went into a stage.", lambda stage: stage.rows_in),
    ("rows_out", "Rows that came out of a stage.", lambda stage: stage.rows_out),
    ("bytes", "Bytes of the rows that came out, from a sample of batches.", lambda stage: stage.nbytes),
    ("busy_seconds", "Time spent working.", lambda stage: stage.busy_seconds),
    (
        "waiting_seconds",
        "Time spent waiting for something outside of the pipeline.",
        lambda stage: stage.waiting_seconds,
    ),
    ("errors", "Tries that failed, handled ones included.", lambda stage: stage.errors),
    ("failed_rows", "Rows that failed for good.", lambda stage: stage.failed_rows),
    ("late_rows", "Rows that came after their window was closed.", lambda stage: stage.late_rows),
    ("lost_rows", "Late, skipped and dropped rows that no sink got.", lambda stage: stage.lost_rows),
    (
        "source_rebalances",
        "How often a source's group has given out its partitions again.",
        lambda stage: stage.rebalances,
    ),
    ("dropped_rows", "Rows that a sink of best effort had no room for.", lambda stage: stage.dropped_rows),
)
_GAUGES: tuple[tuple[str, str, Value], ...] = (
    ("queue_batches", "Batches that wait before a stage.", lambda stage: stage.queue_depth),
    ("queue_bytes", "Bytes that wait before a stage.", lambda stage: stage.queue_bytes),
    ("queue_capacity_batches", "Batches that may wait before a stage.", lambda stage: stage.queue_capacity),
    (
        "watermark_lag_seconds",
        "Seconds from the watermark to the wall clock.",
        lambda stage: stage.watermark_lag_seconds,
    ),
)


class ExportedMetrics(Protocol):
    """The part of `arrowstream.metrics.snapshot.Metrics` that is exported."""

    @property
    def name(self) -> str:
        """Name of the pipeline."""
        ...

    @property
    def seconds(self) -> float:
        """Duration of its run so far, in seconds."""
        ...

    @property
    def running(self) -> bool:
        """Whether a run is in progress."""
        ...

    @property
    def stages(self) -> Mapping[str, StageMetrics]:
        """Metrics of its stages, by name."""
        ...


class Collector:
    """A collector for a registry of prometheus-client, which takes a new snapshot for each scrape.

    Parameters
    ----------
    take
        Takes the snapshot; called on the thread that answers the scrape.
    """

    def __init__(self, take: Callable[[], ExportedMetrics]) -> None:
        self._take = take

    def collect(self) -> Iterator[Metric]:
        """Return the metric families at this moment."""
        return families(self._take())


def exposition(shown: ExportedMetrics) -> str:
    """Format metrics as text that Prometheus reads, format 0.0.4.

    Raises
    ------
    MissingExtra
        prometheus-client is not installed.
    """
    try:
        from prometheus_client import CollectorRegistry, generate_latest
    except ImportError as error:
        raise missing_metrics() from error
    registry = CollectorRegistry()
    registry.register(Collector(lambda: shown))
    return generate_latest(registry).decode()


def families(shown: ExportedMetrics) -> Iterator[Metric]:
    """Yield the metric families of a pipeline, for a registry of the user; needs prometheus-client."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    stages = [((shown.name, name), stage) for name, stage in shown.stages.items()]
    labels = ("pipeline", "stage")
    run = GaugeMetricFamily("arrowstream_run_seconds", "How long the run has taken.", labels=["pipeline"])
    run.add_metric([shown.name], shown.seconds)
    yield run
    for kinds, family in ((_COUNTERS, CounterMetricFamily), (_GAUGES, GaugeMetricFamily)):
        for name, text, value in kinds:
            found = family(f"arrowstream_{name}", text, labels=labels)
            for place, stage in stages:
                if (number := value(stage)) is not None:
                    found.add_metric(place, number)
            yield found
    batches = CounterMetricFamily(
        "arrowstream_batches", "Batches by the backend that ran them.", labels=(*labels, "backend")
    )
    branches = CounterMetricFamily(
        "arrowstream_branch_rows", "Rows that a split sent into a branch.", labels=(*labels, "branch")
    )
    latency = HistogramMetricFamily(
        "arrowstream_latency_seconds",
        "How long rows took: at the sink since they were read, elsewhere in the stage.",
        labels=labels,
    )
    lag = GaugeMetricFamily(
        "arrowstream_source_lag_offsets",
        "Offsets from the next row of a partition to its end.",
        labels=(*labels, "partition"),
    )
    for place, stage in stages:
        for partition, offsets in stage.lag.items():
            lag.add_metric((*place, partition), offsets)
        for backend, count in stage.batches.items():
            batches.add_metric((*place, backend), count)
        for branch, rows in stage.rows_by_branch.items():
            branches.add_metric((*place, branch), rows)
        below = zip(BOUNDS_SECONDS, stage.latency.below, strict=True)
        buckets = [*((str(bound), float(count)) for bound, count in below), ("+Inf", stage.latency.count)]
        latency.add_metric(place, buckets, stage.latency.sum_seconds)
    yield batches
    yield branches
    yield latency
    yield lag


def missing_metrics() -> MissingExtra:
    """Return the error for a missing extra ``metrics``."""
    return MissingExtra(
        "Prometheus needs the extra 'metrics', which is not installed",
        hint="pip install 'arrowstream[metrics]'",
    )
