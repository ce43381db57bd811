"""A Delta sink with checkpoints: each row once, wherever a run ends."""

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from delta_tables import log_of, numbers, opened, orphans, rows_of, write
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError
from effort import examples
from epoch_files import PacedSource
from hypothesis import given, settings
from hypothesis import strategies as st

from arrowstream import Pipeline, Sink, Source
from arrowstream.core.checkpoints.failpoints import Failpoint, on_reach
from arrowstream.errors import CheckpointError, PlanError, SinkError
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


def test_an_epoch_without_rows_makes_the_table_but_no_commit(tmp_path: Path) -> None:
    writer = opened(tmp_path / "t", tmp_path / "state")
    for epoch in (1, 2):
        writer.commit(writer.prepare(epoch))
        assert DeltaTable(tmp_path / "t").version() == 0
    writer.write(numbers(1))
    writer.commit(writer.prepare(3))
    assert found(tmp_path / "t") == [1]


STEPS = ("write", "prepare", "name", "commit")


@settings(max_examples=examples(60))
@given(
    kills=st.lists(st.integers(1, 9), max_size=5),
    by=st.sampled_from([(), ("k",)]),
    recovers=st.lists(st.booleans(), min_size=6, max_size=6),
)
def test_each_row_once_wherever_writers_are_dropped(
    kills: list[int], by: tuple[str, ...], recovers: list[bool]
) -> None:
    """A kill drops the writer after any call, in a recovery as well; the next one gets the newest complete epoch."""
    with TemporaryDirectory() as folder:
        table, state = Path(folder) / "t", Path(folder) / "state"
        complete: tuple[int, Any, int] = (0, None, 0)  # epoch, handle, rows read before it
        expected = list(range(12))
        for attempt, budget in enumerate([*kills, 1000], start=1):
            writer = opened(table, state, attempt, partition_by=by)
            epoch, handle, read = complete
            writer.recover(epoch, handle)
            if not recovers[attempt - 1]:
                writer.recover(epoch, handle)
            handle = None
            for call in range(budget):
                if handle is not None:
                    writer.commit(handle)
                    handle = None
                elif read < len(expected) and read < complete[2] + 3:
                    writer.write(numbers(*expected[read : read + 2]))
                    read += 2
                elif read > complete[2]:
                    handle = json.loads(json.dumps(writer.prepare(complete[0] + 1)))
                    if call % 2:  # the manifest gets its name
                        complete = (complete[0] + 1, handle, read)
                    else:
                        writer.abort()
                        break
            seen = found(table)
            assert seen == expected[: len(seen)]
        writer = opened(table, state, 99, partition_by=by)
        writer.recover(complete[0], complete[1])
        assert found(table) == expected[: complete[2]]
        assert orphans(table) == [] and list(state.iterdir()) == []


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


def test_jobs_into_one_table_do_not_see_each_other(tmp_path: Path) -> None:
    table = tmp_path / "t"
    one, two = (opened(table, tmp_path / job, job=job) for job in ("one", "two"))
    for epoch in (1, 2):
        for number, writer in enumerate((one, two)):
            writer.write(numbers(10 * number + epoch))
        handles = [writer.prepare(epoch) for writer in (one, two)]
        for writer, handle in zip((one, two), handles, strict=True):
            writer.commit(handle)
    assert found(table) == [1, 2, 11, 12]
    assert DeltaTable(table).transaction_version("two/sink") == 2


def test_what_a_run_that_begins_again_leaves_out(tmp_path: Path) -> None:
    """With from_checkpoint="ignore", rows that are prepared do not come; those that are shown stay."""
    table, state = tmp_path / "t", tmp_path / "state"
    writer = opened(table, state)
    writer.write(numbers(1))
    first = writer.prepare(1)
    log = (state / "files-1.txt").read_text()
    writer.commit(first)
    (state / "files-1.txt").write_text(log)  # killed after the commit
    writer.write(numbers(2))
    writer.prepare(2)
    writer.write(numbers(3))
    writer.prepare(3)
    assert len(orphans(table)) == 2
    opened(table, state, 2).recover(2, None)
    assert found(table) == [1] and orphans(table) == [] and list(state.iterdir()) == []


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


def test_files_that_a_later_run_has_removed_are_missed(tmp_path: Path) -> None:
    """As it does not know what was prepared, after from_checkpoint="ignore"."""
    writer = opened(tmp_path / "t", tmp_path / "state")
    writer.write(numbers(1))
    handle = writer.prepare(1)
    again = opened(tmp_path / "t", tmp_path / "state", 1)
    again.recover(0, None)
    with pytest.raises(SinkError, match="a data file for the Delta table") as raised:
        writer.commit(handle)
    assert raised.value.found == "no file"


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


