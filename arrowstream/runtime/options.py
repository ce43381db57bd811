"""What a run is given: how to run, and what."""

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
"""Threads of a run where nothing else was asked for."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to run.

    Parameters
    ----------
    limit
        Stop once so many rows have come out.
    seconds
        Stop after this time.
    on_progress
        Called on the loop at most ten times a second, and at the end.
    limits
        Capacity of the channel between two stages.
    workers
        Threads at most; they are started only when needed, one for each party that blocks.
    log_seconds
        How often a line of metrics is logged; None for never.
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
    """What to run: a plan, or how to make one once the first batch has told its schema.

    Parameters
    ----------
    name
        The pipeline's name.
    sources
        Every source it has, the first one first.
    sinks
        Every sink it has, also those at the ends of branches.
    plan
        The plan, or None.
    compile
        Makes it from the source's schema.
    """

    name: str
    sources: tuple[SourceSpec, ...]
    sinks: tuple[SinkSpec, ...]
    plan: Plan | None
    compile: Callable[[pl.Schema], Plan]
