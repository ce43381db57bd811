"""Looking into strings: where something is, how often, and putting something else in its place."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc

from arrowstream.backends.kernels.arguments import constant_text
from arrowstream.backends.kernels.base import Evaluate, Kernel
from arrowstream.backends.kernels.patterns import is_portable, plain_text
from arrowstream.program import Call, Literal

_NOT_CONSTANT = "what to look for must be constant text"
_NOT_PORTABLE = "Arrow and Polars may read this regular expression differently"


def _sought(call: Call, literal: bool) -> str | None:
    """The constant text that is looked for: as it is, or of a regular expression without operators."""
    pattern = constant_text(call, 1)
    return pattern if pattern is None or literal else plain_text(pattern)


def _contains(call: Call) -> Evaluate | str:
    literal, _strict = call.options
    pattern = constant_text(call, 1)
    if pattern is None:
        return _NOT_CONSTANT
    text = pattern if literal else plain_text(pattern)
    if text is not None:
        return lambda values, *_: pc.match_substring(values, text)
    if is_portable(pattern):
        return lambda values, *_: pc.match_substring_regex(values, pattern)
    return _NOT_PORTABLE


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
    # An empty text matches between characters in Polars, between bytes in Arrow.
    if not (text := _sought(call, literal)):
        return "what to count must be constant, not empty and without regular expression operators"
    return lambda values, *_: pc.count_substring(values, text).cast(call.dtype)


def _find(call: Call) -> Evaluate | str:
    literal, _strict = call.options
    text = _sought(call, literal)
    if text is None:
        return "what to find must be constant and without regular expression operators"

    def evaluate(values: pa.Array, *_: pa.Array) -> pa.Array:
        place = pc.find_substring(values, text)
        return pc.if_else(pc.less(place, 0), pa.scalar(None, place.type), place).cast(call.dtype)

    return evaluate


def _replace(call: Call) -> Evaluate | str:
    times, literal = call.options
    text, replacement = _sought(call, literal), constant_text(call, 2)
    if not text:
        return "what to replace must be constant, not empty and without regular expression operators"
    if replacement is None:
        return "the replacement must be constant text"
    if not literal and "$" in replacement:
        return "the replacement refers to groups of the regular expression"
    return lambda values, *_: pc.replace_substring(values, text, replacement, max_replacements=times)


KERNELS: dict[str, Kernel] = {
    "str.contains": _contains,
    "str.contains_any": _contains_any,
    "str.starts_with": _edge(pc.starts_with),
    "str.ends_with": _edge(pc.ends_with),
    "str.count_matches": _count_matches,
    "str.find": _find,
    "str.replace": _replace,
}
