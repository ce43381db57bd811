"""A SQLite file that a process of its own has open: whoever else opens it in this one, neither harms the other."""

import os
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import adbc_driver_manager as adbc
import pyarrow as pa
import pytest
from databases import ROWS, Database, batch, opened

from arrowstream import Pipeline, Source
from arrowstream.errors import DatabaseBusy, SinkError
from arrowstream.io.database.address import DatabaseAddress
from arrowstream.io.database.systems import sqlite_connection, sqlite_process
from arrowstream.io.database.systems.sqlite import SqliteDatabase
from arrowstream.io.database.systems.sqlite_connection import SqliteConnection

pytestmark = pytest.mark.once

EACH_ROW = {"adbc.sqlite.query.batch_rows": "1"}


class InThisProcess:
    """Serves a connection on a thread, so that the coverage of the process's program is seen."""

    def __init__(self) -> None:
        requests, self.requests = _pipe()
        self.answers, answers = _pipe()
        self.ended = False
        self._thread = threading.Thread(target=self._serve, args=(requests, answers))
        self._thread.start()

    def _serve(self, requests: Any, answers: Any) -> None:
        with suppress(BrokenPipeError), requests, answers:
            sqlite_process.serve(requests, answers)

    def end(self) -> int:
        self.requests.close()
        self.answers.close()
        self._thread.join(60)
        assert not self._thread.is_alive()
        return 0


def _pipe() -> tuple[Any, Any]:
    read, write = os.pipe()
    return os.fdopen(read, "rb"), os.fdopen(write, "wb")


@pytest.fixture(params=["in this process", "in its own"])
def connect(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], SqliteConnection]]:
    idle: list[Any] = []
    monkeypatch.setattr(sqlite_connection, "_idle", idle)
    if request.param == "in this process":
        monkeypatch.setattr(sqlite_connection, "_Process", InThisProcess)
    yield lambda: SqliteConnection(f"file:{tmp_path}/a.db?mode=rwc")
    sqlite_connection._end_idle()
    assert idle == []


def numbers(*values: int) -> pa.RecordBatchReader:
    return pa.table({"id": pa.array(values, pa.int64())}).to_reader(2)


def rows(connection: SqliteConnection, sql: str = "SELECT id FROM t", *parameters: object) -> list[Any]:
    return [value for batch in connection.records(sql, parameters) for value in batch.column(0).to_pylist()]


def test_statements(connect: Callable[[], SqliteConnection]) -> None:
    with closing(connect()) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        connection.append("t", numbers(1, 2, 3))
        connection.execute("DELETE FROM t WHERE id = $1", (2,))
        assert rows(connection) == [1, 3]
        assert rows(connection, "SELECT id FROM t WHERE id > $1 AND $2 = 'a'", 1, "a") == [3]
        connection.execute("CREATE TEMPORARY TABLE s (id INTEGER)")
        connection.append("s", numbers(7), temporary=True)
        assert rows(connection, "SELECT id FROM temp.s") == [7]
        connection.execute("BEGIN")
        connection.append("t", numbers(9))
    with closing(connect()) as connection:
        assert rows(connection) == [1, 3]
        with pytest.raises(adbc.Error, match=r"no such table: temp\.s"):
            rows(connection, "SELECT id FROM temp.s")


def test_after_a_failure_statements_go_on(connect: Callable[[], SqliteConnection]) -> None:
    with closing(connect()) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        for failing in (
            lambda: connection.execute("SELEC"),
            lambda: connection.execute("INSERT INTO t VALUES (1), (1)"),
            lambda: rows(connection, "SELECT x FROM t"),
            lambda: connection.append("nowhere", numbers(*range(10))),
            lambda: connection.append("t", numbers(1, 2, 3, 2, *range(4, 9))),
        ):
            with pytest.raises(adbc.Error):
                failing()
            assert rows(connection, "SELECT count(*) FROM t") == [0]


