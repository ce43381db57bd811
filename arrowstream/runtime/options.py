"""The arguments of a run: options, and the plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import polars as pl

from arrowstream.core.snapshot_store import SnapshotStore
from arrowstream.io.sink import SinkSpec
from arrowstream.io.source import SourceSpec
from arrowstream.plan.physical import Plan
from arrowstream.runtime.flow.ports import ChannelLimits
from arrowstream.runtime.report import Progress

WORKERS = 8
"""Default number of worker threads of a run."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to run.

    Parameters
    ----------
    limit
        Stop once this many rows have come out; None for no limit.
    seconds
        Stop after this time; None for no limit.
    on_progress
        Called on the loop at most ten times a second, and at the end.
    limits
        Capacity of the channel between two stages.
    workers
        Worker threads at most; each is started when it is first needed.
    log_seconds
        Seconds between two lines of metrics in the log; None for no lines.
    state_bytes
        The most memory that the state of all steps may take together; None for no limit.
    snapshots
        Where positions and state go at a barrier, and come from at the start; None without checkpoints.
    on_sink_barrier
        Called on the loop with a sink's name and the epoch, for each barrier that reaches a sink.
    """

    limit: int | None = None
    seconds: float | None = None
    on_progress: Callable[[Progress], None] | None = None
    limits: ChannelLimits = field(default_factory=ChannelLimits)
    workers: int = WORKERS
    log_seconds: float | None = None
    state_bytes: int | None = None
    snapshots: SnapshotStore | None = None
    on_sink_barrier: Callable[[str, int], None] = lambda name, epoch: None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A pipeline to run: a plan, or how to make one from the schema of the first batch.

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
        Makes the plan from the source's schema.
    """

    name: str
    sources: tuple[SourceSpec, ...]
    sinks: tuple[SinkSpec, ...]
    plan: Plan | None
    compile: Callable[[pl.Schema], Plan]
