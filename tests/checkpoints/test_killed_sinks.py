"""Runs into every sink that shows each row once, killed at every failpoint and at random moments, and continued."""

import inspect
import os
import pkgutil
import random
from collections.abc import Callable
from importlib import import_module
from multiprocessing.context import ForkServerContext

import pytest
from checkpoints.killed_sinks import (
    ALL,
    BY_SINK,
    EXPECTED,
    GROUPS,
    RUN_POINTS,
    SINKS,
    Place,
    differences,
    kill_and_continue,
    run,
    terminated,
)
from checkpoints.random_kills import KILLS_A_ROUND, PHASES, RandomKills
from kills import ended

import arrowstream.io
from arrowstream.checkpoints.layout import complete_epochs, marker_of
from arrowstream.core.checkpoints.failpoints import Failpoint
from arrowstream.io.sink import SinkSpec

pytestmark = [pytest.mark.once, pytest.mark.untraced]


# What all sinks of a run pass together is killed once for all of them, and what each passes on its own, for each.
CASES = [
    (group, names, point)
    for group, names in GROUPS.items()
    for point in RUN_POINTS
    if len(names) == 1 or point not in BY_SINK
]
CASES += [
    (name, (name,), point)
    for name, sink in SINKS.items()
    for point in (*(() if name in GROUPS else BY_SINK), *sink.points)
    if name != "ndjson" or point not in BY_SINK  # as csv
]


@pytest.mark.parametrize(
    ("names", "point"), [each[1:] for each in CASES], ids=[f"{name}-{point.name}" for name, _, point in CASES]
)
def test_each_row_is_shown_once_wherever_runs_and_recoveries_are_killed(
    names: tuple[str, ...], point: Failpoint, place: Callable[..., Place], processes: ForkServerContext
) -> None:
    """At the first and third hit of each failpoint, and in the recoveries after that."""
    kill_and_continue(processes, names, place(names), point)


def test_every_failpoint_is_killed_for_every_sink() -> None:
    killed = {name: {point for _, names, point in CASES if name in names} for name in SINKS}
    killed["ndjson"] |= {*BY_SINK}
    assert all(points == {*RUN_POINTS, *SINKS[name].points} for name, points in killed.items())
    assert set().union(*killed.values()) == set(Failpoint) == PHASES.keys()


def test_every_sink_that_shows_each_row_once_is_killed() -> None:
    for module in pkgutil.walk_packages(arrowstream.io.__path__, "arrowstream.io."):
        if module.name.endswith("sink"):
            import_module(module.name)
    kinds, todo = set(), [SinkSpec]
    while todo:
        todo += (found := todo.pop()).__subclasses__()
        ours = found.__module__.startswith("arrowstream") and not inspect.isabstract(found)
        if ours and found.exactly_once is not SinkSpec.exactly_once:
            kinds.add(found.__name__)
    assert kinds == {sink.kind for sink in ALL.values()}
    systems = {
        name.name for name in pkgutil.iter_modules(import_module("arrowstream.io.database.systems").__path__)
    }
    assert {name.removesuffix("_types") for name in systems if name.endswith("_types")} - {
        "column"
    } <= SINKS.keys()


KILLS = int(os.environ.get("KILLS", "24"))
SEED = os.environ.get("SEED") or f"{random.randrange(1 << 32)}"


@pytest.mark.timeout(120 + KILLS)
@pytest.mark.parametrize("name", SINKS)
def test_each_row_is_shown_once_after_kills_at_random_moments(
    name: str, place: Callable[..., Place], processes: ForkServerContext, capsys: pytest.CaptureFixture[str]
) -> None:
    """KILLS of them, all sinks together; `make soak` goes on without end."""
    kills, wanted = RandomKills(processes, SEED, name), -(-KILLS // len(SINKS))
    while kills.kills < wanted:
        kills.round((name,), place((name,), str(kills.rounds)), min(KILLS_A_ROUND, wanted - kills.kills))
    with capsys.disabled():
        print(f" {kills} ", end="")


@pytest.mark.parametrize("name", SINKS)
def test_a_run_that_sigterm_stops_has_committed_its_last_epoch(
    name: str, place: Callable[..., Place], processes: ForkServerContext
) -> None:
    """Its process ends without an error, and the next run has nothing to commit."""
    at = place((name,))
    passed = ended(processes, terminated, ((name,), at, 30))
    newest = complete_epochs(at.state)[-1]
    assert marker_of(at.state, newest).exists()
    shown = SINKS[name].rows(at)
    assert passed[-1] in (Failpoint.EPOCH_MARKED, Failpoint.EPOCH_DROPPED) and shown <= EXPECTED
    run((name,), at)
    assert not differences((name,), at)
