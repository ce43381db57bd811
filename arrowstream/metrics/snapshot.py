"""The metrics of a pipeline at one moment: before, during and after a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

from arrowstream.core.plural import counted
from arrowstream.core.values.frozen_mapping import FrozenMapping
from arrowstream.metrics.counters import Queue, StageCounters
from arrowstream.metrics.histogram import Histogram, Latency
from arrowstream.metrics.prometheus import exposition
from arrowstream.metrics.stage import StageMetrics
from arrowstream.shown import Shown


def with_inner(stages: Iterable[StageMetrics], inner: Mapping[str, Metrics]) -> tuple[StageMetrics, ...]:
    """Return stages, each followed by those of the pipeline that it runs by itself.

    Parameters
    ----------
    stages
        The stages.
    inner
        The metrics of such pipelines, by the name of the stage.

    Examples
    --------
    >>> table = Metrics.of("table", sources=[StageCounters("source")])
    >>> [stage.name for stage in with_inner([StageMetrics("join"), StageMetrics("sink")], {"join": table})]
    ['join', 'join > source', 'sink']
    """
    found: list[StageMetrics] = []
    for stage in stages:
        found.append(stage)
        if (metrics := inner.get(stage.name)) is not None:
            found += inner_stages(stage.name, metrics)
    return tuple(found)


def inner_stages(name: str, metrics: Metrics) -> Iterator[StageMetrics]:
    """Yield the stages of a pipeline that the stage `name` runs by itself, named ``join > source``."""
    return (replace(each, name=f"{name} > {each.name}") for each in metrics.all_stages)


@dataclass(frozen=True, slots=True)
class Metrics(Shown):
    """A pipeline's metrics at one moment. Take one with `Pipeline.metrics()`.

    Parameters
    ----------
    name
        The pipeline's name.
    seconds
        Duration of the last run, or of the current one so far, in seconds.
    running
        Whether a run is in progress.
    rows_in, rows_out
        Number of rows that sources have read, and of rows that have left the pipeline, each counted once: of the
        sinks of a fan-out, which get the same rows, those of the sink with the most.
    latency
        Latency of rows, from being read until a sink had taken them.
    queue_depth
        Number of batches in all queues between stages.
    stages
        Each stage by the name that `explain()` prints, sources first, sinks last.
    inner
        The metrics of pipelines that stages run by themselves, such as one that reads the table of a join, by the
        name of the stage; their rows are not among those of this pipeline.

    Examples
    --------
    >>> import polars as pl
    >>> from arrowstream import Pipeline, Source
    >>> from arrowstream.testing import TestSink
    >>> frame = pl.DataFrame({"x": [1, 2, 3]})
    >>> builder = Pipeline.builder(name="odd").source(Source.from_frame(frame)).filter(pl.col("x") % 2 == 1)
    >>> pipeline = builder.sink(TestSink()).build()
    >>> report = pipeline.run_sync()
    >>> metrics = pipeline.metrics()
    >>> metrics.rows_in, metrics.rows_out, metrics.stages["sink"].rows_in, metrics.queue_depth
    (3, 2, 2, 0)
    """

    _shown_by: ClassVar[str] = "report.metrics"
    name: str
    seconds: float
    running: bool
    rows_in: int
    rows_out: int
    latency: Latency
    queue_depth: int
    stages: Mapping[str, StageMetrics]
    inner: Mapping[str, Metrics] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        name: str,
        *,
        sources: Iterable[StageCounters] = (),
        between: Iterable[StageCounters] = (),
        sinks: Iterable[StageCounters] = (),
        side: Iterable[StageCounters] = (),
        queues: Iterable[Queue] = (),
        rows_out: int | None = None,
        seconds: float = 0.0,
        running: bool = False,
        wall_us: int = 0,
        inner: Mapping[str, Metrics] | None = None,
    ) -> Metrics:
        """Freeze these counters.

        Parameters
        ----------
        sources, between, sinks, side
            Counters of the sources, the stages, the sinks at the ends, and the sinks of late and failed rows.
        queues
            The statistics of every channel between them.
        rows_out
            Number of rows that have left the pipeline; None for the sum over the sinks.
        seconds, running
            Duration of the run so far in seconds, and whether it is in progress.
        wall_us
            The wall clock, in microseconds since 1970 UTC, for the lag of watermarks.
        inner
            The metrics of pipelines that stages run by themselves, by the name of the stage; None for none.
        """
        sources, between, sinks = tuple(sources), tuple(between), tuple(sinks)
        stages: dict[str, StageMetrics] = {}
        for counters in (*sources, *between, *sinks, *side):
            stages[free_name(counters.name, stages)] = counters.snapshot(wall_us)
        latency = Histogram()
        for counters in sinks:
            latency.merge(counters.latency)
        return cls(
            name,
            seconds,
            running,
            sum(counters.rows_in for counters in sources),
            sum(counters.rows_out for counters in sinks) if rows_out is None else rows_out,
            Latency.of(latency),
            sum(queue().length for queue in queues),
            FrozenMapping(stages),
            FrozenMapping(inner),
        )

    @property
    def all_stages(self) -> tuple[StageMetrics, ...]:
        """All stages, each followed by those of the pipeline that it runs by itself, named ``join > source``."""
        return with_inner(self.stages.values(), self.inner)

    @property
    def throughput(self) -> float:
        """Rows read per second, over the whole run so far."""
        return self.rows_in / self.seconds if self.seconds > 0 else 0.0

    @property
    def latency_p50_ms(self) -> float:
        """Latency in milliseconds, from source to sink, that half of the rows did not exceed; NaN without rows."""
        return self.latency.p50_ms

    @property
    def latency_p99_ms(self) -> float:
        """Latency in milliseconds, from source to sink, that 99 % of the rows did not exceed; NaN without rows."""
        return self.latency.p99_ms

    @property
    def errors(self) -> int:
        """Number of attempts that failed in all stages, including those that a handler resolved."""
        return sum(stage.errors for stage in self.stages.values())

    def __str__(self) -> str:
        """Format the metrics as one line of a log.

        Examples
        --------
        >>> print(Metrics.of("bids", seconds=2.0))
        bids: 0 rows in, 0 out in 2.00 s, 0 rows/s, p50 -, p99 -, 0 batches waiting, 0 errors
        """
        return (
            f"{self.name}: {counted(self.rows_in, 'rows in')}, {self.rows_out:,} out in {self.seconds:,.2f} s, "
            f"{self.throughput:,.0f} rows/s, {self.latency}, "
            f"{counted(self.queue_depth, 'batches waiting')}, {counted(self.errors, 'errors')}"
        )

    def export_prometheus(self) -> str:
        """Format the metrics as text that Prometheus reads.

        Raises
        ------
        MissingExtra
            prometheus-client (extra ``metrics``) is not installed.

        Examples
        --------
        >>> print(Metrics.of("bids", seconds=1.5).export_prometheus().splitlines()[2])
        arrowstream_run_seconds{pipeline="bids"} 1.5
        """
        return exposition(self)


def free_name(name: str, taken: Mapping[str, object]) -> str:
    """Return a name that is not in `taken`: the second stage of a name becomes ``name #2``."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name} #{number}"
    return free
