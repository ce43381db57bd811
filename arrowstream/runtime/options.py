"""The arguments of a run: its options and its plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from arrowstream.config.settings import Settings
from arrowstream.core.batch import Batch
from arrowstream.core.defaults import WORKER_THREADS
from arrowstream.core.snapshot_store import SnapshotStore
from arrowstream.io.sink import SinkSpec
from arrowstream.io.source import SourceSpec
from arrowstream.plan.physical import Plan
from arrowstream.runtime.checkpoints.options import CheckpointOptions
from arrowstream.runtime.flow.ports import ChannelLimits
from arrowstream.runtime.report import Progress


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a run.

    Parameters
    ----------
    limit
        Number of rows written after which the run stops; None for no limit.
    seconds
        Time in seconds after which the run stops; None for no limit.
    on_progress
        Called on the loop at most 10 times a second, and at the end.
    limits
        Capacity of the channel between two stages.
    workers
        Largest number of worker threads; each is started when it is first needed.
    log_seconds
        Seconds between two lines of metrics in the log; None for no lines.
    state_bytes
        Memory budget of the state of all steps together, in bytes; None for no limit.
    snapshots
        The store of positions and state, saved at each barrier and restored at the start; None without checkpoints.
    checkpoint
        Where and how often checkpoints are taken; None without them.
    on_sink_barrier
        Called on the loop with a sink's name and the epoch, for each barrier that reaches a sink.
    """

    limit: int | None = None
    seconds: float | None = None
    on_progress: Callable[[Progress], None] | None = None
    limits: ChannelLimits = field(default_factory=ChannelLimits)
    workers: int = WORKER_THREADS
    log_seconds: float | None = None
    state_bytes: int | None = None
    snapshots: SnapshotStore | None = None
    checkpoint: CheckpointOptions | None = None
    on_sink_barrier: Callable[[str, int], None] = lambda name, epoch: None

    @classmethod
    def under(
        cls,
        settings: Settings,
        limit: int | None,
        seconds: float | None,
        checkpoint: CheckpointOptions | None = None,
    ) -> Self:
        """Return the options of a run under these settings."""
        state_mb = settings.state_memory_mb
        return cls(
            limit,
            seconds,
            limits=ChannelLimits(settings.default_buffer_size, settings.buffer_mb * 2**20),
            workers=settings.worker_threads,
            log_seconds=settings.metrics_interval_secs or None,
            state_bytes=None if state_mb is None else state_mb * 2**20,
            checkpoint=checkpoint,
        )


@dataclass(frozen=True, slots=True)
class Prepared:
    """A pipeline to run: its plan, or a function that makes one from the schema of the first batch.

    Parameters
    ----------
    name
        The pipeline's name.
    sources
        Every source of the pipeline, its first input first.
    sinks
        Every sink of the pipeline, those of branches, late rows and dead letters included.
    plan
        The plan; None if the schema of the source is not known yet.
    compile
        Makes the plan from the first batch of the source.
    """

    name: str
    sources: tuple[SourceSpec, ...]
    sinks: tuple[SinkSpec, ...]
    plan: Plan | None
    compile: Callable[[Batch], Plan]
