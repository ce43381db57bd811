"""Fetched bytes as they are: aiokafka's consumer without an object for each record.

aiokafka keeps connections, groups, positions and retries. Where it would build a Python object for each record of a
fetched partition, its fetcher is made to hand out the bytes: `_proc_fetch_request` of one fetcher runs with other
values of the two names `MemoryRecords` and `PartitionRecords`. Other consumers in the process are not touched. Both
names are aiokafka's own, so that `is_supported` tries them before each use.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from types import FunctionType, MethodType, SimpleNamespace
from typing import Any, Final

from aiokafka.consumer.fetcher import Fetcher
from aiokafka.structs import TopicPartition

from arrowstream.io.kafka.subscription import FETCH_BYTES

_HEADER: Final = 61
"""Bytes of the header of a record batch."""

_CODEC_AT: Final = 22
_CODEC_BITS: Final = 7
"""Where the header says how the records are compressed."""

_LEAST_BYTES: Final = 64 * 1024
_MOST_BYTES: Final = 4 * 1024 * 1024
"""Bounds of what one fetch asks of a partition. A record batch that is larger comes all the same."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one fetch returned for a partition.

    Parameters
    ----------
    data
        Record batches, one after the other; the last may be incomplete.
    fetch_offset
        Offset that was asked for: the first batch may begin before it.
    next_offset
        Offset after the last complete batch.
    aborted
        Producer id and first offset of each aborted transaction; None if all records are wanted.
    """

    data: bytes
    fetch_offset: int
    next_offset: int
    aborted: list[tuple[int, int]] | None

    @property
    def is_compressed(self) -> bool:
        """True if the first record batch is; the others mostly are as it is."""
        return bool(self.data[_CODEC_AT] & _CODEC_BITS)


class FetchedBytes:
    """In place of aiokafka's `MemoryRecords`: the bytes of a fetched partition."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    def size_in_bytes(self) -> int:
        """Return the number of bytes."""
        return len(self.data)

    def has_next(self) -> bool:
        """Return True if the first record batch is complete, or is none, which decoding reports."""
        return len(self.data) >= _HEADER and batch_size(self.data, 0) <= len(self.data)


class FetchedPartition:
    """In place of aiokafka's `PartitionRecords`: an iterator over one chunk, which moves the position behind it."""

    __slots__ = ("_chunk", "next_fetch_offset")

    def __init__(
        self,
        tp: TopicPartition,
        records: FetchedBytes,
        aborted_transactions: list[tuple[int, int]] | None,
        fetch_offset: int,
        key_deserializer: object,
        value_deserializer: object,
        check_crcs: bool,
        isolation_level: int,
    ) -> None:
        aborted = list(aborted_transactions or ()) if isolation_level else None
        after = offset_after(records.data, fetch_offset)
        self._chunk: Chunk | None = Chunk(records.data, fetch_offset, after, aborted)
        self.next_fetch_offset = fetch_offset

    def __iter__(self) -> Iterator[Chunk]:
        return self

    def __next__(self) -> Chunk:
        chunk, self._chunk = self._chunk, None
        if chunk is None:
            raise StopIteration
        self.next_fetch_offset = chunk.next_offset
        return chunk


def batch_size(data: bytes, at: int) -> int:
    """Return the size in bytes that the record batch at `at` states."""
    return 12 + int.from_bytes(data[at + 8 : at + 12], "big", signed=True)


def offset_after(data: bytes, offset: int) -> int:
    """Return the offset after the last complete record batch in `data`, or `offset` without any."""
    for _, stop in _batches(data):
        offset = max(offset, stop)
    return offset


def whole_batches(data: bytes, end: int) -> int:
    """Return the offset after the record batch that `end` cuts in two, or `end` if it cuts none.

    Servers append whole batches, so that the end of a partition is between two. The embedded broker of the tests
    and of the demo reports an end inside of the last batch.
    """
    return next((stop for base, stop in _batches(data) if base < end < stop), end)


def _batches(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the first offset of each complete record batch, and the offset after its last."""
    at = 0
    while at + _HEADER <= len(data) and (size := batch_size(data, at)) >= _HEADER and at + size <= len(data):
        base = int.from_bytes(data[at : at + 8], "big", signed=True)
        last = int.from_bytes(data[at + 23 : at + 27], "big", signed=True)
        yield base, base + last + 1
        at += size


def hand_out_bytes(fetcher: Any) -> None:
    """Make one of aiokafka's fetchers return a `Chunk` for each fetched partition."""
    fetcher._proc_fetch_request = MethodType(_processing(type(fetcher)), fetcher)


def share_bytes(fetcher: Any, partitions: int) -> None:
    """Let each of the partitions fetch its share of `FETCH_BYTES`, but no less than keeps a fetch worth its way.

    aiokafka holds one fetch of each partition until it is read, so that their sum is bounded.
    """
    fetcher._max_partition_fetch_bytes = min(
        max(FETCH_BYTES // max(partitions, 1), _LEAST_BYTES), _MOST_BYTES
    )


def _processing(kind: Any) -> FunctionType:
    original = kind._proc_fetch_request
    names = {**original.__globals__, "MemoryRecords": FetchedBytes, "PartitionRecords": FetchedPartition}
    return FunctionType(
        original.__code__, names, original.__name__, original.__defaults__, original.__closure__
    )


def is_supported() -> bool:
    """Return True if aiokafka's fetcher works as `hand_out_bytes` needs it: a fetch is made up, and read."""
    try:
        return _trial()
    except Exception:  # whatever changed, it cannot be relied on
        return False


def _trial() -> bool:
    partition = TopicPartition("topic", 0)
    header = bytearray(_HEADER)
    header[8:12] = (_HEADER - 12).to_bytes(4, "big")
    header[23:27] = (4).to_bytes(4, "big")
    state = _State()
    assignment = SimpleNamespace(active=True, state_value=lambda _: state)
    response = SimpleNamespace(API_VERSION=4, topics=[("topic", [(0, 0, 5, 5, [(1, 2)], bytes(header))])])
    fetcher = SimpleNamespace(
        _client=SimpleNamespace(send=lambda *_: _answer(response)),
        _client_rack=None,
        _records={},
        _key_deserializer=None,
        _value_deserializer=None,
        _check_crcs=True,
        _isolation_level=1,
        _prefetch_backoff=0.1,
    )
    request = SimpleNamespace(topics=[("topic", [(0, 0, 1024)])])
    running = _processing(Fetcher)(fetcher, assignment, 0, request)
    has_data, chunks = _result(running), fetcher._records[partition].getall()
    noted = [state.position, state.highwater, state.lso]
    return bool(has_data) and chunks == [Chunk(bytes(header), 0, 5, [(1, 2)])] and noted == [5, 5, 5]


class _State:
    """What aiokafka keeps for a partition."""

    paused = False
    has_valid_position = True
    position = 0
    highwater: int | None = None
    lso: int | None = None
    timestamp: int | None = None

    def consumed_to(self, position: int) -> None:
        self.position = position


async def _answer(response: object) -> object:
    return response


def _result(running: Coroutine[Any, Any, object]) -> object:
    """Return the result of a coroutine that never waits."""
    try:
        running.send(None)
    except StopIteration as stop:
        return stop.value
    running.close()
    return None