@pytest.mark.parametrize("killed", [False, True])
def test_of_two_runs_with_copies_the_second_is_refused_also_at_a_later_epoch(
    killed: bool, tmp_path: Path
) -> None:
    """Epochs without rows commit nothing, so that their newest epochs may differ."""
    table = tmp_path / "t"
    one, two = (opened(table, tmp_path / state) for state in ("one", "two"))
    for number, writer in enumerate((one, two)):
        writer.recover(0, None)
        writer.write(numbers(number))
    handles = [one.prepare(1), two.prepare(2)]
    one.commit(handles[0])
    if killed:
        two.abort()
        two = opened(table, tmp_path / "two", 2)
    with pytest.raises(SinkError, match=r"another run writes the Delta table .* as 'job/sink'") as raised:
        two.recover(2, handles[1]) if killed else two.commit(handles[1])
    assert raised.value.found == "epoch 1"
    one.write(numbers(5))
    if not killed:  # the attempt of the one that was started again is later
        one.commit(one.prepare(3))
        assert found(table) == [0, 5]
        one.commit(handle := one.prepare(4))
        assert not handle["files"]
    assert found(table)[0] == 0


def test_a_data_file_that_was_cut(tmp_path: Path) -> None:
    writer = opened(tmp_path / "t", tmp_path / "state")
    writer.write(numbers(1))
    handle = writer.prepare(1)
    [name] = orphans(tmp_path / "t")
    Path(name).write_bytes(b"PAR1")
    with pytest.raises(SinkError, match="is damaged") as raised:
        writer.commit(handle)
    assert raised.value.found == "4 bytes"


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


def test_a_table_that_the_job_has_made_is_its_own(tmp_path: Path) -> None:
    table, state = tmp_path / "t", tmp_path / "state"
    for epoch in (1, 2):
        writer = opened(table, state, epoch, mode="error")
        writer.recover(epoch - 1, None)
        writer.write(numbers(epoch))
        writer.commit(writer.prepare(epoch))
    assert found(table) == [1, 2]
    with pytest.raises(SinkError, match="exists"):
        opened(table, tmp_path / "other", job="other", mode="error")
    late = opened(tmp_path / "late", tmp_path / "late-state", mode="error")
    late.write(numbers(1))
    handle = late.prepare(1)
    opened(tmp_path / "late", tmp_path / "other", job="other").commit({"epoch": 1, "files": []})
    with pytest.raises(SinkError, match="exists"):
        late.commit(handle)


def test_replacing_a_table_has_no_epochs(tmp_path: Path) -> None:
    source = Source.from_frame(numbers(1).polars())
    job = Pipeline.builder().source(source).sink(Sink.to_delta(tmp_path / "t", mode="overwrite")).build()
    with pytest.raises(PlanError, match="mode='overwrite' replaces"):
        job.run_sync(checkpoint=tmp_path / "state")


FRAMES = [numbers(*range(start, start + 3)).polars() for start in range(0, 36, 3)]


class Killed(Exception):
    """A run ends at a failpoint."""


@pytest.mark.parametrize(
    "point",
    [Failpoint.SINK_PREPARED, Failpoint.MANIFEST_NAMED, Failpoint.SINK_COMMITTED, Failpoint.EPOCH_MARKED],
)
def test_runs_that_fail_are_continued(point: Failpoint, tmp_path: Path) -> None:
    table, state = tmp_path / "t", tmp_path / "state"

    def job() -> Pipeline:
        sink = Sink.to_delta(table, partition_by="k")
        return Pipeline.builder("numbers").source(PacedSource(FRAMES, 2)).sink(sink).build()

    assert "exactly once" in job().explain()
    for hit in (1, 3):
        hits: list[None] = []

        def fail(reached: Failpoint, hits: list[None] = hits, hit: int = hit) -> None:
            if reached is point:
                hits.append(None)
                if len(hits) == hit:
                    raise Killed

        with on_reach(fail), pytest.raises(Exception):  # noqa: B017
            job().run_sync(checkpoint=state, every="1ms")
    job().run_sync(checkpoint=state, every="1ms")
    assert found(table) == list(range(36))
    assert orphans(table) == []
    assert pl.read_delta(str(table)).height == 36
