"""What a run tells: progress while it goes, a report when it ends."""

from __future__ import annotations

from dataclasses import dataclass, field

from arrowstream.metrics.counters import StageCounters


@dataclass(frozen=True, slots=True)
class Progress:
    """A moment of a running pipeline.

    Parameters
    ----------
    rows_in, rows_out
        Rows the source has read and the sink has taken so far.
    seconds
        Time since the run began.
    total_rows
        Rows the source will read in all, where it can tell; else None.
    """

    rows_in: int
    rows_out: int
    seconds: float
    total_rows: int | None = None


@dataclass(frozen=True, slots=True)
class StageReport:
    """One stage's share of a run.

    Parameters
    ----------
    rows_in, rows_out
        Rows that went into and came out of the stage.
    batches
        Number of batches by the backend that ran them; opaque stages count under their own name.
    busy_seconds
        Time spent working, waiting excluded.
    """

    name: str
    rows_in: int
    rows_out: int
    batches: dict[str, int] = field(default_factory=dict)
    busy_seconds: float = 0.0

    @classmethod
    def of(cls, counters: StageCounters) -> StageReport:
        """What these counters say, once the run has ended."""
        counters.add_up()
        return cls(
            counters.name,
            counters.rows_in,
            counters.rows_out,
            dict(counters.batches),
            counters.busy_ns / 1e9,
        )

    def told(self, width: int) -> str:
        """One line, the name padded to `width`."""
        batches = ", ".join(f"{backend} {count:,}" for backend, count in self.batches.items())
        return (
            f"{self.name:{width}}  {self.rows_in:,} rows in, {self.rows_out:,} rows out, "
            f"{self.busy_seconds:.3f} s busy{f' ({batches})' if batches else ''}"
        )


@dataclass(frozen=True, slots=True)
class RunReport:
    """What a finished run did.

    Parameters
    ----------
    rows_in, rows_out
        Rows read by the source and written by the sink.
    seconds
        Wall time of the run.
    stages
        One entry a stage, in order: the source first, the sink last.
    stopped
        Why the run ended before the stream did (``"stop"``, ``"limit"``, ``"duration"``), or None.
    """

    name: str
    rows_in: int
    rows_out: int
    seconds: float
    stages: tuple[StageReport, ...]
    stopped: str | None = None

    @property
    def rows_per_second(self) -> float:
        """Rows read a second."""
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
            f"{self.name}: {self.rows_in:,} rows in, {self.rows_out:,} rows out, "
            f"{self.seconds:.2f} s, {self.rows_per_second:,.0f} rows/s{ending}"
        )

    def __str__(self) -> str:
        """The totals, and a line for each stage.

        Examples
        --------
        >>> stages = StageReport("source", 20, 20, {"read": 1}, 0.1), StageReport("filter", 20, 3, {"arrow": 1})
        >>> print(RunReport("p", 20, 3, 0.5, stages))
        p: 20 rows in, 3 rows out, 0.50 s, 40 rows/s
          source    20 rows in, 20 rows out, 0.100 s busy (read 1)
          filter  20 rows in, 3 rows out, 0.000 s busy (arrow 1)
        """
        width = max((len(stage.name) for stage in self.stages), default=0)
        return "\n".join([self.summary, *(f"  {stage.told(width)}" for stage in self.stages)])
