r"""Regular expressions that mean the same to Polars (Rust's regex) and to Arrow (RE2).

Both descend from the same design and find the leftmost match, with Perl's preferences. They differ in
Unicode classes (``\d`` is ASCII in RE2, any decimal digit in Rust), in escapes and in set operations
inside brackets. `read` accepts a grammar in which those cannot be written: characters, escaped punctuation,
``.``, brackets of ASCII characters and ranges, groups, alternation, anchors and repetition. In an ASCII
pattern it also accepts ``\d \w \s \b`` and a leading ``(?i)``, which the engines read alike in ASCII text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from arrowstream.backends.arrow.kernels.scalars import scalar

_CHARACTER = r"[^\\.+*?()|\[\]{}^$]"
_ESCAPE = r"\\[\\.+*?()|\[\]{}^$\-]"
_MEMBER = r"[A-Za-z0-9]-[A-Za-z0-9]|[A-Za-z0-9 _.,:;/@%!=+*'\"<>]"
_REPEAT = r"(?:(?:[*+?]|\{\d{1,2}(?:,\d{0,2})?\})\??)?"


def _grammar(atoms: str, members: str, marks: str) -> re.Pattern[str]:
    atom = rf"{_CHARACTER}|{_ESCAPE}|\\[nrt]|\.|\[\^?-?(?:{members})+-?\]{atoms}"
    return re.compile(rf"(?:\((?:\?:)?|\){_REPEAT}|(?:{atom}){_REPEAT}|{marks})*")


_PLAIN = re.compile(rf"(?:{_CHARACTER}|{_ESCAPE})*")
_ANYWHERE = _grammar("", _MEMBER, r"[|^$]")
_IN_ASCII = _grammar(r"|\\[dDwWsS]", rf"{_MEMBER}|\\[dws]", r"[|^$]|\\b")
_TOKEN = re.compile(r"\\.|\[[^\]]*\]")
_SPACE = r"\t\n\v\f\r "
r"""Rust's ``\s`` within ASCII; RE2's lacks the vertical tab."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern in Arrow's form.

    Parameters
    ----------
    text
        Plain text, or a regular expression of RE2.
    is_regex
        True if `text` is a regular expression.
    only_ascii
        True if the engines are known to agree only in ASCII text.
    may_be_empty
        True if the pattern can match between characters, after which the engines continue differently.
    is_anchored
        True if a match can depend on its place in the text, which Arrow loses after the first match.
    """

    text: str
    is_regex: bool = False
    only_ascii: bool = False
    may_be_empty: bool = False
    is_anchored: bool = False


def plain(text: str) -> Pattern:
    """Return the pattern that matches exactly this text."""
    return Pattern(text, may_be_empty=not text)


def read(regex: str) -> Pattern | None:
    """Return a regular expression of Polars in Arrow's form; None if the two may read it differently."""
    if _PLAIN.fullmatch(regex):
        return plain(re.sub(r"\\(.)", r"\1", regex))
    if _ANYWHERE.fullmatch(regex):
        return _compiled(regex, regex, only_ascii=False)
    if regex.isascii() and _IN_ASCII.fullmatch(regex.removeprefix("(?i)")):
        return _compiled(regex, _TOKEN.sub(_spelled_out, regex), only_ascii=True)
    return None


def _spelled_out(token: re.Match[str]) -> str:
    if token[0].startswith("["):
        return token[0].replace(r"\s", _SPACE)
    return {r"\s": f"[{_SPACE}]", r"\S": f"[^{_SPACE}]"}.get(token[0], token[0])


def _compiled(regex: str, text: str, only_ascii: bool) -> Pattern | None:
    """Return the pattern, or None unless both engines accept it."""
    try:
        found = pc.match_substring_regex(scalar(""), text).as_py()
        pl.Series([""]).str.contains(regex)
    except (pa.ArrowInvalid, pl.exceptions.ComputeError):
        return None
    at_a_word = r"\b" in text
    return Pattern(
        text,
        is_regex=True,
        only_ascii=only_ascii,
        may_be_empty=found or at_a_word,
        is_anchored=at_a_word or "^" in text or "$" in text,
    )
