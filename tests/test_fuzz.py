"""`make fuzz` tries tests in a random order, for some minutes, and says what it left out."""

import re

import pytest

pytest_plugins = ["pytester"]
pytestmark = [pytest.mark.once, pytest.mark.untraced]

TESTS = """
import pytest

@pytest.mark.parametrize("number", range(20))
def test_it(number):
    print("number", number)
"""
COMMAND = ("-p", "tools.fuzz", "-p", "no:cacheprovider", "-p", "no:randomly")


def order(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"number (\d+)$", text, re.MULTILINE)]


def test_a_seed_makes_the_order(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TESTS)
    runs = [pytester.runpytest_inprocess(*COMMAND, "-s", f"--hypothesis-seed={seed}") for seed in (1, 1, 2)]
    first, again, other = (order(run.stdout.str()) for run in runs)
    assert first == again != other and sorted(first) == sorted(other) == list(range(20)) != first
    runs[0].stdout.fnmatch_lines(["fuzz: 20 tests ran, and 0 did not*", "fuzz: the same again: SEED=1;*"])


@pytest.mark.parametrize("workers", [(), ("-n", "1")])
def test_no_test_begins_after_the_time(pytester: pytest.Pytester, workers: tuple[str, ...]) -> None:
    pytester.makepyfile(TESTS)
    run = pytester.runpytest_inprocess(*COMMAND, "--minutes=-1", "--hypothesis-seed=1", *workers)
    run.assert_outcomes(skipped=20)
    run.stdout.fnmatch_lines(["fuzz: 0 tests ran, and 20 did not *", "fuzz:   test_no_test*.py: 20"])


def test_it_needs_a_seed(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TESTS)
    assert pytester.runpytest_inprocess(*COMMAND).ret == pytest.ExitCode.USAGE_ERROR
