"""A frozen picture of a pipeline's counters: before, while and after it runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from arrowstream.histogram import Histogram, Latency
from arrowstream.prometheus import exposition
from arrowstream.stage_metrics import StageCounters, StageMetrics


@dataclass(frozen=True, slots=True)
class Metrics:
    """A pipeline's metrics at one moment. Take one with `Pipeline.metrics()`.

    Parameters
    ----------
    name
        The pipeline's name.
    seconds
        How long the last run took, or has taken so far.
    running
        Whether it is still running.
    rows_in, rows_out
        Rows that sources have read and sinks have taken.
    latency
        How long rows took from being read until a sink had them.
    stages
        Each stage by the name that `explain()` prints, sources first, sinks last.

    Examples
    --------
    >>> stage = StageCounters("1 filter")
    >>> stage.ran("arrow", rows_in=1000, rows_out=400, taken_ns=50_000)
    >>> metrics = Metrics.of("late", between=[stage], seconds=2.0)
    >>> metrics.stages["1 filter"].rows_out, metrics.queue_depth
    (400, 0)
    """

    name: str
    seconds: float
    running: bool
    rows_in: int
    rows_out: int
    latency: Latency
    stages: Mapping[str, StageMetrics]

    @classmethod
    def of(
        cls,
        name: str,
        *,
        sources: Iterable[StageCounters] = (),
        between: Iterable[StageCounters] = (),
        sinks: Iterable[StageCounters] = (),
        seconds: float = 0.0,
        running: bool = False,
        wall_us: int = 0,
    ) -> Metrics:
        """The picture of these counters.

        Parameters
        ----------
        wall_us
            The wall clock, in microseconds since 1970 UTC, for the lag of watermarks.
        """
        sources, between, sinks = tuple(sources), tuple(between), tuple(sinks)
        stages: dict[str, StageMetrics] = {}
        for counters in (*sources, *between, *sinks):
            stages[_free(counters.name, stages)] = counters.snapshot(wall_us)
        latency = Histogram()
        for counters in sinks:
            latency.merge(counters.latency)
        return cls(
            name,
            seconds,
            running,
            sum(counters.rows_in for counters in sources),
            sum(counters.rows_out for counters in sinks),
            Latency.of(latency),
            MappingProxyType(stages),
        )

    @property
    def throughput(self) -> float:
        """Rows read a second, over the whole run so far."""
        return self.rows_in / self.seconds if self.seconds > 0 else 0.0

    @property
    def latency_p50_ms(self) -> float:
        """Milliseconds from source to sink that half of the rows did not exceed; NaN before the first row."""
        return self.latency.p50_ms

    @property
    def latency_p99_ms(self) -> float:
        """Milliseconds from source to sink that 99 % of the rows did not exceed; NaN before the first row."""
        return self.latency.p99_ms

    @property
    def queue_depth(self) -> int:
        """Batches that wait between the stages."""
        return sum(stage.queue_depth for stage in self.stages.values())

    @property
    def errors(self) -> int:
        """Failures in all stages, handled ones included."""
        return sum(stage.errors for stage in self.stages.values())

    def export_prometheus(self) -> str:
        """The metrics as text that Prometheus reads.

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


def _free(name: str, taken: Mapping[str, object]) -> str:
    """A name that no stage before has: the second of a name becomes ``name #2``."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name} #{number}"
    return free
