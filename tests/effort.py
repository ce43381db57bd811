"""How many examples a test tries: a number of its own on the newest Polars, twenty times as many in `make fuzz`."""

from hypothesis import settings

_DEFAULT = 50
"""Examples of the default profile (`conftest`)."""

_LEAST = 10
"""Examples that a test tries in every profile, unless its own number is smaller."""


def examples(number: int) -> int:
    """Return `number` in the default profile, and more or fewer in another one, in proportion."""
    return max(min(number, _LEAST), number * settings.default.max_examples // _DEFAULT)
