"""Event time by partition of the source: the least of all that are not idle."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from arrowstream.core.batch import Batch, Element, Idle, Watermark
from arrowstream.core.event_time import EventTime
from arrowstream.core.notes import ReaderNote, joined_notes
from arrowstream.core.step_context import StepContext
from arrowstream.operators.base import TimedProcess
from arrowstream.operators.event_time.latest_time import LatestTime
from arrowstream.state.snapshot import SnapshotFormat

_FORMAT = SnapshotFormat("event time by partition", 1)


class _Partition:
    """The event time of one partition.

    Attributes
    ----------
    time : LatestTime
        The time of its rows.
    seen_ns : int
        Time that had been spent waiting for input when its last row came.
    idle : bool
        True if it is left aside.
    """

    __slots__ = ("idle", "seen_ns", "time")

    def __init__(self, time: LatestTime, seen_ns: int) -> None:
        self.time = time
        self.seen_ns = seen_ns
        self.idle = False


class PartitionedTime(TimedProcess):
    """The least event time of the partitions, each advanced by its own rows; idle ones are left aside.

    A backlog that is read at different speeds makes no row late that way. As for a whole stream, only time spent
    waiting for input counts as idleness: a partition whose rows wait in a queue is not idle.
    """

    __slots__ = ("_context", "_operator", "_partitions", "_past_notes", "_sent_us", "_since_ns", "_waited_ns")

    def __init__(self, operator: EventTime, context: StepContext) -> None:
        self._operator = operator
        self._context = context
        self._partitions: dict[str, _Partition] = {}
        self._past_notes: tuple[ReaderNote, ...] = ()
        """Notes about partitions that have left."""
        self._sent_us: int | None = None
        self._waited_ns = 0
        self._since_ns: int | None = None

    @property
    def notes(self) -> tuple[ReaderNote, ...]:
        own = (note for partition in self._partitions.values() for note in partition.time.notes)
        return joined_notes((*self._past_notes, *own))

    def set_time(self, now_ns: int) -> None:
        if self._since_ns is not None:
            self._waited_ns += now_ns - self._since_ns
            self._since_ns = None

    def on_waiting(self, now_ns: int) -> None:
        self._since_ns = now_ns

    @property
    def deadline_ns(self) -> int | None:
        idle_ns = self._operator.idle_ns
        if idle_ns is None or self._since_ns is None:
            return None
        busy = [partition.seen_ns for partition in self._partitions.values() if not partition.idle]
        return min(busy) + idle_ns - self._waited_ns + self._since_ns if busy else None

    def process(self, batch: Batch) -> Iterator[Element]:
        yield batch
        start = 0
        for rows, place in batch.pieces():
            if rows:
                partition = self._partition("" if place is None else place.origin)
                partition.time.advance(batch.slice(start, rows))
                partition.seen_ns, partition.idle = self._waited_ns, False
            start += rows
        yield from self._watermark()

    def on_timer(self, now_ns: int) -> Iterator[Element]:
        idle_ns = self._operator.idle_ns
        assert idle_ns is not None
        for partition in self._partitions.values():
            partition.idle |= self._waited_ns - partition.seen_ns >= idle_ns
        yield from self._watermark()
        if all(partition.idle for partition in self._partitions.values()):
            if self._operator.advance_when_idle:
                yield from self._advance(idle_ns)
            yield Idle()

    def on_partitions(self, origins: frozenset[str]) -> Iterator[Element]:
        gone = [partition for name, partition in self._partitions.items() if name not in origins]
        self._past_notes += tuple(note for partition in gone for note in partition.time.notes)
        kept = {name: partition for name, partition in self._partitions.items() if name in origins}
        self._partitions = kept
        for name in sorted(origins - kept.keys()):
            self._partition(name)
        yield from self._watermark()
        # Without a busy partition no timer would say so, and a merge would wait for ever.
        if all(partition.idle for partition in kept.values()):
            yield Idle()

    def on_watermark(self, time_us: int) -> Iterator[Element]:
        """Drop watermarks of earlier steps: from here on this column is the event time."""
        return iter(())

    def snapshot(self) -> Iterator[pa.RecordBatch]:
        times = {name: partition.time.latest_us for name, partition in self._partitions.items()}
        return _FORMAT.write(times=times, sent_us=self._sent_us)

    def restore(self, batches: Iterator[pa.RecordBatch]) -> None:
        values, _ = _FORMAT.read(batches)
        for name, latest_us in values["times"].items():
            self._partition(name).time.latest_us = latest_us
        self._sent_us = values["sent_us"]

    def finish(self) -> Iterator[Element]:
        return iter(())

    def _partition(self, name: str) -> _Partition:
        found = self._partitions.get(name)
        if found is None:
            found = _Partition(LatestTime(self._operator, self._context), self._waited_ns)
            self._partitions[name] = found
        return found

    def _watermark(self) -> Iterator[Element]:
        """Yield the least time of the partitions that are not idle, if all of them have one and it is later."""
        times = [partition.time.latest_us for partition in self._partitions.values() if not partition.idle]
        known = [time for time in times if time is not None]
        if known and len(known) == len(times):
            yield from self._sent(min(known))

    def _advance(self, idle_ns: int) -> Iterator[Element]:
        """Let the times of all partitions, which are idle, advance by the silence; the latest one is the stream's."""
        for partition in self._partitions.values():
            if partition.time.latest_us is not None:
                partition.time.latest_us += idle_ns // 1_000
            partition.seen_ns, partition.idle = self._waited_ns, False
        known = [partition.time.latest_us for partition in self._partitions.values()]
        latest = max((time for time in known if time is not None), default=None)
        if latest is not None:
            yield from self._sent(latest)

    def _sent(self, latest_us: int) -> Iterator[Element]:
        time_us = latest_us - self._operator.lateness_us
        if self._sent_us is None or time_us > self._sent_us:
            self._sent_us = time_us
            yield Watermark(time_us)
