"""How many examples a test tries: a number of its own in `make test`, twenty times as many in `make fuzz`."""

from hypothesis import settings

_DEFAULT = 50
"""Examples of the default profile (`conftest`)."""


def examples(number: int) -> int:
    """Return `number` in the default profile, and more in a more thorough one, in proportion."""
    return max(1, number * settings.default.max_examples // _DEFAULT)
