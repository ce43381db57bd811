"""The progress of a run, and its report at the end."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

from arrowstream.core.notes import ReaderNote
from arrowstream.core.plural import counted
from arrowstream.core.values.frozen_mapping import FrozenMapping
from arrowstream.metrics.checkpoints import CheckpointMetrics
from arrowstream.metrics.snapshot import Metrics, inner_stages, with_inner
from arrowstream.metrics.stage import StageMetrics
from arrowstream.shown import Shown

if TYPE_CHECKING:
    from arrowstream.runtime.background.charts import RunChart

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a running pipeline at one moment.

    Parameters
    ----------
    rows_in
        Number of rows that the sources have read so far.
    rows_out
        Number of rows that have left the pipeline so far, each counted once; see `RunReport`.
    seconds
        Time since the run began, in seconds.
    total_rows
        Number of rows that the sources will read in all; None if one of them does not know.
    """

    rows_in: int
    rows_out: int
    seconds: float
    total_rows: int | None = None


@dataclass(frozen=True, slots=True)
class RunReport(Shown):
    """The report of a run that has ended well.

    Parameters
    ----------
    name
        The pipeline's name.
    rows_in
        Number of rows read by the sources.
    rows_out
        Number of rows that have left the pipeline, each counted once: those of all sinks at ends, but of the sinks of
        a fan-out, which get the same rows, those of the sink with the most. Late rows and dead letters do not count.
    seconds
        Duration of the run, in seconds.
    stages
        One entry a stage, in order: sources first, then steps, then sinks.
    stopped
        The reason why the run ended before the stream did: ``"stop"``, ``"limit"``, ``"duration"``, or a signal such
        as ``"SIGTERM"``; None if the stream ended by itself.
    notes
        Notes of the sources about rows that they had to change or leave out, and of steps about rows that they did
        not take at their word; and of sinks, about what earlier runs have written and values that became null.
    checkpoints
        The checkpoints of the run; None without them.
    inner
        The metrics of pipelines that stages have run by themselves, such as one that reads the table of a join, by
        the name of the stage; of several runs, those of the last. Their rows are not among those of this pipeline.
    """

    _shown_by: ClassVar[str] = "report.report"
    name: str
    rows_in: int
    rows_out: int
    seconds: float
    stages: tuple[StageMetrics, ...]
    stopped: str | None = None
    notes: tuple[ReaderNote, ...] = ()
    checkpoints: CheckpointMetrics | None = None
    inner: Mapping[str, Metrics] = field(default_factory=FrozenMapping)

    @property
    def all_stages(self) -> tuple[StageMetrics, ...]:
        """All stages, each followed by those of the pipeline that it has run by itself, named ``join > source``."""
        return with_inner(self.stages, self.inner)

    @property
    def rows_per_second(self) -> float:
        """Number of rows read per second."""
        return self.rows_in / self.seconds if self.seconds > 0 else 0.0

    @property
    def summary(self) -> str:
        """The totals on one line.

        Examples
        --------
        >>> RunReport("flights", 2000, 10, 0.5, (), stopped="limit").summary
        'flights: 2,000 rows in, 10 rows out, 0.50 s, 4,000 rows/s, ended early (limit)'
        """
        ending = f", ended early ({self.stopped})" if self.stopped else ""
        return (
            f"{self.name}: {counted(self.rows_in, 'rows in')}, {counted(self.rows_out, 'rows out')}, "
            f"{self.seconds:.2f} s, {self.rows_per_second:,.0f} rows/s{ending}"
        )

    @property
    def lost_rows(self) -> int:
        """Number of rows that reached no sink: late ones, skipped ones, and those that a best-effort sink dropped."""
        uncounted = sum(note.count for note in self.notes if note.uncounted)
        return uncounted + sum(stage.lost_rows for stage in self.stages)

    @property
    def losses(self) -> str | None:
        """The losses, also of pipelines that stages have run, and other notes on one line; None without any.

        Examples
        --------
        >>> stages = StageMetrics("source", 9, 9), StageMetrics("window", 9, 1, late_rows=2)
        >>> RunReport("p", 9, 1, 0.5, stages).losses
        'lost: 2 rows came late to window'
        """
        noted = [str(note) for note in self.notes if not note.lost]
        named = (("lost", self._lost), ("noted", noted))
        return "; ".join(f"{word}: {'; '.join(found)}" for word, found in named if found) or None

    @property
    def has_losses(self) -> bool:
        """Whether rows or values were lost, in place of only noted: whether `losses` tells of lost ones.

        Examples
        --------
        >>> RunReport("p", 9, 1, 0.5, (StageMetrics("window", 9, 1, late_rows=2),)).has_losses
        True
        """
        return bool(self._lost)

    @property
    def _lost(self) -> list[str]:
        # A note says more of the failed rows of a source than its count; sources come first.
        noted_rows = sum(note.count for note in self.notes if note.failed)
        lost: list[str] = []
        for stage in self.stages:
            known = min(noted_rows, stage.failed_rows - stage.dead_letter_rows)
            noted_rows -= known
            lost += replace(stage, failed_rows=stage.failed_rows - known).losses
        # A row that a table lacks has no place among those of this pipeline, but rows are joined without it.
        within = (stage for name, metrics in self.inner.items() for stage in inner_stages(name, metrics))
        lost += [loss for stage in within for loss in stage.losses]
        return lost + [str(note) for note in self.notes if note.lost]

    def plot(self) -> RunChart:
        """Return a chart of the rows that came out of each stage, and of its time of work and of waiting.

        It is an altair chart, which a cell shows as SVG, without a script and without the network.

        Raises
        ------
        MissingExtra
            altair or vl-convert-python is not installed (extra ``notebook``).
        """
        from arrowstream.runtime.background.charts import report_chart

        return report_chart(self.stages, self.name)

    def __str__(self) -> str:
        """Return the totals, a line for each stage, and lines for the checkpoints and the losses, if any.

        Examples
        --------
        >>> stages = StageMetrics("source", 20, 20, {"read": 1}, 0.1), StageMetrics("1 filter", 20, 3, {"arrow": 1})
        >>> print(RunReport("p", 20, 3, 0.5, stages))
        p: 20 rows in, 3 rows out, 0.50 s, 40 rows/s
          source    20 rows in, 20 rows out, 0.100 s busy (read 1)
          1 filter  20 rows in, 3 rows out, 0.000 s busy (arrow 1)
        """
        stages = self.all_stages
        width = max((len(stage.name) for stage in stages), default=0)
        lines = [self.summary, *(f"  {stage.format_line(width)}" for stage in stages)]
        return "\n".join(
            [*lines, *(str(more) for more in (self.checkpoints, self.losses) if more is not None)]
        )


def log_losses(report: RunReport) -> None:
    """Log what was lost in a run whose caller does not get the report, as a warning.

    This is for late rows and for what sources left out. Rows that a handler skips, or a best-effort sink drops, are
    lost because the pipeline asks for it: alone, they are not logged here.
    """
    late = any(stage.late_rows > stage.late_rows_kept for stage in report.stages)
    if late or report.notes:
        _log.warning("pipeline %s: %s", report.name, report.losses)
