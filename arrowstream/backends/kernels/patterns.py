"""Which regular expressions mean the same to Polars (Rust's regex) and to Arrow (RE2).

Both descend from the same design, but differ in Unicode classes (``\\d`` is ASCII in RE2, any decimal
digit in Rust), in escapes and in set operations inside brackets. `is_portable` accepts a grammar in
which those cannot be written: characters, escaped punctuation, ``.``, brackets of ASCII characters and
ranges, groups, alternation, anchors and repetition. Within it both engines find a match in
the same texts and at the same leftmost place.
"""

from __future__ import annotations

import re

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

_CHARACTER = r"[^\\.+*?()|\[\]{}^$]"
_ESCAPE = r"\\[\\.+*?()|\[\]{}^$\-]"
_BRACKET = r"\[\^?(?:[A-Za-z0-9]-[A-Za-z0-9]|[A-Za-z0-9 _.,:;/@%!=+*'\"<>])+\]"
_REPEAT = r"(?:(?:[*+?]|\{\d{1,2}(?:,\d{0,2})?\})\??)"
_PORTABLE = re.compile(
    rf"(?:\((?:\?:)?|\){_REPEAT}?|(?:{_CHARACTER}|{_ESCAPE}|\\[nrt]|{_BRACKET}|\.){_REPEAT}?|[|^$])*"
)
_PLAIN = re.compile(rf"(?:{_CHARACTER}|{_ESCAPE})*")


def plain_text(pattern: str) -> str | None:
    """The text that a regular expression without any operator stands for; None if it has one."""
    return re.sub(r"\\(.)", r"\1", pattern) if _PLAIN.fullmatch(pattern) else None


def is_portable(pattern: str) -> bool:
    """Whether both engines accept `pattern` and match the same texts with it."""
    if not _PORTABLE.fullmatch(pattern):
        return False
    try:
        pc.match_substring_regex(pa.array([""]), pattern)
        pl.Series([""]).str.contains(pattern)
    except (pa.ArrowInvalid, pl.exceptions.ComputeError):
        return False
    return True
