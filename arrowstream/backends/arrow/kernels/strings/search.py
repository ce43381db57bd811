"""Search in strings: whether text occurs, its place, the number of matches, and replacement."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc

from arrowstream.backends.arrow.kernels.arguments import constant_text
from arrowstream.backends.arrow.kernels.base import Evaluate, Kernel
from arrowstream.backends.arrow.kernels.fallback import InPolars, fast_where
from arrowstream.backends.arrow.kernels.scalars import scalar
from arrowstream.backends.arrow.kernels.strings.ascii import is_ascii
from arrowstream.backends.arrow.kernels.strings.patterns import Pattern, plain, read
from arrowstream.expressions.program import Call, Literal

_NOT_CONSTANT = "what to look for must be constant text"


def _sought(call: Call, literal: bool) -> tuple[str, Pattern] | str:
    """Return the pattern in Polars' and in Arrow's form if both read it alike, otherwise the reason why not."""
    text = constant_text(call, 1)
    if text is None:
        return _NOT_CONSTANT
    pattern = plain(text) if literal else read(text)
    return (text, pattern) if pattern else f"Arrow and Polars may read the expression {text!r} differently"


def _where_alike(call: Call, only_ascii: bool, fast: Evaluate, slow: InPolars) -> Evaluate:
    return fast_where(is_ascii, fast, slow, call.dtype) if only_ascii else fast


def _contains(call: Call) -> Evaluate | str:
    literal, _strict = call.options
    sought = _sought(call, literal)
    if isinstance(sought, str):
        return sought
    text, pattern = sought
    match = pc.match_substring_regex if pattern.is_regex else pc.match_substring
    return _where_alike(
        call,
        pattern.only_ascii,
        lambda values, *_: match(values, pattern.text),
        lambda s: s.str.contains(text),
    )


def _contains_any(call: Call) -> Evaluate | str:
    (ascii_case_insensitive,) = call.options
    patterns = call.arguments[1]
    if ascii_case_insensitive:
        return "ASCII case folding is not offered by Arrow"
    if not isinstance(patterns, Literal) or not patterns.value or None in patterns.value:
        return "the texts to look for must be a constant list without nulls"
    return lambda values, *_: reduce(pc.or_, (pc.match_substring(values, text) for text in patterns.value))


def _edge(match: Callable[..., pa.Array]) -> Kernel:
    def kernel(call: Call) -> Evaluate | str:
        text = constant_text(call, 1)
        return _NOT_CONSTANT if text is None else lambda values, *_: match(values, text)

    return kernel


def _count_matches(call: Call) -> Evaluate | str:
    (literal,) = call.options
    sought = _sought(call, literal)
    if isinstance(sought, str):
        return sought
    text, pattern = sought
    if pattern.may_be_empty or pattern.is_anchored:
        return f"matches of {text!r} that are empty or anchored are counted differently"
    count = pc.count_substring_regex if pattern.is_regex else pc.count_substring
    return _where_alike(
        call,
        pattern.only_ascii,
        lambda values, *_: count(values, pattern.text).cast(call.dtype),
        lambda s: s.str.count_matches(text),
    )


def _find(call: Call) -> Evaluate | str:
    literal, _strict = call.options
    sought = _sought(call, literal)
    if isinstance(sought, str):
        return sought
    text, pattern = sought
    if pattern.is_regex and not text.isascii():
        return f"the expression {text!r} is not ASCII, which alone is found in the same place"
    find = pc.find_substring_regex if pattern.is_regex else pc.find_substring

    def fast(values: pa.Array, *_: pa.Array) -> pa.Array:
        place = find(values, pattern.text)
        return pc.if_else(pc.less(place, scalar(0, place.type)), scalar(None, place.type), place).cast(
            call.dtype
        )

    # Unlike the other functions, this one searches bytes rather than characters in older versions of Arrow.
    return _where_alike(call, pattern.is_regex, fast, lambda s: s.str.find(text))


def _replace(call: Call) -> Evaluate | str:
    times, literal = call.options
    sought, replacement = _sought(call, literal), constant_text(call, 2)
    if isinstance(sought, str):
        return sought
    text, pattern = sought
    if pattern.may_be_empty or (pattern.is_anchored and times > 1):
        return f"matches of {text!r} that are empty or anchored are replaced differently"
    if replacement is None or ("$" in replacement and not literal):
        return "the replacement must be constant text without groups of the expression"
    if pattern.is_regex:
        replace, new = pc.replace_substring_regex, replacement.replace("\\", r"\\")
    else:
        replace, new = pc.replace_substring, replacement
    return _where_alike(
        call,
        pattern.only_ascii,
        lambda values, *_: replace(values, pattern.text, new, max_replacements=times),
        lambda s: s.str.replace(text, replacement, n=times),
    )


KERNELS: dict[str, Kernel] = {
    "str.contains": _contains,
    "str.contains_any": _contains_any,
    "str.starts_with": _edge(pc.starts_with),
    "str.ends_with": _edge(pc.ends_with),
    "str.count_matches": _count_matches,
    "str.find": _find,
    "str.replace": _replace,
}
