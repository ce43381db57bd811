"""How many examples a test tries that needs more or fewer than others."""

from hypothesis import settings

_OTHERS = 50
"""Examples of other tests, to which the number of a test is related."""


def examples(number: int) -> int:
    """Return the number of examples in this profile, if other tests tried `_OTHERS`.

    It is half of the others' at least, unless the number is smaller.
    """
    usual = settings.default.max_examples
    return max(min(number, usual // 2), number * usual // _OTHERS)
