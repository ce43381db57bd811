"""How long `import arrowstream` takes once Polars and pyarrow are there."""

from __future__ import annotations

import statistics
import subprocess
import sys

from benchmarks.harness import ROUNDS, Figure, Scale, Section
from benchmarks.machine import ROOT

_CODE = """
import time
begin = time.perf_counter()
import polars, pyarrow
between = time.perf_counter()
import arrowstream
print(between - begin, time.perf_counter() - between)
"""


def run(scale: Scale) -> Section:
    """Medians over fresh processes, each of which measures both."""
    base, own = [], []
    for _ in range(ROUNDS[scale]):
        done = subprocess.run(
            [sys.executable, "-c", _CODE], cwd=ROOT, capture_output=True, text=True, check=True
        )
        before, after = map(float, done.stdout.split())
        base.append(before)
        own.append(after)
    return Section(
        "Import",
        (
            Figure(
                "import arrowstream, after polars and pyarrow",
                statistics.median(own),
                "s",
                at_most=0.3,
                note=f"import polars, pyarrow: {statistics.median(base):.2f} s",
            ),
        ),
    )
