"""The parts of a reader by themselves: rows that wait, progress, the watch, decoding."""

import asyncio
from collections import deque
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from aiokafka.errors import CommitFailedError, KafkaConnectionError, KafkaError, OffsetOutOfRangeError
from contexts import context
from kafka_readers import ZEROS_BYTES, chunk_of_zeros, in_loop

from arrowstream.errors import SourceError
from arrowstream.io.kafka.columns import SourceColumns, columns_of
from arrowstream.io.kafka.partition_name import Partition
from arrowstream.io.kafka.reading import decode as decode_module
from arrowstream.io.kafka.reading import partition_rows
from arrowstream.io.kafka.reading.client import ConsumerClient
from arrowstream.io.kafka.reading.consumer import close_consumer, failure
from arrowstream.io.kafka.reading.decode import decode, ends_between_batches, guessed_bytes, in_order
from arrowstream.io.kafka.reading.fetch import Chunk, FetchedBytes, offset_after, share_bytes, whole_batches
from arrowstream.io.kafka.reading.partition_offsets import PartitionOffsets
from arrowstream.io.kafka.reading.partition_rows import PartitionRows, take_batch
from arrowstream.io.kafka.reading.server_offsets import check_ends, first_offsets
from arrowstream.io.kafka.reading.watch import Watch
from arrowstream.io.kafka.records.compression import Codec
from arrowstream.io.kafka.start import Start
from arrowstream.io.kafka.subscription import Subscription
from arrowstream.io.kafka.topics import Topics
from arrowstream.testing import ManualClock

pytestmark = pytest.mark.once
A, B = ("t", 0), ("t", 1)


def part(partition: Partition, *offsets: int, next_offset: int | None = None) -> PartitionRows:
    values = pa.array([b"%d" % offset for offset in offsets], pa.large_binary())
    places = np.array(offsets, np.int64)
    after = (offsets[-1] + 1 if offsets else 0) if next_offset is None else next_offset
    return PartitionRows(partition, SourceColumns().batch(partition, values, {}), places, after)


def test_parts_that_fit_are_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = deque([part(A, 0, 1), part(B, 5, 7), part(A, next_offset=9), part(A, 9)])
    batch, taken = take_batch(waiting)
    assert batch is not None and not waiting and len(taken) == 4
    assert batch.polars()["value"].to_list() == [b"0", b"1", b"5", b"7", b"9"]
    assert str(batch.position) == "t[0] offsets 0-2 to t[0] offsets 9-10"
    assert batch.position is not None
    assert [place.exact for _, place in batch.position.pieces(5)] == [True, False, True]
    assert take_batch(deque([part(A, next_offset=3)]))[0] is None
    monkeypatch.setattr(partition_rows, "BATCH_ROWS", 3)
    waiting = deque([part(A, 0, 1), part(B, 0, 1), part(B, 2)])
    assert [take_batch(waiting)[0].num_rows for _ in range(2)] == [2, 3]  # type: ignore[union-attr]
    pieces = list(part(A, 0, 1, 2, 4, 9, 10, 11, next_offset=20).for_batches())
    assert [piece.offsets.tolist() for piece in pieces] == [[0, 1, 2], [4, 9, 10], [11]]
    assert [piece.next_offset for piece in pieces] == [3, 11, 20]
    assert [piece.next_offset for piece in part(A, next_offset=4).for_batches()] == [4]
    monkeypatch.setattr(partition_rows, "BATCH_BYTES", 20)
    assert all(piece.rows.nbytes < 30 for piece in part(A, *range(100, 110)).for_batches())
    assert [len(piece.offsets) for piece in part(A, 1).for_batches()] == [1]


def test_rows_before_an_end() -> None:
    whole = part(A, 0, 1, 5, 6, next_offset=9)
    assert whole.before(9) is whole
    assert (whole.before(5).offsets.tolist(), whole.before(5).next_offset) == ([0, 1], 5)
    assert (whole.before(8).offsets.tolist(), whole.before(8).next_offset) == ([0, 1, 5, 6], 8)


