"""A spawned process that runs a user's function: its handle, and the code that runs in it.

Rows travel both ways as Arrow IPC over a pipe. The pipe also reports a death: its far end closes
with the process, whatever ends it, and a thread that waits for an answer gets EOFError.
"""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import polars as pl
import pyarrow as pa

from arrowstream.core.batch import Batch
from arrowstream.core.failures import is_failure
from arrowstream.core.rows.arrow_schema import arrow_schema
from arrowstream.errors import StageError
from arrowstream.operators.functions.frame_forms import FrameForm
from arrowstream.operators.functions.step import Calling
from arrowstream.operators.map import MapFunction

_SPAWN = multiprocessing.get_context("spawn")
"""Never fork: a copy of a process that runs threads, as Polars and asyncio do, may hang at any lock."""

GRACE_S = 5.0
"""Seconds that an idle process may take to end by itself before it is killed."""


@dataclass(frozen=True, slots=True)
class WorkerTask:
    """The task of a worker, sent at its start: the pickled function, the form of its input and its output schema."""

    fn: bytes
    frame: FrameForm
    schema: pl.Schema

    def load(self) -> Calling:
        """Unpickle the function, which imports its module, and return it ready to be called."""
        return Calling(MapFunction(pickle.loads(self.fn), self.frame, self.schema), self.schema)


class Worker:
    """One process, used by one thread at a time.

    Parameters
    ----------
    number, of
        The worker's number, from 1, and the number of workers, for error messages.
    """

    __slots__ = ("_busy", "_connection", "_process", "_stopping", "_task", "name")

    def __init__(self, number: int, of: int, task: WorkerTask) -> None:
        self.name = f"worker {number} of {of}"
        self._task = task
        self._connection, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=serve, args=(theirs, task), name=self.name, daemon=True)
        self._busy = self._stopping = False
        try:
            self._process.start()
        finally:
            theirs.close()  # otherwise this process keeps the pipe open when the worker dies

    @property
    def pid(self) -> int | None:
        """The process's id."""
        return self._process.pid

    def wait_ready(self) -> None:
        """Wait until the worker has loaded the function.

        Raises
        ------
        StageError
            The process died.
        Exception
            The function cannot be loaded.
        """
        self._answer()

    def run(self, record: pa.RecordBatch) -> list[pa.RecordBatch]:
        """Return the results of the function for these rows, as records.

        Raises
        ------
        StageError
            The process died.
        Exception
            The exception of the function, with the worker's traceback as a note.
        """
        answer = self._answer(written([record], record.schema))
        return read(answer)

    def let_go(self) -> None:
        """Stop: kill the process if it is busy, so that no thread waits for it; later calls raise StageError."""
        self._stopping = True
        if self._busy:
            self._process.kill()

    def end(self) -> None:
        """Let an idle process end by itself, kill it after `GRACE_S` seconds, and free its resources."""
        self._connection.close()
        self._process.join(GRACE_S)
        self._process.kill()
        self._process.join()
        self._process.close()

    def _answer(self, question: pa.Buffer | None = None) -> bytes:
        # In this order: either `let_go` sees a busy worker and kills it, or this sees that it was called.
        self._busy = True
        try:
            if self._stopping:
                raise EOFError
            if question is not None:
                self._connection.send_bytes(question)
            kind, payload = self._connection.recv_bytes(), self._connection.recv_bytes()
        except (EOFError, OSError) as error:
            raise self._died() from error
        finally:
            self._busy = False
        if kind == b"error":
            raise pickle.loads(payload)
        return payload

    def _died(self) -> StageError:
        self._process.join(GRACE_S)
        code = self._process.exitcode
        if code is None:
            how = "closed its pipe"
        elif code < 0:
            how = f"was killed by {signal.Signals(-code).name}"
        else:
            how = f"ended with exit code {code}"
        return StageError(
            f"{self.name} (process {self.pid}) {how}",
            expected="a process that lives until the run ends",
            hint="out of memory, a crash in native code or os._exit; in a script, run the pipeline under "
            'if __name__ == "__main__":',
        )


def serve(connection: Connection, task: WorkerTask) -> None:
    """Run the worker: load the function, then answer until the pipe is closed."""
    # An interrupt on the terminal reaches all processes; the parent decides when this one ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = task.load()
    except BaseException as error:
        if not is_failure(error):
            raise
        _send(connection, b"error", _pickled(error))
        return
    _send(connection, b"ready", b"")
    target = arrow_schema(task.schema)
    for record in _questions(connection):
        try:
            answer = written([part.arrow() for part in process.process(Batch(record))], target)
        except BaseException as error:
            if not is_failure(error):
                raise
            _send(connection, b"error", _pickled(error))
        else:
            _send(connection, b"rows", answer)


def written(records: list[pa.RecordBatch], schema: pa.Schema) -> pa.Buffer:
    """Return records as one Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        for record in records:
            writer.write_batch(record)
    return sink.getvalue()


def read(stream: bytes) -> list[pa.RecordBatch]:
    """Return the records of an Arrow IPC stream, over the memory of `stream`."""
    with pa.ipc.open_stream(pa.py_buffer(stream)) as reader:
        return list(reader)


def _questions(connection: Connection) -> Iterator[pa.RecordBatch]:
    while True:
        try:
            yield from read(connection.recv_bytes())
        except (EOFError, OSError):
            return


def _send(connection: Connection, kind: bytes, payload: Any) -> None:
    connection.send_bytes(kind)
    connection.send_bytes(payload)


def _pickled(error: BaseException) -> bytes:
    """Pickle an error; one that cannot be pickled becomes a RuntimeError with its name and text."""
    error.add_note(f"in {multiprocessing.current_process().name}:\n{traceback.format_exc()}")
    try:
        data = pickle.dumps(error)
        pickle.loads(data)
    except Exception:
        plain = RuntimeError(f"{type(error).__name__}: {error}")
        plain.__notes__ = error.__notes__
        return pickle.dumps(plain)
    return data