def test_a_value_that_does_not_fit_ends_the_query_only(connect: Callable[[], SqliteConnection]) -> None:
    with closing(connect()) as connection:
        records = connection.records("SELECT 1 AS id UNION ALL SELECT 'a'", options=EACH_ROW)
        assert next(records).to_pydict() == {"id": [1]}
        with pytest.raises(adbc.DataError, match="Type mismatch in column 0"):
            next(records)
        assert rows(connection, "SELECT 5 AS id") == [5]


def test_reading_may_stop_early(connect: Callable[[], SqliteConnection]) -> None:
    many = "WITH RECURSIVE n(id) AS (SELECT 0 UNION ALL SELECT id + 1 FROM n) SELECT id FROM n"
    with closing(connect()) as connection:
        records = connection.records(many)
        next(records)
        records.close()
        assert rows(connection, "SELECT 5 AS id") == [5]
        records = connection.records(many)
        next(records)
    records.close()
    with pytest.raises(adbc.OperationalError, match="the connection is closed"):
        rows(connection, "SELECT 5 AS id")
    connection.close()


def test_a_process_is_kept_for_the_next_connection(connect: Callable[[], SqliteConnection]) -> None:
    first = connect()
    process = first._process
    first.close()
    with closing(connect()) as connection:
        assert connection._process is process
    several = [connect() for _ in range(sqlite_connection.IDLE + 1)]
    for connection in several:
        connection.close()
    assert len(sqlite_connection._idle) == sqlite_connection.IDLE


def test_a_connection_in_the_middle_of_a_request_gives_its_process_up(
    connect: Callable[[], SqliteConnection],
) -> None:
    def broken() -> Iterator[pa.RecordBatch]:
        yield from numbers(1, 2)
        raise KeyboardInterrupt

    connection = connect()
    connection.execute("CREATE TABLE t (id INTEGER)")
    with pytest.raises(KeyboardInterrupt):
        connection.append("t", pa.RecordBatchReader.from_batches(numbers().schema, broken()))
    connection.close()
    assert sqlite_connection._idle == []
    with closing(connect()) as connection:
        assert rows(connection) == []


@pytest.mark.parametrize("path", ["", "no/folder/a.db"])
def test_a_file_that_cannot_be_opened(
    connect: Callable[[], SqliteConnection], tmp_path: Path, path: str
) -> None:
    with pytest.raises(adbc.Error, match="failed to open"):
        SqliteConnection(f"file:{tmp_path}/{path}?mode=rw")
    with closing(connect()) as connection:
        assert rows(connection, "SELECT 5 AS id") == [5]


def test_the_process_serves_its_pipes_and_ends_with_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    (requests, send), (receive, answers) = os.pipe(), os.pipe()
    parents: list[int] = []
    signals: dict[int, object] = {}
    monkeypatch.setattr("signal.signal", lambda number, action: signals.update({number: action}))
    monkeypatch.setattr(sqlite_process, "end_with", parents.append)
    with os.fdopen(send, "wb") as sent:
        sqlite_process.send(sent, 42, ["there"])
        sqlite_process.send(sent, "open", "file::memory:")
        sqlite_process.send(sent, "execute", "CREATE TABLE t (id INTEGER)", None)
    monkeypatch.setattr("sys.path", [*sqlite_process.sys.path])
    sqlite_process.main(requests, answers)
    assert parents == [42] and sqlite_process.sys.path == ["there"] and set(signals) == {2, 15}
    os.close(answers)  # to which prints go
    os.close(requests)
    with os.fdopen(receive, "rb") as received:
        assert [sqlite_process.receive(received) for _ in range(2)] == [("done",), ("done",)]
        with pytest.raises(EOFError):
            sqlite_process.receive(received)


