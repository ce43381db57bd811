"""What a forked child does: run some tests in a given order until one fails."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import NoReturn

import hypothesis
import pytest
from hypothesis import Phase

OPTIONS = (
    *("-x", "-q", "--tb=short", "--no-header", "-p", "no:cacheprovider", "-o", "timeout=0"),
    # Pytest's plugins are imported before the fork.
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
)


class Chosen:
    """A pytest plugin: only these tests, in this order; it remembers the first that fails."""

    def __init__(self, tests: list[str]) -> None:
        self._order = {test: number for number, test in enumerate(tests)}
        self.passed = 0
        self.by = ""

    def pytest_sessionstart(self) -> None:
        """That an example fails is enough: looking for the smallest one takes long enough to be taken for a hang."""
        settings = hypothesis.settings
        default = settings.get_current_profile_name()
        phases = [Phase.explicit, Phase.reuse, Phase.generate]
        settings.register_profile("mutation", parent=settings.get_profile(default), phases=phases)
        settings.load_profile("mutation")

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Drop and sort."""
        wanted = [item for item in items if item.nodeid in self._order]
        items[:] = sorted(wanted, key=lambda item: self._order[item.nodeid])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count, and keep the failure."""
        if report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            self.by = self.by or f"{report.nodeid}: {getattr(crash, 'message', '')[:200]}"
        self.passed += report.when == "call" and report.passed

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file of tests that cannot be imported, as the module cannot."""
        if report.failed:
            self.by = self.by or f"{report.nodeid}: {str(report.longrepr)[-200:]}"


def run(copy: Path, tests: list[str], answer: Path) -> NoReturn:
    """Run the tests on the copy and write what came out; the process ends here."""
    try:
        answer.write_text(json.dumps(tried(copy, tests)))
    finally:
        # Nothing of the server's may run here, and threads that a mutant has left must not hold the process.
        os._exit(0)


def tried(copy: Path, tests: list[str]) -> dict[str, str | int]:
    """Run the tests; what came out."""
    with (copy / "tmp" / "output").open("w") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    os.chdir(copy)
    sys.path[0:0] = [str(copy)]
    chosen = Chosen(tests)
    files = dict.fromkeys(test.partition("::")[0] for test in tests)
    basetemp = f"--basetemp={copy / 'tmp' / 'pytest'}"
    code = pytest.main([*OPTIONS, basetemp, *files], plugins=[chosen])
    outcomes = {
        pytest.ExitCode.OK: "survived",
        pytest.ExitCode.TESTS_FAILED: "killed",
        pytest.ExitCode.INTERRUPTED: "killed",
    }
    outcome = outcomes.get(pytest.ExitCode(code), f"pytest ended with {code!r}")
    if outcome == "survived" and chosen.passed == 0:
        outcome = "no test ran"
    if outcome == "killed" and not chosen.by:
        outcome = "killed by nothing"
    return {"outcome": outcome, "by": chosen.by, "passed": chosen.passed}
