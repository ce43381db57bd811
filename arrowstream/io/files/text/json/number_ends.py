r"""Numbers of JSON with other signs right after them.

Before version 2, Polars' reader takes a NUL after a number or null for its end, and reads long numbers up to the
first other sign: ``9007\0001`` is 9007, and ``9223372036854775807-1`` the number before the minus.
"""

from __future__ import annotations

import re
from typing import Final

import polars as pl

LENIENT: Final = pl.__version__.startswith("1.")
"""True if Polars' reader does not look at what follows a number."""

_KINDS: Final = re.sub(
    rb"[^0 e]",
    b"x",
    bytes(range(256)).translate(bytes.maketrans(b'123456789.,:[]{}"\t\r\nE', b"0" * 10 + b" " * 10 + b"e")),
)
"""Digits, signs that end a number, those of an exponent, and all others."""

_SUSPICIOUS: Final = (b"0" * 17 + b"x", b"0" * 19 + b"e")
"""Kinds of long numbers with another sign after them: Python writes no float with an exponent that is as long."""

_TEXT_OR_STUCK: Final = re.compile(
    rb'"(?:[^"\\]|\\.)*+"|[0-9.]{17,}+(?:[eE][+-]?[0-9]++)?+([^,\]} \t\r\n])', re.DOTALL
)


def stuck_signs(block: bytes) -> int | None:
    r"""Return the number of the first line with signs that follow a number directly, or a NUL; None without one.

    Examples
    --------
    >>> stuck_signs(b'{"a": 9223372036854775807}\n{"a": 9223372036854775807-1}')
    1
    >>> stuck_signs(b'{"a": "9223372036854775807-1"}') is None
    True
    """
    nul = block.find(b"\0")
    kinds = block[: len(block) if nul < 0 else nul].translate(_KINDS)
    starts = [_first(block, kinds, signs) for signs in _SUSPICIOUS]
    found = [at for at in (nul, *starts) if at >= 0]
    return block.count(b"\n", 0, min(found)) if found else None


def _first(block: bytes, kinds: bytes, signs: bytes) -> int:
    """Return the start of the first line with these signs outside of its texts; -1 without one."""
    at = kinds.find(signs)
    while at >= 0:
        start, end = block.rfind(b"\n", 0, at) + 1, block.find(b"\n", at)
        end = len(kinds) if end < 0 else end
        if any(match[1] for match in _TEXT_OR_STUCK.finditer(block, start, end)):
            return start
        at = kinds.find(signs, end)
    return -1
