"""A plugin of pytest for `make fuzz`: tests in a random order, until some minutes are over.

No test begins after that; those that run then go on to their end. What did not run is said at the end.
"""

import time
from collections import Counter
from random import Random

import pytest

_UNTIL = pytest.StashKey[float]()
_NO_TIME = "no time was left"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the command line say how long tests may begin."""
    parser.addoption("--minutes", type=float, default=30.0, help="no test begins after these minutes")


def pytest_configure(config: pytest.Config) -> None:
    """Note when the time is over: for all workers at the same moment."""
    if config.getoption("hypothesis_seed") is None:
        raise pytest.UsageError("say --hypothesis-seed: the order of the tests is made of it, too")
    given: dict[str, float] = getattr(config, "workerinput", {})
    config.stash[_UNTIL] = given.get("until", time.time() + 60 * config.getoption("minutes"))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node) -> None:  # type: ignore[no-untyped-def]  # pytest-xdist has no types
    """Tell a worker when the time is over."""
    node.workerinput["until"] = node.config.stash[_UNTIL]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the tests that were chosen into the order of the seed, which is the same in each worker."""
    Random(str(config.getoption("hypothesis_seed"))).shuffle(items)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave out a test after the time."""
    if time.time() > item.config.stash[_UNTIL]:
        pytest.skip(_NO_TIME)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what ran, and what did not."""
    stats = terminalreporter.stats
    left = [each for each in stats.get("skipped", []) if _NO_TIME in str(each.longrepr)]
    ran = sum(len(stats.get(outcome, [])) for outcome in ("passed", "failed", "error"))
    write = terminalreporter.write_line
    write(f"fuzz: {ran} tests ran, and {len(left)} did not in {config.getoption('minutes'):g} minutes")
    write(f"fuzz: the same again: SEED={config.getoption('hypothesis_seed')}; what did not run, by file:")
    for file, count in sorted(Counter(each.nodeid.split("::")[0] for each in left).items()):
        write(f"fuzz:   {file}: {count}")
