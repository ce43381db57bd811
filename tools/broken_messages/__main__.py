"""``python -m tools.broken_messages``: decodes thousands of damaged messages, each beside a strict reader.

Exits with 1 if messages were read with other rows than the strict reader's, ended without a typed error that names
the first bad one, hung, aborted the process, or took more memory than is allowed.
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
from threading import Timer

from tools.broken_messages.child import MOST_MEMORY
from tools.broken_messages.kinds import FEWER, NAMES, shown

HANGS_AFTER = 60.0
"""Seconds that one step of a trial may take."""

GOOD = {"same", "refused", "refused where the reference reads"}


def tried(kind: str, first: int, end: int, seed: int) -> Iterator[tuple[int, str, str, int]]:
    """Try messages by their numbers, in processes that may die; yield number, verdict, more, and bytes of memory."""
    while first < end:
        command = [sys.executable, "-m", "tools.broken_messages.child", kind, str(first), str(end), str(seed)]
        with tempfile.TemporaryFile("w+", errors="replace") as stderr:
            child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)
            number, step = first, "import"
            while line := _line(child):
                number, step, *more = json.loads(line)
                if step == "done":
                    yield number, more[0], more[1], more[2]
                    first = number + 1
            if child.wait() == 0:
                return
            stderr.seek(0)
            ended = "hung or was killed" if child.returncode == -9 else f"ended with {child.returncode}"
            who = "reference" if step == "reference" else "process"
            yield first, f"the {who} {ended}", stderr.read()[-2000:], 0
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


def tally(kind: str, first: int, count: int, seed: int, workers: int) -> bool:
    """Try messages of a kind and print what came of them; return True if all is well."""
    counts: Counter[str] = Counter()
    most = bad = 0
    size = -(-count // workers)
    ends = first + count
    with ThreadPoolExecutor(workers) as pool:
        starts = range(first, ends, size)
        for found in pool.map(lambda start: list(tried(kind, start, min(start + size, ends), seed)), starts):
            for number, verdict, more, memory in found:
                counts[verdict] += 1
                most = max(most, memory)
                if verdict not in GOOD and not verdict.startswith("the reference"):
                    bad += 1
                    print(f"\n{kind} {number}: {verdict}\n{more}\n{shown(kind, number, seed)!r}"[:4000])
    print(f"\n{kind}: {count:,} trials, seed {seed}, at most {most >> 20:,} MiB of memory")
    for verdict, times in sorted(counts.items()):
        print(f"{times:9,} {verdict}")
    return not bad and most <= MOST_MEMORY


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="tools.broken_messages", description=__doc__)
    parser.add_argument("kinds", nargs="*", choices=[*NAMES, []], help="kinds to try; all without one")
    parser.add_argument(
        "--messages", type=int, default=100_000, help="trials of each kind; fewer where each takes long"
    )
    parser.add_argument("--first", type=int, default=0, help="number of the first one, to try one again")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    kinds = given.kinds or list(NAMES)
    well = [
        tally(kind, given.first, -(-given.messages // FEWER.get(kind, 1)), given.seed, given.workers)
        for kind in kinds
    ]
    return int(not all(well))


if __name__ == "__main__":
    sys.exit(main())
