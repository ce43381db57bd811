"""``python -m tools.broken_files``: reads thousands of damaged files, each beside a strict reader.

Exits with 1 if a file was read with other rows than the strict reader's, ended without a typed error that names it,
hung, or aborted the process.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Timer

from tools.broken_files.child import FORMATS, make

HANGS_AFTER = 60.0
"""Seconds that one step of a file may take."""

GOOD = {"same", "refused", "refused where the reference reads", "read in spite of damage elsewhere"}


def tried(first: int, end: int, seed: int) -> Iterator[tuple[int, str, str]]:
    """Try files by their numbers, in processes that may die; yield the number, the verdict and more."""
    while first < end:
        with tempfile.TemporaryDirectory() as folder:
            command = [
                sys.executable,
                "-m",
                "tools.broken_files.child",
                folder,
                str(first),
                str(end),
                str(seed),
            ]
            said = Path(folder, "stderr")  # no pipe, which a process that says much would fill
            with said.open("w") as stderr:
                child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)
            number, step = first, "import"
            while line := _line(child):
                number, step, *more = json.loads(line)
                if step == "done":
                    yield number, more[0], more[1]
                    first = number + 1
            if child.wait() == 0:
                return
            ended = "hung or was killed" if child.returncode == -9 else f"ended with {child.returncode}"
            verdict = f"the process {ended}" if step == "arrowstream" else f"the reference {ended}"
            yield first, verdict, said.read_text(errors="replace")[-2000:]
            if step == "import":
                return
            first += 1


def _line(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    timer = Timer(HANGS_AFTER, child.kill)
    timer.start()
    try:
        return child.stdout.readline()
    finally:
        timer.cancel()


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="tools.broken_files", description=__doc__)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first file, to try one again")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    counts: Counter[tuple[str, str]] = Counter()
    bad = 0
    size = -(-given.files // given.workers)
    with ThreadPoolExecutor(given.workers) as pool:
        ends = given.first + given.files
        starts = range(given.first, ends, size)
        for found in pool.map(lambda start: list(tried(start, min(start + size, ends), given.seed)), starts):
            for number, verdict, more in found:
                format, _, data, block = make(number, given.seed)
                counts[format.suffix, verdict] += 1
                if verdict not in GOOD and not verdict.startswith(("the reference", "not detected")):
                    bad += 1
                    print(
                        f"\n{number}.{format.suffix}, blocks of {block}: {verdict}\n{more}\n{data!r}"[:4000]
                    )
    print(f"\n{given.files:,} damaged files, seed {given.seed}")
    for suffix in (format.suffix for format in FORMATS):
        for (kind, verdict), count in sorted(counts.items()):
            if kind == suffix:
                print(f"{suffix:8} {count:7,} {verdict}")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
