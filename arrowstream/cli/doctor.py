"""Facts about this machine and installation, for `arrowstream doctor` and for bug reports.

Every check gives a line; none raises, whatever is missing or broken.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from arrowstream.config.settings import Settings
from arrowstream.gpu.presence import missing

VARIABLES = (
    "POLARS_MAX_THREADS",
    "POLARS_ENGINE_AFFINITY",
    "OMP_NUM_THREADS",
    "ARROW_DEFAULT_MEMORY_POOL",
    "ARROW_USER_SIMD_LEVEL",
    "CUDA_VISIBLE_DEVICES",
)
"""Environment variables that change the speed of a pipeline, or the hardware that it runs on."""

CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Files in which Linux gives a container's memory limit, in bytes: control groups 2 and 1."""

NVIDIA_SMI_SECONDS = 10

_REQUIREMENT = re.compile(
    r"(?P<name>[\w.-]+)[^;]*?(?:>=\s*(?P<least>[\d.]+))?[^;]*;.*extra\s*==\s*[\"'](?P<extra>[\w-]+)"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report: its heading, the name of what was checked, and what was found."""

    heading: str
    name: str
    found: str


def findings(backends: Iterable[str]) -> Iterator[Finding]:
    """Run all checks.

    Parameters
    ----------
    backends
        Names of the backends that this installation can run.

    Examples
    --------
    >>> next(iter(findings(["arrow", "polars"]))).name
    'python'
    """
    yield from versions()
    yield from _backends(tuple(backends))
    yield from machine()
    yield from extras()
    for name in VARIABLES:
        if name in os.environ:
            yield Finding("environment", name, os.environ[name])


def versions() -> Iterator[Finding]:
    """Yield the versions of Python, arrowstream and its required libraries."""
    yield Finding(
        "versions", "python", f"{platform.python_version()} ({platform.system()} {platform.machine()})"
    )
    yield Finding("versions", "arrowstream", installed("arrowstream") or "a source folder, not installed")
    for library in (pl, pa, np):
        yield Finding("versions", library.__name__, library.__version__)


def machine() -> Iterator[Finding]:
    """Yield cores, threads, memory and GPU."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Finding("machine", "cores", f"{os.cpu_count()}, usable {usable}")
    yield Finding("machine", "threads", f"polars {pl.thread_pool_size()}, arrow {pa.cpu_count()}")
    yield Finding("machine", "memory", memory())
    yield Finding("machine", "gpu", gpu())


def memory() -> str:
    """Return the machine's memory, and a container's limit if that is smaller."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not on Windows
        return "unknown"
    for path in CGROUP_LIMITS:
        try:
            limit = int(path.read_text())
        except (OSError, ValueError):  # no such group, or "max"
            continue
        if limit < total:
            return f"{_gib(limit)}, the limit of a container on a machine of {_gib(total)}"
    return _gib(total)


def gpu() -> str:
    """Return the NVIDIA GPUs that ``nvidia-smi`` lists."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return "none: nvidia-smi not found"
    query = [tool, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(
            query, capture_output=True, text=True, timeout=NVIDIA_SMI_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"unknown: nvidia-smi failed: {_line(str(error))}"
    lines = answer.stdout.strip().splitlines()
    if answer.returncode != 0 or not lines:
        return f"none: nvidia-smi says {_line(answer.stderr or answer.stdout) or 'nothing'}"
    return "; ".join(f"{line.strip()} driver" for line in lines)


def extras() -> Iterator[Finding]:
    """Yield the missing libraries of each extra of the package."""
    try:
        requirements = metadata.requires("arrowstream") or []
    except metadata.PackageNotFoundError:
        yield Finding("extras", "all", "unknown: arrowstream runs from a source folder, not installed")
        return
    lacking: dict[str, list[str]] = {}
    for requirement in filter(None, map(_REQUIREMENT.match, requirements)):
        lacks = lacking.setdefault(requirement["extra"], [])
        version = installed(requirement["name"])
        if version is None:
            lacks.append(requirement["name"])
        elif requirement["least"] and _release(version) < _release(requirement["least"]):
            lacks.append(f"{requirement['name']} >= {requirement['least']} (found {version})")
    for extra, lacks in lacking.items():
        hint = f"lacks {', '.join(lacks)}: pip install 'arrowstream[{extra}]'"
        yield Finding("extras", extra, hint if lacks else "complete")


def installed(package: str) -> str | None:
    """Return the installed version of a package, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def report(found: Iterable[Finding]) -> str:
    """Format the findings as text, under their headings.

    Examples
    --------
    >>> print(report([Finding("machine", "cores", "2"), Finding("machine", "memory", "8.0 GiB")]))
    machine
      cores   2
      memory  8.0 GiB
    """
    found = list(found)
    width = max((len(finding.name) for finding in found), default=0)
    lines: list[str] = []
    heading = None
    for finding in found:
        if finding.heading != heading:
            heading = finding.heading
            lines.append(heading)
        lines.append(f"  {finding.name:<{width}}  {finding.found}")
    return "\n".join(lines)


def settings_table(settings: Settings) -> str:
    """Format each setting with its value and origin; secrets are masked.

    Examples
    --------
    >>> print(settings_table(Settings(max_retries=5)).splitlines()[7])
    max_retries            5          argument max_retries
    """
    rows = list(settings.table())
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return "\n".join(f"{key:<{widths[0]}}  {value:<{widths[1]}}  {origin}" for key, value, origin in rows)


def _backends(ready: tuple[str, ...]) -> Iterator[Finding]:
    for name in ready:
        yield Finding("backends", name, _state_of_gpu() if name == "gpu" else "ready")
    if "gpu" not in ready:
        yield Finding("backends", "gpu", f"not here: {missing()}")


def _state_of_gpu() -> str:
    try:
        import_module("arrowstream.gpu.libraries")
    except Exception as error:  # a broken CUDA installation fails in many ways
        return f"cannot be used: {type(error).__name__}: {_line(str(error))}"
    return "ready"


def _release(version: str) -> tuple[int, ...]:
    numbers = re.match(r"[\d.]*", version)
    assert numbers is not None, "the pattern matches the empty text"
    return tuple(int(number) for number in numbers[0].split(".") if number)


def _gib(nbytes: int) -> str:
    return f"{nbytes / 2**30:.1f} GiB"


def _line(text: str) -> str:
    return " ".join(text.split())
