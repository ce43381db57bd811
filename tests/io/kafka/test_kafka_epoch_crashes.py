"""Epochs of a Kafka sink whose process, servers or disk fail at each of their calls: each row is shown once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from aiokafka.errors import (
    InvalidTransactionTimeout,
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    ProducerFenced,
    TransactionalIdAuthorizationFailed,
)
from contexts import context
from kafka_readers import in_loop

from arrowstream import Sink, Source
from arrowstream.core.batch import Batch
from arrowstream.core.checkpoints.context import CheckpointContext
from arrowstream.core.checkpoints.failpoints import on_reach
from arrowstream.errors import SinkError, TakenOver, UndeliveredRows
from arrowstream.io.kafka.producing import TRANSACTION_SECONDS, Producing
from arrowstream.io.kafka.records.compression import Codec
from arrowstream.io.kafka.records.encode import EncodableRecords, EncodedBatch
from arrowstream.io.kafka.writing import earlier_runs
from arrowstream.io.kafka.writing import producer as producer_module
from arrowstream.io.kafka.writing import transaction as transaction_module
from arrowstream.io.kafka.writing.output_log import OutputLog
from arrowstream.io.kafka.writing.transactional import TransactionalWriter
from arrowstream.io.writer import Handle

pytestmark = pytest.mark.once


class Killed(BaseException):
    """The end of a process."""


@dataclass
class Cluster:
    """Servers with transactions: what was committed, and which producer may go on.

    `fault` is asked before each call has its effect, and after it, and may raise.
    """

    shown: list[bytes] = field(default_factory=list)
    epochs: dict[str, int] = field(default_factory=dict)
    producers: list["Producer"] = field(default_factory=list)
    fault: Callable[[str, str], None] = lambda call, moment: None
    refuses: Callable[[bytes], BaseException | None] = lambda value: None

    async def open(self, producing: object, id: str) -> "Producer":
        try:
            self.fault("open", "before")
            self.producers.append(Producer(self, id))
            self.fault("open", "after")
        except (KafkaError, OSError) as error:
            raise SinkError("no Kafka server takes records") from error
        return self.producers[-1]

    async def newest_epoch(self, client: object, group: str) -> int:
        self.fault("newest_epoch", "before")
        return self.epochs.get(group, 0)

    async def group_names(self, client: object) -> list[str]:
        self.fault("groups", "before")
        return [*self.epochs]

    async def stored_epochs(self, client: object, group: str, *, stable: bool) -> dict[str, int]:
        assert not stable, "else it would wait for the transactions of others"
        return {"t": self.epochs[group]}


class Producer:
    """A producer of `Cluster`: a newer one fences it, and ends its transaction."""

    def __init__(self, cluster: Cluster, id: str) -> None:
        self.client = self
        self._cluster = cluster
        self._id = id
        self._rows: list[bytes] | None = None
        self._offsets: dict[str, int] = {}
        self._broken = False
        self._txn_manager: Any = None

    def _call(self, name: str, moment: str) -> None:
        newest = [each for each in self._cluster.producers if each._id == self._id][-1]
        if newest is not self:
            raise ProducerFenced
        self._cluster.fault(name, moment)

    async def partitions_for(self, topic: str) -> set[int]:
        return {0}

    async def begin_transaction(self) -> None:
        assert self._rows is None
        self._rows, self._offsets = [], {}

    async def send_batch(self, batch: Any, topic: str, *, partition: int) -> asyncio.Future[None]:
        assert self._rows is not None
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        values = [part.split(b">")[0] for part in bytes(batch._build()[61:]).split(b"<")[1:]]
        try:
            self._call("send", "before")
            error = next(filter(None, map(self._cluster.refuses, values)), None)
            if error is not None:
                raise error
            if self._broken:
                raise OutOfOrderSequenceNumber
            self._rows += values
            self._call("send", "after")
        except Exception as error:
            self._broken = True
            future.set_exception(error)
        else:
            future.set_result(None)
        return future

    async def send_offsets_to_transaction(self, offsets: dict[Any, int], group: str) -> None:
        self._call("offsets", "before")
        assert {topic for topic, _ in offsets} == {"t"}
        self._offsets = {group: max(offsets.values())}
        self._call("offsets", "after")

    async def commit_transaction(self) -> None:
        self._call("commit", "before")
        assert self._rows is not None
        assert not self._broken
        self._cluster.shown += self._rows
        self._cluster.epochs |= self._offsets
        self._rows = None
        self._call("commit", "after")

    async def abort_transaction(self) -> None:
        self._rows = None


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    servers = Cluster()

    async def close(producer: Producer, *, flush: bool) -> None:
        assert not flush

    monkeypatch.setattr(transaction_module, "open_producer", servers.open)
    monkeypatch.setattr(transaction_module, "newest_epoch", servers.newest_epoch)
    monkeypatch.setattr(earlier_runs, "group_names", servers.group_names)
    monkeypatch.setattr(earlier_runs, "stored_epochs", servers.stored_epochs)
    monkeypatch.setattr(transaction_module, "_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(transaction_module, "_WAITING", 2)
    monkeypatch.setattr(producer_module, "close_producer", close)
    return servers


@asynccontextmanager
async def writing(folder: Path, job: str = "job", **options: Any) -> AsyncIterator[TransactionalWriter]:
    sink = Sink.to_kafka("s", "t", value="v", format="raw", compression="none", **options)
    run = replace(context("sink"), checkpoint=CheckpointContext(job, 1, folder, 0))
    writer = sink.open(pl.Schema({"v": pl.String}), run)
    assert isinstance(writer, TransactionalWriter)
    try:
        yield writer
    except Killed:
        writer._log.close()
        raise
    except BaseException:
        await writer.abort()
        raise
    await writer.close()


def batch(*values: object) -> Batch:
    return Batch(pl.DataFrame({"v": [f"<{value}>" for value in values]}))


EPOCHS = {1: [(1, 2), (3,)], 2: [], 3: [(4,)], 4: [(5, 6), (7, 8), (9,)]}
ALL = [b"%d" % n for n in range(1, 10)]


@dataclass
class Job:
    """A job of four epochs: what its newest manifest says."""

    folder: Path
    epoch: int = 0
    handle: Handle | None = None

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)

    def left(self) -> list[Path]:
        """Return the files in the folder."""
        return list(self.folder.iterdir())

    async def run(self) -> None:
        async with writing(self.folder) as writer:
            await writer.recover(self.epoch, self.handle)
            for epoch in range(self.epoch + 1, max(EPOCHS) + 1):
                for values in EPOCHS[epoch]:
                    await writer.write(batch(*values))
                handle = await writer.prepare(epoch)
                self.epoch, self.handle = epoch, handle
                await writer.commit(handle)

    async def run_to_the_end(self) -> int:
        """Start again after each failure; return how many there were."""
        for failures in range(5):
            try:
                await self.run()
            except (Killed, SinkError, OSError):
                continue
            return failures
        raise AssertionError("it never ends")


def at(
    number: int, raised: Callable[[], BaseException], again: int = 0
) -> tuple[Callable[..., None], list[str]]:
    """A function that raises at one of its calls, and `again` calls later; and what it was called with."""
    calls: list[str] = []

    def fault(*names: object) -> None:
        calls.append(" ".join(map(str, names)))
        if len(calls) in (number, number + again):
            raise raised()

    return fault, calls


@pytest.mark.parametrize(("raised", "again"), [(Killed, 0), (KafkaConnectionError, 3), (TimeoutError, 2)])
@in_loop
async def test_a_failure_of_any_call(raised: Any, again: int, cluster: Cluster, tmp_path: Path) -> None:
    seen: set[str] = set()
    for number in range(1, 200):
        cluster.shown, cluster.epochs = [], {}
        cluster.fault, calls = at(number, raised, again)
        job = Job(tmp_path / str(number))
        await job.run_to_the_end()
        assert cluster.shown == ALL, f"at call {number}: {calls[number - 1]}"
        assert job.left() == []
        if len(calls) < number:
            break
        seen.add(calls[number - 1])
    assert seen == {
        f"{call} {moment}"
        for call in ("open", "newest_epoch", "groups", "send", "offsets", "commit")
        for moment in ("before", "after")
    } - {"newest_epoch after", "groups after"}


@pytest.mark.parametrize("raised", [Killed, OSError])
@in_loop
async def test_a_failure_at_any_failpoint(raised: Any, cluster: Cluster, tmp_path: Path) -> None:
    for number in range(1, 20):
        cluster.shown, cluster.epochs = [], {}
        fault, calls = at(number, raised)
        with on_reach(fault):
            failures = await Job(tmp_path / str(number)).run_to_the_end()
        assert cluster.shown == ALL, f"at {number}: {calls[number - 1]}"
        if not failures:
            break
    assert number == 10, "three failpoints in each of three epochs with rows"


@in_loop
async def test_epochs_of_another_folder_are_noted_where_a_run_begins(
    cluster: Cluster, tmp_path: Path
) -> None:
    cluster.epochs["job-0123abcd-sink-epoch"] = 7
    async with writing(tmp_path, "job-5d0c9a4e") as writer:
        await writer.recover(0, None)
        [note] = writer.notes
        assert str(note).startswith("7 epochs of earlier runs of this job, with another checkpoint folder")
    async with writing(tmp_path, "job-5d0c9a4e") as writer:
        await writer.recover(2, {"epoch": 2, "bytes": 0, "topics": []})
        assert writer.notes == ()


@in_loop
async def test_a_refused_record_leaves_its_epoch(cluster: Cluster, tmp_path: Path) -> None:
    cluster.refuses = lambda value: MessageSizeTooLargeError() if value == b"bad" else None
    async with writing(tmp_path) as writer:
        await writer.recover(0, None)
        await writer.write(batch(1, 2))
        with pytest.raises(UndeliveredRows) as caught:
            await writer.write(batch(3, "bad", 4))
        assert [part[:2] for part in caught.value.parts] == [(1, 1)]
        with pytest.raises(UndeliveredRows):
            await writer.write(batch("bad"))
        with pytest.raises(SinkError, match="a record is too large"):
            await writer.write(batch("x" * 2_000_000))
        await writer.write(batch(5))
        await writer.commit(await writer.prepare(1))
        await writer.write(batch(6))
        await writer.commit(await writer.prepare(2))
    assert cluster.shown == [b"1", b"2", b"3", b"4", b"5", b"6"]


@in_loop
async def test_a_write_that_was_cancelled_leaves_nothing(cluster: Cluster, tmp_path: Path) -> None:
    async with writing(tmp_path) as writer:
        await writer.recover(0, None)
        await writer.write(batch(1))
        cluster.fault, _ = at(1, asyncio.CancelledError)
        silent = asyncio.ensure_future(writer.write(batch(2)))
        with pytest.raises(asyncio.CancelledError):
            await silent
        cluster.fault = lambda *_: None
        await writer.commit(await writer.prepare(1))
    assert cluster.shown == [b"1"]


@in_loop
async def test_another_run_takes_over(cluster: Cluster, tmp_path: Path) -> None:
    a, b = Job(tmp_path / "a"), Job(tmp_path / "b")
    async with writing(a.folder) as old, writing(b.folder) as new:
        await old.recover(0, None)
        await old.write(batch("old"))
        handle = await old.prepare(1)
        await new.recover(0, None)
        await new.write(batch("new"))
        for call in (old.commit(handle), old.write(batch("old")), old.commit(handle)):
            with pytest.raises(TakenOver, match="another run has taken over") as caught:
                await call
        assert "'job-sink'" in str(caught.value)
        assert "a copy of this run's checkpoint folder" in str(caught.value.hint)
        await new.commit(await new.prepare(1))
    assert cluster.shown == [b"new"]


@in_loop
async def test_another_run_takes_over_between_two_writes(cluster: Cluster, tmp_path: Path) -> None:
    a, b = Job(tmp_path / "a"), Job(tmp_path / "b")
    async with writing(a.folder) as old, writing(b.folder) as new:
        await old.recover(0, None)
        await old.write(batch("old"))
        await new.recover(0, None)
        with pytest.raises(TakenOver):
            await old.write(batch("old"))


@in_loop
async def test_a_run_that_lost_its_connection_finds_what_another_has_committed(
    cluster: Cluster, tmp_path: Path
) -> None:
    async with writing(tmp_path) as writer:
        await writer.recover(0, None)
        await writer.write(batch("old"))
        await writer._link.drop()
        cluster.epochs["job-sink-epoch"] = 7
        with pytest.raises(TakenOver):
            await writer.write(batch("old"))
    assert cluster.shown == []


@in_loop
async def test_a_transaction_whose_time_is_over_is_sent_again(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with writing(tmp_path) as writer:
        await writer.recover(0, None)
        await writer.write(batch(1))
        handle = await writer.prepare(1)
        assert writer._transactions._begun is not None
        writer._transactions._begun -= TRANSACTION_SECONDS
        cluster.fault, _ = at(1, ProducerFenced)
        await writer.commit(handle)
    assert cluster.shown == [b"1"]


@in_loop
async def test_topics_that_show_later_epochs(cluster: Cluster, tmp_path: Path) -> None:
    await Job(tmp_path).run()
    for epoch in (0, 3):
        with pytest.raises(SinkError, match="already show rows of later epochs") as caught:
            async with writing(tmp_path) as writer:
                await writer.recover(epoch, None)
        assert "up to epoch 4" in str(caught.value) and "job-sink-epoch" in str(caught.value)
    async with writing(tmp_path) as writer:
        await writer.recover(4, None)
        await writer.write(batch(10))
        await writer.commit(await writer.prepare(5))
    assert cluster.shown == [*ALL, b"10"], "from the beginning, after the newest epoch of all"


@in_loop
async def test_servers_that_never_commit(cluster: Cluster, tmp_path: Path) -> None:
    async with writing(tmp_path) as writer:
        await writer.recover(0, None)
        await writer.write(batch(1))
        handle = await writer.prepare(1)
        writer._transactions._producing = replace(writer._transactions._producing, delivery_seconds=0.01)

        def down(call: str, moment: str) -> None:
            raise KafkaConnectionError("down") if call == "commit" else SinkError("no server")

        for fault in (down, lambda call, moment: None if call != "open" else down("open", "")):
            cluster.fault = fault
            await writer._link.drop()
            with pytest.raises(SinkError, match="no server"):
                await writer.commit(handle)
        cluster.fault = lambda *_: None
        await writer.commit(handle)
    assert cluster.shown == [b"1"]


@pytest.mark.parametrize(
    ("error", "found", "hint"),
    [
        (NotImplementedError(), "NotImplementedError", "idempotent=False"),
        (TimeoutError(), "no answer within 20 s", "same checkpoint folder"),
        (
            KafkaConnectionError("down"),
            "KafkaConnectionError: KafkaConnectionError: down",
            "same checkpoint folder",
        ),
    ],
)
@in_loop
async def test_servers_that_do_not_say_the_newest_epoch(
    error: BaseException, found: str, hint: str, cluster: Cluster, tmp_path: Path
) -> None:
    def fault(call: str, moment: str) -> None:
        if call == "newest_epoch":
            raise error

    cluster.fault = fault
    async with writing(tmp_path) as writer:
        with pytest.raises(SinkError, match="did not complete a transaction") as caught:
            await writer.recover(0, None)
    assert found in str(caught.value) and hint in str(caught.value)


def cut_log(folder: Path, size: int) -> Path:
    """Cut the one file in a folder, and return its path."""
    [log] = folder.iterdir()
    log.write_bytes(log.read_bytes()[:size])
    return log


@pytest.mark.parametrize("cut", [3, 40, -1])
@in_loop
async def test_a_damaged_log(cut: int, cluster: Cluster, tmp_path: Path) -> None:
    async with writing(tmp_path) as writer:
        await writer.recover(0, None)
        await writer.write(batch(1))
        handle = await writer.prepare(1)
        log = cut_log(tmp_path, cut)
        await writer._link.drop()
        with pytest.raises(SinkError, match="cannot be sent again") as caught:
            await writer.commit(handle)
    assert str(log) in str(caught.value)


def test_a_log_of_many_record_batches_in_order(tmp_path: Path) -> None:

    log = OutputLog(tmp_path)
    log.truncate(0)
    assert list(log.growing()) == []
    columns = EncodableRecords(pa.array([b"a", b"b"], pa.large_binary()), None, pa.array([5, 3]))
    batches = [(("t", n), columns.encode(0, 1 + n % 2, Codec.NONE)) for n in range(5)]
    sizes = []
    for partition, one in batches:
        sizes.append(log.size)
        log.append(partition, one)
    assert list(log.growing()) == batches
    log.truncate(sizes[3])
    assert list(log.growing()) == batches[:3]
    log.append(*batches[4])
    log.seal(7)
    assert log.size == 0 and log.topics == set()
    assert list(log.sealed(7)) == [*batches[:3], batches[4]]
    found = next(log.sealed(7))[1]
    assert isinstance(found, EncodedBatch) and (found.base_time, found.max_time) == (5, 5)
    log.keep_only(7)
    assert log.path(7).exists()
    log.keep_only(None)
    log.remove(7)
    assert not log.path(7).exists()


@in_loop
async def test_an_epoch_that_cannot_be_sent_again_within_it(cluster: Cluster, tmp_path: Path) -> None:
    async with writing(tmp_path) as writer:
        await writer.recover(0, None)
        for number in (1, 2, 3):
            await writer.write(batch(number))
        failed = asyncio.get_running_loop().create_future()
        failed.set_exception(KafkaConnectionError())
        cluster.producers[-1]._txn_manager = SimpleNamespace(_transaction_waiter=failed)
        await writer._link.drop()
        cluster.refuses = lambda value: KafkaConnectionError("down") if value == b"2" else None
        with pytest.raises(SinkError, match="did not complete a transaction") as caught:
            await writer.write(batch(4))
        assert "KafkaConnectionError: KafkaConnectionError: down" in str(caught.value)
        cluster.refuses = lambda value: None
        await writer.write(batch(5))
        await writer.commit(await writer.prepare(1))
    assert cluster.shown == [b"1", b"2", b"3", b"5"]


@pytest.mark.parametrize(("pause", "producers"), [(60.0, 1), (0.0, 4)])
@in_loop
async def test_a_commit_that_may_have_been_repeated_costs_its_producer(
    pause: float, producers: int, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transaction_module, "_PAUSE_SECONDS", pause)
    async with writing(tmp_path) as writer:
        await writer.recover(0, None)
        for epoch in range(1, 5):
            await writer.write(batch(epoch))
            await writer.commit(await writer.prepare(epoch))
    assert cluster.shown == [b"1", b"2", b"3", b"4"]
    assert len(cluster.producers) == producers


@pytest.mark.parametrize(
    ("error", "transactional", "hint"),
    [
        (InvalidTransactionTimeout(), "job-sink", "transaction.max.timeout.ms=900000"),
        (TransactionalIdAuthorizationFailed(), "job-sink", "right to write with this transactional id"),
        (KafkaError(), "job-sink", "idempotent=False, for servers without transactions: then each row comes"),
        (KafkaError(), None, "idempotent=False, for servers without idempotent producers"),
    ],
)
@in_loop
async def test_servers_that_refuse_a_producer(
    error: KafkaError, transactional: str | None, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {}

    async def start(*arguments: object) -> None:
        raise error

    async def nothing(*arguments: object) -> str:
        return ""

    monkeypatch.setattr(producer_module, "AIOKafkaProducer", options.update)
    monkeypatch.setattr(producer_module, "start", start)
    monkeypatch.setattr(producer_module, "reasons", nothing)
    with pytest.raises(SinkError, match="no Kafka server") as caught:
        await producer_module.open_producer(Producing("s"), transactional)
    assert hint in str(caught.value)
    assert (options["transactional_id"], options["transaction_timeout_ms"]) == (transactional, 900_000)


def test_what_checkpoints_know_of_both_ends() -> None:
    sink = Sink.to_kafka("a:1", "t", key="k")
    assert sink.exactly_once
    assert sink.identity == "kafka t (json)"
    assert Sink.to_kafka("b:1", topic_column="c").identity == "kafka topics in 'c' (json)"
    assert not Sink.to_kafka("a:1", "t", idempotent=False).exactly_once
    source = Source.from_kafka("a:1", ["t", "u"], group="g", schema={"x": int})
    assert source.identity == "kafka t, u"
    assert source.subscription.is_subscribed and not source.with_checkpoints().subscription.is_subscribed
