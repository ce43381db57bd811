"""How many examples a test tries that needs more or fewer than others."""

from hypothesis import settings

_OTHERS = 50
"""Examples of other tests, to which the number of a test is related."""

_LEAST = 10
"""Examples that a test tries in every profile, unless its own number is smaller."""


def examples(number: int) -> int:
    """Return the number of examples in this profile, if other tests tried `_OTHERS`."""
    return max(min(number, _LEAST), number * settings.default.max_examples // _OTHERS)
