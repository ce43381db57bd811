"""A process that has imported the libraries and forks a child for each mutant.

Importing costs more than most tests. A child of a process in which Polars has already worked would hang, as
the threads of its pool do not live on in the child; so this process imports, and does nothing else. It reads one
trial a line, as JSON, and answers each with one line.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from tools.mutation import child

LIBRARIES = (
    *("numpy", "polars", "polars.testing", "pyarrow", "pyarrow.compute", "pyarrow.parquet", "pyarrow.csv"),
    *("pyarrow.json", "pyarrow.feather", "pyarrow.dataset", "pandas", "duckdb", "msgspec", "hypothesis"),
    *(
        "hypothesis.strategies",
        "hypothesis.internal.conjecture.engine",
        "pytest",
        "_pytest.assertion.rewrite",
    ),
    *(
        "xdist.plugin",
        "pytest_timeout",
        "pytest_cov.plugin",
        "asyncio",
        "concurrent.futures.thread",
        "doctest",
    ),
    *("multiprocessing.connection", "typer", "rich.console", "rich.table", "prometheus_client", "griffe"),
)

NOT_NEEDED = {"jemalloc_bg_thd", "polars-ooc-clea"}
"""Threads that importing starts and a child can do without: they give memory back and delete spilled files."""

IDLE_S = 20.0
"""A child that uses no processor for so long hangs; only time in which this process runs too is counted."""

TICK_S = 0.02


def serve(copy: Path) -> None:
    """Answer each line of the input."""
    for name in LIBRARIES:
        importlib.import_module(name)
    threads = {task.joinpath("comm").read_text().strip() for task in Path("/proc/self/task").iterdir()}
    pools = threads - {Path("/proc/self/comm").read_text().strip()} - NOT_NEEDED
    assert not pools and threading.active_count() == 1, f"a child would lack {pools}"
    assert "arrowstream" not in sys.modules, "the children could not import a changed one"
    for line in sys.stdin:
        trial = json.loads(line)
        print(json.dumps(attempt(copy, trial)), flush=True)


def attempt(copy: Path, trial: dict[str, Any]) -> dict[str, Any]:
    """Change the copy, run the tests in a child, and change it back."""
    path = copy / trial["path"]
    original, times = path.read_text(), path.stat()
    shutil.rmtree(copy / "tmp", ignore_errors=True)
    (copy / "tmp").mkdir()
    if trial["text"] != original:
        path.write_text(trial["text"])
        # Bytecode is known by time and size, so no two texts may have the same time.
        os.utime(path, (trial["number"] + 1, trial["number"] + 1))
    try:
        return forked(copy, trial)
    finally:
        path.write_text(original)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def forked(copy: Path, trial: dict[str, Any]) -> dict[str, Any]:
    """What became of a child, which tells it by a file."""
    answer = copy / "tmp" / "answer.json"
    began = time.monotonic()
    pid = os.fork()
    if pid == 0:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CPU, (trial["cpu_s"], trial["cpu_s"] + 5))
        child.run(copy, trial["tests"], answer)
    status, usage = watched(pid)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    spent = {"seconds": time.monotonic() - began, "cpu_s": usage}
    if answer.exists():
        return {**json.loads(answer.read_text()), **spent}
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) in {signal.SIGXCPU, signal.SIGUSR1, signal.SIGKILL}:
        return {"outcome": "timeout", "by": "", **spent}
    return {"outcome": "crashed", "by": f"status {status}", **spent}


def watched(pid: int) -> tuple[int, float]:
    """Wait for a child, and end one that does nothing any more; its status and the seconds of processor it took."""
    idle, used = 0.0, 0.0
    while True:
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            return status, usage.ru_utime + usage.ru_stime
        time.sleep(TICK_S)
        now = processor_seconds(pid)
        idle = idle + TICK_S if now == used else 0.0
        used = now
        if idle > IDLE_S:
            os.kill(pid, signal.SIGUSR1)
            idle = 0.0


def processor_seconds(pid: int) -> float:
    """What a process and its ended children have used; it may have ended just now."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return -1.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
