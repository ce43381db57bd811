"""A database sink with checkpoints: each row once, wherever the run ends between `prepare` and `commit`."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from databases import Database, batch, checkpointed, opened

from arrowstream import Pipeline, Sink
from arrowstream.errors import CheckpointError, DatabaseBusy, SinkError
from arrowstream.io.database.sink import DatabaseSink
from arrowstream.io.database.writing.writer import DatabaseWriter

pytestmark = pytest.mark.once


def ids(database: Database) -> list[int]:
    return sorted(number for (number,) in database.rows("SELECT id FROM t"))


def epoch_of(database: Database) -> tuple[int, int]:
    [found] = database.rows("SELECT job, sink, epoch, attempt FROM arrowstream_epochs")
    assert found[:2] == ("job", "sink")
    return found[2], found[3]


def logs(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "log").glob("*"))


class Runs:
    """Runs of a job with one folder of checkpoints; each ends the one before, as a kill does."""

    def __init__(self, sink: DatabaseSink, folder: Path) -> None:
        self.sink = sink
        self.folder = folder
        self.attempt = 0
        self.writer: DatabaseWriter | None = None

    def start(self, epoch: int = 0, handle: Any = None) -> DatabaseWriter:
        """Begin a run that continues from an epoch."""
        if self.writer is not None:
            self.writer.abort()
        self.attempt += 1
        self.writer = opened(self.sink, at=checkpointed(self.folder, self.attempt))
        self.writer.recover(epoch, handle)
        return self.writer


@pytest.fixture
def runs(database: Database, tmp_path: Path) -> Any:
    found = Runs(database.sink(), tmp_path)
    yield found
    if found.writer is not None:
        found.writer.close()


def test_an_epoch_is_its_rows_and_its_number(runs: Runs, database: Database, tmp_path: Path) -> None:
    assert runs.sink.exactly_once
    writer = runs.start()
    for epoch, numbers in ((1, (1, 2)), (2, ()), (3, (3,))):
        if numbers:
            writer.write(batch(*numbers[:1]))
            writer.write(batch(*numbers[1:]))
        handle = json.loads(json.dumps(writer.prepare(epoch)))
        assert logs(tmp_path) == ([handle["log"]] if numbers else [])
        writer.commit(handle)
        writer.commit(handle)
    assert logs(tmp_path) == []
    writer.close()
    assert ids(database) == [1, 2, 3]
    assert epoch_of(database) == (3, 1)


def test_rows_are_not_visible_before_they_are_committed(sqlite: Database, tmp_path: Path) -> None:
    runs = Runs(sqlite.sink(), tmp_path)
    writer = runs.start()
    writer.write(batch(1))
    handle = writer.prepare(1)
    source = sqlite.source("SELECT id FROM t")
    assert Pipeline.builder().source(source).collect_sync().height == 0
    writer.commit(handle)
    assert Pipeline.builder().source(source).collect_sync().height == 1
    writer.close()


@pytest.mark.untraced
def test_a_prepared_epoch_is_committed_by_the_next_run(
    runs: Runs, database: Database, tmp_path: Path
) -> None:
    writer = runs.start()
    writer.write(batch(1, 2))
    handle = json.loads(json.dumps(writer.prepare(1)))
    writer.abort()
    assert logs(tmp_path) == [handle["log"]]
    writer = runs.start(1, handle)
    assert logs(tmp_path) == []
    writer = runs.start(1, handle)
    writer.write(batch(3))
    second = writer.prepare(2)
    writer.commit(second)
    runs.start(2, second).close()
    assert ids(database) == [1, 2, 3]
    assert epoch_of(database) == (2, 4)


def test_what_was_not_prepared_is_written_again(runs: Runs, database: Database, tmp_path: Path) -> None:
    writer = runs.start()
    writer.write(batch(1))
    first = writer.prepare(1)
    writer.commit(first)
    writer.write(batch(2))
    writer.prepare(2)
    (tmp_path / "log" / "rows-1-9.arrow").write_bytes(b"of a run that was killed while it wrote")
    writer = runs.start(1, first)
    assert logs(tmp_path) == []
    writer.write(batch(3))
    writer.commit(writer.prepare(2))
    writer.close()
    assert ids(database) == [1, 3]
    assert logs(tmp_path) == []


class Lost(Exception):
    """The connection is lost."""


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_a_connection_that_is_lost_at_the_commit(
    runs: Runs, database: Database, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    """Whether the database has committed is not known."""
    writer = runs.start()
    writer.write(batch(1, 2))
    handle = writer.prepare(1)
    system = type(writer._session.database)
    commit = system.commit
    calls: list[None] = []

    def lose(self: Any) -> None:
        calls.append(None)
        if len(calls) > 1 or not before:
            commit(self)
        if len(calls) == 1:
            raise Lost

    monkeypatch.setattr(system, "commit", lose)
    monkeypatch.setattr(system, "failures", (*system.failures, Lost))
    writer.commit(handle)
    writer.write(batch(3))
    writer.commit(writer.prepare(2))
    writer.close()
    assert ids(database) == [1, 2, 3]


def test_a_session_that_the_server_ends_is_replaced(postgres: Database, tmp_path: Path) -> None:
    sink = Sink.to_database(f"{postgres.uri}&application_name=ended", "t", mode="upsert", key="id")
    writer = opened(sink, at=checkpointed(tmp_path))
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ended'"
    writer.write(batch(1, 2))
    handle = writer.prepare(1)
    assert postgres.rows(end) == [(True,)]
    writer.commit(handle)
    writer.write(batch(3))
    writer.commit(writer.prepare(2))
    writer.write(batch(4))
    assert postgres.rows(end) == [(True,)]
    for _ in range(2):
        with pytest.raises(SinkError, match="cannot write to the table"):
            writer.write(batch(5))
    writer.abort()
    assert ids(postgres) == [1, 2, 3]


@pytest.mark.untraced
def test_an_epoch_of_refused_rows_only_is_empty(runs: Runs, database: Database, tmp_path: Path) -> None:
    database.execute("CREATE TABLE t (id bigint PRIMARY KEY, name text, price double precision)")
    database.execute("INSERT INTO t VALUES (1, '', 0)")
    writer = runs.start()
    with pytest.raises(SinkError, match="refuses rows for a constraint"):
        writer.write(batch(1))
    handle = writer.prepare(1)
    assert handle["log"] is None
    writer.commit(handle)
    writer.write(batch(2))
    writer.commit(writer.prepare(2))
    writer.close()
    assert ids(database) == [1, 2] and logs(tmp_path) == []


@pytest.mark.untraced
def test_only_refused_rows_are_missing_in_the_log(runs: Runs, database: Database) -> None:
    database.execute("CREATE TABLE t (id bigint PRIMARY KEY, name text, price double precision)")
    writer = runs.start()
    writer.write(batch(1, 2))
    with pytest.raises(SinkError, match="refuses rows for a constraint"):
        writer.write(batch(3, 2))
    writer.write(batch(3))
    handle = writer.prepare(1)
    assert handle["rows"] == 3
    runs.start(1, handle).close()
    assert ids(database) == [1, 2, 3]


@pytest.mark.untraced
def test_an_upsert_is_repeated_from_the_log(database: Database, tmp_path: Path) -> None:
    runs = Runs(database.sink(mode="upsert", key="id"), tmp_path)
    writer = runs.start()
    writer.write(batch(1, 2))
    writer.write(batch(2, 3))
    handle = writer.prepare(1)
    for _ in range(2):
        writer = runs.start(1, handle)
    writer.close()
    assert ids(database) == [1, 2, 3]


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])  # only one process opens a file of DuckDB
def test_a_run_that_was_overtaken_writes_nothing(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    database = request.getfixturevalue(kind)
    old = opened(database.sink(), at=checkpointed(tmp_path, 1))
    new = opened(database.sink(), at=checkpointed(tmp_path, 2))
    old.write(batch(1))
    with pytest.raises(SinkError, match="a later run of the job writes this sink") as raised:
        old.prepare(1)
    assert raised.value.found == "attempt 2 in the table arrowstream_epochs"
    old.abort()
    with pytest.raises(SinkError, match="a later run of the job writes this sink"):
        opened(database.sink(), at=checkpointed(tmp_path, 1))
    new.write(batch(2))
    new.commit(new.prepare(1))
    new.close()
    assert ids(database) == [2]


def test_a_commit_that_meets_a_lock_says_who_writes_the_rows(
    sqlite: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arrowstream.io.database.systems.sqlite.BUSY_MS", 1)
    runs = Runs(sqlite.sink(), tmp_path)
    runs.start().close()
    sqlite.execute("INSERT INTO t (id) VALUES (7), (8)")
    writer = runs.start()
    writer.write(batch(1))
    handle = writer.prepare(1)
    with closing(sqlite3.connect(str(sqlite.path))) as connection:
        reader = connection.execute("SELECT id FROM t")
        reader.fetchone()
        with pytest.raises(DatabaseBusy, match="is locked") as raised:
            writer.commit(handle)
        reader.close()
    hint = str(raised.value.hint)
    assert hint.startswith("end the other transaction, and run again; ") and "retry" not in hint
    assert hint.endswith("; the next run with this checkpoint writes the rows")
    runs.start(1, handle).close()
    assert ids(sqlite) == [1, 7, 8]


def test_a_run_that_is_overtaken_after_it_has_prepared(postgres: Database, tmp_path: Path) -> None:
    old = opened(postgres.sink(), at=checkpointed(tmp_path, 1))
    old.write(batch(1))
    handle = old.prepare(1)
    new = opened(postgres.sink(), at=checkpointed(tmp_path, 2))
    with pytest.raises(SinkError, match="a later run of the job writes this sink"):
        old.commit(handle)
    old.abort()
    new.commit(handle)
    new.close()
    assert ids(postgres) == [1]


@pytest.mark.untraced
def test_a_run_that_is_overtaken_within_its_commit(
    postgres: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before it has locked its row of epochs: from then on, a later run waits for the end of its transaction."""
    old = opened(postgres.sink(), at=checkpointed(tmp_path, 1))
    old.write(batch(1))
    handle = old.prepare(1)
    database = type(old._session.database)
    execute, later = database.execute, list[DatabaseWriter]()

    def take_over(self: Any, sql: str, parameters: Any = ()) -> None:
        if not later and sql.startswith("UPDATE"):
            later.append(None)  # type: ignore[arg-type]
            later[0] = opened(postgres.sink(), at=checkpointed(tmp_path, 2))
        execute(self, sql, parameters)

    monkeypatch.setattr(database, "execute", take_over)
    with pytest.raises(SinkError, match="a later run of the job writes this sink"):
        old.commit(handle)
    old.abort()
    [new] = later
    assert ids(postgres) == []
    new.commit(handle)
    new.close()
    assert ids(postgres) == [1]


