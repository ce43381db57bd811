"""A server that is away for a while: what is logged, how often, and what the report says of it."""

import asyncio
import logging
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from contexts import context
from kafka_readers import in_loop

from arrowstream.io.kafka.reading.interruptions import Interruptions
from arrowstream.io.kafka.repeated_lines import RepeatedLines, thin_out
from arrowstream.testing import ManualClock

pytestmark = pytest.mark.once


def test_a_line_that_is_repeated_passes_once_in_ten_seconds(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    log = logging.getLogger("arrowstream.test.repeated")
    caplog.set_level(logging.INFO, log.name)
    log.addFilter(RepeatedLines(lambda: now))
    for tenth in range(250):
        now = tenth / 10
        log.error("node %d is away", tenth)
        if tenth == 3:
            log.warning("another line, 100 %")
        if tenth in (3, 4):
            log.info("information")
    assert [record.getMessage() for record in caplog.records] == [
        "node 0 is away",
        "another line, 100 %",
        "information",
        "information",
        "node 100 is away (99 more such lines in the last 10 s)",
        "node 200 is away (99 more such lines in the last 10 s)",
    ]
    # After a pause that nothing was left out in, nothing is added.
    now = 300.0
    log.warning("another line, 100 %")
    assert caplog.records[-1].getMessage() == "another line, 100 %"


def test_the_loggers_of_aiokafka_get_one_filter() -> None:
    for _ in range(2):
        thin_out()
    for name in ("aiokafka", "aiokafka.consumer.fetcher"):
        found = [each for each in logging.getLogger(name).filters if isinstance(each, RepeatedLines)]
        assert len(found) == 1


def interruptions(clock: ManualClock) -> Interruptions:
    return Interruptions(replace(context("source"), clock=clock), "a:1")


async def looked(clock: ManualClock, found: Interruptions, connected: str) -> None:
    """Look once a second: "+" is a connection, "-" is none."""
    for each in connected:
        found.look(each == "+")
        await clock.advance(1)


@in_loop
async def test_the_report_tells_for_how_long_no_server_was_there(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    found = interruptions(clock)
    await looked(clock, found, "++-+")  # one connection is replaced by another
    assert found.notes == () and not caplog.records
    await looked(clock, found, "-----")
    (note,) = found.notes
    assert str(note).startswith("1 interruption of the connection to Kafka, first in a:1 at 20")
    assert str(note).endswith("+00:00; 5 s in all, the last one until the end of the run")
    await looked(clock, found, "++---+-")
    (note,) = found.notes
    assert note.count == 2 and note.first.endswith("; 10 s in all") and not note.lost
    assert [record.getMessage().split(" to Kafka")[0] for record in caplog.records] == [
        "source: no connection",
        "source: connected",
    ] * 2
    assert "after 6 s" in caplog.records[1].getMessage()


@in_loop
async def test_any_open_connection_will_do() -> None:
    clock = ManualClock()
    found = interruptions(clock)
    state = {"a": False, "b": True}
    connections = {name: SimpleNamespace(connected=lambda name=name: state[name]) for name in state}
    client: Any = SimpleNamespace(_conns=connections)
    task = asyncio.create_task(found.run(client))
    for _ in range(5):
        await clock.advance(1)
    assert found.notes == ()
    state["b"] = False
    for _ in range(5):
        await clock.advance(1)
    assert found.notes[0].count == 1
    task.cancel()
