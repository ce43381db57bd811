"""A SQLite file that a process of its own has open: whoever else opens it in this one, neither harms the other."""

import io
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import adbc_driver_manager as adbc
import pyarrow as pa
import pytest

from arrowstream.io.database.systems import sqlite_connection, sqlite_process, sqlite_processes
from arrowstream.io.database.systems.sqlite_connection import SqliteConnection

pytestmark = pytest.mark.once

EACH_ROW = {"adbc.sqlite.query.batch_rows": "1"}


class InThisProcess:
    """Serves a connection on a thread, so that the coverage of the process's program is seen."""

    def __init__(self) -> None:
        requests, self.requests = _pipe()
        self.answers, answers = _pipe()
        self.ended = self.left = False
        self._thread = threading.Thread(target=self._serve, args=(requests, answers))
        self._thread.start()

    def _serve(self, requests: Any, answers: Any) -> None:
        with suppress(BrokenPipeError), requests, answers:
            sqlite_process.serve(requests, answers)

    def end(self, seconds: float | None = None) -> int:
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
    monkeypatch.setattr(sqlite_processes, "_idle", idle)
    if request.param == "in this process":
        monkeypatch.setattr(sqlite_connection, "StartedProcess", InThisProcess)
    yield lambda: SqliteConnection(f"file:{tmp_path}/a.db?mode=rwc")
    sqlite_processes.end_idle()
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
    several = [connect() for _ in range(sqlite_processes.IDLE + 1)]
    for connection in several:
        connection.close()
    assert len(sqlite_processes._idle) == sqlite_processes.IDLE


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
    assert sqlite_processes._idle == []
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
        sqlite_process.send(sent, ["there", sqlite_process.sys.path[0]])
        sqlite_process.send(sent, "open", "file::memory:")
        sqlite_process.send(sent, "execute", "CREATE TABLE t (id INTEGER)", None)
    path = [*sqlite_process.sys.path]
    monkeypatch.setattr("sys.path", [*path])
    sqlite_process.main(42, requests, answers)
    assert parents == [42] and sqlite_process.sys.path == [*path, "there"]
    assert signals == {signal.SIGTERM: signal.SIG_IGN}
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


@pytest.mark.parametrize("last", [None, ("open", "file:no/folder/a.db?mode=rw"), ("close",)])
def test_it_ends_when_it_has_waited_for_a_file(monkeypatch: pytest.MonkeyPatch, last: Any) -> None:
    monkeypatch.setattr(sqlite_process, "IDLE_SECONDS", 0.01)
    process = InThisProcess()
    for request in [("open", "file::memory:"), ("close",)] if last == ("close",) else [last] if last else []:
        sqlite_process.send(process.requests, *request)
        sqlite_process.receive(process.answers)
    if last is None:  # the first file is on its way
        process.requests.close()
    process._thread.join(60)
    assert not process._thread.is_alive()
    process.end()


def test_a_message_that_is_cut_off() -> None:
    message = io.BytesIO()
    sqlite_process.send(message, "rows", bytes(1000))
    for size in range(len(message.getvalue())):
        with pytest.raises(EOFError):
            sqlite_process.receive(io.BytesIO(message.getvalue()[:size]))


def test_a_mistake_of_the_program_is_answered_before_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    (requests, send), (receive, answers) = os.pipe(), os.pipe()
    monkeypatch.setattr("signal.signal", lambda number, action: None)
    monkeypatch.setattr(sqlite_process, "end_with", lambda parent: None)
    with os.fdopen(send, "wb") as sent:
        sqlite_process.send(sent, [])
        sqlite_process.send(sent, "open")
    with pytest.raises(TypeError):
        sqlite_process.main(42, requests, answers)
    os.close(answers)
    os.close(requests)
    with os.fdopen(receive, "rb") as received:
        kind, name, message = sqlite_process.receive(received)
    assert (kind, name) == ("failed", "InternalError") and message.startswith("TypeError: ")


def test_the_parent_ends_before_it_says_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    (requests, send), (receive, answers) = os.pipe(), os.pipe()
    monkeypatch.setattr("signal.signal", lambda number, action: None)
    monkeypatch.setattr(sqlite_process, "end_with", lambda parent: None)
    os.close(send)
    sqlite_process.main(42, requests, answers)
    for descriptor in (requests, receive, answers):
        os.close(descriptor)


def test_an_interrupted_statement_closes_the_connection(
    connect: Callable[[], SqliteConnection], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the next statement takes its answer, and so on, also those of the next connection."""
    connection = connect()
    connection.execute("CREATE TABLE t (id INTEGER)")
    with monkeypatch.context() as patched:
        patched.setattr(sqlite_connection, "_answer", lambda process: _interrupt())
        with pytest.raises(KeyboardInterrupt):
            connection.execute("BEGIN")
    with pytest.raises(adbc.OperationalError, match="a statement of it was interrupted"):
        connection.execute("SELECT nonsense FROM nowhere")
    connection.close()
    assert sqlite_processes._idle == []
    with closing(connect()) as connection:
        assert rows(connection) == []


def _interrupt() -> None:
    raise KeyboardInterrupt
