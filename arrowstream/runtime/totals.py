"""The totals of a run, as progress, metrics and report."""

from __future__ import annotations

import time
from collections.abc import Sequence

from arrowstream.core.clock import Clock
from arrowstream.core.values.frozen_mapping import FrozenMapping
from arrowstream.metrics.counters import StageCounters
from arrowstream.metrics.snapshot import Metrics, free_name
from arrowstream.runtime.checkpoints.coordinator import Coordinator
from arrowstream.runtime.endpoints.sink import RunningSink
from arrowstream.runtime.endpoints.sinks import RunningSinks
from arrowstream.runtime.endpoints.source import RunningSource
from arrowstream.runtime.flow.router import RunningRouter
from arrowstream.runtime.report import Progress, RunReport
from arrowstream.runtime.stage import RunningStage
from arrowstream.runtime.wiring import Wiring


class Totals:
    """The parts of a run with their counters, and the time since it began.

    Parameters
    ----------
    clock
        The run's monotonic clock.
    sinks
        Every sink of the run.
    """

    __slots__ = ("_begin_ns", "_clock", "_end_ns", "_sinks", "coordinator", "exits", "sources", "wiring")

    def __init__(self, clock: Clock, sinks: RunningSinks) -> None:
        self._clock = clock
        self._sinks = sinks
        self._begin_ns = clock.now_ns()
        self._end_ns: int | None = None
        self.sources: list[RunningSource] = []
        self.exits: dict[object, list[RunningSink]] = {}
        """The sinks at ends of the pipeline, whose rows count as output; those of one fan-out are one exit."""
        self.wiring: Wiring | None = None
        self.coordinator: Coordinator | None = None

    @property
    def final_sinks(self) -> list[RunningSink]:
        """The sinks at ends of the pipeline, without those of late rows and dead letters."""
        return [sink for sinks in list(self.exits.values()) for sink in sinks]

    @property
    def only_final_sinks(self) -> bool:
        """True if the run has no sinks for late rows and dead letters."""
        return len(list(self._sinks)) == len(self.final_sinks)

    @property
    def rows_in(self) -> int:
        """Number of rows that the sources have read."""
        return sum(source.counters.rows_in for source in self.sources)

    @property
    def rows_out(self) -> int:
        """Number of rows that have left the pipeline, each once: of a fan-out, those of the sink with the most."""
        return sum(max(sink.counters.rows_out for sink in sinks) for sinks in list(self.exits.values()))

    @property
    def exits_agree(self) -> bool:
        """True if all sinks of each fan-out have written the same number of rows."""
        return all(len({sink.counters.rows_out for sink in sinks}) == 1 for sinks in self.exits.values())

    @property
    def seconds(self) -> float:
        """Time since the run began, in seconds; its duration once it has ended."""
        end_ns = self._clock.now_ns() if self._end_ns is None else self._end_ns
        return (end_ns - self._begin_ns) / 1e9

    def end(self) -> None:
        """Record the end of the run."""
        self._end_ns = self._clock.now_ns()

    def progress(self) -> Progress:
        """Return the present progress; its total is None unless every source knows its total."""
        totals = [source.total_rows for source in self.sources]
        known = [total for total in totals if total is not None]
        total = sum(known) if len(known) == len(totals) else None
        return Progress(self.rows_in, self.rows_out, self.seconds, total)

    @property
    def counters(self) -> dict[str, StageCounters]:
        """The counters of every source, stage and sink so far, by the names that `metrics` gives them."""
        final = self.final_sinks
        side = [sink for sink in list(self._sinks) if sink not in final]
        found: dict[str, StageCounters] = {}
        for part in (*list(self.sources), *self._stages, *final, *side):
            found[free_name(part.counters.name, found)] = part.counters
        return found

    def _inner(self) -> dict[str, Metrics]:
        """Return the metrics of pipelines that stages run by themselves, by the id of the stage."""
        found: dict[str, Metrics] = {}
        for stage in self._stages:
            inner = stage.inner if isinstance(stage, RunningStage) else None
            if inner is not None and (metrics := inner.inner) is not None:
                found[stage.counters.name] = metrics
        return found

    def metrics(self, name: str) -> Metrics:
        """Return a frozen copy of all counters; callable from any thread."""
        wiring, sinks, final = self.wiring, list(self._sinks), self.final_sinks
        return Metrics.of(
            name,
            sources=[source.counters for source in list(self.sources)],
            between=[stage.counters for stage in self._stages],
            sinks=[sink.counters for sink in final],
            side=[sink.counters for sink in sinks if sink not in final],
            rows_out=self.rows_out,
            inner=self._inner(),
            queues=[] if wiring is None else list(wiring.queues),
            seconds=self.seconds,
            running=self._end_ns is None,
            # The lag of watermarks, which are event times, needs the wall clock.
            wall_us=time.time_ns() // 1_000,
        )

    def report(self, name: str, stop_reason: str | None) -> RunReport:
        """Return the report of the run.

        Parameters
        ----------
        name
            The pipeline's name.
        stop_reason
            The reason why the sources were stopped, or None; left out of the report if all had ended by themselves.
        """
        complete = stop_reason != "limit" and all(source.ended for source in self.sources)
        parts = (*self.sources, *self._stages, *self._sinks)
        wall_us = time.time_ns() // 1_000
        return RunReport(
            name,
            self.rows_in,
            self.rows_out,
            self.seconds,
            tuple(part.counters.snapshot(wall_us) for part in parts),
            None if complete else stop_reason,
            (
                *(note for source in self.sources for note in source.notes),
                *(note for part in (*self._stages, *self._sinks) for note in part.counters.notes),
            ),
            None if self.coordinator is None else self.coordinator.metrics,
            FrozenMapping(self._inner()),
        )

    @property
    def _stages(self) -> Sequence[RunningStage | RunningRouter]:
        return [] if self.wiring is None else list(self.wiring.stages)
