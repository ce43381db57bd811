"""The program of a process that opens SQLite files for another one.

SQLite's locks are locks of a process. Two copies of its library in one process, such as the driver's and that of
Python's sqlite3, do not see each other's, and what one of them writes the other one damages. So the driver has a
process of its own, and everything in the first one may open the file.

`main` is run from this file alone, which imports nothing of arrowstream, so that the process starts in a fifth of a
second. Requests and answers are pickled tuples, in pipes; rows are Arrow's own bytes.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from typing import IO, Any

PARENT_SECONDS = 1.0
"""How often the process looks whether the one that it works for is still there, in seconds."""
IDLE_SECONDS = 60.0
"""How long the process waits for its next file before it ends, in seconds."""


class WithoutPandas:
    """A finder of modules for which pandas is not installed.

    pyarrow looks for pandas with its first array of Python values: 0.3 s of processor time in a process that starts in
    a fifth of a second.
    """

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        """Find no module, and say so of pandas."""
        if name == "pandas":
            raise ModuleNotFoundError(name, name=name)


def send(stream: IO[bytes], *message: object) -> None:
    """Write a message."""
    pickle.dump(message, stream, protocol=5)
    stream.flush()


def receive(stream: IO[bytes]) -> Any:
    """Read a message.

    Raises
    ------
    EOFError
        The other process has ended, perhaps in the middle of a message.
    """
    try:
        return pickle.load(stream)
    except pickle.UnpicklingError as error:
        raise EOFError(str(error)) from error


def comes(stream: IO[bytes], seconds: float) -> bool:
    """Wait until a message, or the end of the other process, comes; return False if neither does in time."""
    waiter = select.poll()  # select.select does not take more than 1024 open files
    waiter.register(stream, select.POLLIN)
    return bool(waiter.poll(seconds * 1000))


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Do what requests say, until they end. Only one file is open at a time."""
    import adbc_driver_manager as adbc

    file: _File | None = None
    try:
        while True:
            request, *arguments = receive(requests)
            try:
                if request == "open":
                    file = _File(*arguments)
                    send(answers, "done")
                elif request == "close":
                    assert file is not None
                    closed, file = file, None
                    closed.close()
                    send(answers, "done")
                else:
                    getattr(file, request)(requests, answers, *arguments)
            except adbc.Error as error:
                send(answers, "failed", type(error).__name__, str(error))
            if file is None and not comes(requests, IDLE_SECONDS):
                return
    except (EOFError, BrokenPipeError):
        return  # the other process has ended, or wants no more
    finally:
        if file is not None:
            file.close()


class _File:
    def __init__(self, uri: str) -> None:
        import adbc_driver_manager as adbc
        import adbc_driver_sqlite

        self._database = adbc_driver_sqlite.connect(uri)
        self._connection = adbc.AdbcConnection(self._database)

    def close(self) -> None:
        self._connection.close()
        self._database.close()

    def execute(
        self, requests: IO[bytes], answers: IO[bytes], sql: str, parameters: Sequence[object]
    ) -> None:
        """Run a statement that gives no rows."""
        with closing(self._statement(sql, parameters)) as statement:
            statement.execute_update()
        send(answers, "done")

    def read(
        self,
        requests: IO[bytes],
        answers: IO[bytes],
        sql: str,
        parameters: Sequence[object],
        options: Mapping[str, str],
    ) -> None:
        """Run a query. Each batch of rows is sent when it is asked for, and the next one is read meanwhile."""
        import pyarrow as pa

        with closing(self._statement(sql, parameters, options)) as statement:
            stream, _ = statement.execute_query()
            with closing(pa.RecordBatchReader.from_stream(stream)) as reader:
                send(answers, "schema", reader.schema.serialize().to_pybytes())
                for answer in _rows(reader):
                    if receive(requests) != ("next",):
                        return
                    send(answers, *answer)

    def _statement(
        self, sql: str, parameters: Sequence[object], options: Mapping[str, str] | None = None
    ) -> Any:
        import adbc_driver_manager as adbc
        import pyarrow as pa

        statement = adbc.AdbcStatement(self._connection)
        try:
            statement.set_options(**(options or {}))
            statement.set_sql_query(sql)
            statement.prepare()
            if parameters:
                names = [str(place) for place in range(len(parameters))]
                statement.bind(pa.record_batch([pa.array([value]) for value in parameters], names))
        except adbc.Error:
            statement.close()
            raise
        return statement

    def append(
        self, requests: IO[bytes], answers: IO[bytes], table: str, temporary: bool, schema: bytes
    ) -> None:
        """Add the rows that follow, up to an empty message, to a table."""
        import adbc_driver_manager as adbc
        import pyarrow as pa

        columns = pa.ipc.read_schema(pa.py_buffer(schema))
        pieces = _pieces(requests)
        batches = (pa.ipc.read_record_batch(pa.py_buffer(piece), columns) for piece in pieces)
        try:
            with closing(adbc.AdbcStatement(self._connection)) as statement:
                statement.set_options(
                    **{
                        adbc.INGEST_OPTION_TARGET_TABLE: table,
                        adbc.INGEST_OPTION_MODE: adbc.INGEST_OPTION_MODE_APPEND,
                        adbc.StatementOptions.INGEST_TEMPORARY.value: "true" if temporary else "false",
                    }
                )
                statement.bind_stream(pa.RecordBatchReader.from_batches(columns, batches))
                statement.execute_update()
        finally:
            for _ in pieces:  # those after a refused row
                pass
        send(answers, "done")


def _rows(reader: Any) -> Iterator[tuple[object, ...]]:
    """Yield the answers that hold the rows of a query, and the last one."""
    import pyarrow as pa

    try:
        for batch in reader:
            yield "rows", batch.serialize().to_pybytes()
    except (OSError, pa.ArrowException) as error:  # the driver's errors come through Arrow
        yield "failed", "DataError", str(error)
    else:
        yield ("end",)


def _pieces(requests: IO[bytes]) -> Iterator[bytes]:
    while message := receive(requests):
        yield message[0]


def end_with(parent: int, end: Callable[[int], object] = os._exit) -> None:
    """End this process when its parent has: a copy of the parent may hold the pipes open, and the file locked."""

    def look() -> None:
        pause = threading.Event()
        while os.getppid() == parent:
            pause.wait(PARENT_SECONDS)
        end(1)

    threading.Thread(target=look, daemon=True).start()


def main(parent: int, requests: int = 0, answers: int = 1) -> None:
    """Serve the process that has started this one, and that ends it.

    Parameters
    ----------
    parent
        Number of that process.
    requests, answers
        Descriptors of the pipes.
    """
    # Sent to all processes of a service, of which the first one may need this one.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    end_with(parent)
    with (
        suppress(BrokenPipeError),  # for the rest of an answer that is not wanted
        os.fdopen(os.dup(requests), "rb") as received,
        os.fdopen(os.dup(answers), "wb") as sent,
    ):
        with suppress(OSError):  # without standard error
            os.dup2(2, answers)  # what a library prints is not an answer
        try:
            # After its own path: a file of the user's folder may have the name of a module that the parent has had.
            (theirs,) = receive(received)
            sys.path += [path for path in theirs if path not in sys.path]
            serve(received, sent)
        except EOFError:
            return
        except Exception as error:
            send(sent, "failed", "InternalError", f"{type(error).__name__}: {error}")
            raise
