"""`parallel_map`: a function over several batches at a time, on threads, processes or the event loop."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, ClassVar, Literal, get_args

import polars as pl

from arrowstream.core.batch import Batch
from arrowstream.core.checks import check_whole
from arrowstream.core.hints import did_you_mean
from arrowstream.core.step_context import StepContext
from arrowstream.core.waiting import until_done
from arrowstream.errors import PlanError, StageError
from arrowstream.operators.base import AsyncProcess
from arrowstream.operators.functions.schema import function_name, is_async
from arrowstream.operators.functions.step import Awaiting, Calling, FunctionStep
from arrowstream.operators.map import MapFunction
from arrowstream.operators.parallel.threads import ThreadCalls
from arrowstream.operators.parallel.worker_process import Worker, WorkerTask

Executor = Literal["thread", "process"]


@dataclass(frozen=True, slots=True, eq=False)
class ParallelMap(FunctionStep):
    """The result of ``fn(batch)`` for each batch, several at a time; results keep the order of the batches.

    The other parameters, and the errors raised, are those of ``map(fn)``.

    Parameters
    ----------
    workers
        Batches worked on at a time, at least 1.
    executor
        ``"thread"`` for functions that release the interpreter's lock (Polars, NumPy, Arrow, a network);
        ``"process"`` for pure Python: rows travel to spawned processes and back as Arrow IPC, `fn`
        itself once, by pickle, so it must be importable: defined with ``def`` in a module. A script that
        uses it needs ``if __name__ == "__main__":``. An ``async def`` is awaited on the event loop,
        `workers` calls at a time, without threads.

    Raises
    ------
    PlanError
        `workers` is below 1, `executor` is unknown, or `fn` cannot be pickled for a process.
    StageError
        A worker process died; the error says which, and how. The run ends, and the other workers with it.
    """

    name: ClassVar[str] = "parallel_map"
    workers: int = 4
    executor: Executor = "thread"

    def __post_init__(self) -> None:
        FunctionStep.__post_init__(self)
        check_whole("parallel_map(workers=...)", self.workers)
        if self.executor not in ("thread", "process"):
            raise PlanError(
                "parallel_map() has no such executor",
                expected="'thread' or 'process'",
                found=repr(self.executor),
                hint=did_you_mean(str(self.executor), get_args(Executor)),
            )
        if self.executor == "process":
            if is_async(self.fn):
                raise PlanError(
                    "parallel_map() awaits on the event loop only",
                    found=f"{function_name(self.fn)} is async, with executor='process'",
                    hint="leave executor= out: workers= calls are then awaited at a time, without threads",
                )
            _pickled(self.fn)

    @staticmethod
    def frames(result: Any) -> Iterable[Any]:
        return MapFunction.frames(result)

    def start(self, schema: pl.Schema, context: StepContext) -> AsyncProcess:
        output = self.output_schema(schema)
        if is_async(self.fn):
            return Awaiting(self, output, self.workers)
        if self.executor == "thread":
            return OnThreads(Calling(self, output), self.workers)
        return OnProcesses(WorkerTask(_pickled(self.fn), self.frame, output), self.workers)

    @property
    def identity(self) -> str:
        return FunctionStep.describe(self)

    def describe(self) -> str:
        return f"{FunctionStep.describe(self)[:-1]}, workers={self.workers}, executor={self.executor!r})"


class OnThreads(AsyncProcess):
    """Work on several threads at a time."""

    __slots__ = ("_calls", "_work", "concurrency")

    busy_while_awaited: ClassVar[bool] = True

    def __init__(self, work: Calling, workers: int) -> None:
        self._work = work
        self._calls = ThreadCalls(workers)
        self.concurrency = workers

    async def process(self, batch: Batch) -> Iterable[Batch]:
        return await self._calls.call(lambda: list(self._work.process(batch)))

    async def close(self) -> None:
        await self._calls.close()


class OnProcesses(AsyncProcess):
    """Work in spawned processes, each with a thread that waits for its answers."""

    __slots__ = ("_calls", "_idle", "_task", "_workers", "concurrency")

    busy_while_awaited: ClassVar[bool] = True

    def __init__(self, task: WorkerTask, workers: int) -> None:
        self._task = task
        self._calls = ThreadCalls(workers)
        self._workers: list[Worker] = []
        self._idle: SimpleQueue[Worker] = SimpleQueue()
        self.concurrency = workers

    async def open(self) -> None:
        for number in range(1, self.concurrency + 1):
            self._workers.append(Worker(number, self.concurrency, self._task))
            self._idle.put(self._workers[-1])
        # All at a time: each takes as long as it takes to import Polars.
        await asyncio.gather(*(self._calls.call(worker.wait_ready) for worker in self._workers))

    async def process(self, batch: Batch) -> Iterable[Batch]:
        return await self._calls.call(self._run, batch)

    async def close(self) -> None:
        for worker in self._workers:
            worker.let_go()
        try:
            await self._calls.close()
        finally:
            loop = asyncio.get_running_loop()
            await until_done([loop.run_in_executor(None, worker.end) for worker in self._workers])

    def _run(self, batch: Batch) -> list[Batch]:
        worker = self._idle.get()  # as many workers as threads, so one is idle
        try:
            return [batch.with_rows(record) for record in worker.run(batch.arrow())]
        except StageError as error:
            error.position = error.position or (str(batch.position) if batch.position else None)
            raise
        finally:
            self._idle.put(worker)


def _pickled(fn: Callable[[Any], Any]) -> bytes:
    try:
        return pickle.dumps(fn)
    except Exception as error:  # pickle raises whatever an object's own code raises
        raise PlanError(
            "parallel_map() cannot send this function to another process",
            expected="a function that can be pickled",
            found=f"{function_name(fn)}: {error}",
            hint="define it with `def` at the top of a module, or use executor='thread'",
        ) from error
