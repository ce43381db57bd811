"""What can be seen of a run from any thread: figures, last rows, the figures over time."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

import polars as pl

from arrowstream.core.checks import check_whole
from arrowstream.core.hints import did_you_mean
from arrowstream.errors import PlanError
from arrowstream.metrics.counters import StageCounters
from arrowstream.metrics.snapshot import Metrics
from arrowstream.plan.outline import Outline
from arrowstream.runtime.background.history import History
from arrowstream.runtime.background.inner_figures import average, inner_figures
from arrowstream.runtime.background.snapshot import Snapshot, StageFigures, State
from arrowstream.runtime.background.tap import MOST_ROWS, Taps
from arrowstream.runtime.run import Run

FIRST_SECONDS = 1.0
"""Time that a first call of `Watched.tail` waits for rows, in seconds."""

_LOOK_SECONDS = 0.01
"""Time between two looks for a stage that is not open yet, in seconds."""


class Watched(ABC):
    """A run that is looked at.

    Parameters
    ----------
    name
        The pipeline's name.
    run
        The run.
    outline
        Returns the outline of the pipeline.
    passing
        Returns the schema of the rows that pass at each node, by id, as far as they are known.
    """

    def __init__(
        self,
        name: str,
        run: Run,
        outline: Callable[[], Outline],
        passing: Callable[[], Mapping[str, pl.Schema]],
    ) -> None:
        self.name = name
        self._run = run
        self._outline = outline
        self._passing = passing
        self._history = History()
        self._taps = Taps()

    @property
    @abstractmethod
    def done(self) -> bool:
        """True once the run has ended, well or not."""

    @property
    def state(self) -> State:
        """What the run does: ``"running"``, ``"stopping"``, ``"done"``, ``"failed"`` or ``"cancelled"``."""
        if not self.done:
            return "running" if self._run.stop_reason is None else "stopping"
        if self.failure is None:
            return "done"
        return "cancelled" if self._was_cancelled else "failed"

    @property
    @abstractmethod
    def _was_cancelled(self) -> bool:
        """True if the run was ended at once."""

    @property
    @abstractmethod
    def failure(self) -> str | None:
        """The error with which the run has ended, as text; None while it goes on, and if it has ended well."""

    @abstractmethod
    def join(self, seconds: float | None = None) -> bool:
        """Wait for the end of the run, however it ends; return whether it has ended."""

    @abstractmethod
    def stop(self) -> None:
        """End the run gently."""

    @abstractmethod
    def _check_thread(self, call: str) -> None:
        """Raise if the caller is the run itself, which would wait for itself."""

    def _sample(self, apart: float = 0.0) -> None:
        self._history.sample(self._run.counters, self._run.seconds, apart=apart)

    def metrics(self) -> Metrics:
        """Return frozen metrics of the run, while it goes on and after it."""
        return self._run.metrics(self.name)

    def tail(self, stage: str, rows: int = 20, *, wait: float | None = None) -> pl.DataFrame:
        """Return the last rows that came out of a stage, or went into a sink.

        Rows are kept only while somebody asks: the first call begins with that, and waits until `rows` rows have
        passed, at most for a second; later calls return at once. What passed before the first call is not known, so
        that the frame is empty if the run has ended by then. 30 s after the last call, nothing is kept any more, and
        the next call is a first one. A stage that nobody asks about does nothing for it.

        Parameters
        ----------
        stage
            The name of a source, stage or sink, as `explain()` and the metrics have it, such as ``"sink"`` or
            ``"late rows of window"``.
        rows
            Number of rows, from 1 to 10,000.
        wait
            Longest time to wait for as many rows, in seconds; by default 1 for a first call, and 0 for later ones.

        Returns
        -------
        polars.DataFrame
            The rows, in their order, with the columns of the stage; fewer than `rows` if fewer have passed.

        Raises
        ------
        PlanError
            No stage has this name, or `rows` is out of range.
        """
        self._check_thread("tail()")
        check_whole("rows", rows, least=1)
        if rows > MOST_ROWS:
            raise PlanError("tail() keeps few rows", expected=f"at most {MOST_ROWS:,}", found=f"{rows:,}")
        if wait is None:
            wait = 0.0 if self._taps.has(stage) else FIRST_SECONDS
        until = time.monotonic() + wait
        counters = self._counters_of(stage, until)
        frames: list[pl.DataFrame] = []
        if counters is not None:
            tap = self._taps.of(stage, counters)
            if self.done:
                tap.detach()
            frames = tap.last(rows, max(until - time.monotonic(), 0.0))
        return pl.concat(frames) if frames else pl.DataFrame(schema=self._passing().get(stage))

    def _counters_of(self, stage: str, until: float) -> StageCounters | None:
        """Return the counters of a stage, and wait for a stage that is about to be opened; None if it was not."""
        counters = self._run.counters
        if stage in counters:
            return counters[stage]
        if stage in {each.id for each in inner_figures(self.metrics(), self.done)}:
            return None
        planned = {node.id: node.kind for node in self._outline().nodes}
        while stage in planned and stage not in counters and time.monotonic() < until:
            if self.join(_LOOK_SECONDS):
                break
            counters = self._run.counters
        if stage not in counters and planned.get(stage) in (None, "inputs"):
            raise _no_stage(stage, list(counters or planned), stage in planned)
        return counters.get(stage)

    def history(self) -> pl.DataFrame:
        """Return the figures of every stage over time.

        Each second the run notes them. All samples of the last ten minutes are kept, and up to 600 of the time
        before, at equal distances which grow with the length of the run.

        Returns
        -------
        polars.DataFrame
            One row for each sample and stage, in the order of time: ``time`` (Datetime in UTC), ``seconds`` since the
            run began, ``stage``, ``rows_in`` and ``rows_out`` so far, ``rows_in_per_second`` and ``rows_per_second``
            (rows that came out) since the sample before, or the one before that if this was less than half a second
            before, ``queue_depth`` and ``queue_capacity`` in batches, ``busy_share`` (seconds of work a second, also
            since then), ``p99_ms`` of the rows of the second before, ``watermark_lag_seconds``, ``late_rows`` and
            ``errors`` so far. Null where nothing is known.
        """
        return self._history.frame()

    def snapshot(self) -> Snapshot:
        """Return what a viewer of the run shows at this moment, as plain values: graph, figures, losses, errors."""
        metrics, counters = self.metrics(), self._run.counters
        outline, latency = self._outline(), metrics.latency
        sources = {node.id for node in outline.nodes if node.kind == "source"}
        stages: list[StageFigures] = []
        for id, stage in metrics.stages.items():
            if self.done or id not in counters:
                rates = average(stage, metrics.seconds)
            else:
                rates = self._history.rates(id, counters[id], metrics.seconds)
            stages.append(StageFigures.of(id, stage, rates))
        read_a_second = sum(each.rows_in_per_second for each in stages if each.id in sources)
        drawn = {node.id for node in outline.nodes}
        stages = [*(each for each in inner_figures(metrics, self.done) if each.id in drawn), *stages]
        report = self._run.report(self.name)
        return Snapshot(
            name=self.name,
            state=self.state,
            stopped=self._run.stop_reason,
            unix_seconds=time.time(),
            seconds=metrics.seconds,
            rows_in=metrics.rows_in,
            rows_out=metrics.rows_out,
            rows_per_second=read_a_second,
            p50_ms=latency.p50_ms if latency.count else None,
            p99_ms=latency.p99_ms if latency.count else None,
            queue_depth=metrics.queue_depth,
            errors=metrics.errors,
            losses=report.losses,
            has_losses=report.has_losses,
            error=self.failure,
            outline=outline,
            stages=tuple(stages),
        )


def _no_stage(stage: str, names: Sequence[str], planned: bool) -> PlanError:
    """Return the error for a name that no stage has, or one whose rows are only those that come in."""
    fused = [name for name in names if stage in name.split("/")[-1].split("+")]
    return PlanError(
        f"{stage} has no rows of its own" if planned else f"the run has no stage {stage!r}",
        expected=", ".join(names),
        found=repr(stage),
        hint=f"it is a part of the stage {fused[0]!r}" if fused else did_you_mean(stage, names),
    )
