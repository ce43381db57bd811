"""Runs that end at a failpoint: killed, in a process of its own, or stopped gently."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path

from arrowstream import Pipeline, RunReport
from arrowstream.core.checkpoints.failpoints import Failpoint, on_reach

PRELOADED = [
    "checkpoints.killed_sinks",
    "checkpoints.recovery_pipeline",
    "kafka_epochs",
    "killed_iceberg_pipeline",
    "arrowstream.backends.arrow.program",
    "arrowstream.io.database.writing.writer",
    "arrowstream.io.database.systems.duckdb",
    "arrowstream.io.database.systems.postgresql",
    "arrowstream.io.database.systems.sqlite",
    "arrowstream.io.delta.writer",
    "arrowstream.io.files.epochs.opening",
    "arrowstream.io.files.output.encoders",
    "arrowstream.io.iceberg.writer",
    "arrowstream.io.kafka.reading.reader",
    "arrowstream.io.kafka.writing.transactional",
    "arrowstream.io.messages.plain_json",
    "arrowstream.operators.aggregation.once",
    "arrowstream.operators.rebatch",
    "arrowstream.operators.scan",
    "arrowstream.operators.window",
    "arrowstream.operators.windows.time_window",
    "adbc_driver_postgresql.dbapi",
    "deltalake",
    "duckdb",
    "pandas",
    "pyiceberg.catalog.sql",
    "sqlalchemy.dialects.sqlite",
]
"""Modules that killed processes need, but for those whose import runs expressions: the threads of Polars would be
missing in a process that is forked. There is one server in each process, for the tests of all files."""


def fork_server() -> ForkServerContext:
    """Starts processes that have imported everything, and begin at once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    # Up to Python 3.13 the server has none of the folders that were added to the path, such as that of the tests.
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    try:
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
    return context


@contextmanager
def process_killed_at(point: str | None, hit: int, number: signal.Signals = signal.SIGKILL) -> Iterator[None]:
    """Kill this process at the given hit of a failpoint, which may be reached on any thread; None for no kill."""
    lock, hits = threading.Lock(), 0

    def kill(reached: Failpoint) -> None:
        nonlocal hits
        if reached.name == point:
            with lock:
                hits += 1
                if hits == hit:
                    os.kill(os.getpid(), number)

    with on_reach(kill):
        yield


POINTS = list(Failpoint)


@contextmanager
def reporting(
    passed: Connection, last: int | None = None, signalled: signal.Signals = signal.SIGKILL
) -> Iterator[None]:
    """Write a byte for each failpoint that this process passes, and signal it at the one with the number `last`."""
    lock, number = threading.Lock(), 0

    def report(reached: Failpoint) -> None:
        nonlocal number
        with lock:
            number += 1
            os.write(passed.fileno(), bytes([POINTS.index(reached)]))
            if number == last:
                os.kill(os.getpid(), signalled)

    with on_reach(report):
        yield


def killed_after(
    processes: ForkServerContext,
    work: Callable[..., None],
    arguments: tuple[object, ...],
    points: int,
    seconds: float,
) -> tuple[bool, list[Failpoint]]:
    """Start a process that reports its failpoints, and kill it some time after it has passed a number of them.

    Returns
    -------
    bool, list of Failpoint
        Whether it was killed before its end, and the failpoints that it has passed.
    """
    reader, writer = processes.Pipe(duplex=False)
    with reader:
        process = processes.Process(target=work, args=(*arguments, writer))
        process.start()
        writer.close()
        passed = b""
        while len(passed) < points and (read := os.read(reader.fileno(), points - len(passed))):
            passed += read
        time.sleep(seconds)
        end(process)
        return process.exitcode != 0, [*map(POINTS.__getitem__, passed), *rest(reader)]


def ended(
    processes: ForkServerContext, work: Callable[..., None], arguments: tuple[object, ...]
) -> list[Failpoint]:
    """Return the failpoints that a process reports which ends without an error."""
    reader, writer = processes.Pipe(duplex=False)
    with reader:
        process = processes.Process(target=work, args=(*arguments, writer))
        process.start()
        writer.close()
        passed = rest(reader)
        process.join()
        assert process.exitcode == 0, f"exit code {process.exitcode}"
        return passed


def rest(passed: Connection) -> list[Failpoint]:
    """Return the failpoints that are reported up to the end of a process."""
    found = b""
    while read := os.read(passed.fileno(), 1 << 16):
        found += read
    return [POINTS[number] for number in found]


def wait_until_stopped(process: BaseProcess) -> None:
    """Wait until a process has stopped itself by SIGSTOP."""
    deadline = time.monotonic() + 60
    while Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        assert process.is_alive() and time.monotonic() < deadline, f"exit code {process.exitcode}"
        time.sleep(0.002)


def end(process: BaseProcess) -> None:
    """Kill a process; fail if it has ended with an error before."""
    process.kill()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL), f"exit code {process.exitcode}"


def stopped_at(pipeline: Pipeline, point: Failpoint, hit: int, state: Path) -> RunReport:
    """Run with checkpoints, one after the other, and stop gently at the given hit of a failpoint."""
    left = hit

    def count(reached: Failpoint) -> None:
        nonlocal left
        left -= reached is point
        if not left:
            pipeline.stop()

    with on_reach(count):
        return pipeline.run_sync(checkpoint=state, every="1ms")
