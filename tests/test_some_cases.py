"""`make test` tries some cases of a test that has many, and each value of its parameters as soon as it can."""

import re

import pytest

from tools.some_cases import some

pytest_plugins = ["pytester"]
pytestmark = [pytest.mark.once, pytest.mark.untraced]

TESTS = """
import pytest

@pytest.fixture(params=["file", "memory"])
def place(request):
    return request.param

@pytest.mark.parametrize("number", range(100))
def test_one_parameter(number):
    pass

@pytest.mark.parametrize("kind", [[], {}])
@pytest.mark.parametrize("number", range(5))
def test_two_and_a_fixture(kind, number, place):
    print(number, type(kind).__name__, place)

@pytest.mark.parametrize("number", range(2))
def test_few(number):
    pass

def test_none():
    pass
"""
COMMAND = ("-p", "tools.some_cases", "-p", "no:cacheprovider", "-p", "no:randomly", "-v")


def cases(run: pytest.RunResult) -> dict[str, set[str]]:
    found = dict[str, set[str]]()
    for name, case in re.findall(r"::(\w+)\[?([^\] ]*)\]? PASSED", run.stdout.str()):
        found.setdefault(name, set()).add(case)
    return found


def test_each_value_is_tried_in_the_root_of_all_cases(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TESTS)
    first, again = (pytester.runpytest_inprocess(*COMMAND) for _ in range(2))
    found = cases(first)
    assert found == cases(again)
    assert {name: len(chosen) for name, chosen in found.items()} == {
        "test_one_parameter": 10,
        "test_two_and_a_fixture": 5,
        "test_few": 2,
        "test_none": 1,
    }
    parts = [case.split("-") for case in found["test_two_and_a_fixture"]]
    assert [len({part[place] for part in parts}) for place in range(3)] == [2, 5, 2]
    first.assert_outcomes(passed=18, deselected=105)
    first.stdout.fnmatch_lines(["of tests with many cases some ran; make thorough runs all"])


def test_workers_choose_the_same(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TESTS)
    pytester.runpytest_inprocess(*COMMAND, "-n", "2").assert_outcomes(passed=18)


@pytest.mark.parametrize(
    ("all_cases", "chosen"), [(0, 0), (1, 1), (2, 2), (4, 2), (5, 3), (9, 3), (10, 4), (100, 10)]
)
def test_numbers(all_cases: int, chosen: int) -> None:
    places = list(some([set[object]()] * all_cases, [str(place) for place in range(all_cases)]))
    assert len(places) == len(set(places)) == chosen
