"""Tests that fail without any mutant here, in a child of a fork, must not count."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tools.mutation.covering import file_of
from tools.mutation.mutants import targets
from tools.mutation.trials import Try, spread

PIECE = 8
"""Files of tests to a child."""


def verify(root: Path, folder: Path, workers: int, learnt: list[str]) -> None:
    """Run these tests on the project as it is, and forget those that do not pass."""
    durations = folder / "durations.json"
    seconds: dict[str, float] = json.loads(durations.read_text())
    path = targets(root)[0]
    text = (root / path).read_text()

    def task(tests: list[str]) -> Callable[[Try], None]:
        def piece(attempt: Try) -> None:
            while tests:
                answer = attempt(path, text, 0, tests, sum(map(seconds.__getitem__, tests)))
                if answer["outcome"] == "survived":
                    print(f"{answer['passed']} of {len(tests)} tests pass", flush=True)
                    return
                failing = [test for test in tests if answer["by"].startswith(f"{test}:")]
                print(f"fails without a mutant: {answer['outcome']} {answer['by']}", flush=True)
                assert failing, "no test to forget"
                for test in failing:
                    tests.remove(test)
                    del seconds[test]

        return piece

    files = sorted({file_of(test) for test in learnt})
    parts = [set(files[first : first + PIECE]) for first in range(0, len(files), PIECE)]
    spread(root, workers, [task([test for test in learnt if file_of(test) in part]) for part in parts])
    durations.write_text(json.dumps(seconds))