def test_a_table_that_is_ahead_of_its_checkpoints_is_refused(database: Database, tmp_path: Path) -> None:
    """Of another folder of checkpoints, or of one whose newest epoch is damaged."""
    writer = opened(database.sink(), at=checkpointed(tmp_path, 1))
    writer.write(batch(1))
    writer.commit(writer.prepare(7))
    writer.close()
    writer = opened(database.sink(), at=checkpointed(tmp_path, 2))
    with pytest.raises(SinkError, match="has rows of epochs after 6, which would be written again") as raised:
        writer.recover(6, None)
    assert raised.value.found == "epoch 7 in arrowstream_epochs for ('job', 'sink')"
    writer.write(batch(2))
    with pytest.raises(SinkError, match="has rows of epochs after 6"):
        writer.prepare(7)
    writer.abort()
    assert ids(database) == [1]


def copies(database: Database, tmp_path: Path) -> list[DatabaseWriter]:
    """Two runs of one job, with copies of a folder of checkpoints."""
    return [opened(database.sink(), at=checkpointed(tmp_path / name, 2)) for name in ("one", "other")]


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])  # only one process opens a file of DuckDB
@pytest.mark.parametrize("epoch", [1, 2, 7])
def test_of_two_runs_with_copies_the_second_is_refused_whatever_its_epoch(
    kind: str, epoch: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """An epoch without rows commits nothing, so that their newest epochs may differ."""
    database = request.getfixturevalue(kind)
    one, other = copies(database, tmp_path)
    for writer in (one, other):
        writer.recover(0, None)
    one.write(batch(1))
    one.commit(one.prepare(1))
    other.write(batch(2))
    found = "has rows of epochs after 0" if epoch == 1 else r"another run writes the table (\w+\.)?t as"
    with pytest.raises(SinkError, match=found) as raised:
        other.prepare(epoch)
    assert str(raised.value.found).startswith("epoch 1 in ")
    other.abort()
    one.write(batch(3))
    one.commit(one.prepare(3))
    one.close()
    assert ids(database) == [1, 3]


@pytest.mark.parametrize("epoch", [1, 2])
def test_of_two_runs_that_have_prepared_one_commits(epoch: int, postgres: Database, tmp_path: Path) -> None:
    """The rows of both wait in open transactions."""
    one, other = copies(postgres, tmp_path)
    for writer in (one, other):
        writer.recover(0, None)
    one.write(batch(1)), other.write(batch(2))
    first, second = one.prepare(1), other.prepare(epoch)
    one.commit(first)
    with pytest.raises(
        SinkError, match=r"another run writes the table (\w+\.)?t as \('job', 'sink'\)"
    ) as raised:
        other.commit(second)
    assert (
        raised.value.hint
        == "end the other run, which uses a copy of the checkpoint folder: it is for one job"
    )
    one.close(), other.abort()
    assert ids(postgres) == [1]
    assert epoch_of(postgres)[0] == 1


def test_an_epoch_that_comes_while_a_run_recovers_is_noticed(
    postgres: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = copies(postgres, tmp_path)
    one.recover(0, None)
    one.write(batch(1))
    handle = one.prepare(1)
    made = DatabaseWriter._make_table

    def meanwhile(writer: DatabaseWriter) -> None:
        made(writer)
        if writer is other:
            one.commit(handle)

    monkeypatch.setattr(DatabaseWriter, "_make_table", meanwhile)
    with pytest.raises(SinkError, match="another run writes the table"):
        other.recover(0, None)
    one.close(), other.abort()
    assert ids(postgres) == [1]


@pytest.mark.parametrize("rows_last", [True, False])
@pytest.mark.parametrize(
    ("gone", "found"),
    [
        ("DROP TABLE t", "no such table"),
        pytest.param(
            "DROP TABLE arrowstream_epochs", "epoch 0 in arrowstream_epochs", marks=pytest.mark.untraced
        ),
        ("DELETE FROM arrowstream_epochs", "epoch 0 in arrowstream_epochs"),
        ("UPDATE arrowstream_epochs SET epoch = 1", "epoch 1 in arrowstream_epochs"),
    ],
)
def test_rows_that_are_gone_are_missed(
    runs: Runs, database: Database, tmp_path: Path, gone: str, found: str, rows_last: bool
) -> None:
    """Else the table would have only the rows that are new, and look complete."""
    writer = runs.start()
    for epoch in (1, 2, 3):
        if epoch < 3 or rows_last:
            writer.write(batch(epoch))
        handle = writer.prepare(epoch)
        if epoch < 3 or not rows_last:
            writer.commit(handle)
    writer.abort()
    database.execute(gone)
    for _ in range(2):
        with pytest.raises(
            CheckpointError, match=r"the table (\w+\.)?t lacks rows that earlier runs"
        ) as raised:
            runs.start(3, handle)
        assert str(raised.value.found).startswith(found)
    # From the beginning, everything is written again.
    if gone != "DROP TABLE t":
        database.execute("DROP TABLE t")
    writer = runs.start(3, None)
    writer.write(batch(1, 2))
    writer.commit(handle := writer.prepare(4))
    runs.start(4, handle)
    assert ids(database) == [1, 2]


def test_a_table_without_rows_is_made_again(runs: Runs, database: Database) -> None:
    handle = runs.start().prepare(1)
    database.execute("DROP TABLE t")
    writer = runs.start(1, handle)
    assert ids(database) == []
    writer.write(batch(1))
    handle = writer.prepare(2)
    writer.abort()
    database.execute("DROP TABLE t")
    runs.start(2, handle)
    assert ids(database) == [1]


def test_a_table_that_the_job_has_made_is_its_own(database: Database, tmp_path: Path) -> None:
    runs = Runs(database.sink(mode="create"), tmp_path)
    for epoch in (1, 2):
        writer = runs.start(epoch - 1)
        writer.write(batch(epoch))
        writer.commit(writer.prepare(epoch))
    writer.close()
    assert ids(database) == [1, 2]
    with pytest.raises(SinkError, match="the table t exists"):
        opened(database.sink(mode="create"), at=checkpointed(tmp_path, 1, "another job"))


@pytest.mark.parametrize(
    ("harm", "found"),
    [(Path.unlink, "no file"), (lambda path: path.write_bytes(path.read_bytes()[:-9]), "bytes")],
    ids=["missing", "cut"],
)
def test_a_log_that_is_damaged(
    sqlite: Database, tmp_path: Path, harm: Callable[[Path], Any], found: str
) -> None:
    runs = Runs(sqlite.sink(), tmp_path)
    writer = runs.start()
    writer.write(batch(1))
    handle = writer.prepare(1)
    writer.abort()
    harm(tmp_path / "log" / str(handle["log"]))
    with pytest.raises(SinkError, match="the output log of a prepared epoch is damaged") as raised:
        runs.start(1, handle)
    assert found in (raised.value.found or "")
    assert runs.writer is not None
    runs.writer.abort()
    assert ids(sqlite) == []


def test_a_disk_that_is_full_leaves_the_log_as_it_was(
    runs: Runs, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = runs.start()
    writer.write(batch(1))
    log = writer._log
    assert log is not None
    file = log._file

    class Full:
        def write(self, data: bytes) -> None:
            file.write(data[:3])
            raise OSError(28, "No space left on device")

        def __getattr__(self, name: str) -> Any:
            return getattr(file, name)

    monkeypatch.setattr(log, "_file", Full())
    with pytest.raises(OSError, match="No space left"):
        writer.write(batch(2))
    monkeypatch.undo()
    writer.write(batch(3))
    handle = writer.prepare(1)
    runs.start(1, handle).close()
    assert ids(database) == [1, 3]
