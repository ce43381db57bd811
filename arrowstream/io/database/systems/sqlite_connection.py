"""`SqliteConnection`: a SQLite file that another process has open for this one."""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO, Any, cast

import adbc_driver_manager as adbc
import pyarrow as pa

from arrowstream.io.database.systems import sqlite_process
from arrowstream.io.database.systems.sqlite_process import receive, send

IDLE = 2
"""Number of processes that wait for the next connection: one more takes a fifth of a second to start."""
END_SECONDS = 10.0
"""How long a process may take to end by itself, in seconds."""

_idle: list[_Process] = []


class _Process:
    def __init__(self) -> None:
        program = f"import runpy; runpy.run_path({sqlite_process.__file__!r})['main']()"
        command = [sys.executable, "-P", "-c", program]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.requests = cast(IO[bytes], self._process.stdin)
        self.answers = cast(IO[bytes], self._process.stdout)
        send(self.requests, os.getpid(), sys.path)

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def end(self) -> int:
        """End the process, which undoes what is not committed; return its exit code."""
        with suppress(OSError):  # the rest of a request that it did not read
            self.requests.close()
        self.answers.close()
        try:
            return self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


def _waiting() -> _Process | None:
    """Return a process that waits for its next connection; None without one."""
    while _idle:
        process = _idle.pop()
        if not process.ended:
            return process
        process.end()  # somebody has killed it
    return None


def _end_idle() -> None:
    while _idle:
        _idle.pop().end()


atexit.register(_end_idle)
os.register_at_fork(after_in_child=_idle.clear)  # they are the parent's


class SqliteConnection:
    """Connection of the ADBC driver, in a process of its own. Each statement is committed at once.

    All methods raise the driver's errors, and `adbc_driver_manager.OperationalError` if the process has ended.

    Parameters
    ----------
    uri
        The file, as a URI of SQLite.
    """

    def __init__(self, uri: str) -> None:
        self._process: _Process | None = _waiting() or _Process()
        # False from a request to its answer, and while rows are read: the process cannot take another request.
        self._at_rest = True
        try:
            self._request("open", uri)
        except BaseException:
            self._end()
            raise

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> None:
        """Run a statement that gives no rows."""
        self._request("execute", sql, _bound(parameters))

    def records(
        self, sql: str, parameters: Sequence[object] = (), options: Mapping[str, str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Run a query and yield its rows; no other statement may run meanwhile."""
        schema = pa.ipc.read_schema(pa.py_buffer(self._request("read", sql, _bound(parameters), options)))
        reading = True
        try:
            while reading:
                reading = False
                if (rows := self._request("next")) is not None:
                    self._at_rest, reading = False, True
                    yield pa.ipc.read_record_batch(pa.py_buffer(rows), schema)
                    self._at_rest = True
        finally:
            if reading and self._process is not None:
                with self._exchange() as process:
                    send(process.requests, "stop")

    def append(self, table: str, rows: pa.RecordBatchReader, *, temporary: bool = False) -> None:
        """Add rows to a table."""
        with self._exchange() as process:
            send(process.requests, "append", table, temporary, rows.schema.serialize().to_pybytes())
            for piece in rows:
                send(process.requests, piece.serialize().to_pybytes())
            send(process.requests)
            _answer(process)

    def close(self) -> None:
        """Close the file; what is not committed is undone."""
        if self._process is None:
            return
        try:
            if self._at_rest:
                self._request("close")
        finally:
            self._end()

    def _request(self, *request: object) -> Any:
        with self._exchange() as process:
            send(process.requests, *request)
            return _answer(process)

    @contextmanager
    def _exchange(self) -> Iterator[_Process]:
        process = self._process
        if process is None:
            raise adbc.OperationalError(
                "the connection is closed", status_code=adbc.AdbcStatusCode.INVALID_STATE
            )
        self._at_rest = False
        try:
            yield process
        except adbc.Error:
            self._at_rest = True
            raise
        except (EOFError, OSError) as error:
            self._process = None
            raise adbc.OperationalError(
                f"the process with the file of SQLite has ended, with the exit code {process.end()}",
                status_code=adbc.AdbcStatusCode.IO,
            ) from error
        self._at_rest = True

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if self._at_rest and len(_idle) < IDLE:
            _idle.append(process)
        else:
            process.end()


def _bound(parameters: Sequence[object]) -> bytes | None:
    """Return the values of parameters as a stream of one batch."""
    if not parameters:
        return None
    batch = pa.record_batch(
        [pa.array([value]) for value in parameters], [str(i) for i in range(len(parameters))]
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    return cast(bytes, sink.getvalue().to_pybytes())


def _answer(process: _Process) -> Any:
    """Return the value of an answer, or None without one."""
    kind, *values = receive(process.answers)
    if kind == "failed":
        name, message = values
        raise getattr(adbc, name)(message, status_code=adbc.AdbcStatusCode.UNKNOWN)
    return values[0] if values else None
