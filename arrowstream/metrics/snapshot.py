"""The metrics of a pipeline at one moment: before, while and after it runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from arrowstream.metrics.counters import Queue, StageCounters
from arrowstream.metrics.histogram import Histogram, Latency
from arrowstream.metrics.prometheus import exposition
from arrowstream.metrics.stage import StageMetrics


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
    queue_depth
        Batches that wait anywhere between the stages.
    stages
        Each stage by the name that `explain()` prints, sources first, sinks last.

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

    name: str
    seconds: float
    running: bool
    rows_in: int
    rows_out: int
    latency: Latency
    queue_depth: int
    stages: Mapping[str, StageMetrics]

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
        seconds: float = 0.0,
        running: bool = False,
        wall_us: int = 0,
    ) -> Metrics:
        """The picture of these counters.

        Parameters
        ----------
        sources, between, sinks, side
            Counters of the sources, the stages, the sinks at the ends, and the sinks of late and failed rows.
        queues
            Every channel between them.
        seconds, running
            How long the run has taken, and whether it goes on.
        wall_us
            The wall clock, in microseconds since 1970 UTC, for the lag of watermarks.
        """
        sources, between, sinks = tuple(sources), tuple(between), tuple(sinks)
        stages: dict[str, StageMetrics] = {}
        for counters in (*sources, *between, *sinks, *side):
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
            sum(queue().length for queue in queues),
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
    def errors(self) -> int:
        """Tries that failed in all stages, handled ones included."""
        return sum(stage.errors for stage in self.stages.values())

    def __str__(self) -> str:
        """One line for a log.

        Examples
        --------
        >>> print(Metrics.of("bids", seconds=2.0))
        bids: 0 rows in, 0 out in 2.00 s, 0 rows/s, p50 -, p99 -, 0 batches wait, 0 errors
        """
        return (
            f"{self.name}: {self.rows_in:,} rows in, {self.rows_out:,} out in {self.seconds:,.2f} s, "
            f"{self.throughput:,.0f} rows/s, {self.latency}, "
            f"{self.queue_depth} batches wait, {self.errors} errors"
        )

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
