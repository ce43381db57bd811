"""Where a line of stages begins and ends, and what may wait between two of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from arrowstream.core.batch import Element
from arrowstream.core.channel import Receiver, Sender
from arrowstream.metrics.counters import Queue, StageCounters
from arrowstream.runtime.stage import Emit
from arrowstream.runtime.task_loop import End, Read

CHANNEL_BATCHES = 2
"""Batches between two stages: enough to keep both busy, little enough to keep memory small."""

CHANNEL_BYTES = 256 * 2**20
"""Bytes between two stages: what bounds memory where batches are large."""


@dataclass(frozen=True, slots=True)
class Room:
    """What may wait between two stages, where nothing else was asked for: batches, and their bytes."""

    batches: int = CHANNEL_BATCHES
    nbytes: int = CHANNEL_BYTES


@dataclass(frozen=True, slots=True)
class Goal:
    """Where the elements of a line go in the end.

    Parameters
    ----------
    emit, end
        Take an element; take the end of the stream.
    blocks
        Whether `emit` waits for a thread, so that it deserves a task of its own.
    counters
        Those of the sink, if it is one.
    """

    emit: Emit
    end: End
    blocks: bool
    counters: StageCounters | None = None


@dataclass(frozen=True, slots=True)
class Feed:
    """Where the elements of a line come from.

    Parameters
    ----------
    read
        The next element.
    blocks
        Whether `read` waits for a thread.
    queue
        What waits to be read, if it is a channel.
    """

    read: Read
    blocks: bool = False
    queue: Queue | None = None

    @classmethod
    def of(cls, receiver: Receiver[Element]) -> Feed:
        """The elements of a channel."""
        return cls(partial(receive, receiver), queue=receiver.statistics)


async def receive(receiver: Receiver[Element]) -> Element | None:
    """The next element of a channel; None at the end of the stream."""
    return await anext(receiver, None)


async def close(sender: Sender[Element]) -> None:
    """End the stream of a channel."""
    sender.close()


async def nothing() -> None:
    """What there is to do at the end of a stream that only counts."""
    return
