"""Ports: the protocols of inputs and outputs, and the two ends of a channel in this form."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from arrowstream.core.batch import Element, Idle
from arrowstream.core.channel import Receiver, Sender, channel
from arrowstream.core.defaults import QUEUE_BATCHES, QUEUE_MIB
from arrowstream.metrics.counters import Queue, StageCounters

Received = Element | None | Awaitable[Element | None]
"""The next element, or None at the end of the stream, or an awaitable of one of these."""


class InputPort(Protocol):
    """The input of a line or stage, read by one task."""

    @property
    def blocking(self) -> bool:
        """True if `receive` waits for a worker thread."""
        ...

    @property
    def queue(self) -> Queue | None:
        """The statistics of the queue before it; None without a queue."""
        ...

    async def receive(self) -> Element | None:
        """Return the next element; None at the end of the stream."""
        ...

    def begin_receive(self) -> Received:
        """Return the result of `receive` if it is at hand, else an awaitable of it."""
        ...


class OutputPort(Protocol):
    """The output of a line or stage, called by one task at a time; only `end` ends the stream, a failure does not."""

    @property
    def blocking(self) -> bool:
        """True if `send` waits for a worker thread, so that it should have a separate task."""
        ...

    @property
    def counters(self) -> StageCounters | None:
        """The counters of a sink or router; None for any other output."""
        ...

    async def send(self, element: Element) -> None:
        """Take an element; wait while no capacity is left for it."""
        ...

    def begin_send(self, element: Element) -> Awaitable[None] | None:
        """Take an element and return None, or return an awaitable of what is left to do."""
        ...

    async def end(self) -> None:
        """End the stream, after all elements have been sent."""
        ...


@dataclass(frozen=True, slots=True)
class ChannelLimits:
    """Capacity of a channel between two stages, unless the stage after it asks for another one.

    Parameters
    ----------
    batches
        Capacity in elements, most of them batches.
    nbytes
        Capacity in bytes of rows.
    """

    batches: int = QUEUE_BATCHES
    nbytes: int = QUEUE_MIB * 2**20

    def channel(self, batches: int | None = None) -> tuple[ChannelOutput, ChannelInput]:
        """Return the two ends of a channel with these limits, or with another capacity in batches."""
        sender: Sender[Element]
        receiver: Receiver[Element]
        sender, receiver = channel(batches or self.batches, nbytes=self.nbytes)
        return ChannelOutput(sender), ChannelInput(receiver)


_NOTHING = Idle()
"""The answer of an empty channel, known by its identity."""


class ChannelInput:
    """The receiving end of a channel."""

    __slots__ = ("_receiver", "queue")

    blocking = False

    def __init__(self, receiver: Receiver[Element]) -> None:
        self._receiver = receiver
        self.queue: Queue = receiver.statistics

    async def receive(self) -> Element | None:
        """Return the next element; None at the end of the stream."""
        return await anext(self._receiver, None)

    def begin_receive(self) -> Received:
        """Return the next element, or None at the end of the stream; an awaitable while the channel is empty."""
        try:
            element = self._receiver.poll(_NOTHING)
        except StopAsyncIteration:
            return None
        return self.receive() if element is _NOTHING else element

    def poll(self) -> Element | None:
        """Return the next element if one waits; None if none does, or none will come."""
        try:
            element = self._receiver.poll(_NOTHING)
        except StopAsyncIteration:
            return None
        return None if element is _NOTHING else element


class ChannelOutput:
    """The sending end of a channel."""

    __slots__ = ("_sender", "send")

    blocking = False
    counters = None

    def __init__(self, sender: Sender[Element]) -> None:
        self._sender = sender
        # The bound method itself, without a call around it: every element passes here on every hop.
        self.send: Callable[[Element], Coroutine[Any, Any, None]] = sender.send

    def begin_send(self, element: Element) -> Awaitable[None] | None:
        """Put an element into the channel; return an awaitable while the channel is full."""
        return None if self._sender.offer(element) else self._sender.send(element)

    async def end(self) -> None:
        """End the stream; elements in the channel are still received."""
        self._sender.close()


class ReplayInput:
    """An input of elements that were read before, then of the port they came from.

    Once these elements are used up, `receive` is the method of the port itself, without a call around it.
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

    def begin_receive(self) -> Received:
        """Return the next of the elements; once they are used up, what the port returns."""
        return self._replay() if self._elements else self._source.begin_receive()

    def _drop_when_empty(self) -> None:
        if not self._elements:
            self.receive = self._source.receive


class WaitingOutput(ABC):
    """An output that takes every element in a coroutine."""

    __slots__ = ()

    @abstractmethod
    async def send(self, element: Element) -> None:
        """Take an element."""

    def begin_send(self, element: Element) -> Awaitable[None]:
        """Return the coroutine that takes an element."""
        return self.send(element)


class Broadcast(WaitingOutput):
    """An output that sends every element to all of several ports, in their order."""

    __slots__ = ("_ports",)

    blocking = False
    counters = None

    def __init__(self, ports: Sequence[OutputPort]) -> None:
        self._ports = tuple(ports)

    async def send(self, element: Element) -> None:
        """Send an element to every port; wait for each of them in turn."""
        for port in self._ports:
            await port.send(element)

    async def end(self) -> None:
        """End every port."""
        for port in self._ports:
            await port.end()
