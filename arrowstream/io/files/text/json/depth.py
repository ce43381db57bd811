"""How deep the objects and lists of NDJSON are inside of each other.

Polars' reader refuses more than 1,024 of them. Before version 2 it does not, and its stack overflows at some
thousands, which ends the process.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from arrowstream.io.files.text.records import byte_view, positions

DEEPEST: Final = 1024
"""Most objects and lists that a value may be inside of."""

DEEPEST_INFERRED: Final = 256
"""The same where types are inferred from the values: Python looks at those types by recursion."""

OVERFLOWS: Final = pl.__version__.startswith("1.")
"""True if Polars' reader does not limit the depth itself."""

_NEWLINE: Final = ord("\n")
_STEP: Final = np.zeros(256, np.int8)
_STEP[list(b"[{")] = 1
_STEP[list(b"]}")] = -1


def too_deep(block: bytes, most: int) -> int | None:
    r"""Return the number of the first line with more than `most` brackets open at a time; None without one.

    Brackets in strings count too.

    Examples
    --------
    >>> too_deep(b'{}\n{"a": ' + 1024 * b"[", 1024)
    1
    """
    bounds = np.concatenate(([0], positions(block, _NEWLINE), [len(block)]))
    for line in np.flatnonzero(np.diff(bounds) > most):
        steps = _STEP[byte_view(block)[bounds[line] : bounds[line + 1]]]
        if np.cumsum(steps, dtype=np.int64).max() > most:
            return int(line)
    return None
