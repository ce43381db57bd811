"""A Delta sink with checkpoints: each row once, wherever a run ends."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from delta_tables import log_of, numbers, opened, orphans, rows_of, write
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError

from arrowstream import Sink
from arrowstream.errors import CheckpointError, SinkError
from arrowstream.io.delta import commits
from arrowstream.io.delta.location import DeltaLocation

pytestmark = pytest.mark.once


def found(table: Path) -> list[int]:
    return sorted(rows_of(table)["x"]) if (table / "_delta_log").exists() else []


def test_an_epoch_is_one_commit_with_its_number(tmp_path: Path) -> None:
    table, state = tmp_path / "t", tmp_path / "state"
    writer = opened(table, state, partition_by="k")
    writer.recover(0, None)
    for epoch, values in ((1, (1, 2)), (2, ()), (3, (3,))):
        writer.write(numbers(*values))
        handle = json.loads(json.dumps(writer.prepare(epoch)))
        before = len(found(table))
        writer.write(numbers(epoch + 100))  # of the next epoch
        assert len(found(table)) == before
        writer.commit(handle)
        writer.commit(handle)
        assert found(table)[: before + len(values)][before:] or not values
    writer.abort()
    assert found(table) == [1, 2, 3, 101, 102]
    assert orphans(table) == [] and DeltaTable(table).transaction_version("job/sink") == 3
    assert [[each["txn"]["version"] for each in entries if "txn" in each] for entries in log_of(table)] == [
        [1],
        [1, 1],
        [2, 1],
        [3, 1],
    ], "the attempt alone, then epochs with it"
    assert [path.name for path in state.iterdir()] == []


def test_a_table_that_is_ahead_of_its_checkpoints_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "t"
    writer = opened(table, tmp_path / "state")
    writer.write(numbers(1))
    writer.commit(writer.prepare(7))
    other = opened(table, tmp_path / "other", 2)
    with pytest.raises(SinkError, match="has rows of epochs after 6, which would come again") as raised:
        other.recover(6, None)
    assert raised.value.found == "epoch 7 of 'job/sink' in the log of the table"
    assert found(table) == [1]


@pytest.mark.parametrize("dropped", [True, False])
def test_rows_that_are_gone_are_missed(dropped: bool, tmp_path: Path) -> None:
    """Else the table would have only the rows that are new, and look complete."""
    table, state = tmp_path / "t", tmp_path / "state"
    writer = opened(table, state)
    writer.recover(0, None)
    for epoch, values in ((1, (1,)), (2, (2,)), (3, ())):
        writer.write(numbers(*values))
        writer.commit(handle := writer.prepare(epoch))
    writer.abort()
    shutil.rmtree(table)
    if not dropped:
        write_deltalake(table, numbers(1).polars())
    for attempt in (2, 3):
        with pytest.raises(CheckpointError, match="lacks rows that earlier runs") as raised:
            opened(table, state, attempt).recover(3, handle)
        assert (raised.value.expected, raised.value.found) == (
            "the table with the rows up to epoch 2",
            "no table, or no rows of this job",
        )


@pytest.mark.parametrize("late", [False, True], ids=["before", "meanwhile"])
def test_a_run_that_was_overtaken_commits_nothing(
    late: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the later run begins before it looks at the table, or between that and its commit."""
    table, state = tmp_path / "t", tmp_path / "state"
    old = opened(table, state)
    old.recover(0, None)
    old.write(numbers(1))
    handle = old.prepare(1)
    new = opened(table, tmp_path / "copy", 2)
    if late:
        load, calls = DeltaLocation.table, list[None]()

        def take_over(self: DeltaLocation, version: int | None = None) -> Any:
            found = load(self, version)
            calls.append(None)
            if len(calls) == 1:
                new.recover(0, None)
            return found

        monkeypatch.setattr(DeltaLocation, "table", take_over)
    else:
        new.recover(0, None)
    for _ in range(2):
        with pytest.raises(SinkError, match="a later run of the job writes the Delta table") as raised:
            old.commit(handle)
        assert raised.value.found == "attempt 2 of 'job/sink' in the log of the table"
    new.write(numbers(2))
    new.commit(new.prepare(1))
    for call in (lambda: old.commit(handle), lambda: old.recover(1, None)):
        with pytest.raises(SinkError, match="a later run of the job"):
            call()
    assert found(table) == [2]


@pytest.mark.parametrize("made", [True, False], ids=["made", "not-made"])
@pytest.mark.parametrize("failures", [1, 4, 5])
def test_a_claim_that_fails_is_tried_again(
    failures: int, made: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, state = tmp_path / "t", tmp_path / "state"
    commit, calls = commits._commit_to, list[None]()

    def lose(*arguments: Any) -> None:
        calls.append(None)
        if made or len(calls) > failures:
            commit(*arguments)
        if len(calls) <= failures:
            raise CommitFailedError("connection reset")

    monkeypatch.setattr(commits, "_commit_to", lose)
    writer = opened(table, state)
    if failures == 5 and not made:
        with pytest.raises(SinkError, match="connection reset"):
            writer.recover(0, None)
        return
    writer.recover(0, None)
    assert len(calls) == (1 if made else failures + 1) and found(table) == []
    assert DeltaTable(table).transaction_version("job/sink/attempt") == 1


@pytest.mark.parametrize("lost", [False, True], ids=["before", "meanwhile"])
def test_two_runs_with_one_name_and_two_folders(
    lost: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one to commit would leave its rows out, as the table has the epoch."""
    table = tmp_path / "t"
    one, two = (opened(table, tmp_path / state) for state in ("one", "two"))
    for number, writer in enumerate((one, two)):
        writer.recover(0, None)
        writer.write(numbers(number))
    handles = [writer.prepare(1) for writer in (one, two)]
    if lost:
        load, calls = DeltaLocation.table, list[None]()

        def late(self: DeltaLocation, version: int | None = None) -> Any:
            found = load(self, version)
            calls.append(None)
            if len(calls) == 1:
                one.commit(handles[0])
            return found

        monkeypatch.setattr(DeltaLocation, "table", late)
    else:
        one.commit(handles[0])
    with pytest.raises(SinkError, match="another run writes the Delta table") as raised:
        two.commit(handles[1])
    assert raised.value.found == "epoch 1"
    assert found(table) == [0]


def test_a_table_that_forgets_epochs_is_refused(tmp_path: Path) -> None:
    table, state = tmp_path / "t", tmp_path / "state"
    name = "delta.setTransactionRetentionDuration"
    write_deltalake(table, numbers(1).polars(), configuration={name: "interval 1 days"})
    with pytest.raises(SinkError, match="forgets application transactions"):
        opened(table, state)
    write(Sink.to_delta(table), numbers(2).polars())
    assert found(table) == [1, 2]


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_a_commit_whose_answer_is_lost(before: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "t"
    writer = opened(table, tmp_path / "state")
    commit, calls = commits._commit_to, list[None]()

    def lose(*arguments: Any) -> None:
        calls.append(None)
        if len(calls) > 1 or not before:
            commit(*arguments)
        if len(calls) == 1:
            raise CommitFailedError("connection reset")

    monkeypatch.setattr(commits, "_commit_to", lose)
    for epoch in (1, 2):
        calls.clear()
        writer.write(numbers(epoch))
        writer.commit(writer.prepare(epoch))
        assert len(calls) == 1 + before
    assert found(table) == [1, 2]