def test_progress() -> None:
    progress = PartitionOffsets()
    progress.begin({A: 5, B: 0}, {A: 8, B: 0})
    assert progress.unfinished == {A} and progress.rebalances == 0
    assert not progress.advance(A, 7)
    assert progress.unacknowledged({A: 7, B: 0, ("t", 2): 4}) == {A: 7}
    assert progress.lag({A: 10}) == {A: 3}
    assert progress.keep([A, ("t", 2)], {A: 6}) == {A: 7}
    assert progress.keep([A], {A: 9}) == {A: 9}
    assert progress.advance(A, 8) and not progress.advance(A, 9)
    progress.acknowledged[A] = 7
    progress.begin({B: 0}, {B: 99})
    assert (progress.rows_given_away, progress.rebalances) == (2, 1)
    assert progress.ends[B] == 0 and progress.offsets == {B: 0}
    progress.begin({A: 12, B: 0}, {})
    assert progress.next[A] == progress.acknowledged[A] == 12
    check_ends({A: 5}, {A: 5})
    with pytest.raises(SourceError, match=r"t\[0\] would start after its end"):
        check_ends({A: 6}, {A: 5})


class Consumer:
    """A consumer that is stuck: it has records, and gives none."""

    end: int | Exception = 10
    _fetcher = _client = None

    def __init__(self) -> None:
        self.closed = 0

    async def end_offsets(self, partitions: list[Any]) -> dict[Any, int]:
        if isinstance(self.end, Exception):
            raise self.end
        return dict.fromkeys(partitions, self.end)

    async def stop(self) -> None:
        raise KafkaError("no coordinator")


@in_loop
async def test_the_watch_ends_a_consumer_that_is_stuck() -> None:
    clock, consumer, progress = ManualClock(), Consumer(), PartitionOffsets()
    failures: list[SourceError] = []
    progress.begin({A: 4}, {})
    watch = Watch(clock, consumer, progress, 60, failures.append)
    watch.begin_read()
    running = asyncio.create_task(watch.run())
    for _ in range(59):
        await clock.advance(1)
    assert not failures
    watch.moved()
    consumer.end = 4  # nothing to read: waiting for an hour is no failure
    for _ in range(20):
        await clock.advance(10)
    consumer.end = 11
    await clock.advance(6)
    consumer.end = KafkaConnectionError("gone")
    for _ in range(70):
        await clock.advance(1)
    assert "t[0] at 4, 7 before its end" in str(failures[0])
    assert "the server did not answer: KafkaConnectionError" in str(failures[0])
    running.cancel()


@in_loop
async def test_a_consumer_that_cannot_be_closed_is_dropped() -> None:
    consumer: Any = Consumer()

    class Inside:
        async def close(self) -> None:
            consumer.closed += 1
            raise KafkaError

    consumer._client = Inside()
    await close_consumer(consumer)
    assert consumer.closed == 1
    consumer._fetcher = Inside()
    await close_consumer(consumer)
    assert consumer.closed == 3


