"""`SqliteConnection`: a SQLite file that another process has open for this one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import adbc_driver_manager as adbc
import pyarrow as pa

from arrowstream.io.database.systems import sqlite_processes
from arrowstream.io.database.systems.sqlite_process import comes, receive, send
from arrowstream.io.database.systems.sqlite_processes import StartedProcess

STOP_SECONDS = 1.0
"""How long a query may go on that looks for rows which nobody wants any more, in seconds."""

_NOT_STARTED = "the process for the file of SQLite cannot be started"


class _Ended(adbc.OperationalError):
    """The process has ended."""


class SqliteConnection:
    """Connection of the ADBC driver, in a process of its own. Each statement is committed at once.

    All methods raise the driver's errors, and `adbc_driver_manager.OperationalError` if the process has ended.

    Parameters
    ----------
    uri
        The file, as a URI of SQLite.
    """

    def __init__(self, uri: str) -> None:
        self._stopped = False
        """True if not all rows of a query were read."""
        opened = False
        while not opened:
            # False from a request to its answer, and while rows are read: the process cannot take another request.
            self._at_rest = True
            waiting = sqlite_processes.waiting()
            self._process: StartedProcess | None = waiting or _started()
            try:
                self._request("open", uri)
                opened = True
            except _Ended as error:
                if waiting is None:
                    raise _failure(f"{_NOT_STARTED}: {error}") from error
                # It had waited for too long, and ended at this moment.
            except BaseException:
                self._end()
                raise

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> None:
        """Run a statement that gives no rows."""
        self._request("execute", sql, tuple(parameters))

    def records(
        self, sql: str, parameters: Sequence[object] = (), options: Mapping[str, str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Run a query and yield its rows; no other statement may run meanwhile."""
        schema = pa.ipc.read_schema(pa.py_buffer(self._request("read", sql, tuple(parameters), options)))
        reading = True
        try:
            while reading:
                reading = False
                if (rows := self._request("next")) is not None:
                    self._at_rest, reading = False, True
                    yield pa.ipc.read_record_batch(pa.py_buffer(rows), schema)
                    self._at_rest = True
        finally:
            if reading and self._process is not None and not self._process.left:
                self._at_rest = self._stopped = True
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
            if self._at_rest and not self._process.left:
                with self._exchange() as process:
                    send(process.requests, "close")
                    ready = not self._stopped or comes(process.answers, STOP_SECONDS)
                    if ready:
                        _answer(process)
                if not ready:
                    self._process = None
                    process.end(0)
        finally:
            self._end()

    def _request(self, *request: object) -> Any:
        with self._exchange() as process:
            send(process.requests, *request)
            return _answer(process)

    @contextmanager
    def _exchange(self) -> Iterator[StartedProcess]:
        process = self._process
        if process is None:
            raise _failure("the connection is closed")
        if process.left:
            raise _failure("the connection is that of the process that has forked this one")
        if not self._at_rest:
            # An answer that is still to come would be taken for that of the next request.
            self._end()
            raise _failure("the connection is closed: a statement of it was interrupted")
        self._at_rest = False
        try:
            yield process
        except adbc.Error:
            self._at_rest = True
            raise
        except (EOFError, OSError) as error:
            self._process = None
            raise _Ended(
                f"the process with the file of SQLite has ended, with the exit code {process.end()}",
                status_code=adbc.AdbcStatusCode.IO,
            ) from error
        self._at_rest = True

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if self._at_rest:
            sqlite_processes.give_back(process)
        else:
            process.end()


def _started() -> StartedProcess:
    try:
        return StartedProcess()
    except OSError as error:
        raise _failure(f"{_NOT_STARTED}: {error}") from error


def _failure(message: str) -> adbc.OperationalError:
    return adbc.OperationalError(message, status_code=adbc.AdbcStatusCode.INVALID_STATE)


def _answer(process: StartedProcess) -> Any:
    """Return the value of an answer, or None without one."""
    kind, *values = receive(process.answers)
    if kind == "failed":
        name, message = values
        raise getattr(adbc, name)(message, status_code=adbc.AdbcStatusCode.UNKNOWN)
    return values[0] if values else None
