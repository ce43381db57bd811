"""The queue before a stage with several inputs, which gets each element with its port."""

from __future__ import annotations

from dataclasses import dataclass

from arrowstream.core.batch import Barrier, Batch, Element, Idle, Watermark
from arrowstream.core.channel import Receiver, Sender, channel
from arrowstream.metrics.counters import Queue
from arrowstream.runtime.flow.alignment import Alignment
from arrowstream.runtime.flow.ports import ChannelLimits


@dataclass(frozen=True, slots=True)
class FromPort:
    """An element of an input, or its end.

    Parameters
    ----------
    port
        Number of the input; a barrier, which all open inputs have delivered, has port 0.
    element
        The element; None at the end of the input.
    """

    port: int
    element: Element | None

    @property
    def nbytes(self) -> int:
        """Size of the rows in bytes, which the queue's capacity bounds."""
        return self.element.nbytes if isinstance(self.element, Batch) else 0


class PortQueue(Alignment):
    """Both ends of the queue: a port for each input, and `receive` for the stage.

    Batches, watermarks and `Idle` pass as they come, with their port; a barrier passes once, when every open input
    has delivered it.

    Parameters
    ----------
    inputs
        Number of inputs.
    limits
        Capacity of the queue.
    """

    def __init__(self, inputs: int, limits: ChannelLimits) -> None:
        super().__init__(inputs)
        self._sender: Sender[FromPort]
        self._receiver: Receiver[FromPort]
        self._sender, self._receiver = channel(limits.batches, nbytes=limits.nbytes)
        self.queue: Queue = self._receiver.statistics

    async def receive(self) -> FromPort | None:
        """Return the next element and its port; None when every input has ended."""
        return await anext(self._receiver, None)

    async def _take(self, number: int, element: Batch | Watermark | Idle) -> None:
        await self._sender.send(FromPort(number, element))

    async def _pass_barrier(self, barrier: Barrier) -> None:
        await self._sender.send(FromPort(0, barrier))

    async def _end(self, number: int) -> None:
        await self._sender.send(FromPort(number, None))

    async def _end_all(self) -> None:
        self._sender.close()
