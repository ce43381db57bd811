"""Shared settings of the tests."""

import gc
import os

import hypothesis
import pytest

hypothesis.settings.register_profile(
    "default",
    # The machines are small and noisy: a slow example says nothing about the code.
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.data_too_large],
    max_examples=50,
    derandomize=True,
    database=None,
)
hypothesis.settings.register_profile(
    "thorough", parent=hypothesis.settings.get_profile("default"), max_examples=1000, derandomize=False
)
# For the oldest Polars in `make test`: what depends on the examples and not on Polars, the newest has tried.
hypothesis.settings.register_profile(
    "quick", parent=hypothesis.settings.get_profile("default"), max_examples=17
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.hookimpl(trylast=True)  # hypothesis marks its tests in the same hook
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take tests of random examples out of coverage, and all tests out of the garbage collector's walks.

    Under the tracer, random examples take twice as long, and every line needs a test with a chosen
    example anyway. With ``--cov-context`` all are traced: it asks which tests run a line.
    """
    if not config.getoption("cov_context", None):
        for item in items:
            if item.get_closest_marker("hypothesis"):
                item.add_marker(pytest.mark.no_cover)
    gc.collect()
    gc.freeze()
