"""The machine and the versions that figures belong to."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
DATA = ROOT / ".data"
"""Where inputs too large to be made each time are kept."""


def made_once(path: Path, make: Callable[[Path], None]) -> Path:
    """Return an input that is made once; a run that is killed meanwhile leaves nothing under its name."""
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        partial = path.with_suffix(".partial")
        make(partial)
        partial.rename(path)
    return path


_LIBRARIES = ("polars", "pyarrow", "duckdb", "numpy")


def description() -> list[str]:
    """Date, machine and versions, a line each."""
    versions = [f"{name} {importlib.metadata.version(name)}" for name in _LIBRARIES]
    return [
        f"{datetime.date.today():%Y-%m-%d}, {platform.system()} {platform.release()}",
        f"{_processor()}, {cores()} cores, {_memory() / 2**30:.0f} GB of memory, "
        f"load {os.getloadavg()[0]:.1f} before the run",
        f"Python {platform.python_version()}, {', '.join(versions)}",
        "medians; rivals take turns in one run; a ratio above 1 means that the engine is faster",
    ]


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except FileNotFoundError:
        return platform.processor()
    return next(
        (line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine()
    )


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
