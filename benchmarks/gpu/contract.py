"""The tests that need a device, and what they found."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from benchmarks.harness import Figure, Section
from benchmarks.machine import ROOT


def run() -> Section:
    """Run all tests with the mark ``gpu``."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "tests/gpu", f"--junitxml={report}"]
        subprocess.run(command, cwd=ROOT, check=False)
        return section(ElementTree.parse(report).getroot())


def section(report: ElementTree.Element) -> Section:
    """Return the counts of a report of pytest, and the names of the tests that failed."""
    counts = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    for suite in report.iter("testsuite"):
        for name in counts:
            counts[name] += int(suite.get(name, 0))
    failed = [
        f"failed: {case.get('classname')}.{case.get('name')}"
        for case in report.iter("testcase")
        if case.find("failure") is not None or case.find("error") is not None
    ]
    figures = (
        Figure("tests that ran", counts["tests"] - counts["skipped"], "tests", at_least=1),
        Figure("tests that failed", counts["failures"] + counts["errors"], "tests", at_most=0),
        Figure("tests that were skipped", counts["skipped"], "tests", at_most=0),
    )
    return Section("Tests on the device", figures, tuple(failed))
