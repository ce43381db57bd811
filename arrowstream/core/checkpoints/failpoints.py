"""Failpoints: named places where tests end the process, to prove that a restart loses and doubles nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum


class Failpoint(Enum):
    """Every place where a kill is tested, in the order in which an epoch passes them."""

    STATE_WRITTEN = "the state of a step is written, but not yet flushed to the disk"
    STATE_SAVED = "a piece of state is on the disk"
    FILES_STAGED = "the files of an epoch are on the disk, but without their final names"
    KAFKA_LOG_FLUSHED = (
        "the record batches of an epoch are in a log on the disk, which does not have its name yet"
    )
    LAKE_FILES_WRITTEN = "the data files of an epoch are on the disk, but not noted as prepared"
    SINK_PREPARED = "a sink has prepared its epoch"
    MANIFEST_WRITTEN = "the manifest has its content, but not its name"
    MANIFEST_NAMED = "the manifest has its name: the epoch is complete"
    FILES_PART_NAMED = "a part file of an epoch has its final name, but perhaps not the others"
    FILES_NAMED = "the part files of an epoch have their final names, but the commit is not noted"
    FILES_CUT = "a text file ends where the epoch begins"
    FILES_APPENDED = "the rows of an epoch are at the end of a text file, but perhaps not on the disk"
    KAFKA_EPOCH_SENT = "a transaction has the number of its epoch, and is still open"
    KAFKA_COMMITTED = "a transaction is committed, and its log is still there"
    DATABASE_EPOCH_STORED = "a transaction has the number of its epoch next to the rows, and is still open"
    DATABASE_COMMITTED = "a transaction of a database is committed, and the log of its rows is still there"
    LAKE_COMMITTED = "the data files of an epoch are part of the table, and still noted as prepared"
    SINK_COMMITTED = "a sink has committed its epoch"
    EPOCH_MARKED = "the epoch is marked as committed"
    EPOCH_DROPPED = "an old epoch has lost its manifest, but not its state"
    ATTEMPT_COUNTED = "a run has taken the folder"
    SINK_RECOVERED = "a sink has committed what an earlier run had prepared"


_on_reach: list[Callable[[Failpoint], None]] = []


def reach(point: Failpoint) -> None:
    """Call the functions of tests that wait for a failpoint; without tests, do nothing."""
    for call in tuple(_on_reach):
        call(point)


@contextmanager
def on_reach(call: Callable[[Failpoint], None]) -> Iterator[None]:
    """Call a function, on any thread, whenever a failpoint is reached within the block."""
    _on_reach.append(call)
    try:
        yield
    finally:
        _on_reach.remove(call)
