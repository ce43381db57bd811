"""How many examples a test tries that needs more or fewer than others, and how much of a product of choices."""

import os

from hypothesis import settings

THOROUGH = bool(os.environ.get("THOROUGH"))
"""True in `make thorough`, which tries products whole of which `make test` tries each choice."""

_OTHERS = 50
"""Examples of other tests, to which the number of a test is related."""


def examples(number: int) -> int:
    """Return the number of examples in this profile, if other tests tried `_OTHERS`.

    It is half of the others' at least, unless the number is smaller, and 2: the first one is the simplest, such as no
    rows at all.
    """
    usual = settings.default.max_examples
    return max(min(number, max(2, usual // 2)), number * usual // _OTHERS)
