"""Shared settings of the tests."""

import gc
import os
import re
from pathlib import Path

import hypothesis
import pytest
from hypothesis.internal.conjecture import providers

pytest_plugins = ["servers.fixtures"]

# What is collected lives to the end: looking for garbage in it took a fifth of the time.
gc.disable()

hypothesis.settings.register_profile(
    "default",
    # The machines are small and noisy: a slow example says nothing about the code.
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.data_too_large],
    max_examples=5,
    derandomize=True,
    database=None,
)
hypothesis.settings.register_profile(
    "thorough", parent=hypothesis.settings.get_profile("default"), max_examples=500, derandomize=False
)
# For the oldest Polars in `make test`: what depends on the examples and not on Polars, the newest has tried.
hypothesis.settings.register_profile(
    "quick", parent=hypothesis.settings.get_profile("default"), max_examples=2
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
if hypothesis.settings.default.derandomize:
    # Hypothesis also tries the constants of all modules that were imported before, which are others in each worker.
    providers._get_local_constants = lambda: providers._local_constants


def pytest_sessionstart(session: pytest.Session) -> None:
    """Look for garbage in the process that hands out tests to others: it collects and runs none."""
    if session.config.getoption("numprocesses", None) and not hasattr(session.config, "workerinput"):
        gc.enable()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Import no module whose mark leaves out all of its tests: on the oldest Polars that is every other one."""
    left_out = re.fullmatch(r"not (\w+|\((?:\w+ or )*\w+\))", config.option.markexpr)
    if left_out is None or collection_path.suffix != ".py":
        return None
    marks = re.search(r"^pytestmark = .*", collection_path.read_text(), re.MULTILINE)
    found = {*re.findall(r"\bmark\.(\w+)", marks[0])} if marks else set()
    return bool(found & {*re.findall(r"\w+", left_out[1])}) or None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the collected tests out of what the garbage collector walks: thousands live to the end.

    Nor does it walk the rest as often as in a program that may run out of memory: that was a tenth of all work.
    """
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


@pytest.fixture
def own_garbage() -> None:
    """Let the garbage collector walk only what the test makes: all that is there may take a second."""
    gc.freeze()
