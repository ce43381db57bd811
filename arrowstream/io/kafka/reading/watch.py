"""What is looked after while a Kafka reader runs: a consumer that is stuck, a pipeline that does not read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from aiokafka.errors import KafkaError

from arrowstream.core.clock import Clock
from arrowstream.errors import SourceError
from arrowstream.io.kafka.partition_name import Partition, partition_name
from arrowstream.io.kafka.reading.partition_offsets import PartitionOffsets
from arrowstream.io.kafka.reading.server_offsets import end_offsets

TICK_SECONDS: Final = 1.0
"""Time between two looks."""

ASK_AFTER_SECONDS: Final = 5.0
"""Time without a record after which the server is asked for the ends of the partitions, and again each time."""

KEEP_ALIVE_SECONDS: Final = 20.0
"""Time without a read after which the consumer is polled, so that its group keeps it; fetching is paused."""


class Watch:
    """Looks at a reader once a second.

    Parameters
    ----------
    clock
        The run's clock.
    consumer
        aiokafka's consumer.
    progress
        What the reader has handed out.
    stuck_after
        Seconds without progress, while there are records to read, after which the reader fails.
    on_failure
        Called with the error of a consumer that is stuck.

    Attributes
    ----------
    ends : dict
        The last known end of each partition.
    """

    def __init__(
        self,
        clock: Clock,
        consumer: Any,
        progress: PartitionOffsets,
        stuck_after: float,
        on_failure: Callable[[SourceError], None],
    ) -> None:
        self._clock = clock
        self._consumer = consumer
        self._progress = progress
        self._stuck_after_ns = round(stuck_after * 1e9)
        self._on_failure = on_failure
        self._reading = False
        self._moved_ns = self._asked_ns = self._left_ns = self._polled_ns = clock.now_ns()
        self._seen = ""
        self.ends: dict[Partition, int] = {}
        self.paused = False

    def begin_read(self) -> None:
        """Note that the pipeline waits for rows."""
        if self.paused:
            self.paused = False
            self._consumer.resume(
                *(each for each in self._consumer.paused() if not self._progress.is_over(each))
            )
        self._reading = True
        # Time in which the pipeline did not wait for rows is not the consumer's.
        away_ns = self._clock.now_ns() - self._left_ns
        self._moved_ns += away_ns
        self._asked_ns += away_ns

    def end_read(self) -> None:
        """Note that the pipeline has got rows or a mark, or has given up waiting."""
        self._reading = False
        self._left_ns = self._polled_ns = self._clock.now_ns()

    def moved(self) -> None:
        """Note that the reader is not stuck: records have come from the server."""
        self._moved_ns = self._asked_ns = self._clock.now_ns()

    async def run(self) -> None:
        """Look once a second, until cancelled."""
        while True:
            await self._clock.sleep(TICK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Ask for ends where no record comes, fail if the consumer is stuck, keep an idle one alive."""
        now = self._clock.now_ns()
        if not self._reading:
            if now - self._polled_ns >= KEEP_ALIVE_SECONDS * 1e9:
                await self._keep_alive()
                self._polled_ns = self._clock.now_ns()
        elif now - self._asked_ns >= ASK_AFTER_SECONDS * 1e9:
            self._asked_ns = now
            await self._ask()
            waiting = {name: lag for name, lag in self._progress.lag(self.ends).items() if lag}
            if not waiting:
                self._moved_ns = now
            elif now - self._moved_ns >= self._stuck_after_ns:
                self._on_failure(self._stuck((now - self._moved_ns) / 1e9, waiting))

    async def _ask(self) -> None:
        try:
            self.ends |= await end_offsets(self._consumer, self._progress.unfinished)
            self._seen = "the server answers"
        except KafkaError as error:
            self._seen = f"the server did not answer: {type(error).__name__}: {error}"

    async def _keep_alive(self) -> None:
        self.paused = True
        self._consumer.pause(*self._consumer.assignment())
        await self._consumer.getmany(timeout_ms=0)

    def _stuck(self, seconds: float, lag: Mapping[Partition, int]) -> SourceError:
        offsets = self._progress.offsets
        behind = [
            f"{partition_name(each)} at {offsets[each]}, {rows} before its end" for each, rows in lag.items()
        ]
        return SourceError(
            f"no record came from Kafka for {seconds:.0f} s, although there are some",
            expected="records",
            found=f"{'; '.join(behind)}; {self._seen}",
            hint="the consumer is stuck, perhaps after a restart of a server: run again, from the committed offsets",
        )
