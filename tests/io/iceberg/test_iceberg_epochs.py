"""An Iceberg sink with checkpoints: each row once, wherever a run ends."""

import json
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from delta_tables import numbers, write
from iceberg_tables import (
    changing,
    epochs,
    exists,
    opened,
    orphans,
    read,
    rows_of,
    snapshots,
    source_of,
    table_of,
    to,
)
from killed_iceberg_pipeline import ROWS, pipeline, work
from kills import fork_server
from pyiceberg.exceptions import CommitFailedException, CommitStateUnknownException
from pyiceberg.table import CreateTableTransaction, Transaction

from arrowstream import Pipeline, RunReport, Sink, Source
from arrowstream.errors import CheckpointError, SinkError
from arrowstream.io.iceberg import commits
from arrowstream.io.iceberg.location import IcebergLocation

pytestmark = pytest.mark.once


def found(lake: Path) -> list[int]:
    return sorted(rows_of(lake)["x"]) if exists(lake) else []


def test_an_epoch_is_one_snapshot_with_its_number(tmp_path: Path) -> None:
    lake, state = tmp_path / "lake", tmp_path / "state"
    writer = opened(lake, state, partition_by="k")
    writer.recover(0, None)
    for epoch, values in ((1, (1, 2)), (2, ()), (3, (3,))):
        writer.write(numbers(*values))
        handle = json.loads(json.dumps(writer.prepare(epoch)))
        before = len(found(lake))
        writer.write(numbers(epoch + 100))  # of the next epoch
        assert len(found(lake)) == before
        writer.commit(handle)
        writer.commit(handle)
    writer.abort()
    assert found(lake) == [1, 2, 3, 101, 102]
    assert orphans(lake) == [] and epochs(lake) == ["1", "2", "3"]
    table = table_of(lake)
    assert table.properties["arrowstream.epoch.job/sink"] == "3"
    assert [each.summary and each.summary["arrowstream.sink"] for each in table.snapshots()] == [
        "job/sink"
    ] * 3
    assert [path.name for path in state.iterdir()] == []


def test_a_table_that_is_ahead_of_its_checkpoints_is_refused(tmp_path: Path) -> None:
    """Even when its snapshots have expired, or somebody has removed its properties."""
    lake = tmp_path / "lake"
    writer = opened(lake, tmp_path / "state")
    writer.write(numbers(1))
    writer.commit(writer.prepare(7))
    writer.close()

    def refused() -> None:
        other = opened(lake, tmp_path / "other", 2)
        with pytest.raises(SinkError, match="has rows of epochs after 6, which would come again") as raised:
            other.recover(6, None)
        other.abort()
        assert raised.value.found == "epoch 7 of 'job/sink' in the log of the table"

    refused()
    first = snapshots(lake)[0]
    write(to(lake), numbers(2).polars())
    with changing(lake) as table:
        table.maintenance.expire_snapshots().by_id(first).commit()
    assert first not in snapshots(lake)
    refused()
    with changing(lake) as table:
        table.transaction().remove_properties("arrowstream.epoch.job/sink").commit_transaction()
    opened(lake, tmp_path / "third").recover(6, None)  # neither is there any more
    writer = opened(lake, tmp_path / "state", 3)
    writer.write(numbers(3))
    writer.commit(writer.prepare(7))
    writer.close()
    with changing(lake) as table:
        table.transaction().remove_properties("arrowstream.epoch.job/sink").commit_transaction()
    refused()


def test_rows_that_are_gone_are_missed(tmp_path: Path) -> None:
    """Else the table would have only the rows that are new, and look complete."""
    lake, state = tmp_path / "lake", tmp_path / "state"
    writer = opened(lake, state)
    writer.recover(0, None)
    for epoch, values in ((1, (1,)), (2, (2,)), (3, ())):
        writer.write(numbers(*values))
        writer.commit(handle := writer.prepare(epoch))
    writer.abort()
    shutil.rmtree(lake)
    for attempt in (2, 3):
        again = opened(lake, state, attempt)
        with pytest.raises(CheckpointError, match="lacks rows that earlier runs") as raised:
            again.recover(3, handle)
        assert raised.value.found == "no table, or no rows of this job"
        again.abort()


@pytest.mark.untraced
def test_jobs_that_write_one_table_at_once(tmp_path: Path) -> None:
    """Each of their commits is tried again until no other one comes in between."""

    def write(job: str) -> None:
        writer = opened(tmp_path, tmp_path / job, job=job)
        for epoch in (1, 2, 3):
            writer.write(numbers(epoch))
            writer.commit(writer.prepare(epoch))
        writer.close()

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(write, "abc"))
    assert found(tmp_path) == [1, 1, 1, 2, 2, 2, 3, 3, 3]


