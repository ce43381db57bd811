"""Workers at work: mutants go in, and what the tests said comes out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tools.mutation.copies import copied

LIMIT_S = 15
"""What a child may use of the processor beyond three times what its tests take, before it counts as hanging."""

Trial = dict[str, Any]
Try = Callable[[str, str, int, list[str], float], Trial]


@contextmanager
def worker(root: Path) -> Iterator[Try]:
    """A fork server with a copy of the project; the function tries one text of a module with some tests."""
    with copied(root) as copy:
        process = subprocess.Popen(
            [sys.executable, "-m", "tools.mutation.fork_server", str(copy)],
            cwd=root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # A pool of OpenBLAS's threads would begin with the import.
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )
        assert process.stdin is not None and process.stdout is not None
        asked, answered = process.stdin, process.stdout

        def attempt(path: str, text: str, number: int, tests: list[str], seconds: float) -> Trial:
            cpu_s = int(LIMIT_S + 3 * seconds)
            trial = {"path": path, "text": text, "number": number, "tests": tests, "cpu_s": cpu_s}
            print(json.dumps(trial), file=asked, flush=True)
            answer: Trial = json.loads(answered.readline())
            return answer

        try:
            yield attempt
        finally:
            asked.close()
            process.wait()


def spread(root: Path, count: int, work: list[Callable[[Try], None]]) -> None:
    """Do all the work with so many workers; each piece is given a worker to try with."""
    waiting = iter(work)
    lock = threading.Lock()
    failures: list[BaseException] = []

    def serve() -> None:
        try:
            with worker(root) as attempt:
                while not failures:
                    with lock:
                        piece = next(waiting, None)
                    if piece is None:
                        return
                    piece(attempt)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=serve) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
