"""A plugin of pytest for `make test`: of a test with many cases, some of them.

Tests that repeat what others cover, and tests on a second version of Polars, find a fault of a kind with a few cases
about as well as with hundreds. Of n cases the square root of n is chosen, and not less than two: those with values of
their parameters that no case before them has, so that each value is tried as soon as possible. The choice is the same
in each run and in each process. `make thorough` tries all.
"""

from collections.abc import Iterator
from math import isqrt
from zlib import crc32

import pytest


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the other cases, after marks and names have left out theirs."""
    cases = dict[str, list[pytest.Item]]()
    for item in items:
        cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
    chosen = set[pytest.Item]()
    for each in cases.values():
        chosen |= {
            each[place] for place in some([_values(case) for case in each], [case.nodeid for case in each])
        }
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = [item for item in items if item in chosen]


def some(values: list[set[object]], names: list[str]) -> Iterator[int]:
    """Yield the places of the cases that are tried.

    Parameters
    ----------
    values
        The values of the parameters of each case.
    names
        The names of the cases: where several would do, these decide as if by chance.

    Examples
    --------
    >>> shapes = [{"square", "red"}, {"square", "blue"}, {"circle", "red"}, {"circle", "blue"}]
    >>> chosen = list(some(shapes, ["a", "b", "c", "d"]))
    >>> len(chosen), set.union(*(shapes[place] for place in chosen)) == set.union(*shapes)
    (2, True)
    """
    left = sorted(range(len(names)), key=lambda place: crc32(names[place].encode()))
    seen = set[object]()
    for _ in range(min(len(names), max(2, isqrt(max(len(names) - 1, 0)) + 1))):
        best = max(left, key=lambda place: len(values[place] - seen))
        left.remove(best)
        seen |= values[best]
        yield best


def _values(case: pytest.Item) -> set[object]:
    parameters = (
        case.callspec.params if isinstance(case, pytest.Function) and hasattr(case, "callspec") else {}
    )
    # Many values cannot be compared or hashed, and cases with the same value have the same object.
    return {(name, id(value)) for name, value in parameters.items()}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say that not all cases ran."""
    terminalreporter.write_line("of tests with many cases some ran; make thorough runs all")
