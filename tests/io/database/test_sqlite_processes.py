"""The processes that have SQLite files open for this one: how they start and end, and who else may open the files."""

import os
import re
import shutil
import signal
import sqlite3
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import adbc_driver_manager as adbc
import pytest
from databases import ROWS, Database, batch, checkpointed, opened

from arrowstream import Pipeline, Source
from arrowstream.errors import DatabaseBusy, SinkError
from arrowstream.io.database.address import DatabaseAddress
from arrowstream.io.database.systems import sqlite_connection, sqlite_process, sqlite_processes
from arrowstream.io.database.systems.sqlite import SqliteDatabase
from arrowstream.io.database.systems.sqlite_connection import SqliteConnection

pytestmark = pytest.mark.once

EACH_ROW = {"adbc.sqlite.query.batch_rows": "1"}


@pytest.fixture(autouse=True)
def new_processes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sqlite_processes, "_idle", [])
    yield
    sqlite_processes.end_idle()


def rows(connection: SqliteConnection, sql: str) -> list[Any]:
    return [value for batch in connection.records(sql) for value in batch.column(0).to_pylist()]


def test_a_query_that_goes_on_for_long_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_connection, "STOP_SECONDS", 0.01)
    endless = (
        "WITH RECURSIVE n(id) AS (SELECT 0 UNION ALL SELECT id + 1 FROM n) SELECT id FROM n WHERE id < 1"
    )
    connection = SqliteConnection(f"file:{tmp_path}/a.db?mode=rwc")
    records = connection.records(endless, options=EACH_ROW)
    assert next(records).num_rows == 1
    records.close()
    connection.close()
    assert sqlite_processes._idle == []


def test_a_waiting_process_that_ends_at_this_moment_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(SqliteConnection(f"file:{tmp_path}/a.db?mode=rwc")) as connection:
        process: Any = connection._process
    process._process.kill()
    process._process.wait()
    monkeypatch.setattr(type(process), "ended", False)
    with closing(SqliteConnection(f"file:{tmp_path}/a.db?mode=rwc")) as connection:
        assert connection._process is not process
        assert rows(connection, "SELECT 5 AS id") == [5]


@pytest.mark.parametrize(
    ("executable", "found"),
    [
        ("", "sys.executable is '', which is not a Python"),
        ("/no/python", "No such file"),
        (shutil.which("false"), "has ended, with the exit code 1|Broken pipe"),
    ],
)
def test_a_process_that_cannot_be_started(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch, executable: str, found: str
) -> None:
    monkeypatch.setattr("sys.executable", executable)
    with pytest.raises(SinkError, match=r"the database sqlite .* cannot be opened") as raised:
        opened(sqlite.sink())
    assert re.search(f"cannot be started: .*({found})", str(raised.value.found))
    assert "let sys.executable name one" in str(raised.value.hint)


def test_a_process_that_ends_before_its_first_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Short(sqlite_processes.StartedProcess):
        def __init__(self) -> None:
            super().__init__()
            self._process.kill()
            self._process.wait()

    monkeypatch.setattr(sqlite_connection, "StartedProcess", Short)
    with pytest.raises(adbc.OperationalError, match=r"cannot be started: .* with the exit code -9"):
        SqliteConnection(f"file:{tmp_path}/a.db?mode=rwc")


def test_a_process_that_ends_before_it_hears_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_processes, "send", lambda *_: _broken_pipe())
    with pytest.raises(BrokenPipeError):
        sqlite_processes.StartedProcess()


def _broken_pipe() -> None:
    raise BrokenPipeError


def test_files_of_the_user_do_not_hide_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pickle", "random", "pyarrow", "adbc_driver_sqlite"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('hidden')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    with closing(SqliteConnection(f"file:{tmp_path}/a.db?mode=rwc")) as connection:
        assert rows(connection, "SELECT 5 AS id") == [5]


@pytest.mark.skipif(
    not Path("/proc/self/maps").exists(), reason="needs Linux's list of the files of a process"
)
def test_the_process_imports_no_pandas(tmp_path: Path) -> None:
    with closing(SqliteConnection(f"file:{tmp_path}/a.db?mode=rwc")) as connection:
        connection.execute("CREATE TABLE t (id INTEGER)")
        connection.execute("INSERT INTO t VALUES (?)", (5,))
        assert rows(connection, "SELECT id FROM t") == [5]
        process = connection._process
        assert process is not None
        files = Path(f"/proc/{process._process.pid}/maps").read_text()
    assert "pyarrow" in files and "pandas" not in files


def test_what_it_finds_instead() -> None:
    with pytest.raises(ModuleNotFoundError) as raised:
        sqlite_process.WithoutPandas.find_spec("pandas")
    assert raised.value.name == "pandas"
    assert sqlite_process.WithoutPandas.find_spec("pyarrow") is None


def test_the_program_may_be_in_a_zip_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.write(sqlite_process.__file__, "folder/sqlite_process.py")
    monkeypatch.setattr(sqlite_process, "__file__", f"{tmp_path}/a.zip/folder/sqlite_process.py")
    with closing(SqliteConnection(f"file:{tmp_path}/a.db?mode=rwc")) as connection:
        assert rows(connection, "SELECT 5 AS id") == [5]


def test_a_fork_leaves_connections_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(SqliteConnection(f"file:{tmp_path}/a.db?mode=rwc")):
        with closing(connection := SqliteConnection(f"file:{tmp_path}/a.db?mode=rwc")):
            records = connection.records("SELECT 1 AS id UNION ALL SELECT 2", options=EACH_ROW)
            assert next(records).num_rows == 1
            _in_a_fork(lambda: _uses_what_is_of_its_parent(connection, records))
            assert [batch.to_pydict() for batch in records] == [{"id": [2]}]
        assert len(sqlite_processes._idle) == 1


