"""The input of a stage that runs on a device: small batches that wait together become one."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable

from arrowstream.core.batch import Batch, Element, joined_batch
from arrowstream.metrics.counters import Queue
from arrowstream.plan.placement.device_choice import DevicePlacement
from arrowstream.runtime.flow.ports import ChannelInput, Received


class JoiningInput:
    """A channel's receiving end that joins the batches in it, as far as the stage gains by it.

    A batch never waits for another one, and none passes a mark. Rows that are on a device already are left as they
    are. The joined batch has the position of every row, and the ingest time of the first batch.

    Parameters
    ----------
    source
        The channel's receiving end.
    placement
        The choice of the stage after it, which says up to how many rows batches are joined.
    """

    __slots__ = ("_placement", "_source", "_waiting", "queue")

    blocking = False

    def __init__(self, source: ChannelInput, placement: DevicePlacement) -> None:
        self._source = source
        self._placement = placement
        self._waiting: deque[Element] = deque()
        """Elements that have left the channel: batches that were too few to join, and a mark after them."""
        self.queue: Queue = source.queue

    async def receive(self) -> Element | None:
        """Return the next element, with batches joined; None at the end of the stream."""
        return self._joined(self._waiting.popleft() if self._waiting else await self._source.receive())

    def begin_receive(self) -> Received:
        """Return the next element, or None at the end of the stream; an awaitable while the channel is empty."""
        if self._waiting:
            return self._joined(self._waiting.popleft())
        received = self._source.begin_receive()
        if not isinstance(received, Batch) and isinstance(received, Awaitable):
            return self._later(received)
        return self._joined(received)

    async def _later(self, received: Awaitable[Element | None]) -> Element | None:
        return self._joined(await received)

    def _joined(self, first: Element | None) -> Element | None:
        """Return an element, joined with the batches that wait after it if that pays."""
        if not isinstance(first, Batch) or not (up_to := self._placement.joins_up_to()):
            return first
        if first.num_rows >= up_to or not self._in_host_memory(first):
            return first
        count, rows = 1, first.num_rows
        while rows < up_to and (element := self._peek(count - 1)) is not None:
            if not isinstance(element, Batch) or not self._in_host_memory(element):
                break
            count, rows = count + 1, rows + element.num_rows
        # Fewer rows stay with the host, unless the stage is pinned: joining them would only copy.
        if count == 1 or (rows < up_to and not self._placement.is_pinned):
            return first
        batches = [first]
        while len(batches) < count:
            element = self._waiting.popleft()
            assert isinstance(element, Batch)
            batches.append(element)
        return joined_batch(batches)

    def whole(self) -> Batch | None:
        """Return the batch that waits next if it is in host memory and will not be joined with others.

        What it is brought to is kept by this input alone, and not by other branches that wait with the same batch.
        """
        element = self._peek(0)
        if not isinstance(element, Batch) or element.num_rows < self._placement.joins_up_to():
            return None
        if not self._in_host_memory(element):
            return None
        self._waiting[0] = alone = element.apart()
        return alone

    def _peek(self, number: int) -> Element | None:
        """Return a waiting element by its number, taken from the channel if need be; None if fewer wait."""
        if number == len(self._waiting) and (element := self._source.poll()) is not None:
            self._waiting.append(element)
        return self._waiting[number] if number < len(self._waiting) else None

    def _in_host_memory(self, batch: Batch) -> bool:
        return None in self._placement.link.entrance.memories(batch)
