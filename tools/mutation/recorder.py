"""A pytest plugin that writes down how long each test took: ``-p tools.mutation.recorder``."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

seconds: dict[str, float] = {}
failed: set[str] = set()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Adds up the parts of a test: setting up, running, tearing down."""
    seconds[report.nodeid] = seconds.get(report.nodeid, 0.0) + report.duration
    if not report.passed:
        failed.add(report.nodeid)


def pytest_sessionfinish() -> None:
    """Writes the tests that passed; of several processes, the one that collects the reports does."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        passed = {name: spent for name, spent in seconds.items() if name not in failed}
        Path(os.environ["MUTATION_DURATIONS"]).write_text(json.dumps(passed))
