"""Which tests run a line, and how long they take."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import coverage

LEFT_OUT = ("test_layers", "test_docs", "test_readme", "test_cli", "test_benchmarks", "test_memory_limit")
"""Tests of text, or that do everything in other processes or for long."""

STAGE_S = 16.0
"""Tests for one mutant, for each of three parts, in seconds that they take under coverage."""

CONFIGURATION = """\
[run]
source = arrowstream
dynamic_context = none
concurrency = thread
parallel = true
"""


@dataclass(frozen=True, slots=True)
class Covering:
    """The tests of each line of each module under test, and the seconds of each test."""

    seconds: dict[str, float]
    tests: dict[str, dict[int, list[str]]]

    def stages(self, path: str, line: int | None) -> list[list[str]]:
        """The tests for one line, in the order to run them, in three parts.

        First those of the module's own file of tests, then those of the next four, then all others: most mutants
        end in the first part, and importing a file of tests costs more than a test. In each part quick ones come
        first, as many as fit. For what runs when the module is imported, such as the decorator of a class, these are
        all tests of the files that run any line of it.
        """
        lines = self.tests.get(path, {})
        covered = Counter(file_of(test) for tests in lines.values() for test in tests)
        covered = covered or Counter(map(file_of, self.seconds))
        found = (line and lines.get(line)) or [test for test in self.seconds if file_of(test) in covered]
        ranked = sorted(covered, key=lambda file: nearness(path, file, covered[file]))
        parts = ranked[:1], ranked[1:5], ranked[5:]
        return [chosen for part in parts if (chosen := self._fitting(found, set(part)))]

    def _fitting(self, tests: list[str], files: set[str]) -> list[str]:
        quick_first = sorted((self.seconds[test], test) for test in tests if file_of(test) in files)
        sums = accumulate(seconds for seconds, _ in quick_first)
        return [test for (_, test), total in zip(quick_first, sums, strict=True) if total <= STAGE_S]


def file_of(test: str) -> str:
    """The file of a test's name as pytest writes it."""
    return test.partition("::")[0]


def nearness(path: str, file: str, count: int) -> tuple[int, bool, int, str]:
    """How near a file of tests is to a module, least first: words they share, a folder they share, what it covers."""
    words = set(Path(path).stem.split("_")) & set(Path(file).stem.split("_"))
    folders = set(Path(path).parent.parts) & set(Path(file).parent.parts)
    return -len(words), not folders, -count, file


def learn(root: Path, folder: Path, workers: int, files: list[str]) -> list[str]:
    """Run the suite once under coverage, which takes some minutes, or some files of it that have changed.

    Returns the tests that passed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "coveragerc").write_text(CONFIGURATION)
    if not files:
        for old in (*folder.glob("*.coverage"), folder / "durations.json"):
            old.unlink(missing_ok=True)
    options = [
        *("-q", "-n", str(workers), "-p", "no:cacheprovider", "-p", "tools.mutation.recorder"),
        *("--cov", f"--cov-config={folder / 'coveragerc'}", "--cov-context=test", "--cov-report="),
        # Random examples run without the tracer (tests/conftest.py), so they have no lines.
        *("-m", "not hypothesis", "-W", "ignore::coverage.exceptions.CoverageWarning"),
        *(f"--ignore=tests/{name}.py" for name in LEFT_OUT),
    ]
    subprocess.run(
        [sys.executable, "-m", "pytest", *options, *files],
        cwd=root,
        env={
            **os.environ,
            "COVERAGE_FILE": str(folder / f"{len(list(folder.glob('*.coverage')))}.coverage"),
            "MUTATION_DURATIONS": str(folder / "last.json"),
        },
        check=False,
    )
    passed: dict[str, float] = json.loads((folder / "last.json").read_text())
    durations = folder / "durations.json"
    known = json.loads(durations.read_text()) if durations.exists() else {}
    kept = {test: spent for test, spent in known.items() if file_of(test) not in files}
    durations.write_text(json.dumps({**kept, **passed}))
    return [*passed]


def known(root: Path, folder: Path, paths: list[str]) -> Covering:
    """What runs of the suite have shown about these modules."""
    seconds: dict[str, float] = json.loads((folder / "durations.json").read_text())
    found: dict[str, dict[int, list[str]]] = {path: {} for path in paths}
    for file in sorted(folder.glob("*.coverage")):
        data = coverage.CoverageData(basename=str(file))
        data.read()
        for path in paths:
            for line, tests in contexts_of(data, str(root / path), seconds).items():
                found[path][line] = sorted({*found[path].get(line, ()), *tests})
    return Covering(seconds, found)


def contexts_of(data: coverage.CoverageData, name: str, seconds: dict[str, float]) -> dict[int, list[str]]:
    """The tests of each line of a file; pytest-cov names them with the part of the test: ``...|run``."""
    tests = {}
    for line, contexts in data.contexts_by_lineno(name).items():
        named = {context.rpartition("|")[0] for context in contexts}
        tests[line] = sorted(test for test in named if test in seconds)
    return {line: found for line, found in tests.items() if found}
