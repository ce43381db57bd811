"""Where elements come from and go to: two protocols, and the two ends of a channel in this form."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from arrowstream.core.batch import Element
from arrowstream.core.channel import Receiver, Sender, channel
from arrowstream.metrics.counters import Queue, StageCounters

CHANNEL_BATCHES = 2
"""Batches between two stages: enough to keep both busy, little enough to keep memory small."""

CHANNEL_BYTES = 256 * 2**20
"""Bytes between two stages: the bound of memory where batches are large."""


class InputPort(Protocol):
    """Where the elements of a line come from."""

    @property
    def blocking(self) -> bool:
        """Whether `receive` waits for a worker thread."""
        ...

    @property
    def queue(self) -> Queue | None:
        """The statistics of the queue in front, if there is one."""
        ...

    async def receive(self) -> Element | None:
        """The next element; None at the end of the stream."""
        ...


class OutputPort(Protocol):
    """Where the elements of a line go."""

    @property
    def blocking(self) -> bool:
        """Whether `send` waits for a worker thread, so that it should have a separate task."""
        ...

    @property
    def counters(self) -> StageCounters | None:
        """The counters of the sink or router, if it is one."""
        ...

    async def send(self, element: Element) -> None:
        """Take an element, waiting while there is no capacity for it."""
        ...

    async def end(self) -> None:
        """Take the end of the stream: all elements have been sent."""
        ...


@dataclass(frozen=True, slots=True)
class ChannelLimits:
    """Capacity of the channel between two stages that ask for no other one.

    Parameters
    ----------
    batches
        Elements it holds.
    nbytes
        Bytes it holds.
    """

    batches: int = CHANNEL_BATCHES
    nbytes: int = CHANNEL_BYTES

    def channel(self, batches: int | None = None) -> tuple[ChannelOutput, ChannelInput]:
        """A channel with these limits, or with another capacity in batches."""
        sender: Sender[Element]
        receiver: Receiver[Element]
        sender, receiver = channel(batches or self.batches, nbytes=self.nbytes)
        return ChannelOutput(sender), ChannelInput(receiver)


class ChannelInput:
    """The receiving end of a channel."""

    __slots__ = ("_receiver", "queue")

    blocking = False

    def __init__(self, receiver: Receiver[Element]) -> None:
        self._receiver = receiver
        self.queue: Queue = receiver.statistics

    async def receive(self) -> Element | None:
        return await anext(self._receiver, None)


class ChannelOutput:
    """The sending end of a channel."""

    __slots__ = ("_sender", "send")

    blocking = False
    counters = None

    def __init__(self, sender: Sender[Element]) -> None:
        self._sender = sender
        # Not a method that calls it: an element passes here once a hop.
        self.send: Callable[[Element], Coroutine[Any, Any, None]] = sender.send

    async def end(self) -> None:
        self._sender.close()


class ReplayInput:
    """Elements that were read already, then those of the port they came from.

    Once they are used up, `receive` is that of the port itself.
    """

    __slots__ = ("_elements", "_source", "blocking", "queue", "receive")

    def __init__(self, elements: Sequence[Element], source: InputPort) -> None:
        self._elements = list(reversed(elements))
        self._source = source
        self.blocking = source.blocking
        self.queue = source.queue
        self.receive: Callable[[], Coroutine[Any, Any, Element | None]] = self._replay
        self._drop_when_empty()

    async def _replay(self) -> Element | None:
        element = self._elements.pop()
        self._drop_when_empty()
        return element

    def _drop_when_empty(self) -> None:
        if not self._elements:
            self.receive = self._source.receive


class Broadcast:
    """Every element goes to all of several ports, in their order."""

    __slots__ = ("_ports",)

    blocking = False
    counters = None

    def __init__(self, ports: Sequence[OutputPort]) -> None:
        self._ports = tuple(ports)

    async def send(self, element: Element) -> None:
        for port in self._ports:
            await port.send(element)

    async def end(self) -> None:
        for port in self._ports:
            await port.end()
