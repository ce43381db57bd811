"""How long `import arrowstream` takes once Polars and pyarrow are there, with bytecode, as pip installs it."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from tempfile import TemporaryDirectory

from benchmarks.harness import ROUNDS, Figure, Scale, Section
from benchmarks.machine import ROOT

_CODE = """
import time
begin = time.process_time()
import polars, pyarrow
between = time.process_time()
import arrowstream
print(between - begin, time.process_time() - between)
"""


def run(scale: Scale) -> Section:
    """Medians over fresh processes, each of which measures both."""
    with TemporaryDirectory() as bytecode:
        _measured(bytecode)  # writes the bytecode
        base, own = zip(*(_measured(bytecode) for _ in range(ROUNDS[scale])), strict=True)
    return Section(
        "Import",
        (
            Figure(
                "import arrowstream, after polars and pyarrow, processor time",
                statistics.median(own),
                "s",
                at_most=0.3,
                note=f"import polars, pyarrow: {statistics.median(base):.2f} s",
            ),
        ),
    )


def _measured(bytecode: str) -> tuple[float, float]:
    """The seconds of processor time of both imports in a fresh process that keeps bytecode in a folder."""
    others = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-c", _CODE],
        cwd=ROOT,
        env={**others, "PYTHONPYCACHEPREFIX": bytecode},
        capture_output=True,
        text=True,
        check=True,
    )
    before, after = map(float, done.stdout.split())
    return before, after
