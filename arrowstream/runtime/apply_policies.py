"""Policies applied to stages and sinks: a time limit around each attempt, and error handlers around the attempts."""

from __future__ import annotations

from functools import partial
from random import Random

import polars as pl

from arrowstream.core.clock import Clock
from arrowstream.plan.physical import SinkBinding
from arrowstream.plan.policies import Policies, dead_letter_sink
from arrowstream.policies.dead_letter import dead_letter_schema
from arrowstream.policies.handlers import DeadLetter
from arrowstream.runtime.endpoints.sink import RunningSink
from arrowstream.runtime.endpoints.sinks import RunningSinks
from arrowstream.runtime.failure.guard import Guard
from arrowstream.runtime.failure.host_rows import HostRows
from arrowstream.runtime.failure.timeout import Deadline
from arrowstream.runtime.stage import RunningStage
from arrowstream.runtime.threads import Threads


def govern(
    running: RunningStage | RunningSink,
    policies: Policies,
    schema: pl.Schema,
    clock: Clock,
    sinks: RunningSinks,
    threads: Threads,
) -> None:
    """Apply its policies to a stage or sink that takes rows of `schema`; without policies, change nothing.

    Parameters
    ----------
    running
        The stage or sink.
    policies
        Its policies.
    schema
        The schema of the rows that it takes.
    clock
        The run's monotonic clock.
    sinks
        The sinks of the run, to which the sink of dead letters is added.
    threads
        The threads of the run.
    """
    name, counters = running.counters.name, running.counters
    if policies.timeout_s is not None:
        skip = counters.record_skipped if policies.skip_late_batches else None
        deadline = Deadline(
            name,
            policies.timeout_s,
            clock,
            skip,
            stays=isinstance(running, RunningSink) and policies.survives_timeout,
            blocks=isinstance(running, RunningSink) and running.blocking,
        )
        running.govern(lambda attempt: partial(deadline.run, attempt=attempt))
    if not policies.handlers:
        return
    host = HostRows(threads)
    running.govern(lambda attempt: partial(host.run, attempt=attempt))
    write, count = None, counters.record_skipped
    last = policies.handlers[-1]
    if isinstance(last, DeadLetter):
        binding = SinkBinding(f"dead letters of {name}", dead_letter_sink(last), dead_letter_schema(schema))
        side = sinks.shared_side_output(binding)
        running.sides.append(side)
        write, count = side.send, counters.record_dead_letters
    # Not seeded: many processes that run the same job should not retry at the same moments.
    guard = Guard(name, policies.handlers, clock, Random(), write, count)
    running.govern(lambda attempt: partial(guard.run, attempt=attempt))