@in_loop
async def test_closing_is_cancelled_by_the_caller_only() -> None:
    class Endless(Consumer):
        async def stop(self) -> None:
            await asyncio.sleep(60)

    task = asyncio.create_task(close_consumer(Endless()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_errors_of_the_library_say_where() -> None:
    error = failure(OffsetOutOfRangeError(), {A: 5}, "a:1")
    assert "t[0] at 5" in str(error) and "start='earliest'" in str(error)
    assert "an answer of the servers" in str(failure(KafkaError("x"), {}, "a:1"))


class Committing:
    """A consumer whose commit fails."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def commit(self, offsets: object) -> None:
        raise self.error


@in_loop
async def test_a_commit_that_fails() -> None:
    client = ConsumerClient(Subscription("a:1", Topics(("t",))), context(), PartitionOffsets(), lambda: None)
    client.consumer = Committing(CommitFailedError())
    assert not await client.commit({A: 5})
    client.consumer = Committing(KafkaError("no"))
    with pytest.raises(SourceError, match="reading from Kafka at a:1 failed"):
        await client.commit({A: 5})


@in_loop
async def test_a_time_after_the_last_record() -> None:
    class Times:
        async def offsets_for_times(self, times: dict[Any, int]) -> dict[Any, None]:
            return dict.fromkeys(times)

        async def end_offsets(self, partitions: list[Any]) -> dict[Any, int]:
            return dict.fromkeys(partitions, 9)

    assert await first_offsets(Times(), Start("earliest", ((0, 3),), time_ms=5), [A, B]) == {A: 3, B: 9}


# ---- fetched bytes -----------------------------------------------------------------------------------


def header(base: int, last: int) -> bytes:
    """A record batch without records, as compaction leaves it."""
    empty = bytearray(61)
    empty[0:8] = base.to_bytes(8, "big")
    empty[8:12] = (49).to_bytes(4, "big")
    empty[16] = 2
    empty[23:27] = last.to_bytes(4, "big")
    return bytes(empty)


def test_offsets_of_batches_are_in_their_headers() -> None:
    data = header(10, 4) + header(15, 0) + header(20, 9)
    assert offset_after(data, 12) == 30
    assert offset_after(data[:-1], 12) == 16
    assert offset_after(b"", 7) == 7
    assert [whole_batches(data, end) for end in (10, 12, 15, 16, 18, 25, 30)] == [10, 15, 15, 16, 18, 30, 30]
    chunk = Chunk(data, 10, 30, None)
    assert ends_between_batches({A: 25, B: 4}, [(A, chunk), (A, object())]) == {A: 30, B: 4}
    assert FetchedBytes(data).has_next() and not FetchedBytes(data[:60]).has_next()
    assert FetchedBytes(data).size_in_bytes() == 183


def test_partitions_share_what_may_wait() -> None:
    fetcher = SimpleNamespace()
    shares = []
    for partitions in (0, 1, 8, 16, 100, 5_000):
        share_bytes(fetcher, partitions)
        shares.append(fetcher._max_partition_fetch_bytes // 1024)
    assert shares == [4096, 4096, 2048, 1024, 163, 64]


def test_what_a_poll_returned_is_decoded_in_order() -> None:
    first, second = Chunk(header(0, 0), 0, 1, None), Chunk(header(1, 4)[:22] + b"\x04", 1, 6, None)
    records = [object(), object()]
    found = in_order({A: [first, second], B: records})
    assert found == [(A, first), (A, second), (B, records)]
    assert guessed_bytes(found) == 61 + 8 * 23
    assert in_order({}) == [] and guessed_bytes([]) == 0


@pytest.mark.parametrize("codec", Codec)
def test_a_step_decodes_no_more_than_its_bytes_and_a_batch(
    codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = 300_000
    monkeypatch.setattr(decode_module, "STEP_BYTES", step)
    chunk = chunk_of_zeros(codec, 20)
    rest: Any = [(A, chunk), (B, chunk)]
    found: dict[Partition, list[int]] = {A: [], B: []}
    while rest:
        parts, rest = decode(rest, columns_of(["offset"]), {B: 250}, max_decompressed_bytes=2 * ZEROS_BYTES)
        assert 0 < sum(each.rows.nbytes for each in parts) < step + 1.2 * ZEROS_BYTES
        for each in parts:
            assert len(each.offsets), "nothing is decoded of what comes after an end"
            found[each.partition] += each.rows["offset"].to_pylist()
    assert found == {A: list(range(320)), B: list(range(250))}


def test_damaged_records_are_named() -> None:
    data = header(5, 0)[:16] + b"\x07" + header(5, 0)[17:]
    with pytest.raises(SourceError, match=r"records of t\[0\] cannot be read") as caught:
        decode([(A, Chunk(data, 5, 5, None))], columns_of(()), {}, max_decompressed_bytes=1000)
    assert caught.value.position == "t[0] offsets from 5" and "magic" in str(caught.value)