@pytest.mark.parametrize("late", [False, True], ids=["before", "meanwhile"])
@pytest.mark.parametrize("made", ["by it", "with rows", "not"])
def test_a_run_that_was_overtaken_commits_nothing(
    made: str, late: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the later run begins before it looks at the table, or between that and its commit."""
    monkeypatch.setattr(commits, "_WAIT_S", 0)
    lake, state = tmp_path / "lake", tmp_path / "state"
    if made == "with rows":
        write(to(lake), numbers(9).polars())
    old = opened(lake, state)
    if made != "not":
        old.recover(0, None)
    old.write(numbers(1))
    handle = old.prepare(1)
    new = opened(lake, tmp_path / "copy", 2)
    if late:
        load, calls = IcebergLocation.load, list[None]()

        def take_over(self: IcebergLocation, catalog: Any) -> Any:
            found = load(self, catalog)
            calls.append(None)
            if len(calls) == 1:
                new.recover(0, None)
            return found

        monkeypatch.setattr(IcebergLocation, "load", take_over)
    else:
        new.recover(0, None)
    for _ in range(2):
        with pytest.raises(SinkError, match="a later run of the job writes the Iceberg table") as raised:
            old.commit(handle)
        assert raised.value.found == "attempt 2 of 'job/sink' in the properties of the table"
    new.write(numbers(2))
    new.commit(new.prepare(1))
    for call in (lambda: old.commit(handle), lambda: old.recover(1, None)):
        with pytest.raises(SinkError, match="a later run of the job"):
            call()
    assert found(lake) == [2, *[9] * (made == "with rows")]


@pytest.mark.parametrize("answered", [True, False], ids=["refused", "answer lost"])
@pytest.mark.parametrize("failures", [1, 9, 10])
@pytest.mark.parametrize("made", [True, False], ids=["a table", "no table"])
def test_a_claim_that_fails_is_tried_again(
    made: bool, failures: int, answered: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "_WAIT_S", 0)
    lake = tmp_path / "lake"
    if made:
        write(to(lake), numbers(9).polars())
    kind = Transaction if made else CreateTableTransaction
    commit, calls = kind.commit_transaction, list[None]()

    def lose(self: Any) -> Any:
        calls.append(None)
        if not answered or len(calls) > failures:
            commit(self)
        if len(calls) <= failures:
            raise CommitStateUnknownException("connection reset")

    monkeypatch.setattr(kind, "commit_transaction", lose)
    writer = opened(lake, tmp_path / "state")
    if failures == 10 and answered:
        with pytest.raises(SinkError, match="connection reset"):
            writer.recover(0, None)
        return
    writer.recover(0, None)
    assert len(calls) == (failures + 1 if answered else 1)
    assert found(lake) == [9] * made
    assert table_of(lake).properties["arrowstream.attempt.job/sink"] == "1"


def test_a_claim_is_a_snapshot_without_rows_that_sources_pass(tmp_path: Path) -> None:
    lake, state = tmp_path / "lake", tmp_path / "state"
    for attempt in (1, 2, 3):
        writer = opened(lake, state, attempt)
        writer.recover(attempt - 1, None)
        writer.write(numbers(attempt))
        writer.commit(writer.prepare(attempt))
        writer.close()
    assert epochs(lake) == ["1", None, "2", None, "3"]
    summaries = [each.summary for each in table_of(lake).snapshots()]
    assert [summary and summary["arrowstream.attempt"] for summary in summaries] == ["1", "2", "2", "3", "3"]
    assert sorted(read(lake)["x"]) == [1, 2, 3]
    state = tmp_path / "daily"
    for _ in range(2):
        daily = Pipeline.builder("daily").source(source_of(lake)).sink(Sink.to_file(f"{tmp_path}/out/"))
        daily.build().run_sync(checkpoint=state)
        opened(lake, tmp_path / "other", 1, job="other").recover(0, None)
    assert sorted(pl.read_parquet(tmp_path / "out/*.parquet")["x"]) == [1, 2, 3]


@pytest.mark.parametrize("lost", [False, True], ids=["before", "meanwhile"])
@pytest.mark.parametrize("made", [False, True], ids=["new", "existing"])
def test_two_runs_with_one_name_and_two_folders(
    lost: bool, made: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one to commit would leave its rows out, as the table has the epoch."""
    monkeypatch.setattr(commits, "_WAIT_S", 0)
    lake = tmp_path / "lake"
    if made:
        write(to(lake), numbers(9).polars())
    one, two = (opened(lake, tmp_path / state) for state in ("one", "two"))
    for number, writer in enumerate((one, two)):
        writer.recover(0, None)
        writer.write(numbers(number))
    handles = [writer.prepare(1) for writer in (one, two)]
    if lost:
        load, calls = IcebergLocation.load, list[None]()

        def late(self: IcebergLocation, catalog: Any) -> Any:
            found = load(self, catalog)
            calls.append(None)
            if len(calls) == 1:
                one.commit(handles[0])
            return found

        monkeypatch.setattr(IcebergLocation, "load", late)
    else:
        one.commit(handles[0])
    with pytest.raises(SinkError, match="another run writes the Iceberg table") as raised:
        two.commit(handles[1])
    assert raised.value.found == "epoch 1"
    assert found(lake) == [0, *[9] * made]


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("kind", [CommitFailedException, CommitStateUnknownException])
def test_a_commit_whose_answer_is_lost(
    before: bool, kind: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "_WAIT_S", 0)
    lake = tmp_path / "lake"
    writer = opened(lake, tmp_path / "state")
    commit, calls = Transaction.commit_transaction, list[None]()

    def lose(self: Transaction) -> Any:
        calls.append(None)
        if len(calls) > 1 or not before:
            commit(self)
        if len(calls) == 1:
            raise kind("connection reset")

    writer.write(numbers(0))
    writer.commit(writer.prepare(1))
    monkeypatch.setattr(Transaction, "commit_transaction", lose)
    for epoch in (2, 3):
        calls.clear()
        writer.write(numbers(epoch))
        writer.commit(writer.prepare(epoch))
        assert len(calls) == 1 + before
    assert found(lake) == [0, 2, 3]


@pytest.mark.parametrize("rows", [(1,), ()], ids=["rows", "no rows"])
@pytest.mark.parametrize("made", [True, False], ids=["a table", "no table"])
def test_a_commit_that_lands_after_its_answer_was_lost(
    made: bool, rows: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table does not have it when the sink looks, but when it tries again."""
    monkeypatch.setattr(commits, "_WAIT_S", 0)
    kind = Transaction if made else CreateTableTransaction
    commit, load = kind.commit_transaction, IcebergLocation.load
    waiting, looks = list[Any](), list[None]()

    def lose(self: Any) -> Any:
        waiting.append(self)
        raise CommitStateUnknownException("connection reset")

    def late(self: IcebergLocation, catalog: Any) -> Any:
        if waiting:
            looks.append(None)
        if len(looks) == 2:
            commit(waiting[0])
        return load(self, catalog)

    for name in ("epochs", "plain"):
        lake = tmp_path / name
        if made:
            write(to(lake), numbers(9).polars())
        waiting.clear()
        looks.clear()
        with monkeypatch.context() as patch:
            patch.setattr(kind, "commit_transaction", lose)
            patch.setattr(IcebergLocation, "load", late)
            if name == "plain":
                write(to(lake), numbers(*rows).polars())
            else:
                writer = opened(lake, tmp_path / "state")
                writer.write(numbers(*rows))
                writer.commit(writer.prepare(1))
        assert len(waiting) == (1 if rows or not made else 0)
        assert found(lake) == [*rows, *[9] * made]


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    """Starts processes that have imported everything."""
    return fork_server()


def run(processes: ForkServerContext, lake: Path, point: str | None, hit: int) -> bool:
    """Run in a process of its own; return whether it was killed."""
    process = processes.Process(target=work, args=(lake, lake / "state", point, hit))
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL), f"exit code {process.exitcode}"
    return process.exitcode != 0


@pytest.mark.untraced
def test_runs_that_are_killed_before_any_of_their_files(processes: ForkServerContext, tmp_path: Path) -> None:
    """Before data files, manifests, lists of these and metadata, of epochs and of their recovery."""
    assert all(run(processes, tmp_path, None, hit) for hit in (1, 3, 4, 5, 2, 6))
    pipeline(tmp_path).run_sync(checkpoint=tmp_path / "state")
    assert found(tmp_path) == ROWS["x"].to_list() and orphans(tmp_path) == []


def test_a_new_checkpoint_folder_over_epochs_of_the_same_job_is_noted(tmp_path: Path) -> None:
    def run(name: str, state: str) -> RunReport:
        rows = Source.from_frame(pl.DataFrame({"x": [1]}))
        job = Pipeline.builder(name).source(rows).sink(to(tmp_path / "lake"))
        return job.build().run_sync(checkpoint=tmp_path / state)

    assert run("job", "one").notes == () == run("other", "two").notes
    assert run("job", "one").notes == ()
    [note] = run("job", "three").notes
    assert str(note).startswith("1 epoch of earlier runs of this job, with another checkpoint folder")
    assert not note.lost and "first in the Iceberg table" in str(note)