def test_what_a_fork_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same in this process, where its coverage is seen."""
    connection = SqliteConnection(f"file:{tmp_path}/a.db?mode=rwc")
    process: Any = connection._process
    records = connection.records("SELECT 1 AS id UNION ALL SELECT 2", options=EACH_ROW)
    assert next(records).num_rows == 1
    with closing(SqliteConnection(f"file:{tmp_path}/a.db?mode=rwc")) as other:
        waits: Any = other._process
    monkeypatch.setattr(sqlite_processes, "_all", {process, waits})
    sqlite_processes._leave_all()
    assert [os.waitpid(each._process.pid, 0)[1] for each in (process, waits)] == [0, 0]
    _uses_what_is_of_its_parent(connection, records)


def test_a_fork_that_lives_on_lets_processes_end() -> None:
    """A copy of their pipes in it would keep them from it, and they would be killed in the end."""
    process = sqlite_processes.StartedProcess()
    alive, end = os.pipe()
    pid = os.fork()
    if not pid:  # pragma: no cover
        os.close(end)
        os.read(alive, 1)
        os._exit(0)
    assert process.end() == 0
    for descriptor in (alive, end):
        os.close(descriptor)
    os.waitpid(pid, 0)


def _uses_what_is_of_its_parent(connection: SqliteConnection, records: Any) -> None:
    with pytest.raises(adbc.OperationalError, match="of the process that has forked this one"):
        connection.execute("SELECT 1")
    records.close()
    connection.close()
    assert sqlite_processes._idle == []


def _in_a_fork(check: Callable[[], None]) -> None:
    pid = os.fork()
    if not pid:  # pragma: no cover
        try:
            check()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


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


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
@pytest.mark.parametrize("checkpoints", [False, True])
def test_a_reader_with_rows_left_to_fetch(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mode: str, checkpoints: bool
) -> None:
    folders = (tmp_path / name for name in "abc")

    def write() -> int:
        sink = sqlite.sink(mode="upsert", key="id")
        pipeline = Pipeline.builder().source(Source.from_frame(ROWS)).sink(sink).build()
        return pipeline.run_sync(checkpoint=next(folders) if checkpoints else None).rows_out

    monkeypatch.setattr("arrowstream.io.database.systems.sqlite.BUSY_MS", 1)
    write()
    with closing(sqlite3.connect(str(sqlite.path))) as connection:
        assert connection.execute(f"PRAGMA journal_mode = {mode}").fetchone() == (mode.lower(),)
        reader = connection.execute("SELECT id FROM t")
        reader.fetchone()
        if mode == "WAL":
            assert write() == ROWS.height
        else:
            with pytest.raises(DatabaseBusy, match="the table t is locked") as raised:
                write()
            assert "rows left to fetch" in str(raised.value.hint) and "WAL" in str(raised.value.hint)
            # Handlers of errors try no commit again, nor the claim of a sink.
            assert str(raised.value.hint).startswith("end the other transaction, and run again; ")
            assert checkpoints or str(raised.value.hint).endswith("; no row of this run is in the table")
        assert len(reader.fetchall()) == ROWS.height - 1
        reader.close()
    assert write() == ROWS.height


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
    monkeypatch.setattr(sqlite_processes, "END_SECONDS", 0.01)
    process = sqlite_processes.StartedProcess()
    os.kill(process._process.pid, signal.SIGSTOP)
    assert process.end() == -signal.SIGKILL


def test_a_process_that_is_killed_fails_the_run_and_loses_nothing(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []

    class Watched(sqlite_processes.StartedProcess):
        def __init__(self) -> None:
            super().__init__()
            started.append(self._process)

    monkeypatch.setattr(sqlite_connection, "StartedProcess", Watched)
    writer = opened(sqlite.sink())
    writer.write(batch(1))
    for process in started:
        process.kill()
        process.wait()
    with pytest.raises(SinkError, match="cannot write to the table t") as raised:
        writer.write(batch(2))
    assert "has ended, with the exit code -9" in str(raised.value.found)
    assert "run again: what was not committed is undone" in str(raised.value.hint)
    writer.close()
    Pipeline.builder().source(Source.from_frame(ROWS)).sink(sqlite.sink()).build().run_sync()
    assert sqlite.rows("SELECT * FROM t") == ROWS.rows()
    # One that waits for its next connection, and is killed there, is not taken.
    for process in started:
        process.kill()
        process.wait()
    with closing(SqliteConnection(f"file:{sqlite.path}?mode=ro")) as connection:
        assert rows(connection, "SELECT count(*) FROM t") == [3]


@pytest.mark.parametrize("done", [False, True])
def test_a_process_that_is_killed_at_a_commit(
    sqlite: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, done: bool
) -> None:
    """Whether it has committed or not is not known: the epoch in the file says it, and no row is written twice."""
    writer = opened(sqlite.sink(), at=checkpointed(tmp_path))
    process: Any = writer._session.database._connection._process
    writer.write(batch(1, 2))
    handle = writer.prepare(1)
    killed: list[bool] = []

    def send_and_kill(stream: Any, *message: object) -> None:
        if message[:2] != ("execute", "COMMIT") or killed:
            sqlite_process.send(stream, *message)
            return
        if done:
            sqlite_process.send(stream, *message)
            assert sqlite_process.receive(process.answers) == ("done",)
        killed.append(done)
        process._process.kill()
        process._process.wait()

    monkeypatch.setattr(sqlite_connection, "send", send_and_kill)
    writer.commit(handle)
    writer.close()
    assert killed == [done]
    assert sqlite.rows("SELECT id FROM t ORDER BY id") == [(1,), (2,)]
    assert sqlite.rows("SELECT epoch FROM arrowstream_epochs") == [(1,)]