def test_it_ends_when_its_parent_has(monkeypatch: pytest.MonkeyPatch) -> None:
    parent, ended = [5], threading.Event()
    monkeypatch.setattr(sqlite_process, "PARENT_SECONDS", 0.001)
    monkeypatch.setattr("os.getppid", lambda: parent[0])
    sqlite_process.end_with(5, lambda code: ended.set())
    assert not ended.is_set()
    parent[0] = 1
    assert ended.wait(60)


def database(path: Path) -> SqliteDatabase:
    return SqliteDatabase.connect(DatabaseAddress.of("test", f"sqlite:///{path}"), None)


def test_locks_hold_between_the_driver_and_pythons_own_library(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arrowstream.io.database.systems.sqlite.BUSY_MS", 1)
    path = Path(str(sqlite.path))
    sqlite.execute("CREATE TABLE t (id INTEGER, name TEXT, price REAL)")
    with closing(database(path)) as ours, closing(sqlite3.connect(path, timeout=0)) as theirs:
        ours.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            theirs.execute("SELECT * FROM t")
        ours.execute("COMMIT")
        theirs.execute("BEGIN IMMEDIATE")
        with pytest.raises(adbc.Error, match="locked"):
            ours.begin()
        # Another connection that ends gives up no lock of this one.
        for _ in range(2):
            with closing(database(path)):
                pass
            with pytest.raises(adbc.Error, match="locked"):
                ours.begin()
            with pytest.raises(DatabaseBusy, match="locked"):
                Pipeline.builder().source(Source.from_frame(ROWS)).sink(sqlite.sink()).build().run_sync()


def test_rows_are_whole_for_a_reader_in_this_process(sqlite: Database) -> None:
    """With one process for both libraries, the file was damaged after some of these commits."""
    path = Path(str(sqlite.path))
    sqlite.execute("CREATE TABLE t (id INTEGER, name TEXT, price REAL)")
    done, counts = threading.Event(), []

    def read() -> None:
        while not done.is_set():
            with closing(sqlite3.connect(path, timeout=60)) as connection:
                counts.append(connection.execute("SELECT count(*) FROM t").fetchone()[0])

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in range(100):
            writer = opened(sqlite.sink())
            writer.write(batch(*range(1000)))
            writer.commit(writer.prepare(0))
            writer.close()
    finally:
        done.set()
        reader.join(60)
    assert [count % 1000 for count in counts] == [0] * len(counts) and counts == sorted(counts)
    assert sqlite.rows("PRAGMA integrity_check") == [("ok",)]
    assert sqlite.rows("SELECT count(*) FROM t") == [(100_000,)]


def test_a_process_that_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_connection, "END_SECONDS", 0.01)
    process = sqlite_connection._Process()
    os.kill(process._process.pid, signal.SIGSTOP)
    assert process.end() == -signal.SIGKILL


def test_a_process_that_is_killed_fails_the_run_and_loses_nothing(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_connection, "_idle", [])
    started: list[Any] = []

    class Watched(sqlite_connection._Process):
        def __init__(self) -> None:
            super().__init__()
            started.append(self._process)

    monkeypatch.setattr(sqlite_connection, "_Process", Watched)
    writer = opened(sqlite.sink())
    writer.write(batch(1))
    for process in started:
        process.kill()
        process.wait()
    with pytest.raises(SinkError, match="cannot write to the table t") as raised:
        writer.write(batch(2))
    assert "has ended, with the exit code -9" in str(raised.value.found)
    assert raised.value.hint == "run again: what was not committed is undone"
    writer.close()
    Pipeline.builder().source(Source.from_frame(ROWS)).sink(sqlite.sink()).build().run_sync()
    assert sqlite.rows("SELECT * FROM t") == ROWS.rows()
    # One that waits for its next connection, and is killed there, is not taken.
    for process in started:
        process.kill()
        process.wait()
    with closing(SqliteConnection(f"file:{sqlite.path}?mode=ro")) as connection:
        assert rows(connection, "SELECT count(*) FROM t") == [3]
    sqlite_connection._end_idle()
