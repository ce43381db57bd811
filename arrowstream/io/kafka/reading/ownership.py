"""Which partitions a consumer owns, as the group or the reader itself says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from aiokafka.abc import ConsumerRebalanceListener

from arrowstream.io.kafka.partition_name import Partition


class Ownership(ConsumerRebalanceListener):
    """The partitions of a consumer, with a generation for each change.

    aiokafka logs what a listener raises and goes on; here it is kept, and the reader raises it.

    Parameters
    ----------
    on_change
        Called at each change, before new partitions are read.

    Attributes
    ----------
    generation : int
        Number of changes so far.
    partitions : frozenset or None
        The partitions; None before the first assignment and while the group rebalances.
    changed : asyncio.Future
        Done at the next change.
    failure : BaseException or None
        What `on_change` raised.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self.generation = 0
        self.partitions: frozenset[Partition] | None = None
        self.changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.failure: BaseException | None = None

    def on_partitions_revoked(self, revoked: Iterable[Partition]) -> None:
        """Own nothing until the group has agreed."""
        self.own(None)

    def on_partitions_assigned(self, assigned: Iterable[Partition]) -> None:
        """Own what the group agreed on."""
        self.own(assigned)

    def own(self, partitions: Iterable[Partition] | None) -> None:
        """Own exactly these partitions from now on."""
        self.partitions = (
            None if partitions is None else frozenset((topic, number) for topic, number in partitions)
        )
        self.generation += 1
        try:
            self._on_change()
        except BaseException as error:
            self.failure = error
        self.changed.set_result(None)
        self.changed = asyncio.get_running_loop().create_future()
