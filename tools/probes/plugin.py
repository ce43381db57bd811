"""A plugin of pytest: coverage.py's tracer for the functions that numba compiles, which have no probes.

Tests of them call the plain function, `py_func`, too. The tracer runs in the tests of files that say so, and nowhere
else.
"""

import os
from collections.abc import Generator
from functools import cache
from pathlib import Path

import coverage
import pytest

FOLDER = Path(os.environ["ARROWSTREAM_PROBES"])


@cache
def tracer() -> coverage.Coverage:
    """The tracer of this process."""
    return coverage.Coverage(data_file=str(FOLDER / ".coverage"), data_suffix=True)


@cache
def calls_plain_functions(path: Path) -> bool:
    """Return True if a file of tests calls what numba would compile."""
    return "py_func" in path.read_text()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Trace a test."""
    if not calls_plain_functions(item.path):
        return (yield)
    tracer().start()
    try:
        return (yield)
    finally:
        tracer().stop()


def pytest_sessionfinish() -> None:
    """Keep what was traced."""
    if tracer.cache_info().currsize:
        tracer().save()
