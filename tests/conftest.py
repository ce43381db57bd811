"""Shared settings of the tests."""

import os

import hypothesis

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
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
