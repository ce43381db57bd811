"""What a reader does when its group rebalances, with a consumer that follows a script."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from aiokafka.errors import (
    CommitFailedError,
    GroupAuthorizationFailedError,
    KafkaError,
    NoOffsetForPartitionError,
)
from aiokafka.structs import TopicPartition
from contexts import context
from kafka_readers import ZEROS_BYTES, ZEROS_ROWS, Drained, chunk_of_zeros, drain, in_loop

from arrowstream.core.batch import Batch, Partitions
from arrowstream.errors import SourceError
from arrowstream.io.kafka.columns import columns_of
from arrowstream.io.kafka.partition_name import Partition, source_position
from arrowstream.io.kafka.reading import decode as decoding
from arrowstream.io.kafka.reading import reader as reader_module
from arrowstream.io.kafka.reading import watch as watching
from arrowstream.io.kafka.reading.client import ConsumerClient
from arrowstream.io.kafka.reading.decode import warm_up
from arrowstream.io.kafka.reading.partition_offsets import PartitionOffsets
from arrowstream.io.kafka.reading.partition_rows import PartitionRows
from arrowstream.io.kafka.reading.reader import KafkaReader
from arrowstream.io.kafka.reading.watch import Watch
from arrowstream.io.kafka.records.compression import Codec
from arrowstream.io.kafka.start import Start, start_of
from arrowstream.io.kafka.subscription import Subscription
from arrowstream.io.kafka.topics import Topics
from arrowstream.testing import ManualClock

pytestmark = pytest.mark.once
A, B = ("t", 0), ("t", 1)
NONE = pa.array([], pa.int64())


class Scripted:
    """A consumer of partitions that each have records at the offsets 0 to 9."""

    def __init__(self) -> None:
        self.at: dict[Partition, int] = {}
        self.offsets: dict[Partition, int] = {}
        self.commits: list[dict[Partition, int]] = []
        self.error: Exception | None = None
        self.rows = 3
        self.first = 0
        self.end = 10
        self.fetched: tuple[int, int, int] | None = None
        """What a fetch answers: a code, the end, and the last stable offset; None for no fetches."""
        self._client = self.cluster = self
        self.gaps: set[int] = set()
        self.chunks: dict[Any, list[Any]] = {}
        self.has_data = asyncio.Event()
        self.has_data.set()

    async def end_offsets(self, partitions: Iterable[Any]) -> dict[Any, int]:
        await asyncio.sleep(0)
        return dict.fromkeys(partitions, self.end)

    def leader_for_partition(self, partition: Any) -> int:
        return 1

    async def send(self, node: int, request: Any) -> Any:
        assert node == 1 and self.fetched is not None
        [(topic, [(number, _, _)])] = request.topics
        code, end, stable = self.fetched
        rows = [(topic, [(number, code, end, stable, [], b"")])]
        return SimpleNamespace(topics=rows if code or end > self.end else [])

    async def beginning_offsets(self, partitions: Iterable[Any]) -> dict[Any, int]:
        return dict.fromkeys(partitions, self.first)

    async def committed(self, partition: Any) -> int | None:
        await asyncio.sleep(0)
        return self.offsets.get(tuple(partition))

    async def commit(self, offsets: dict[Any, int]) -> None:
        if self.error is not None:
            raise self.error
        self.commits.append({tuple(each): at for each, at in offsets.items()})
        self.offsets |= self.commits[-1]

    def assign(self, partitions: Iterable[Any]) -> None:
        self.at = {tuple(each): 0 for each in partitions}

    def seek(self, partition: Any, offset: int) -> None:
        self.at[tuple(partition)] = offset

    def pause(self, *partitions: Any) -> None:
        for each in partitions:
            self.at[tuple(each)] = 10

    def paused(self) -> set[Any]:
        return set()

    async def getmany(self, timeout_ms: int) -> dict[Any, list[Any]]:
        await self.has_data.wait()
        if self.error is not None:
            raise self.error
        found, self.chunks = self.chunks, {}
        if found:
            return found
        for partition, at in self.at.items():
            stop = min(at + self.rows, 10)
            records = [
                SimpleNamespace(offset=offset, value=b"%d" % offset, key=None, timestamp=0, headers=())
                for offset in range(at, stop)
                if offset not in self.gaps
            ]
            self.at[partition] = stop
            if records:
                found[TopicPartition(*partition)] = records
        return found


def started(
    group: str | None = "g",
    start: Start | None = None,
    resume: dict[Partition, int] | None = None,
    topics: Topics | None = None,
    **rest: Any,
) -> tuple[KafkaReader, ConsumerClient, Scripted]:
    """A reader with a scripted consumer, which owns nothing yet."""
    subscription = Subscription(
        "a:1",
        topics or Topics(("t",)),
        group=group,
        start=start or start_of(None, grouped=group is not None),
        columns=columns_of(["partition", "offset"]),
        **rest,
    )
    reader = KafkaReader(subscription, context("kafka"), None if resume is None else source_position(resume))
    client = ConsumerClient(subscription, context("kafka"), reader._progress, reader._drop_rows)
    consumer = client.consumer = Scripted()
    client.watch = Watch(context().clock, consumer, reader._progress, 60, client._fail)
    reader._client = client
    return reader, client, consumer


def rebalance(client: ConsumerClient, *partitions: Partition) -> None:
    """Let the group take all partitions, and give out these."""
    client.ownership.on_partitions_revoked([])
    client.consumer.at.clear()
    client.ownership.on_partitions_assigned(partitions)


def rows(drained: Drained) -> list[Partition]:
    return [("t", number) for number in drained.frame["partition"]] if drained.batches else []


def places(drained: Drained, number: int) -> list[int]:
    frame = drained.frame
    return frame.filter(frame["partition"] == number)["offset"].to_list()


@in_loop
async def test_a_partition_that_stays_goes_on_and_one_that_leaves_is_dropped() -> None:
    reader, client, consumer = started()
    client.ownership.on_partitions_assigned([A, B])
    drained = await drain(reader, 6)
    assert places(drained, 0) == places(drained, 1) == [0, 1, 2]
    await reader.acknowledge(source_position({A: 2, B: 1}))
    assert consumer.commits == [{A: 2, B: 1}]
    client.ownership.on_partitions_revoked([A, B])
    pending = asyncio.create_task(reader.read())
    await asyncio.sleep(0.01)
    assert not pending.done() and reader.position() == source_position({A: 3, B: 3})
    rebalance(client, A)
    assert await pending == Partitions(frozenset({"t[0]"}))
    await drain(reader, 9, into=drained)
    assert places(drained, 0) == [0, 1, 2, 3, 4, 5] and places(drained, 1) == [0, 1, 2]
    assert reader.rebalances == 1 and reader.position() == source_position({A: 6})
    [note] = reader.notes
    assert note.count == 2 and not note.lost
    await reader.acknowledge(source_position({A: 3, B: 3}))
    assert consumer.commits[-1] == {A: 3}, "what another member owns is not committed"


@in_loop
async def test_what_another_member_has_committed_is_not_read_again() -> None:
    reader, client, consumer = started()
    client.ownership.on_partitions_assigned([A])
    drained = await drain(reader, 3)
    rebalance(client)
    assert (await reader.read()) == Partitions(frozenset())
    consumer.offsets[A] = 8
    rebalance(client, A, B)
    await drain(reader, 8, into=drained)
    assert places(drained, 0) == [0, 1, 2, 8, 9]
    assert places(drained, 1) == [0, 1, 2]


@in_loop
async def test_a_chosen_start_is_committed() -> None:
    reader, client, consumer = started(start=Start("earliest", ((1, 7),)))
    consumer.offsets = {A: 5, B: 5}
    client.ownership.on_partitions_assigned([A, B])
    drained = await drain(reader, 6)
    assert consumer.commits == [{A: 0, B: 7}] and places(drained, 1) == [7, 8, 9]
    reader, client, consumer = started(resume={A: 4})
    consumer.offsets = {A: 9, B: 2}
    client.ownership.on_partitions_assigned([A, B])
    drained = await drain(reader, 6)
    assert consumer.commits == [{A: 4, B: 2}]
    assert (places(drained, 0), places(drained, 1)) == ([4, 5, 6], [2, 3, 4])
    reader, client, consumer = started(start=Start("latest"))
    client.ownership.on_partitions_assigned([A])
    await reader.read()
    assert consumer.commits == [{A: 10}]


@in_loop
async def test_a_change_while_positions_are_asked_for() -> None:
    reader, client, _ = started()
    client.ownership.on_partitions_assigned([A])
    pending = asyncio.create_task(reader.read())
    await asyncio.sleep(0)
    rebalance(client, B)
    assert await pending == Partitions(frozenset({"t[1]"}))
    assert rows(await drain(reader, 3)) == [B] * 3


@in_loop
async def test_a_change_while_a_poll_waits() -> None:
    reader, client, consumer = started()
    client.ownership.on_partitions_assigned([A])
    await reader.read()
    consumer.has_data.clear()
    pending = asyncio.create_task(reader.read())
    await asyncio.sleep(0.01)
    rebalance(client, B)
    consumer.has_data.set()
    assert await pending == Partitions(frozenset({"t[1]"}))
    assert rows(await drain(reader, 3)) == [B] * 3


@in_loop
async def test_a_poll_goes_on_when_its_read_is_cancelled() -> None:
    reader, client, consumer = started(group=None)
    client.ownership.own([A])
    await reader.read()
    consumer.has_data.clear()
    for _ in range(2):
        pending = asyncio.create_task(reader.read())
        await asyncio.sleep(0.01)
        pending.cancel()
        await asyncio.gather(pending, return_exceptions=True)
    consumer.has_data.set()
    assert places(await drain(reader, 3), 0) == [0, 1, 2]


class Slow:
    """Threads whose first call waits for something."""

    workers = 1

    def __init__(self, wait: Callable[[], Awaitable[object]]) -> None:
        self.wait = wait
        self.called: list[Any] = []
        self.begun = asyncio.Event()

    async def call(self, function: Any, *arguments: object) -> Any:
        self.called.append(function.func)
        self.begun.set()
        if len(self.called) == 1:
            await self.wait()
        return function(*arguments)


@in_loop
async def test_decoding_goes_on_when_its_read_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "_INLINE_BYTES", -1)
    reader, client, _ = started(group=None)
    client.ownership.own([A])
    await reader.read()
    slow = Slow(asyncio.Event().wait)
    reader._context = replace(context("kafka"), threads=slow)
    pending = asyncio.create_task(reader.read())
    await slow.begun.wait()
    pending.cancel()
    await asyncio.gather(pending, return_exceptions=True)
    assert places(await drain(reader, 3), 0) == [0, 1, 2]


@in_loop
async def test_a_consumer_is_not_stuck_while_rows_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "_INLINE_BYTES", -1)
    monkeypatch.setattr(watching, "KEEP_ALIVE_SECONDS", 1000)
    reader, client, consumer = started(group=None)
    client.ownership.own([A])
    await reader.read()
    clock = ManualClock()
    client.watch = Watch(clock, consumer, reader._progress, 60, client._fail)

    async def decode_for_long() -> None:
        for _ in range(10):
            await clock.advance(10)
            await client.watch.look()

    reader._context = replace(context("kafka"), threads=Slow(decode_for_long))
    assert places(await drain(reader, 9), 0) == list(range(9))
    assert client.failure is None


@in_loop
async def test_the_decoder_is_loaded_while_the_consumer_connects(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, client, _ = started(group=None)
    client.ownership.own([A])
    loaded = asyncio.Event()
    threads = Slow(loaded.wait)
    reader._context = replace(context("kafka"), threads=threads)
    reader._client = None

    async def open_client(self: ConsumerClient) -> None:
        await asyncio.sleep(0)
        assert threads.called == [warm_up], "the decoder is being loaded before the consumer is connected"

    monkeypatch.setattr(ConsumerClient, "open", open_client)
    await reader._open()
    reader._client = client
    await reader.read()
    pending = asyncio.create_task(reader.read())
    await asyncio.sleep(0.01)
    rebalance(client, B)
    assert await pending == Partitions(frozenset({"t[1]"})), "a change is seen meanwhile"
    pending = asyncio.create_task(drain(reader, 3))
    await asyncio.sleep(0.01)
    assert not pending.done()
    loaded.set()
    assert places(await pending, 1) == [0, 1, 2]
    monkeypatch.setattr(client, "close", client.watch.look)
    await reader.close()


@in_loop
async def test_the_end_is_that_of_the_start() -> None:
    reader, client, consumer = started(group=None, stop_at_end=True)
    consumer.gaps = {3, 4, 5}
    client.ownership.own([A, B])
    drained = await drain(reader)
    assert places(drained, 0) == [0, 1, 2, 6, 7, 8, 9]
    assert [mark.origins for mark in drained.marks] == [{"t[0]", "t[1]"}, set()]
    reader, client, consumer = started(group=None, stop_at_end=True, isolation="read_uncommitted")
    reader._resume = {A: 11}
    client.ownership.own([A])
    with pytest.raises(SourceError, match="after its end"):
        await reader.read()


@in_loop
async def test_offsets_without_rows_move_the_position() -> None:
    reader, client, _ = started(group=None)
    client.ownership.own([A])
    await reader.read()
    nothing = columns_of(["partition", "offset"]).batch(A, pa.array([], pa.large_binary()), {"offset": NONE})
    reader._parts.append(PartitionRows(A, nothing, np.array([], np.int64), 7))
    assert places(await drain(reader, 3), 0) == [0, 1, 2]
    reader._parts.append(PartitionRows(A, nothing, np.array([], np.int64), 7))
    client.consumer.has_data.clear()
    pending = asyncio.create_task(reader.read())
    await asyncio.sleep(0.01)
    assert reader.position() == source_position({A: 7}) and not pending.done()
    pending.cancel()
    await asyncio.gather(pending, return_exceptions=True)
    await reader._end_poll()


@in_loop
async def test_what_is_wrong_with_a_group_is_raised_before_it_gives_out_partitions() -> None:
    reader, client, consumer = started()
    consumer.has_data.clear()
    pending = asyncio.create_task(reader.read())
    await asyncio.sleep(0.01)
    pending.cancel()
    await asyncio.gather(pending, return_exceptions=True)
    consumer.has_data.set()
    consumer.error = NoOffsetForPartitionError()
    pending = asyncio.create_task(reader.read())
    await asyncio.sleep(0.01)
    assert not pending.done()
    consumer.error = GroupAuthorizationFailedError("g")
    with pytest.raises(SourceError, match="right to read with this group"):
        await pending
    consumer.error = None
    client.ownership.on_partitions_assigned([A])
    assert places(await drain(reader, 3), 0) == [0, 1, 2]


@in_loop
async def test_commits_that_a_rebalance_refuses_are_made_later() -> None:
    reader, client, consumer = started()
    client.ownership.on_partitions_assigned([A])
    await drain(reader, 3)
    consumer.error = CommitFailedError()
    assert not await reader.acknowledge(source_position({A: 3}))
    consumer.error = KafkaError("no")
    with pytest.raises(SourceError, match="no"):
        await reader.acknowledge(source_position({A: 3}))
    with pytest.raises(SourceError, match=r"records of t\[0\] at 3"):
        await reader.read()
    consumer.error = None
    assert await reader.acknowledge(source_position({A: 3}))
    assert consumer.commits == [{A: 3}]


@in_loop
async def test_at_the_end_of_a_run_its_member_commits_what_the_group_has_left_to_it() -> None:
    """Nobody reads any more, so the reader itself does not learn of a change."""
    reader, client, consumer = started()
    client.ownership.on_partitions_assigned([A, B])
    await drain(reader, 6)
    client.ownership.on_partitions_revoked([A, B])
    consumer.error = CommitFailedError()
    assert not await reader.acknowledge(source_position({A: 3, B: 3}))
    consumer.error = None
    client.ownership.on_partitions_assigned([A])
    assert await reader.acknowledge(source_position({A: 3, B: 3}))
    assert consumer.commits == [{A: 3}]


@in_loop
async def test_a_group_that_gives_no_partitions_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    client = ConsumerClient(
        Subscription("a:1", Topics(("t",)), group="g"), context("kafka"), PartitionOffsets(), lambda: None
    )
    client._context = replace(context("kafka"), clock=clock)
    noticing = asyncio.create_task(client._notice_no_partitions())

    async def logged_after(seconds: int) -> int:
        for _ in range(seconds):
            await clock.advance(1)
        return caplog.text.count("no partitions assigned for 10 s by group g")

    assert [await logged_after(9), await logged_after(2), await logged_after(20)] == [0, 1, 1]
    client.ownership.own([A])
    assert await logged_after(20) == 1
    client.ownership.own([])
    assert await logged_after(11) == 2
    noticing.cancel()


@pytest.mark.parametrize("codec", Codec)
@in_loop
async def test_what_was_fetched_waits_compressed_for_a_slow_pipeline(
    codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "STEP_BYTES", 300_000)
    reader, client, consumer = started(group=None)
    client.ownership.own([A, B])
    consumer.chunks = {TopicPartition(*each): [chunk_of_zeros(codec, 20)] for each in (A, B)}
    rows = 0
    while rows < 2 * 20 * ZEROS_ROWS:
        element = await reader.read()
        waiting = sum(part.rows.nbytes for part in reader._parts)
        if isinstance(element, Batch):
            rows += element.num_rows
            waiting += element.arrow().nbytes
        assert waiting < 300_000 + 1.2 * ZEROS_BYTES


@in_loop
async def test_with_checkpoints_a_first_run_starts_where_the_group_has_committed() -> None:
    reader, client, consumer = started(checkpointed=True)
    assert reader.position() is None, "where it begins is not known yet"
    consumer.offsets = {A: 5}
    client.ownership.own([A])
    drained = await drain(reader, 3)
    consumer.offsets = {A: 9, B: 9}
    client.ownership.own([A, B])
    await drain(reader, 6, into=drained)
    assert places(drained, 0) == [5, 6, 7, 8, 9], "others that commit take nothing away"
    assert places(drained, 1)[0] == 0, "and a new partition is read from its beginning"
    assert consumer.commits == [], "before the first checkpoint"
    position = source_position({A: 6, B: 1})
    assert await reader.acknowledge(position)
    assert consumer.commits == [{A: 6, B: 1}]


@in_loop
async def test_with_checkpoints_a_restart_reads_on_where_the_checkpoint_ends() -> None:
    reader, client, consumer = started(checkpointed=True, start=Start("latest"), resume={A: 4})
    assert reader.position() == source_position({A: 4})
    consumer.offsets = {A: 9, B: 2}
    client.ownership.own([A, B])
    drained = await drain(reader, 6)
    assert (places(drained, 0), places(drained, 1)) == ([4, 5, 6], [0, 1, 2])
    assert consumer.commits == []


@pytest.mark.parametrize(
    ("resume", "expected"),
    [
        ({A: 11}, "t[0] does not have the records that the checkpoint continues from"),
        ({A: 3, B: 1}, "t[1] does not have the records that the checkpoint continues from"),
        ({A: 2}, "records of t[0] were deleted before they were read"),
    ],
)
@in_loop
async def test_with_checkpoints_records_that_are_gone_are_an_error(
    resume: dict[Partition, int], expected: str
) -> None:
    reader, client, consumer = started(checkpointed=True, resume=resume)
    consumer.first, consumer.fetched = 3, (1, -1, -1)
    client.ownership.own([A])
    with pytest.raises(SourceError) as caught:
        await reader.read()
    assert expected in str(caught.value) and "from_checkpoint='ignore'" in str(caught.value)


@in_loop
async def test_with_checkpoints_topics_of_a_pattern_may_go(caplog: pytest.LogCaptureFixture) -> None:
    pattern = Topics(pattern=re.compile("t"))
    reader, client, _ = started(checkpointed=True, resume={A: 4, B: 9}, topics=pattern)
    client.ownership.own([A])
    assert places(await drain(reader, 3), 0) == [4, 5, 6]
    assert "t[1], which the checkpoint knows, do not exist any more" in caplog.text
    assert reader.position() == source_position({A: 7})
    reader, client, _ = started(checkpointed=True, resume={A: 4}, topics=pattern)
    client.ownership.own([A])
    assert places(await drain(reader, 3), 0) == [4, 5, 6]


@pytest.mark.parametrize("stable", [10, -1])
@in_loop
async def test_with_checkpoints_an_end_that_is_listed_too_low_is_not_believed(stable: int) -> None:
    reader, client, consumer = started(checkpointed=True, resume={A: 4}, stop_at_end=True)
    consumer.end, consumer.fetched = 2, (0, 10, stable)
    client.ownership.own([A])
    assert places(await drain(reader), 0) == [4, 5, 6, 7, 8, 9]
    reader, client, consumer = started(checkpointed=True, resume={A: 4}, stop_at_end=True)
    consumer.end, consumer.fetched = 2, (0, 0, 0)
    client.ownership.own([A])
    assert (await drain(reader)).batches == [], "without records, some servers say nothing"
    reader, client, consumer = started(checkpointed=True, resume={A: 4})
    consumer.end, consumer.fetched = 2, (29, -1, -1)
    client.ownership.own([A])
    with pytest.raises(SourceError, match="TopicAuthorizationFailed"):
        await reader.read()
